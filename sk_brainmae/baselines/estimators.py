"""Features of scans with a tuned head."""

from typing import Any, Self

import numpy as np
from sklearn.base import clone

from sk_brainmae.baselines.base import EmbeddingBaseline
from sk_brainmae.baselines.connectivity import ConnectivityFeatures
from sk_brainmae.baselines.heads import METHODS, check_head, fit_head


class FeatureBaseline(EmbeddingBaseline):
    """Any features of scans, with a head that is tuned inside the fold.

    Features are fitted on the training scans alone and standardised. The head is tuned on them by
    an inner cross-validation. With too few samples for one, its strength is a fixed, medium one,
    and a warning says so.

    Parameters
    ----------
    features : transformer
        From scans to features: one of this package, or any scikit-learn transformer (pipeline,
        union) that takes scans. It is cloned, never changed.
    task : {"classification", "regression"}, default="classification"
        What ``y`` is.
    head : str, default="linear"
        "linear" is BrainMAE's own: L2 logistic regression tuned by log-loss, or ridge regression
        tuned by mean squared error. "linear svm" and "rbf svm" are support vector machines,
        "forest" is a random forest of 100 trees. For classification there is "ridge", for
        regression "kernel ridge" with an RBF kernel. Support vector machines and "ridge" have
        decision values, "forest" has probabilities, "linear" both.
    random_state : int, RandomState instance or None, default=None
        Shuffles the inner folds and grows the forest.

    Attributes
    ----------
    features_ : transformer
        Fitted clone of ``features``.
    head_ : sklearn.pipeline.Pipeline
        Fitted scaler and model; if "linear", ``head_[-1].coef_`` has one weight a feature.
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
            If there is no such head for the task, if scans or ``y`` do not fit it, or lengths
            differ.
        """
        check_head(self.task, self.head)
        X, y, groups = self._check_samples(X, y, groups)
        self.features_ = clone(self._features())
        embedding = np.asarray(self.features_.fit_transform(X, y))
        self.head_ = fit_head(self.task, self.head, embedding, y, groups, self.random_state)
        if self.task == "classification":
            self.classes_ = self.head_.classes_
        return self

    def _offers(self, method: str) -> bool:
        if self.head in METHODS[method]:
            return True
        raise AttributeError(f"the head {self.head!r} has no {method}")

    def _features(self) -> Any:
        """Return the transformer to clone."""
        return self.features


class ConnectivityBaseline(FeatureBaseline):
    """Functional connectivity with a tuned head, the field's usual model.

    It is a :class:`FeatureBaseline` on :class:`ConnectivityFeatures`.

    Parameters
    ----------
    kind : {"correlation", "partial correlation", "tangent"}, default="tangent"
        Kind of connectivity, see :class:`ConnectivityFeatures`.
    task : {"classification", "regression"}, default="classification"
        What ``y`` is.
    head : str, default="linear"
        As in :class:`FeatureBaseline`.
    random_state : int, RandomState instance or None, default=None
        Shuffles the inner folds and grows the forest.

    Attributes
    ----------
    features_ : ConnectivityFeatures
        Fitted features.
    head_ : sklearn.pipeline.Pipeline
        Fitted scaler and model; if "linear", ``head_[-1].coef_`` has one weight a feature.
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
