"""Correlations of regions as vectors: logarithms in the tangent space of the training cohort.

Distances are those between log-covariances (Arsigny et al. 2006, Log-Euclidean metrics), at the
mean of the cohort, as in tangent functional connectivity (Varoquaux et al. 2010).
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from sk_brainmae.embedding.source import Source

# How far a correlation is drawn towards "nothing known". It is the same for all scans: an intensity
# estimated scan by scan (Ledoit-Wolf) puts noise into the logarithms, and linear models suffer.
SHRINKAGE = 0.2
# The smallest variance of a direction relative to the largest: it keeps inverses finite in
# band-passed data.
SMALLEST_VARIANCE = 1e-3


def correlation(frames: NDArray, unexplained: NDArray | float = 0.0) -> NDArray:
    """Correlate regions over frames (T, N); a region that does not vary correlates with none."""
    covariance = frames.T @ frames / len(frames) + unexplained
    scale = np.sqrt(np.diag(covariance))
    scale[scale == 0] = 1
    correlation = covariance / scale / scale[:, None]
    np.fill_diagonal(correlation, 1)
    return correlation


def whitening_of(correlation: NDArray) -> NDArray:
    """Return the symmetric map (N, N) that makes a correlation the identity."""
    variance, rotation = np.linalg.eigh(correlation)
    variance = np.maximum(variance, SMALLEST_VARIANCE * variance.max())
    return (rotation / np.sqrt(variance)) @ rotation.T


def log_vector(correlation: NDArray, whitening: NDArray, shrinkage: float) -> NDArray:
    """Return log((1 - b) n(W'RW) + b I) as a vector, (N (N + 1) / 2,).

    n divides by the mean variance. The vector is the upper triangle, with off-diagonal entries
    times sqrt(2), so that Euclidean distances are those between the matrices.
    """
    variance, rotation = np.linalg.eigh(whitening.T @ correlation @ whitening)
    variance = (1 - shrinkage) * np.maximum(variance, 0) / variance.mean() + shrinkage
    log = (rotation * np.log(variance)) @ rotation.T
    rows, columns = np.triu_indices(len(log))
    return log[rows, columns] * np.where(rows == columns, 1, np.sqrt(2))


def pair_names(regions: list[str]) -> list[str]:
    """Name the entries of a vector by their two regions."""
    rows, columns = np.triu_indices(len(regions))
    return [f"{regions[i]}_{regions[j]}" for i, j in zip(rows, columns, strict=True)]


@dataclass(frozen=True)
class TangentView(ABC):
    """Logarithms of a scan's correlations, minus their mean over the training scans.

    Subclasses say which correlations, and how far logarithms are shrunk in units of the cohort.
    """

    axes: ClassVar[dict[str, str]] = {"whitening": "NN", "mean": "F"}
    shrinkage: ClassVar[float]

    whitening: NDArray  # (N, N), of the mean correlation of the training scans
    mean: NDArray  # (n_features,), of the training scans

    @staticmethod
    @abstractmethod
    def correlations(source: Source) -> Iterator[NDArray]:
        """Yield the correlation of each sample, (N, N)."""

    @classmethod
    def learn_space(cls, source: Source) -> tuple[NDArray, NDArray]:
        """Return the whitening and the mean of whole training scans."""
        n_scans = len(source.cohort)
        whitening = whitening_of(reduce(np.add, cls.correlations(source)) / n_scans)
        return whitening, reduce(np.add, cls.logarithms(source, whitening)) / n_scans

    @classmethod
    def logarithms(cls, source: Source, whitening: NDArray) -> Iterator[NDArray]:
        """Yield the logarithm of each sample's correlation, (n_features,)."""
        for matrix in cls.correlations(source):
            yield log_vector(matrix, whitening, cls.shrinkage)

    def embed(self, source: Source) -> NDArray:
        """Embed every sample, (n_samples, n_features)."""
        embeddings = np.empty((len(source.cohort), len(self.mean)), dtype=np.float32)
        for i, log in enumerate(self.logarithms(source, self.whitening)):
            embeddings[i] = self._weigh(log - self.mean)
        return embeddings

    def feature_names(self, regions: list[str]) -> list[str]:
        """Name each feature by its pair of regions."""
        return pair_names(regions)

    def _weigh(self, features: NDArray) -> NDArray:
        return features
