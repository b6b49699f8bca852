"""The view "tempo": how fast the signal of a scan varies."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from typing import ClassVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from sk_brainmae.embedding.signal import Sample, Signal, frame_covariance, read_sample
from sk_brainmae.embedding.source import Source
from sk_brainmae.scans.covariance import inverse_of_seen

# How far variances are drawn towards those of the training cohort.
SHRINKAGE = 0.03


@dataclass(frozen=True)
class Tempo:
    """Log-variance of the temporal components of a window.

    With v the variances of the components in a scan, (window,), in units of the training cohort,
    the features are log((1 - c) n(v) + c), c = 0.03, minus their mean over the training scans; n
    divides by the mean. Dynamics that do not change connectivity, such as the dwell time of brain
    states, show here.
    """

    axes: ClassVar[dict[str, str]] = {"mean": "T"}

    mean: NDArray  # (window,), of the training scans

    @classmethod
    def fit(cls, source: Source) -> "Tempo":
        """Learn the mean of whole training scans."""
        return cls(reduce(np.add, _logarithms(source)) / len(source.cohort))

    def embed(self, source: Source) -> NDArray:
        """Embed every sample, (n_samples, window)."""
        source.warn_of_stop_bands()
        return np.stack(list(_logarithms(source))).astype(np.float32) - self.mean.astype(np.float32)

    def feature_names(self, regions: list[str]) -> list[str]:
        """Name the components, the slowest and strongest first."""
        return [f"component{k}" for k in range(len(self.mean))]


def _logarithms(source: Source) -> Iterator[NDArray]:
    for i in range(len(source.cohort)):
        yield _log_tempo(read_sample(source.cohort, i, source.signal), source.signal)


def _log_tempo(sample: Sample, signal: Signal) -> NDArray:
    """Return the logarithm of the shrunk, relative variance of each component, (window,)."""
    frames, components = sample.frames[:, sample.observed], signal.temporal_components
    if sample.seen is None:
        variance = _component_variance(frames, components)
    else:
        covariance = frame_covariance(signal.innovation_filters)
        variance = _expected_variance(frames, sample.seen, components, covariance)
    if (mean := variance.mean()) == 0:  # a moment without any change is like the average one
        return np.zeros(len(variance))
    return np.log((1 - SHRINKAGE) * np.maximum(variance, 0) / mean + SHRINKAGE)


def _component_variance(frames: NDArray, components: NDArray) -> NDArray:
    """Sum the squares of each temporal component over all windows and regions, (window,)."""
    places = len(frames) - len(components) + 1
    shifted = [frames[start : start + places] for start in range(len(components))]
    covariance = np.array([[np.vdot(a, b) for b in shifted] for a in shifted])
    return np.einsum("ak,ab,bk->k", components, covariance, components)


def _expected_variance(
    frames: NDArray, seen: NDArray, components: NDArray, covariance: NDArray
) -> NDArray:
    """Expect the sums of :func:`_component_variance` given the seen frames, (window,).

    With K the covariance of the frames of a window and P the inverse of its seen part, windows x
    are expected to be K P x, with the covariance K - K P K.
    """
    window = len(components)
    covariance = covariance[:window, :window]
    inverse = inverse_of_seen(covariance, sliding_window_view(seen, window))  # (n, tau, tau)
    windows = sliding_window_view(frames, window, axis=0)  # (n, N, tau)
    expected = windows @ inverse @ covariance @ components  # (n, N, tau)
    unexplained = covariance - covariance @ inverse @ covariance  # (n, tau, tau)
    variance = np.square(expected).sum((0, 1))
    variance += frames.shape[1] * np.einsum("ak,nab,bk->k", components, unexplained, components)
    return variance
