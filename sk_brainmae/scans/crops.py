"""Where windows lie: durations as frames, random crops for training, tilings for embedding."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sk_brainmae.scans.cohort import Cohort


class Crops(NamedTuple):
    """Where windows lie in ``Cohort.frames``; rows are crops of at most n windows.

    n is no more than what the longest scan holds: all of it is computed with.

    Attributes
    ----------
    starts : ndarray of shape (n_crops, n)
        First frame of each window, -1 where a crop has fewer windows.
    run, sample : ndarray of shape (n_crops,)
        The run a crop is cut from, and the sample it serves.
    own : ndarray of shape (n_crops, n), bool
        Tells the sample's own windows from those that are there as context.
    """

    starts: NDArray
    run: NDArray
    sample: NDArray
    own: NDArray


def count_frames(duration: float, t_r: float | None, name: str) -> int:
    """Convert a duration to whole frames.

    Parameters
    ----------
    duration : float
        In seconds, or in frames where ``t_r`` is None.
    t_r : float or None
        Repetition time in seconds.
    name : str
        The parameter's name, for the error.

    Returns
    -------
    int
        The nearest whole number of frames.

    Raises
    ------
    ValueError
        If the duration is shorter than half a frame.
    """
    n_frames = round(float(duration) / float(t_r or 1))
    if n_frames < 1:
        raise ValueError(f"{name}={duration} is less than one frame (t_r={t_r})")
    return n_frames


def check_long_enough(cohort: Cohort, window: int) -> None:
    """Raise ValueError where the run of a sample is shorter than one window of frames."""
    lengths = cohort.run_length[cohort.runs]
    if (short := np.flatnonzero(lengths < window)).size:
        raise ValueError(
            f"scan {short[0]} has {lengths[short[0]]} frames, fewer than one window of {window}"
            f" ({short.size} of {len(cohort)} scans are too short): choose a smaller window_size"
            " or leave them out"
        )


def random_crops(cohort: Cohort, window: int, n_windows: int, rng: np.random.Generator) -> Crops:
    """Draw one crop of consecutive windows from every sample, at a random place in it.

    A sample shorter than a crop gives as many windows as it has; the random place then uses up
    the few frames left over.

    Parameters
    ----------
    cohort : Cohort
        Samples of at least one window each.
    window, n_windows : int
        Frames in a window, and windows in a crop.
    rng : numpy.random.Generator
        Source of the random places.

    Returns
    -------
    Crops
        One crop for each sample, in their order.
    """
    length = cohort.stop - cohort.start  # (n_samples,)
    n_windows = min(n_windows, int((length // window).max()))
    count = np.minimum(n_windows, length // window)
    first = rng.integers(0, length - count * window, endpoint=True)
    first += cohort.run_start[cohort.runs] + cohort.start
    starts = first[:, None] + window * np.arange(n_windows)
    own = np.arange(n_windows) < count[:, None]
    return Crops(np.where(own, starts, -1), cohort.runs, np.arange(len(cohort)), own)


def widen(start: int, stop: int, window: int, length: int) -> tuple[int, int]:
    """Widen a moment that is shorter than a window evenly to one, inside its run.

    Parameters
    ----------
    start, stop : int
        Frames of the moment inside its run.
    window, length : int
        Frames in a window, and in the run; at least one window.

    Returns
    -------
    start, stop : int
        At least one window apart.
    """
    if stop - start >= window:
        return start, stop
    start = min(max((start + stop - window) // 2, 0), length - window)
    return start, start + window


def tile_crops(cohort: Cohort, window: int, n_windows: int) -> Crops:
    """Cut every sample into windows that cover all of its frames, and these into crops.

    Windows follow one another; the last one ends with the sample, overlapping its neighbour where
    the length is no multiple of ``window``. Samples longer than a crop become several crops with
    nearly equal shares of its windows. A :class:`Window` that leaves room in its crop gets the
    neighbouring windows of its run as context; one shorter than ``window`` is widened evenly.

    Parameters
    ----------
    cohort : Cohort
        Samples of runs of at least one window each.
    window, n_windows : int
        Frames in a window, and windows in a crop.

    Returns
    -------
    Crops
        In the order of the samples; ``own`` is False for context.
    """
    longest = int(cohort.run_length[cohort.runs].max())
    n_windows = min(n_windows, -(-longest // window))
    starts, run, sample, own = [], [], [], []
    for i, r in enumerate(cohort.runs):
        start, stop, length = cohort.start[i], cohort.stop[i], cohort.run_length[r]
        start, stop = widen(start, stop, window, length)
        mine = np.arange(start, stop - window + 1, window)
        if mine[-1] + window < stop:
            mine = np.append(mine, stop - window)
        parts = np.array_split(mine, -(-len(mine) // n_windows))
        left = right = 0
        if len(parts) == 1:
            before = np.arange(start - window, -1, -window)[::-1]
            after = np.arange(stop, length - window + 1, window)
            left, right = _share_context(n_windows - len(mine), len(before), len(after))
            parts = [np.concatenate([before[len(before) - left :], mine, after[:right]])]
        for part in parts:
            crop = np.full(n_windows, -1)
            crop[: len(part)] = cohort.run_start[r] + part
            starts.append(crop)
            place = np.arange(n_windows)
            own.append((place >= left) & (place < len(part) - right))
            run.append(r)
            sample.append(i)
    return Crops(np.array(starts), np.array(run), np.array(sample), np.array(own))


def _share_context(room: int, n_before: int, n_after: int) -> tuple[int, int]:
    """Divide the room in a crop evenly, unless one side has less to offer."""
    left = min(n_before, max(room // 2, room - n_after))
    return left, min(n_after, room - left)
