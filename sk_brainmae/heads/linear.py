"""Linear heads, their strength tuned by an inner cross-validation on the training samples.

An L2-penalised linear model depends on its features only through the inner products of samples.
With more features than samples, the strength is therefore tuned on the samples' coordinates in
their own span, ``(n_samples, n_samples)``: the models are the same, and found many times faster.
The strengths tried are relative to the mean eigenvalue of the scaled features' Gram matrix, so one
grid reaches from a constant prediction to interpolation, whatever the number of features.
"""

import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss, make_scorer
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    StratifiedGroupKFold,
    StratifiedKFold,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_array, check_consistent_length

from sk_brainmae.labels.targets import check_classes, check_values

# Penalty over the mean eigenvalue, the strongest first: ties go to the simpler model. Where no
# inner cross-validation is possible it is 1, as strong as the data in their mean direction.
STRENGTHS = np.logspace(3, -5, 17)
INNER_FOLDS = 5

Splits = list[tuple[NDArray, NDArray]]  # indices of training and test samples


def fit_classification_head(
    features: ArrayLike,
    y: ArrayLike,
    groups: ArrayLike | None = None,
    random_state: Any = None,
    *,
    scaler: StandardScaler | None = None,
) -> Pipeline:
    """Standardise features and fit L2 logistic regression, its strength tuned by the log-loss.

    The inner cross-validation is stratified. It has five folds, or fewer where a class has fewer
    samples (or groups). A class of a single sample (or group) leaves nothing to tune on: the
    strength is then fixed at a moderate one, with a warning.

    Parameters
    ----------
    features : array-like of shape (n_samples, n_features)
        Finite features of the training samples.
    y : array-like of shape (n_samples,)
        Class labels, of at least two classes.
    groups : array-like of shape (n_samples,), optional
        Samples of one group (a subject, a run) stay on one side of every inner split.
    random_state : int, RandomState instance or None, default=None
        Shuffles the inner folds.
    scaler : StandardScaler, default=None
        Fitted, for features whose scales mean something; None gives every feature unit variance.

    Returns
    -------
    Pipeline
        ``StandardScaler`` and ``LogisticRegression``, fitted on all samples.

    Raises
    ------
    ValueError
        If features are not finite, ``y`` holds one class only, or lengths differ.

    Warns
    -----
    UserWarning
        If no inner cross-validation is possible.
    """
    features, y = check_features(features), check_classes(y)
    check_consistent_length(features, y, groups)
    scoring = make_scorer(
        log_loss, greater_is_better=False, response_method="predict_proba", labels=np.unique(y)
    )
    scaler = scaler or StandardScaler().fit(features)
    scale = mean_eigenvalue(scaler.transform(features))
    model, grid = LogisticRegression(C=1 / scale, max_iter=10_000), {"C": 1 / (scale * STRENGTHS)}
    splits = classification_splits(y, groups, random_state)
    return fit_tuned(scaler, model, grid, splits, scoring, features, y)


def fit_regression_head(
    features: ArrayLike,
    y: ArrayLike,
    groups: ArrayLike | None = None,
    random_state: Any = None,
    *,
    scaler: StandardScaler | None = None,
) -> Pipeline:
    """Standardise features and fit ridge regression, its strength tuned by the squared error.

    The inner cross-validation has five folds, or fewer where there are fewer samples (or groups).
    A single group leaves nothing to tune on: the strength is then fixed at a moderate one, with a
    warning.

    Parameters
    ----------
    features : array-like of shape (n_samples, n_features)
        Finite features of the training samples.
    y : array-like of shape (n_samples,)
        Target values.
    groups, random_state, scaler
        As in :func:`fit_classification_head`.

    Returns
    -------
    Pipeline
        ``StandardScaler`` and ``Ridge``, fitted on all samples.

    Raises
    ------
    ValueError
        If features or ``y`` are not finite, or lengths differ.

    Warns
    -----
    UserWarning
        If no inner cross-validation is possible.
    """
    features, y = check_features(features), check_values(y)
    check_consistent_length(features, y, groups)
    scaler = scaler or StandardScaler().fit(features)
    scale = mean_eigenvalue(scaler.transform(features))
    model, grid = Ridge(alpha=scale), {"alpha": scale * STRENGTHS}
    splits = regression_splits(y, groups, random_state)
    return fit_tuned(scaler, model, grid, splits, "neg_mean_squared_error", features, y)


def check_features(features: ArrayLike) -> NDArray:
    """Return features as a finite float array, (n_samples, n_features), or raise ValueError."""
    return check_array(features, dtype=float, input_name="features")


def mean_eigenvalue(features: NDArray) -> float:
    """Return the mean nonzero eigenvalue of centred features' Gram matrix: trace over rank."""
    features = np.asarray(features)  # a DataFrame, where scikit-learn is told to return them
    return float(np.square(features).sum() / min(features.shape)) or 1.0


def classification_splits(
    y: NDArray, groups: ArrayLike | None, random_state: Any, n_folds: int = INNER_FOLDS
) -> Splits:
    """Return inner splits whose training parts hold every class; none where that is impossible."""
    units = np.arange(len(y)) if groups is None else np.asarray(groups)
    n_folds = min(n_folds, *(len(np.unique(units[y == label])) for label in np.unique(y)))
    if n_folds < 2:
        return []
    splitter = StratifiedKFold if groups is None else StratifiedGroupKFold
    folds = splitter(n_folds, shuffle=True, random_state=random_state)
    n_classes = len(np.unique(y))
    # Where groups and classes go together, a training part can still lack a class.
    return [
        (train, test)
        for train, test in folds.split(y, y, groups)
        if len(np.unique(y[train])) == n_classes
    ]


def regression_splits(
    y: NDArray, groups: ArrayLike | None, random_state: Any, n_folds: int = INNER_FOLDS
) -> Splits:
    """Return inner splits of samples, or of whole groups; none where there is a single one."""
    n_units = len(y) if groups is None else len(np.unique(np.asarray(groups)))
    n_folds = min(n_folds, n_units)
    if n_folds < 2:
        return []
    splitter = KFold if groups is None else GroupKFold
    folds = splitter(n_folds, shuffle=True, random_state=random_state)
    return list(folds.split(y, y, groups))


# How each task checks its target, cuts inner folds, and fits a linear head.
CHECKS = {"classification": check_classes, "regression": check_values}
INNER_SPLITS = {"classification": classification_splits, "regression": regression_splits}
LINEAR_HEADS = {"classification": fit_classification_head, "regression": fit_regression_head}


def fit_tuned(
    scaler: StandardScaler,
    model: BaseEstimator,
    grid: dict[str, Any],
    splits: Splits,
    scoring: Any,
    features: NDArray,
    y: NDArray,
    *,
    rotate: bool = True,
) -> Pipeline:
    """Choose a head's parameters from ``grid`` on inner splits, and fit it on all samples.

    Features are scaled by all training samples, in the inner folds too. ``grid`` lists the simplest
    model first. Without splits ``model`` keeps the parameters it has, with a warning. ``rotate``
    says that the model depends on inner products alone, so it can be tuned on coordinates.
    """
    if splits:
        scaled = np.asarray(scaler.transform(features))
        search = GridSearchCV(
            model, grid, scoring=scoring, cv=splits, refit=False, error_score="raise"
        )
        search.fit(_coordinates(scaled) if rotate else scaled, y)
        model.set_params(**search.best_params_)
    else:
        warnings.warn(
            "the strength of the head is fixed, not tuned: an inner cross-validation needs two"
            " samples or more (groups, where given), in classification of each class",
            stacklevel=3,
        )
    model.fit(scaler.transform(features), y)
    return make_pipeline(scaler, model)


def _coordinates(features: NDArray) -> NDArray:
    """Rotate samples into their own span where that is smaller; inner products do not change."""
    n_samples, n_features = features.shape
    if n_features <= n_samples:
        return features
    return np.asarray(np.linalg.qr(features.T, mode="r")).T  # (n_samples, n_samples)
