"""The view "connectivity": how the regions of a scan vary together. Traits are read from here."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from sk_brainmae.embedding.signal import read_sample
from sk_brainmae.embedding.source import Source
from sk_brainmae.embedding.tangent import SHRINKAGE, TangentView, correlation

# Fewer scans do not tell how reliable a feature is: all weigh the same.
ENOUGH_SCANS = 20
# From more scans than this a reliability hardly changes.
MAX_RELIABILITY_SCANS = 400


@dataclass(frozen=True)
class Connectivity(TangentView):
    """Log-correlation of the signal in the tangent space of the training cohort.

    With R the correlation of a scan's regions and W the whitening of the training scans' mean
    R_b, the features are the entries of

        log n(W' R_b W),   R_b = (1 - b) R + b I,   b = 0.2,

    minus their mean over the training scans. n divides by the mean of the diagonal. The signal is
    shrunk before it is whitened, so its weakest directions matter less. Each feature is weighed by
    the square root of its reliability: the correlation, over the training scans, between the two
    halves of a scan. No label is needed.
    """

    axes: ClassVar[dict[str, str]] = {**TangentView.axes, "weight": "F"}
    shrinkage: ClassVar[float] = 0  # not again

    weight: NDArray  # (n_features,), square root of the reliability

    @staticmethod
    def correlations(source: Source) -> Iterator[NDArray]:
        """Yield the shrunk correlation of the signal of each sample, (N, N)."""
        for i in range(len(source.cohort)):
            sample = read_sample(source.cohort, i, source.signal)
            frames = sample.frames if sample.seen is None else sample.frames[sample.seen]
            shrunk = (1 - SHRINKAGE) * correlation(frames, sample.unexplained)
            np.fill_diagonal(shrunk, 1)
            yield shrunk

    @classmethod
    def fit(cls, source: Source) -> "Connectivity":
        """Learn the tangent space of whole training scans, and what is reliable in it."""
        whitening, mean = cls.learn_space(source)
        return cls(whitening, mean, np.sqrt(_reliability(source, whitening)))

    def _weigh(self, features: NDArray) -> NDArray:
        return features * self.weight


def _reliability(source: Source, whitening: NDArray) -> NDArray:
    """Correlate the halves of the scans over scans, feature by feature, (n_features,)."""
    window, runs = source.signal.window, source.cohort.as_runs()
    long = runs.take(np.flatnonzero(runs.run_length >= 2 * window)).spaced(MAX_RELIABILITY_SCANS)
    n_regions = source.cohort.n_regions
    if len(long) < ENOUGH_SCANS:
        return np.ones(n_regions * (n_regions + 1) // 2)
    middle = long.stop // 2
    halves = [
        Connectivity.logarithms(replace(source, cohort=half), whitening)
        for half in (replace(long, stop=middle), replace(long, start=middle))
    ]
    # Sums of both halves, of their squares and of their product: no scan is kept.
    sums = np.zeros((5, n_regions * (n_regions + 1) // 2))
    for first, second in zip(*halves, strict=True):
        sums += first, second, first**2, second**2, first * second
    first, second, first_square, second_square, product = sums / len(long)
    variance = (first_square - first**2) * (second_square - second**2)
    covariance = product - first * second
    return np.clip(covariance / np.sqrt(np.maximum(variance, 1e-30)), 0, 1)
