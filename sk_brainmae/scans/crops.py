"""Where windows lie: durations as frames, random crops for training, tilings for embedding."""

import warnings
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sk_brainmae.scans.cohort import Cohort

# Frames; whole scans that are longer are no trials, even where windows are long.
LONGEST_TRIAL = 60


class Crops(NamedTuple):
    """Where windows lie in ``Cohort.frames``: a row is a crop of at most n windows."""

    starts: NDArray  # (n_crops, n), first frame of each window, -1 where a crop has fewer windows
    run: NDArray  # (n_crops,), the run that a crop is cut from
    sample: NDArray  # (n_crops,), the sample that it serves
    own: NDArray  # (n_crops, n), bool, True for windows of the sample, False for context


def count_frames(duration: float, t_r: float | None, name: str) -> int:
    """Convert a duration, in seconds or (``t_r=None``) in frames, to the nearest number of frames.

    Less than half a frame raises ValueError, which names the parameter ``name``.
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


def warn_if_short(cohort: Cohort, window: int) -> None:
    """Warn where all whole scans are as short as trials: z-scores of a trial lose its response.

    These are scans shorter than two windows. Few frames alone do not tell: rest is scanned for
    many windows, and trials last for one or two.
    """
    longest = int(cohort.run_length.max())
    if longest < min(2 * window, LONGEST_TRIAL):
        warnings.warn(
            f"no scan is as long as two windows of {window} frames (the longest has {longest}):"
            " each is z-scored by itself, which removes what a trial evoked. If these are trials,"
            " pass them as Window(run, start, stop), or cut them from z-scored runs and set"
            " standardize=False",
            stacklevel=4,
        )


def random_crops(cohort: Cohort, window: int, n_windows: int, rng: np.random.Generator) -> Crops:
    """Draw one crop of consecutive windows from every sample, at a random place in it.

    A sample shorter than a crop gives as many windows as it has, from a random first frame.
    """
    length = cohort.stop - cohort.start  # (n_samples,)
    n_windows = min(n_windows, int((length // window).max()))  # absent ones are computed, too
    count = np.minimum(n_windows, length // window)
    first = rng.integers(0, length - count * window, endpoint=True)
    first += cohort.run_start[cohort.runs] + cohort.start
    starts = first[:, None] + window * np.arange(n_windows)
    own = np.arange(n_windows) < count[:, None]
    return Crops(np.where(own, starts, -1), cohort.runs, np.arange(len(cohort)), own)


def widen(start: int, stop: int, window: int, length: int) -> tuple[int, int]:
    """Widen a moment that is shorter than a window to one, evenly and inside its run.

    ``length`` is the number of frames in the run, at least one window.
    """
    if stop - start >= window:
        return start, stop
    start = min(max((start + stop - window) // 2, 0), length - window)
    return start, start + window


def tile_crops(cohort: Cohort, window: int, n_windows: int) -> Crops:
    """Cut every sample into windows that cover all of its frames, and these into crops.

    Windows follow one another. The last one ends with the sample, and overlaps its neighbour where
    the length is not a multiple of ``window``. Samples longer than a crop become several crops with
    nearly equal numbers of windows. A moment that leaves room in its crop gets the neighbouring
    windows of its run as context; one shorter than ``window`` is widened evenly.
    """
    longest = int(cohort.run_length[cohort.runs].max())
    n_windows = min(n_windows, -(-longest // window))
    starts, run, sample, own = [], [], [], []
    for i, r in enumerate(cohort.runs):
        start, stop, length = cohort.start[i], cohort.stop[i], cohort.run_length[r]
        start, stop = widen(start, stop, window, length)
        mine = _cover(start, stop, window, window)
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


def overlapping_windows(cohort: Cohort, window: int) -> Crops:
    """Cut every sample into windows half a window apart; the last one ends with the sample.

    A moment shorter than ``window`` is widened evenly.
    """
    starts, sample = [], []
    for i, run in enumerate(cohort.runs):
        start, stop = widen(cohort.start[i], cohort.stop[i], window, cohort.run_length[run])
        mine = _cover(start, stop, window, max(window // 2, 1))
        starts.append(mine + cohort.run_start[run])
        sample.append(np.full(len(mine), i))
    first, who = np.concatenate(starts)[:, None], np.concatenate(sample)
    return Crops(first, cohort.runs[who], who, np.ones_like(first, dtype=bool))


def _cover(start: int, stop: int, window: int, step: int) -> NDArray:
    """Return where windows begin, ``step`` frames apart; the last one ends with the frames."""
    first = np.arange(start, stop - window + 1, step)
    return np.append(first, stop - window) if first[-1] + window < stop else first


def _share_context(room: int, n_before: int, n_after: int) -> tuple[int, int]:
    """Divide the free windows of a crop evenly, unless one side has fewer to offer."""
    left = min(n_before, max(room // 2, room - n_after))
    return left, min(n_after, room - left)
