"""Heads that predict the target from features, tuned inside the fold.

A head is a model with a small grid of parameters. It gets standardised features, and is tuned by
the inner cross-validation of :mod:`~sk_brainmae.heads.linear`. Strengths and kernel widths are
relative to the scale of the data, so that one grid suits any number of features.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import RidgeClassifier
from sklearn.metrics import log_loss, make_scorer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR
from sklearn.utils import check_consistent_length, check_random_state

from sk_brainmae.baselines.base import check_task
from sk_brainmae.heads.linear import (
    CHECKS,
    INNER_SPLITS,
    LINEAR_HEADS,
    STRENGTHS,
    check_features,
    fit_tuned,
    mean_eigenvalue,
)

SVM_STRENGTHS = STRENGTHS[4:13:2]  # 10 to 0.001; support vector machines saturate beyond
# Gamma times the mean squared distance of two samples: from nearly linear to scikit-learn's
# gamma="scale", which is 2.
GAMMAS = (0.1, 0.5, 2.0)
SVM_COSTS = (0.1, 1.0, 10.0, 100.0)  # absolute: an RBF kernel always has a unit diagonal
N_TREES = 100
MIN_SAMPLES_LEAF = (5, 1)

Candidates = tuple[BaseEstimator, dict[str, Any]]


class Head(NamedTuple):
    """A head of the registry: how to make its model and grid, and how to tune it."""

    candidates: Callable[[NDArray, Any], Candidates]  # of standardised features, random_state
    rotates: bool  # whether the model depends on inner products of samples alone
    scoring: str  # the metric to tune by


def _ridge_classifier(scaled: NDArray, random_state: Any) -> Candidates:
    scale = mean_eigenvalue(scaled)
    return RidgeClassifier(alpha=scale), {"alpha": scale * STRENGTHS}


def _linear_svc(scaled: NDArray, random_state: Any) -> Candidates:
    scale = mean_eigenvalue(scaled)
    return SVC(kernel="linear", C=1 / scale), {"C": 1 / (scale * SVM_STRENGTHS)}


def _linear_svr(scaled: NDArray, random_state: Any) -> Candidates:
    scale = mean_eigenvalue(scaled)
    model = SVR(kernel="linear", C=1 / scale)
    return _of_standardised_target(model, {"C": 1 / (scale * SVM_STRENGTHS)})


def _rbf_svc(scaled: NDArray, random_state: Any) -> Candidates:
    gammas = _gammas(scaled)
    return SVC(gamma=gammas[1]), {"C": SVM_COSTS, "gamma": gammas}


def _rbf_svr(scaled: NDArray, random_state: Any) -> Candidates:
    gammas = _gammas(scaled)
    return _of_standardised_target(SVR(gamma=gammas[1]), {"C": SVM_COSTS, "gamma": gammas})


def _kernel_ridge(scaled: NDArray, random_state: Any) -> Candidates:
    gammas = _gammas(scaled)
    model = KernelRidge(alpha=1.0, kernel="rbf", gamma=gammas[1])  # the kernel's trace is n
    return _of_standardised_target(model, {"alpha": STRENGTHS[::2], "gamma": gammas})


def _forest(model: type) -> Callable[[NDArray, Any], Candidates]:
    def candidates(scaled: NDArray, random_state: Any) -> Candidates:
        seed = check_random_state(random_state).randint(2**31 - 1)
        forest = model(N_TREES, max_features="sqrt", random_state=seed)
        return forest, {"min_samples_leaf": MIN_SAMPLES_LEAF}

    return candidates


def _gammas(scaled: NDArray) -> NDArray:
    """Return RBF widths; the mean squared distance of samples is twice their total variance."""
    variance = np.square(scaled).sum() / len(scaled)
    return np.array(GAMMAS) / (2 * variance or 1.0)


def _of_standardised_target(model: BaseEstimator, grid: dict[str, Any]) -> Candidates:
    """Standardise the target: these models have no intercept, and a fixed scale of errors."""
    wrapped = TransformedTargetRegressor(model, transformer=StandardScaler())
    return wrapped, {f"regressor__{name}": values for name, values in grid.items()}


# To add a head, add its line. "linear" is tuned by sk_brainmae.heads.linear, as BrainMAE's own.
HEADS: dict[str, dict[str, Head | None]] = {
    "classification": {
        "linear": None,
        "ridge": Head(_ridge_classifier, True, "accuracy"),
        "linear svm": Head(_linear_svc, True, "accuracy"),
        "rbf svm": Head(_rbf_svc, True, "accuracy"),
        "forest": Head(_forest(RandomForestClassifier), False, "neg_log_loss"),
    },
    "regression": {
        "linear": None,
        "kernel ridge": Head(_kernel_ridge, True, "neg_mean_squared_error"),
        "linear svm": Head(_linear_svr, True, "neg_mean_squared_error"),
        "rbf svm": Head(_rbf_svr, True, "neg_mean_squared_error"),
        "forest": Head(_forest(RandomForestRegressor), False, "neg_mean_squared_error"),
    },
}
# The heads with which a classifier has each method.
METHODS = {
    "predict_proba": {"linear", "forest"},
    "decision_function": set(HEADS["classification"]) - {"forest"},
}


def check_head(task: str, head: str) -> None:
    """Raise ValueError if there is no such head for the task."""
    check_task(task)
    if head not in HEADS[task]:
        raise ValueError(f"no head {head!r} for {task}: it is one of {tuple(HEADS[task])}")


def fit_head(
    task: str,
    head: str,
    features: ArrayLike,
    y: ArrayLike,
    groups: ArrayLike | None = None,
    random_state: Any = None,
) -> Pipeline:
    """Standardise features (n_samples, n_features) and fit a head, tuned by inner folds of groups.

    Where no inner cross-validation is possible, the strength is a fixed one, with a warning.
    """
    check_head(task, head)
    tuned = HEADS[task][head]
    if tuned is None:
        return LINEAR_HEADS[task](features, y, groups, random_state)
    features, y = check_features(features), CHECKS[task](y)
    check_consistent_length(features, y, groups)
    scaler = StandardScaler().fit(features)
    model, grid = tuned.candidates(np.asarray(scaler.transform(features)), random_state)
    splits = INNER_SPLITS[task](y, groups, random_state)
    scoring: Any = tuned.scoring
    if scoring == "neg_log_loss":  # scikit-learn's own fails where a test fold lacks a class
        scoring = make_scorer(
            log_loss, greater_is_better=False, response_method="predict_proba", labels=np.unique(y)
        )
    return fit_tuned(scaler, model, grid, splits, scoring, features, y, rotate=tuned.rotates)
