"""Physical time: scans of any repetition time on one grid, without aliasing, gaps left as gaps."""

import math
from fractions import Fraction
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import firwin, resample_poly

# What lacks more than this share of its cells counts as missing: a frame on another grid, a
# region's window, a region of a scan. A scan that lacks more is refused.
MAX_MISSING = 0.5
# Ratios of repetition times are approximated by fractions of this denominator: no scan of a
# thousand frames is off by a hundredth of one.
MAX_DENOMINATOR = 1000
# Repetition times that differ more are a mistake, such as milliseconds.
MAX_RATIO = 20
# Reach of the filter to either side, in frames of the coarser grid, and its Kaiser window: what
# lies more than 18 % above the lower Nyquist frequency is damped by 80 dB. A longer filter has
# longer transients at the ends of a scan: of signals up to 0.2 Hz or 0.25 Hz, sampled at 0.72 s and
# at 2 s, embeddings agree to .94 and .99 with a reach of 20, .99 and .99 with 14.
FILTER_REACH = 14
FILTER_WINDOW = ("kaiser", 8.0)


def resample_scan(scan: Any, t_r: float, to: float) -> NDArray:
    """Bring a scan to another repetition time, with an anti-aliasing filter.

    A polyphase filter (:func:`scipy.signal.resample_poly`), linear in phase, takes out what is
    above the Nyquist frequency of the coarser grid; half of it stays just there. No frame is
    dropped. The scan is continued at its ends by its point reflection, which keeps level and slope.

    Gaps (NaN) are bridged by straight lines, filtered, and are gaps again.

    Parameters
    ----------
    scan : array-like of shape (n_timepoints, n_regions)
        Frames at times 0, t_r, 2 t_r, ...; NaN, or masked, where nothing was measured.
    t_r, to : float
        Time between frames, in seconds, of the scan and of the result.

    Returns
    -------
    ndarray of shape (ceil(n_timepoints * t_r / to), n_regions), float64
        Frames at times 0, to, 2 to, ... NaN in frames more than half of whose time was not
        measured.

    Raises
    ------
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
    # The phases of the filter differ by 1e-4 in what they make of a constant, and it can be large.
    level = signal.mean(axis=0)
    # scipy crashes on the reflection of a single frame.
    ends = "antireflect" if len(signal) > 1 else "edge"
    resampled = resample_poly(signal - level, up, down, axis=0, window=taps, padtype=ends) + level
    if gaps.any():
        resampled[share_of_frames(gaps, t_r, to) > MAX_MISSING] = np.nan
    return resampled


def masked_as_nan(values: Any) -> NDArray:
    """Return an array, NaN where a masked one is masked: NumPy would give what lies below."""
    if not np.ma.is_masked(values):
        return np.asarray(values)
    return np.ma.filled(values.astype(float), np.nan)


def n_frames_on(length: int, t_r: float, to: float) -> int:
    """Return the frames that a run of some length has after it was resampled.

    Parameters
    ----------
    length : int
        Frames of the run.
    t_r, to : float
        Time between frames, in seconds, before and after.

    Returns
    -------
    int
        As many as begin before the run ends.
    """
    up, down = _ratio(t_r, to)
    return -(-length * up // down)


def resample_samples(
    start: NDArray, stop: NDArray, length: int, t_r: float, to: float
) -> tuple[NDArray, NDArray]:
    """Move samples of a run of some length to another repetition time.

    Parameters
    ----------
    start, stop : ndarray of shape (n_samples,)
        Their frames inside the run.
    length : int
        Frames of the run.
    t_r, to : float
        Time between frames, in seconds, before and after.

    Returns
    -------
    start, stop : ndarray of shape (n_samples,)
        The nearest frames; a sample keeps at least one, and one that ends with its run still does.
    """
    up, down = _ratio(t_r, to)
    n_frames = n_frames_on(length, t_r, to)
    first, last = (np.floor(frame * up / down + 0.5).astype(int) for frame in (start, stop))
    first = np.minimum(first, n_frames - 1)
    return first, np.where(stop == length, n_frames, np.clip(last, first + 1, n_frames))


def resample_parts(
    scan: NDArray, gaps: NDArray | None, hidden: NDArray | None, t_r: float, to: float
) -> tuple[NDArray, NDArray | None, NDArray | None]:
    """Resample a scan with what is not to be read of it.

    Parameters
    ----------
    scan : ndarray of shape (n_timepoints, n_regions)
        NaN in the gaps.
    gaps, hidden : bool ndarray of shape (n_timepoints, n_regions), or None
        What was not measured, and what a model must not know.
    t_r, to : float
        Time between frames, in seconds, before and after.

    Returns
    -------
    scan, gaps, hidden : ndarray of shape (n_frames, n_regions), or None
        On the new grid. A frame of which any part was hidden is hidden, and no other depends on
        what was.
    """
    if hidden is not None:
        scan = np.where(hidden, np.nan, scan)
        hidden = share_of_frames(hidden, t_r, to) > 0
    if gaps is not None:
        gaps = share_of_frames(gaps, t_r, to) > MAX_MISSING
    return np.nan_to_num(resample_scan(scan, t_r, to)), gaps, hidden


def share_of_frames(cells: NDArray, t_r: float, to: float) -> NDArray:
    """Say how much of each frame of another grid is taken by some cells.

    Parameters
    ----------
    cells : bool ndarray of shape (n_timepoints, n_regions)
        Each lasts for one repetition time, half of it before the time of its frame.
    t_r, to : float
        Time between frames, in seconds, of the cells and of the result.

    Returns
    -------
    ndarray of shape (ceil(n_timepoints * t_r / to), n_regions)
        Shares between 0 and 1, of the part of a frame that the scan covers.
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


def bridge_gaps(signal: NDArray, known: NDArray) -> NDArray:
    """Draw straight lines over what is not known, from the same column's neighbours in time.

    Parameters
    ----------
    signal : ndarray of shape (n_timepoints, n_columns)
        What is not known is never read.
    known : bool ndarray of shape (n_timepoints, n_columns)
        False where a value is missing.

    Returns
    -------
    ndarray of shape (n_timepoints, n_columns)
        The nearest value beyond the first and the last one known; 0 where none is.
    """
    bridged = np.where(known, signal, 0)
    frame = np.arange(len(signal))
    for column in np.flatnonzero(~known.all(axis=0) & known.any(axis=0)):
        here = known[:, column]
        bridged[~here, column] = np.interp(frame[~here], frame[here], bridged[here, column])
    return bridged


def check_t_r(t_r: Any, runs: NDArray, grid: float | None) -> tuple[float, NDArray]:
    """Return the grid and the repetition time of every run, or say what is wrong with them.

    Parameters
    ----------
    t_r : float or array-like of shape (n_scans,)
        In seconds, of all scans or of each.
    runs : ndarray of shape (n_scans,)
        The run each scan is cut from.
    grid : float or None
        Time between frames that the scans are to be brought to.

    Returns
    -------
    grid : float
        As it came.
    times : ndarray of shape (n_runs,)
        Repetition times; those that differ from the grid's by a rounding are the grid's.

    Raises
    ------
    TypeError
        If a repetition time is no number.
    ValueError
        If there is no grid, if there are fewer or more times than scans, if two scans of a run
        differ, or if a time is not positive or further from the grid than a factor of 20.
    """
    if grid is None:
        raise ValueError(
            "the scans come with their t_r, but the model has none: set its t_r, the time between"
            " frames in seconds that scans are brought to, e.g. t_r=2.0"
        )
    alone = np.ndim(t_r) == 0
    times = [t_r] * len(runs) if alone else list(t_r)
    if len(times) != len(runs):
        raise ValueError(
            f"{len(times)} values of t_r for {len(runs)} scans: give one a scan, or"
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
            f"{name} is {time} s, the grid's {grid} s: they differ by more than a factor of"
            f" {MAX_RATIO}; is one of them in milliseconds?"
        )


def _ratio(t_r: float, to: float) -> tuple[int, int]:
    """Return the whole numbers (up, down) whose ratio is that of the repetition times."""
    ratio = Fraction(float(t_r) / float(to)).limit_denominator(MAX_DENOMINATOR)
    return ratio.numerator, ratio.denominator
