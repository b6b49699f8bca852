"""What one scan, or one moment of it, is turned into before a linear model sees it.

Every transformer here is a :class:`ScanFeatures` with one method that computes features from a
cohort, and, where something is learned from the training scans, one that learns it.
"""

from abc import ABC, abstractmethod
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from sk_brainmae.scans.cohort import Cohort
from sk_brainmae.scans.regions import in_order
from sk_brainmae.scans.validate import validate_scans


class ScanFeatures(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator, ABC):
    """Base of the transformers from scans to one row of features per sample.

    A subclass defines ``_compute(cohort)`` and, if it learns, ``_learn(cohort)``. Missing values
    (NaN) are imputed by the mean of their region in the scan, with a warning; connectivity and
    mean activation leave out censored frames. Named regions are brought into the order of the
    first training scan.

    Attributes
    ----------
    n_features_in_ : int
        Number of regions of the training scans.
    """

    n_features_in_: int
    _n_features_out: int
    _region_names: list[str] | None

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn from the training scans.

        Parameters
        ----------
        X : list of scans or Windows, or ndarray of shape (n_samples, n_timepoints, n_regions)
            Training scans, each of shape (n_timepoints, n_regions).
        y : None
            Ignored.

        Returns
        -------
        ScanFeatures
            The fitted transformer itself.
        """
        self.fit_transform(X)
        return self

    def fit_transform(self, X: Any, y: Any = None) -> NDArray:
        """Learn from the training scans and return their features.

        Parameters
        ----------
        X : list of scans or Windows, or ndarray of shape (n_samples, n_timepoints, n_regions)
            Training scans, each of shape (n_timepoints, n_regions).
        y : None
            Ignored.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            One row per sample.
        """
        self._region_names, X = in_order(X)
        cohort = validate_scans(X)
        self._learn(cohort)
        features = self._compute(cohort)
        self.n_features_in_, self._n_features_out = cohort.n_regions, features.shape[1]
        return features

    def transform(self, X: Any) -> NDArray:
        """Return the features of scans; each row depends on its own scan alone.

        Parameters
        ----------
        X : list of scans or Windows, or ndarray of shape (n_samples, n_timepoints, n_regions)
            Scans with the regions seen in ``fit``.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            One row per sample.
        """
        check_is_fitted(self, "n_features_in_")
        _, X = in_order(X, self._region_names)
        return self._compute(validate_scans(X, n_regions=self.n_features_in_))

    def _learn(self, cohort: Cohort) -> None:
        """Learn from the training cohort; most features learn nothing."""

    @abstractmethod
    def _compute(self, cohort: Cohort) -> NDArray:
        """Return the features of every sample, (n_samples, n_features)."""

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.three_d_array = False, True
        return tags


class MeanActivation(ScanFeatures):
    """Mean over the frames of a window, of regions z-scored over their whole run.

    The classical view of a trial: how active each region is. A whole scan has mean zero by
    construction, so samples must be :class:`~sk_brainmae.timeseries.Window` objects.

    Attributes
    ----------
    n_features_in_ : int
        Number of regions, which is the number of features, too.
    """

    def _compute(self, cohort: Cohort) -> NDArray:
        length = cohort.stop - cohort.start
        if (whole := np.flatnonzero(length == cohort.run_length[cohort.runs])).size:
            raise ValueError(
                f"sample {whole[0]} is a whole scan, whose mean is zero once it is z-scored:"
                " MeanActivation needs moments of scans, Window(scan, start, stop)"
            )
        return np.stack([_mean_of_known(cohort, i) for i in range(len(cohort))])


def _mean_of_known(cohort: Cohort, i: int) -> NDArray:
    """Mean of a sample over the frames in which each region was measured, (N,); 0 where in none."""
    frames = cohort.sample(i)
    known = np.broadcast_to(cohort.known(i), frames.shape)
    return frames.sum(axis=0) / np.maximum(known.sum(axis=0), 1, dtype=np.float32)


class FlatWindow(ScanFeatures):
    """All frames of a sample side by side, of regions z-scored over their whole run.

    The strongest plain features for decoding what happens within a few frames. Samples must all
    have the same number of frames.

    Attributes
    ----------
    n_features_in_ : int
        Number of regions.
    n_frames_ : int
        Number of frames of every sample.
    """

    def _learn(self, cohort: Cohort) -> None:
        self.n_frames_ = int(cohort.stop[0] - cohort.start[0])

    def _compute(self, cohort: Cohort) -> NDArray:
        length = cohort.stop - cohort.start
        if (odd := np.flatnonzero(length != self.n_frames_)).size:
            raise ValueError(
                f"sample {odd[0]} has {length[odd[0]]} frames, where {self.n_frames_} are expected:"
                " FlatWindow needs samples of equal length; cut Windows of the same length"
            )
        return np.stack([cohort.sample(i).ravel() for i in range(len(cohort))])
