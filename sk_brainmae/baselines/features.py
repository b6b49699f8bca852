"""Features of scans, or of moments of scans: their base class, and the two simplest."""

from abc import ABC, abstractmethod
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from sk_brainmae.scans.cohort import Cohort
from sk_brainmae.scans.validate import validate_scans


class ScanFeatures(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator, ABC):
    """Base of the transformers from scans to one row of features per sample.

    A subclass defines ``_compute(cohort)`` and, if it learns from the training scans,
    ``_learn(cohort)``. Missing values (NaN) become the mean of their region in the scan, with a
    warning; connectivity and mean activation leave out censored frames. Named regions are brought
    into the order of the first training scan.

    Attributes
    ----------
    n_features_in_ : int
        Number of regions of the training scans.
    """

    standardize: str | bool = "scan"  # a parameter of those that read values, not correlations
    n_features_in_: int
    _n_features_out: int
    _region_names: list[str] | None

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn from the training scans or Windows; ``y`` is ignored."""
        self.fit_transform(X)
        return self

    def fit_transform(self, X: Any, y: Any = None) -> NDArray:
        """Learn from the training scans, and return their features, (n_samples, n_features)."""
        cohort = validate_scans(X, standardize=self.standardize)
        self._region_names = cohort.region_names
        self._learn(cohort)
        features = self._compute(cohort)
        self.n_features_in_, self._n_features_out = cohort.n_regions, features.shape[1]
        return features

    def transform(self, X: Any) -> NDArray:
        """Return the features, (n_samples, n_features), each row from its own scan alone."""
        check_is_fitted(self, "n_features_in_")
        return self._compute(
            validate_scans(
                X,
                n_regions=self.n_features_in_,
                region_names=self._region_names,
                standardize=self.standardize,
            )
        )

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
    """Mean over the frames of a moment, with regions z-scored over their whole run.

    The classical features of a trial: the activity of each region. A whole scan has mean zero by
    construction, so samples must be :class:`~sk_brainmae.timeseries.Window` objects, or keep their
    values.

    Parameters
    ----------
    standardize : {"scan", False}, default="scan"
        "scan": each region is z-scored over its run. False keeps the values of trials that are
        plain arrays, cut from a run that was z-scored as a whole.

    Attributes
    ----------
    n_features_in_ : int
        Number of regions, and of features.
    """

    def __init__(self, standardize: str | bool = "scan"):
        self.standardize = standardize

    def _compute(self, cohort: Cohort) -> NDArray:
        length = cohort.stop - cohort.start
        if (
            self.standardize
            and (whole := np.flatnonzero(length == cohort.run_length[cohort.runs])).size
        ):
            raise ValueError(
                f"sample {whole[0]} is a whole scan, with mean zero after z-scoring: MeanActivation"
                " needs moments of scans, Window(scan, start, stop)"
            )
        return np.stack([_mean_of_known(cohort, i) for i in range(len(cohort))])


def _mean_of_known(cohort: Cohort, i: int) -> NDArray:
    """Return each region's mean over its measured frames in a sample, (N,); 0 if it has none."""
    frames = cohort.sample(i)
    known = np.broadcast_to(cohort.known(i), frames.shape)
    return frames.sum(axis=0) / np.maximum(known.sum(axis=0), 1, dtype=np.float32)


class FlatWindow(ScanFeatures):
    """All frames of a sample side by side, with regions z-scored over their whole run.

    The strongest simple features for decoding short events. Samples must be equally long.

    Parameters
    ----------
    standardize : {"scan", False}, default="scan"
        "scan": each region is z-scored over its run. False keeps the values of trials that are
        plain arrays, cut from a run that was z-scored as a whole.

    Attributes
    ----------
    n_features_in_ : int
        Number of regions.
    n_frames_ : int
        Number of frames of every sample.
    """

    def __init__(self, standardize: str | bool = "scan"):
        self.standardize = standardize

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
