"""What opponents share that turn scans into an embedding and read the target off it."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_consistent_length
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from sk_brainmae.baselines.base import TaskBaseline, classifies
from sk_brainmae.scans.validate import validate_scans


def _if_offered(method: str) -> Callable[["EmbeddingBaseline"], bool]:
    """Tell ``available_if`` whether a classifier's head has a method, else why not."""

    def offered(estimator: "EmbeddingBaseline") -> bool:
        return classifies(estimator) and estimator._offers(method)

    return offered


class EmbeddingBaseline(TaskBaseline):
    """Base of opponents with an embedding and a fitted head on it.

    A subclass has a method ``fit``, and says what it is made of by ``_embed`` and ``_fitted_head``.

    Attributes
    ----------
    n_features_in_ : int
        Number of regions.
    """

    n_features_in_: int

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

    @available_if(_if_offered("predict_proba"))
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

    @available_if(_if_offered("decision_function"))
    def decision_function(self, X: Any) -> NDArray:
        """Return the decision values; where the head gives them.

        Parameters
        ----------
        X : list of scans or Windows, or ndarray of shape (n_samples, n_timepoints, n_regions)
            Scans with the regions seen in ``fit``.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
            That of the second class, where there are two; logits of a linear head.
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

    def _check_samples(self, X: Any, y: Any, groups: Any) -> tuple[NDArray, Any]:
        """Count the regions; return the target as the task wants it, and what stays together."""
        y = self._check_target(y)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the features validate, and warn, once more
            cohort = validate_scans(X)
        check_consistent_length(cohort.runs, y, groups)
        self.n_features_in_ = cohort.n_regions
        return y, cohort.units(groups)

    def _offers(self, method: str) -> bool:
        """Say whether the head has a method, or raise AttributeError."""
        return True

    def _fitted_head(self) -> Any:
        check_is_fitted(self, "head_")
        return self.head_

    def _embed(self, X: Any) -> NDArray:
        """Return what the head sees of each sample, (n_samples, n_embedding)."""
        return np.asarray(self.features_.transform(X))
