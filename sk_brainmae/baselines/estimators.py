"""Features of scans with a tuned linear head: the opponents every other model has to pass."""

import warnings
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils import ClassifierTags, RegressorTags, Tags, check_consistent_length
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from sk_brainmae.baselines.connectivity import ConnectivityFeatures
from sk_brainmae.linear_head import (
    check_classes,
    check_values,
    fit_classification_head,
    fit_regression_head,
)
from sk_brainmae.timeseries import validate_scans

# How each task checks its target and fits its head.
TASKS = {
    "classification": (check_classes, fit_classification_head),
    "regression": (check_values, fit_regression_head),
}


def _classifies(estimator: "LinearBaseline") -> bool:
    if estimator.task == "classification":
        return True
    raise AttributeError(f"{type(estimator).__name__} has no classes: its task is {estimator.task}")


class LinearBaseline(BaseEstimator):
    """Any features of scans, with a linear head whose strength is tuned inside the fold.

    The head is standardising with L2 logistic regression (``task="classification"``) or ridge
    (``task="regression"``); its strength is chosen by inner cross-validation on the training
    scans, by log-loss or mean squared error. The features are fitted on the training scans alone.

    Parameters
    ----------
    features : transformer
        Turns scans into features: one of this package's, or any scikit-learn transformer
        (pipeline, union) that takes scans. It is cloned, never changed.
    task : {"classification", "regression"}, default="classification"
        What ``y`` is.
    random_state : int, RandomState instance or None, default=None
        Shuffles the inner folds.

    Attributes
    ----------
    features_ : transformer
        Fitted clone of ``features``.
    head_ : sklearn.pipeline.Pipeline
        Fitted standardising and linear model; ``head_[-1].coef_`` has one weight per feature.
    classes_ : ndarray of shape (n_classes,)
        Class labels; classification only.
    n_features_in_ : int
        Number of regions.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_brainmae.baselines import FlatWindow, LinearBaseline
    >>> scans = np.random.default_rng(0).normal(size=(20, 30, 4))
    >>> age = np.arange(20.0)
    >>> model = LinearBaseline(FlatWindow(), task="regression", random_state=0).fit(scans, age)
    >>> model.predict(scans).shape
    (20,)
    """

    def __init__(self, features: Any, task: str = "classification", random_state: Any = None):
        self.features = features
        self.task = task
        self.random_state = random_state

    def fit(self, X: Any, y: Any, groups: Any = None) -> Self:
        """Fit the features, then tune and fit the head.

        Parameters
        ----------
        X : list of scans or Windows, or ndarray of shape (n_samples, n_timepoints, n_regions)
            Training scans, each of shape (n_timepoints, n_regions).
        y : array-like of shape (n_samples,)
            Class labels or values to predict.
        groups : array-like of shape (n_samples,), optional
            Samples of one group (a subject) stay on one side of every inner split. By default
            the Windows of one run do.

        Returns
        -------
        LinearBaseline
            The fitted estimator itself.

        Raises
        ------
        ValueError
            If scans or ``y`` are not fit for the task, or lengths differ.
        """
        if self.task not in TASKS:
            raise ValueError(f"unknown task {self.task!r}: it is one of {tuple(TASKS)}")
        check_target, fit_head = TASKS[self.task]
        y = check_target(y)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the features validate, and warn, once more
            cohort = validate_scans(X)
        check_consistent_length(cohort.runs, y, groups)
        groups = cohort.units(groups)
        self.n_features_in_ = cohort.n_regions
        self.features_ = clone(self._features())
        embedding = np.asarray(self.features_.fit_transform(X, y))
        self.head_ = fit_head(embedding, y, groups, self.random_state)
        if self.task == "classification":
            self.classes_ = self.head_.classes_
        return self

    def predict(self, X: Any) -> NDArray:
        """Predict the class or value of each sample.

        Parameters
        ----------
        X : list of scans or Windows, or ndarray of shape (n_samples, n_timepoints, n_regions)
            Scans with the regions seen in ``fit``.

        Returns
        -------
        ndarray of shape (n_samples,)
            Class labels or values.
        """
        return self._fitted_head().predict(self._embed(X))

    @available_if(_classifies)
    def predict_proba(self, X: Any) -> NDArray:
        """Return the probability of each class; classification only.

        Parameters
        ----------
        X : list of scans or Windows, or ndarray of shape (n_samples, n_timepoints, n_regions)
            Scans with the regions seen in ``fit``.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Probabilities, columns as in ``classes_``.
        """
        return self._fitted_head().predict_proba(self._embed(X))

    @available_if(_classifies)
    def decision_function(self, X: Any) -> NDArray:
        """Return the logits; classification only.

        Parameters
        ----------
        X : list of scans or Windows, or ndarray of shape (n_samples, n_timepoints, n_regions)
            Scans with the regions seen in ``fit``.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
            The logit of the second class, where there are two.
        """
        return self._fitted_head().decision_function(self._embed(X))

    def score(self, X: Any, y: Any) -> float:
        """Return the accuracy, for regression the coefficient of determination.

        Parameters
        ----------
        X : list of scans or Windows, or ndarray of shape (n_samples, n_timepoints, n_regions)
            Scans with the regions seen in ``fit``.
        y : array-like of shape (n_samples,)
            True classes or values.

        Returns
        -------
        float
            1 is perfect.
        """
        metric = accuracy_score if self.task == "classification" else r2_score
        return metric(y, self.predict(X))

    def _features(self) -> Any:
        """Return the transformer to clone."""
        return self.features

    def _fitted_head(self) -> Any:
        check_is_fitted(self, "head_")
        return self.head_

    def _embed(self, X: Any) -> NDArray:
        return np.asarray(self.features_.transform(X))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.three_d_array = False, True
        tags.target_tags.required = True
        if self.task == "classification":
            tags.estimator_type, tags.classifier_tags = "classifier", ClassifierTags()
        else:
            tags.estimator_type, tags.regressor_tags = "regressor", RegressorTags()
        return tags


class ConnectivityBaseline(LinearBaseline):
    """Functional connectivity with a tuned linear head, the field's usual model.

    Short for :class:`LinearBaseline` on :class:`ConnectivityFeatures`.

    Parameters
    ----------
    kind : {"correlation", "partial correlation", "tangent"}, default="tangent"
        Kind of connectivity, see :class:`ConnectivityFeatures`.
    task : {"classification", "regression"}, default="classification"
        What ``y`` is.
    random_state : int, RandomState instance or None, default=None
        Shuffles the inner folds.

    Attributes
    ----------
    features_ : ConnectivityFeatures
        Fitted features.
    head_ : sklearn.pipeline.Pipeline
        Fitted standardising and linear model; ``head_[-1].coef_`` has one weight per feature.
    classes_ : ndarray of shape (n_classes,)
        Class labels; classification only.
    n_features_in_ : int
        Number of regions.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_brainmae.baselines import ConnectivityBaseline
    >>> scans = np.random.default_rng(0).normal(size=(20, 30, 4))
    >>> model = ConnectivityBaseline("correlation", random_state=0).fit(scans, [0, 1] * 10)
    >>> model.predict_proba(scans).shape
    (20, 2)
    """

    def __init__(
        self, kind: str = "tangent", task: str = "classification", random_state: Any = None
    ):
        self.kind = kind
        self.task = task
        self.random_state = random_state

    def _features(self) -> ConnectivityFeatures:
        return ConnectivityFeatures(self.kind)
