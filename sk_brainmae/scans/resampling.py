"""Repetition times: scans are resampled to one time grid without aliasing; gaps stay gaps."""

import math
from fractions import Fraction
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import firwin, resample_poly

from sk_brainmae.scans.gaps import MAX_MISSING, bridge_gaps, masked_as_nan

# Ratios of repetition times are approximated by fractions of this denominator: no scan of a
# thousand frames is off by a hundredth of one.
MAX_DENOMINATOR = 1000
# Repetition times that differ more are a mistake, such as milliseconds.
MAX_RATIO = 20
# Reach of the filter to either side, in frames of the coarser grid, and its Kaiser window.
# Frequencies more than 18 % above the lower Nyquist frequency are damped by 80 dB. A longer filter
# has longer transients at the ends of a scan. Embeddings of one signal sampled at 0.72 s and at
# 2 s agree to .94 (signal up to 0.2 Hz) and .99 (0.25 Hz) with a reach of 20, to .99 with 14.
FILTER_REACH = 14
FILTER_WINDOW = ("kaiser", 8.0)


def resample_scan(scan: Any, t_r: float, to: float) -> NDArray:
    """Bring a scan to another repetition time, with an anti-aliasing filter.

    A polyphase filter of linear phase (:func:`scipy.signal.resample_poly`) removes frequencies
    above the Nyquist frequency of the coarser grid; at that frequency, half the amplitude stays.
    Beyond its ends the scan is continued by point reflection, which keeps level and slope. Gaps
    (NaN) are bridged by straight lines, filtered, and turned into gaps again.

    Parameters
    ----------
    scan : array-like of shape (n_timepoints, n_regions)
        Frames at times 0, t_r, 2 t_r, ...; NaN, or masked, where not measured.
    t_r, to : float
        Time between frames, in seconds, of the scan and of the result.

    Returns
    -------
    ndarray of shape (ceil(n_timepoints * t_r / to), n_regions), float64
        Frames at times 0, to, 2 to, ...; NaN where more than half of a frame's time was not
        measured.

    Raises
    ------
    TypeError
        If a repetition time is not a number.
    ValueError
        If a repetition time is not positive, or one is more than 20 times the other.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_brainmae.resampling import resample_scan
    >>> resample_scan(np.zeros((1200, 100)), t_r=0.72, to=2.0).shape
    (432, 100)
    """
    for time, other in ((t_r, 1.0), (to, t_r)):
        _check_time(time, "a repetition time", other)
    signal = np.asarray(masked_as_nan(scan), dtype=float)
    gaps = np.isnan(signal)
    up, down = _ratio(t_r, to)
    if up == down:
        return signal.copy()
    coarser = max(up, down)
    taps = firwin(2 * FILTER_REACH * coarser + 1, 1 / coarser, window=FILTER_WINDOW)
    if gaps.any():
        signal = bridge_gaps(signal, ~gaps)
    # The phases of the filter change a constant by up to 1e-4 of it, and it can be large.
    level = signal.mean(axis=0)
    # scipy crashes when it reflects a single frame.
    ends = "antireflect" if len(signal) > 1 else "edge"
    resampled = resample_poly(signal - level, up, down, axis=0, window=taps, padtype=ends) + level
    if gaps.any():
        resampled[share_of_frames(gaps, t_r, to) > MAX_MISSING] = np.nan
    return resampled


def n_frames_on(length: int, t_r: float, to: float) -> int:
    """Return how many frames a run of ``length`` frames has after resampling."""
    up, down = _ratio(t_r, to)
    return -(-length * up // down)


def resample_samples(
    start: NDArray, stop: NDArray, length: int, t_r: float, to: float
) -> tuple[NDArray, NDArray]:
    """Move the samples of a run of ``length`` frames to another repetition time.

    Start and stop, (n_samples,), go to the nearest frames. A sample keeps at least one frame, and
    one that ends with its run still does.
    """
    up, down = _ratio(t_r, to)
    n_frames = n_frames_on(length, t_r, to)
    first, last = (np.floor(frame * up / down + 0.5).astype(int) for frame in (start, stop))
    first = np.minimum(first, n_frames - 1)
    return first, np.where(stop == length, n_frames, np.clip(last, first + 1, n_frames))


def resample_parts(
    scan: NDArray, gaps: NDArray | None, hidden: NDArray | None, t_r: float, to: float
) -> tuple[NDArray, NDArray | None, NDArray | None]:
    """Resample a scan, its gaps (NaN in the scan) and its hidden cells, (n_timepoints, n_regions).

    A frame is hidden if any part of it was, and no other frame depends on hidden values.
    """
    if hidden is not None:
        scan = np.where(hidden, np.nan, scan)
        hidden = share_of_frames(hidden, t_r, to) > 0
    if gaps is not None:
        gaps = share_of_frames(gaps, t_r, to) > MAX_MISSING
    return np.nan_to_num(resample_scan(scan, t_r, to)), gaps, hidden


def share_of_frames(cells: NDArray, t_r: float, to: float) -> NDArray:
    """Return which share of each frame of another grid some cells take, in its time.

    ``cells`` is bool, (n_timepoints, n_regions). A cell lasts for one repetition time, half of it
    before the time of its frame. Shares count the part of a frame that the scan covers.
    """
    up, down = _ratio(t_r, to)
    n_frames = len(cells)
    # A frame is the signal around its time, half a frame to either side.
    edges = (np.arange(n_frames_on(n_frames, t_r, to) + 1) - 0.5) * down / up + 0.5
    edges = np.clip(edges, 0, n_frames)
    total = np.concatenate([np.zeros((1, cells.shape[1])), np.cumsum(cells, axis=0)])
    before = np.minimum(edges.astype(int), n_frames - 1)
    reached = total[before] + (edges - before)[:, None] * cells[before]
    length = np.diff(edges)
    shares = np.diff(reached, axis=0) / np.where(length > 0, length, 1)[:, None]
    shares[length == 0] = cells[-1]  # after its half, the last frame is continued
    return shares


def check_t_r(t_r: Any, runs: NDArray, grid: float | None) -> tuple[float, NDArray]:
    """Return the grid and the repetition time of every run, (n_runs,), in seconds.

    ``t_r`` is one for all samples or one for each, ``runs`` the run of each sample. Times that
    differ from the grid by rounding are set to it. Raises where there is no grid, or where times
    are not positive numbers, differ within a run or are far from the grid.
    """
    if grid is None:
        raise ValueError(
            "the scans come with their t_r, but the model has none: set its t_r, the repetition"
            " time in seconds that scans are resampled to, e.g. t_r=2.0"
        )
    alone = np.ndim(t_r) == 0
    times = [t_r] * len(runs) if alone else list(t_r)
    if len(times) != len(runs):
        raise ValueError(
            f"{len(times)} values of t_r for {len(runs)} scans: give one per scan, or"
            " a single number for all"
        )
    for i, time in enumerate(times):
        _check_time(time, "t_r" if alone else f"t_r of scan {i}", grid)
    _, first = np.unique(runs, return_index=True)
    for i, run in enumerate(runs):
        if times[i] != times[first[run]]:
            raise ValueError(
                f"t_r of scan {i} is {times[i]} s, but scan {first[run]}, cut from the same run,"
                f" has {times[first[run]]} s"
            )
    exact = [grid if _ratio(time, grid) == (1, 1) else time for time in times]
    return grid, np.array(exact, dtype=float)[first]


def _check_time(time: Any, name: str, grid: float) -> None:
    if not isinstance(time, Real) or isinstance(time, (bool, np.bool_)):
        raise TypeError(f"{name} must be a number of seconds, got {time!r}")
    if not 0 < (seconds := float(time)) < math.inf:
        raise ValueError(f"{name} must be a positive number of seconds, got {time}")
    if not 1 / MAX_RATIO <= seconds / grid <= MAX_RATIO:
        raise ValueError(
            f"{name} is {time} s, but the grid's is {grid} s: they differ by more than a factor of"
            f" {MAX_RATIO}; is one of them in milliseconds?"
        )


def _ratio(t_r: float, to: float) -> tuple[int, int]:
    """Return whole numbers (up, down) with the ratio of the repetition times."""
    ratio = Fraction(float(t_r) / float(to)).limit_denominator(MAX_DENOMINATOR)
    return ratio.numerator, ratio.denominator
