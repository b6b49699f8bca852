"""The view "innovations": how what is new in each frame varies together over regions."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from sk_brainmae.embedding.signal import innovations, read_sample
from sk_brainmae.embedding.source import Source
from sk_brainmae.embedding.tangent import (
    SHRINKAGE,
    correlation,
    log_vector,
    pair_names,
    whitening_of,
)


@dataclass(frozen=True)
class Innovations:
    """Log-correlation of innovations. Seconds of signal tell subjects apart here.

    With P the correlation of a scan's innovations and V the whitening of the training scans' mean
    P, the features are the entries of log((1 - b) n(V' P V) + b I), b = 0.2, minus their mean over
    the training scans: shrunk in units of the training cohort. Where a covariance is separable
    into time and regions, this is maximum likelihood (Dutilleul 1999).
    """

    axes: ClassVar[dict[str, str]] = {"whitening": "NN", "mean": "F"}

    whitening: NDArray  # (N, N)
    mean: NDArray  # (n_features,), of the training scans

    @classmethod
    def fit(cls, source: Source) -> "Innovations":
        """Learn the tangent space of whole training scans."""
        whitening = whitening_of(reduce(np.add, _correlations(source)) / len(source.cohort))
        return cls(whitening, reduce(np.add, _logarithms(source, whitening)) / len(source.cohort))

    def embed(self, source: Source) -> NDArray:
        """Embed every sample, (n_samples, n_features)."""
        source.warn_of_stop_bands()
        embeddings = np.empty((len(source.cohort), len(self.mean)), dtype=np.float32)
        for i, log in enumerate(_logarithms(source, self.whitening)):
            embeddings[i] = log - self.mean
        return embeddings

    def feature_names(self, regions: list[str]) -> list[str]:
        """Name each feature by its pair of regions."""
        return pair_names(regions)


def _correlations(source: Source) -> Iterator[NDArray]:
    """Yield the correlation of the innovations of each sample, (N, N)."""
    for i in range(len(source.cohort)):
        sample = read_sample(source.cohort, i, source.signal)
        yield correlation(innovations(sample, source.signal), sample.unexplained)


def _logarithms(source: Source, whitening: NDArray) -> Iterator[NDArray]:
    for of_innovations in _correlations(source):
        yield log_vector(of_innovations, whitening, SHRINKAGE)
