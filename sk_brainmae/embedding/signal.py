"""The signal of the training cohort, and a sample as the second-order views read it.

*Innovations* are what is new in each frame, after its prediction from the frames before. They are
white in time: weak temporal components count as much as strong ones, and every frame is an
independent observation.
"""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from sk_brainmae.scans.cohort import Cohort
from sk_brainmae.scans.covariance import (
    fill_missing,
    inverse_of_seen,
    region_covariance,
    window_covariance,
)
from sk_brainmae.scans.crops import check_long_enough, widen

# The smallest variance of a temporal component that is read, in signal of variance 1. It is far
# below the stop-band of a filter and just above the rounding of float32 frames.
SMALLEST_TEMPORAL_VARIANCE = 1e-9
# The same for models that learned from resampled scans: what is weaker in those are the stop-bands
# of two filters, which tell the repetition time. Not for all models, since a stop-band tells
# subjects, too: from 32 s of a scan, identification falls from .91 to .79.
SMALLEST_RESAMPLED_VARIANCE = 1e-3
# Frames that predict the next one, in windows: the autocorrelation of band-passed signal reaches
# further than one. From 32 s of a scan, identification is .92 with 32-48 s of them, .84 with 16 s.
PREDICTION_WINDOWS = 3


@dataclass(frozen=True)
class Signal:
    """How the signal of the training cohort varies over regions and over time."""

    axes: ClassVar[dict[str, str]] = {
        "covariance": "NN",
        "innovation_filters": "PP",
        "temporal_components": "TT",
    }

    covariance: NDArray  # (N, N), each pair of regions over the frames that measured both
    innovation_filters: NDArray  # (p, p), lower triangular: row i takes frames 0..i to innovation i
    temporal_components: NDArray  # (tau, tau), columns, strongest first; 0 where too weak to read

    @property
    def window(self) -> int:
        """Frames in a window."""
        return len(self.temporal_components)

    @property
    def reads_stop_bands(self) -> bool:
        """Whether temporal components count that are as weak as a filter's stop-band."""
        weakest = 1 / np.square(self.temporal_components).sum(axis=0).max()
        return bool(weakest < SMALLEST_RESAMPLED_VARIANCE * (1 - 1e-6))


class Sample(NamedTuple):
    """A sample as second-order views read it."""

    frames: NDArray  # (T, N), missing regions filled in, 0 where no region was measured
    unexplained: NDArray | float  # (N, N), the covariance that filling in loses
    seen: NDArray | None  # (T,), where any region was measured; None if no frame has gaps
    observed: NDArray  # (N,), False for regions that are missing in the whole run


def fit_signal(cohort: Cohort, window: int) -> Signal:
    """Learn covariances. With K = L L' that of successive frames x, innovations are L^-1 x."""
    check_long_enough(cohort, window)
    n_frames = min(PREDICTION_WINDOWS * window, int(cohort.run_length.min()))
    resampled = cohort.resampled[cohort.runs].any()
    smallest = SMALLEST_RESAMPLED_VARIANCE if resampled else SMALLEST_TEMPORAL_VARIANCE
    successive = window_covariance(cohort, n_frames) + smallest * np.eye(n_frames)
    variance, axes = np.linalg.eigh(window_covariance(cohort, window))
    weight = np.where(variance > smallest, np.maximum(variance, smallest) ** -0.5, 0)
    return Signal(
        covariance=region_covariance(cohort),
        innovation_filters=np.linalg.inv(np.linalg.cholesky(successive)),
        temporal_components=np.ascontiguousarray((axes * weight)[:, ::-1]),
    )


def read_sample(cohort: Cohort, i: int, signal: Signal) -> Sample:
    """Read a sample, at least a window long, and fill in its missing regions.

    A moment is not centred: its mean in its z-scored run is part of what varies there. Six
    sustained states are told apart from 20 s of unseen people at .755, and at .731 where moments
    are centred.
    """
    run, window = cohort.runs[i], signal.window
    start, stop = widen(cohort.start[i], cohort.stop[i], window, cohort.run_length[run])
    if stop - start < 2:
        raise ValueError(
            f"scan {i} has a single frame, which varies with nothing: choose a window_size of two"
            " frames or more, or views='response'"
        )
    frames, known = cohort.run_frames(run, start, stop), cohort.known_frames(run, start, stop)
    observed = cohort.observed[run]
    if known.ndim == 1:
        if known.all():
            return Sample(frames.astype(float), 0.0, None, observed)
        return Sample(*fill_missing(frames, known, signal.covariance), None, observed)
    frames, seen = np.where(known, frames, 0), known.sum(axis=1) > 0
    frames[seen], unexplained = fill_missing(frames[seen], known[seen], signal.covariance)
    return Sample(frames, unexplained, seen, observed)


def innovations(sample: Sample, signal: Signal) -> NDArray:
    """Return what is new in each seen frame of a sample, (n_seen, N)."""
    if sample.seen is None:
        return _innovations(sample.frames, signal.innovation_filters)
    return _innovations_of_seen(sample.frames, sample.seen, signal.innovation_filters)


def _innovations(frames: NDArray, filters: NDArray) -> NDArray:
    """Return what is new in each frame given those before, (T, N); of unit variance in training."""
    n_first = min(len(filters) - 1, len(frames))
    first = filters[:n_first, :n_first] @ frames[:n_first]
    if len(frames) < len(filters):
        return first
    return np.concatenate([first, sliding_window_view(frames, len(filters), axis=0) @ filters[-1]])


def _innovations_of_seen(frames: NDArray, seen: NDArray, filters: NDArray) -> NDArray:
    """Return what is new in each seen frame given the seen ones before it, (n_seen, N).

    With K the covariance of the seen frames up to one, w = K^-1 e and e the last of them, it is
    w'x / sqrt(e'w): the last row of the inverse of K's Cholesky factor, as without gaps.
    """
    n_before = len(filters) - 1
    places = sliding_window_view(np.pad(seen, (n_before, 0)), len(filters))[seen]  # (n_seen, n)
    weights = inverse_of_seen(frame_covariance(filters), places)[..., -1]  # (n_seen, n)
    weights /= np.sqrt(weights[:, -1:])
    windows = sliding_window_view(np.pad(frames, ((n_before, 0), (0, 0))), len(filters), axis=0)
    return (windows[seen] @ weights[..., None])[..., 0]


def frame_covariance(filters: NDArray) -> NDArray:
    """Return the covariance of successive frames that innovation filters are made from."""
    factor = np.linalg.inv(filters)
    return factor @ factor.T
