"""Features of scans with a tuned head: the opponents every other model has to pass."""

import warnings
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils import check_consistent_length
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from sk_brainmae.baselines.connectivity import ConnectivityFeatures
from sk_brainmae.baselines.heads import WITH_DECISIONS, WITH_PROBABILITIES, check_head, fit_head
from sk_brainmae.baselines.task import TaskBaseline, classifies
from sk_brainmae.timeseries import validate_scans


def _has_probabilities(estimator: "FeatureBaseline") -> bool:
    return classifies(estimator) and _offers(estimator, WITH_PROBABILITIES, "probabilities")


def _has_decisions(estimator: "FeatureBaseline") -> bool:
    return classifies(estimator) and _offers(estimator, WITH_DECISIONS, "decision values")


def _offers(estimator: "FeatureBaseline", heads: set[str], what: str) -> bool:
    if estimator.head in heads:
        return True
    raise AttributeError(f"the head {estimator.head!r} gives no {what}")


class FeatureBaseline(TaskBaseline):
    """Any features of scans, with a head that is tuned inside the fold.

    The features are fitted on the training scans alone and standardised; the head is tuned by an
    inner cross-validation on the training scans.

    Parameters
    ----------
    features : transformer
        Turns scans into features: one of this package's, or any scikit-learn transformer
        (pipeline, union) that takes scans. It is cloned, never changed.
    task : {"classification", "regression"}, default="classification"
        What ``y`` is.
    head : str, default="linear"
        "linear" is BrainMAE's own: L2 logistic regression tuned by log-loss, ridge regression
        tuned by mean squared error. Others are "linear svm", "rbf svm" and "forest", for
        classification "ridge", for regression "kernel ridge"; see
        :func:`~sk_brainmae.baselines.heads.fit_head`. Support vector machines and "ridge" give
        decision values, "forest" probabilities, "linear" both.
    random_state : int, RandomState instance or None, default=None
        Shuffles the inner folds and grows the forest.

    Attributes
    ----------
    features_ : transformer
        Fitted clone of ``features``.
    head_ : sklearn.pipeline.Pipeline
        Fitted standardising and model; of "linear", ``head_[-1].coef_`` has one weight a feature.
    classes_ : ndarray of shape (n_classes,)
        Class labels; classification only.
    n_features_in_ : int
        Number of regions.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_brainmae.baselines import FlatWindow, FeatureBaseline
    >>> scans = np.random.default_rng(0).normal(size=(20, 30, 4))
    >>> age = np.arange(20.0)
    >>> model = FeatureBaseline(FlatWindow(), task="regression", random_state=0).fit(scans, age)
    >>> model.predict(scans).shape
    (20,)
    """

    def __init__(
        self,
        features: Any,
        task: str = "classification",
        head: str = "linear",
        random_state: Any = None,
    ):
        self.features = features
        self.task = task
        self.head = head
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
        FeatureBaseline
            The fitted estimator itself.

        Raises
        ------
        ValueError
            If there is no such head for the task, scans or ``y`` are not fit for it, or lengths
            differ.
        """
        check_head(self.task, self.head)
        y = self._check_target(y)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the features validate, and warn, once more
            cohort = validate_scans(X)
        check_consistent_length(cohort.runs, y, groups)
        groups = cohort.units(groups)
        self.n_features_in_ = cohort.n_regions
        self.features_ = clone(self._features())
        embedding = np.asarray(self.features_.fit_transform(X, y))
        self.head_ = fit_head(self.task, self.head, embedding, y, groups, self.random_state)
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

    @available_if(_has_probabilities)
    def predict_proba(self, X: Any) -> NDArray:
        """Return the probability of each class; where the head gives it.

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

    @available_if(_has_decisions)
    def decision_function(self, X: Any) -> NDArray:
        """Return the decision values; where the head gives them.

        Parameters
        ----------
        X : list of scans or Windows, or ndarray of shape (n_samples, n_timepoints, n_regions)
            Scans with the regions seen in ``fit``.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
            That of the second class, where there are two; logits of the "linear" head.
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
        return self._score(y, self.predict(X))

    def _features(self) -> Any:
        """Return the transformer to clone."""
        return self.features

    def _fitted_head(self) -> Any:
        check_is_fitted(self, "head_")
        return self.head_

    def _embed(self, X: Any) -> NDArray:
        return np.asarray(self.features_.transform(X))


class ConnectivityBaseline(FeatureBaseline):
    """Functional connectivity with a tuned head, the field's usual model.

    Short for :class:`FeatureBaseline` on :class:`ConnectivityFeatures`.

    Parameters
    ----------
    kind : {"correlation", "partial correlation", "tangent"}, default="tangent"
        Kind of connectivity, see :class:`ConnectivityFeatures`.
    task : {"classification", "regression"}, default="classification"
        What ``y`` is.
    head : str, default="linear"
        "linear" is BrainMAE's own: L2 logistic regression tuned by log-loss, ridge regression
        tuned by mean squared error. Others are "linear svm", "rbf svm" and "forest", for
        classification "ridge", for regression "kernel ridge"; see
        :func:`~sk_brainmae.baselines.heads.fit_head`. Support vector machines and "ridge" give
        decision values, "forest" probabilities, "linear" both.
    random_state : int, RandomState instance or None, default=None
        Shuffles the inner folds and grows the forest.

    Attributes
    ----------
    features_ : ConnectivityFeatures
        Fitted features.
    head_ : sklearn.pipeline.Pipeline
        Fitted standardising and model; of "linear", ``head_[-1].coef_`` has one weight a feature.
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
        self,
        kind: str = "tangent",
        task: str = "classification",
        head: str = "linear",
        random_state: Any = None,
    ):
        self.kind = kind
        self.task = task
        self.head = head
        self.random_state = random_state

    def _features(self) -> ConnectivityFeatures:
        return ConnectivityFeatures(self.kind)
