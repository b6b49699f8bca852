"""Confounds alone: how well the target is predicted without brain data."""

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.preprocessing import OneHotEncoder
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from sk_brainmae.baselines.base import TaskBaseline, classifies
from sk_brainmae.baselines.heads import fit_head
from sk_brainmae.labels.confounds import check_confounds


class ConfoundsOnly(TaskBaseline):
    """Tuned linear model of confounds (age, sex, motion, site) that ignores the scans.

    A model of the scans may reach the same score through confounds alone. Numeric columns are
    standardised, all others one-hot encoded; a category that was not seen in training becomes
    zeros. The head is the linear one of :class:`FeatureBaseline`.

    Parameters
    ----------
    task : {"classification", "regression"}, default="classification"
        What ``y`` is.
    random_state : int, RandomState instance or None, default=None
        Shuffles the inner folds.

    Attributes
    ----------
    encoder_ : sklearn.compose.ColumnTransformer
        Fitted; ``encoder_.get_feature_names_out()`` names the columns of the head's input.
    head_ : sklearn.pipeline.Pipeline
        Fitted scaler and linear model.
    classes_ : ndarray of shape (n_classes,)
        Class labels; classification only.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from sk_brainmae.baselines import ConfoundsOnly
    >>> scans = np.random.default_rng(0).normal(size=(20, 30, 4))
    >>> confounds = pd.DataFrame({"age": np.arange(20), "site": ["A", "B"] * 10})
    >>> model = ConfoundsOnly(random_state=0).fit(scans, [0] * 10 + [1] * 10, confounds)
    >>> model.predict_proba(scans, confounds).shape
    (20, 2)
    """

    def __init__(self, task: str = "classification", random_state: Any = None):
        self.task = task
        self.random_state = random_state

    def fit(self, X: Any, y: Any, confounds: Any = None, groups: Any = None) -> Self:
        """Encode the confounds, then tune and fit the head.

        Parameters
        ----------
        X : list of scans or Windows, or ndarray of shape (n_samples, n_timepoints, n_regions)
            Only counted.
        y : array-like of shape (n_samples,)
            Class labels or values to predict.
        confounds : DataFrame or array-like of shape (n_samples, n_confounds)
            One row a sample, without missing values. Must be given.
        groups : array-like of shape (n_samples,), optional
            Samples of one group (a subject) stay on one side of every inner split.

        Returns
        -------
        ConfoundsOnly
            The fitted estimator itself.

        Raises
        ------
        ValueError
            If confounds are not given, or values in them are missing; if ``y`` does not fit the
            task, or lengths differ.
        """
        table = check_confounds(confounds, len(X))
        X, y, groups, table = self._labelled(X, y, groups, table)
        self.encoder_ = make_column_transformer(
            (
                OneHotEncoder(handle_unknown="ignore", sparse_output=False),
                make_column_selector(dtype_exclude=np.number),
            ),
            remainder="passthrough",  # the head standardises
            verbose_feature_names_out=False,
        )
        encoded = np.asarray(self.encoder_.fit_transform(table))
        self.head_ = fit_head(self.task, "linear", encoded, y, groups, self.random_state)
        if self.task == "classification":
            self.classes_ = self.head_.classes_
        return self

    def predict(self, X: Any, confounds: Any = None) -> NDArray:
        """Return the class or value of each sample, (n_samples,); confounds must be given."""
        return self._fitted_head().predict(self._encode(X, confounds))

    @available_if(classifies)
    def predict_proba(self, X: Any, confounds: Any = None) -> NDArray:
        """Return the class probabilities, (n_samples, n_classes); classification only."""
        return self._fitted_head().predict_proba(self._encode(X, confounds))

    @available_if(classifies)
    def decision_function(self, X: Any, confounds: Any = None) -> NDArray:
        """Return the logits, (n_samples,) with two classes, else (n_samples, n_classes)."""
        return self._fitted_head().decision_function(self._encode(X, confounds))

    def score(self, X: Any, y: Any, confounds: Any = None) -> float:
        """Return the accuracy, for regression R^2, of the predictions; 1 is perfect."""
        return self._score(y, self.predict(X, confounds))

    def _fitted_head(self) -> Any:
        check_is_fitted(self, "head_")
        return self.head_

    def _encode(self, X: Any, confounds: Any) -> NDArray:
        return np.asarray(self.encoder_.transform(check_confounds(confounds, len(X))))
