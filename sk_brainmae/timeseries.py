"""Scans in: the one place where scans are validated and standardised.

A scan is a matrix of regional BOLD signal, ``(n_timepoints, n_regions)``. Everything behind this
module works on a :class:`Cohort`, which holds each run once, contiguous and z-scored, so that a
crop of any scan is a plain index into one array.
"""

import operator
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sk_brainmae._runs import Row, Run
from sk_brainmae._scan_checks import (
    check_masks,
    check_regions,
    check_share,
    warn_if_coarser,
    warn_if_constant,
    warn_if_transposed,
    warn_of_gaps,
)
from sk_brainmae._standardising import standardise_runs
from sk_brainmae.resampling import check_t_r, masked_as_nan, resample_samples
from sk_brainmae.storage import forget


class Window:
    """A moment of a scan: a trial, a block, a mental state.

    Accepted wherever a scan is. As an array it is its own frames; models may also look at the
    rest of *that* scan, unlabelled, for temporal context and for the scan's mean and variance.

    Parameters
    ----------
    scan : array-like of shape (n_timepoints, n_regions)
        The whole run. Windows of one run should share the same object: it is then kept once.
    start, stop : int
        First frame, and the frame after the last one, as in ``scan[start:stop]``.

    Raises
    ------
    ValueError
        If ``start`` and ``stop`` do not lie inside the scan.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_brainmae.timeseries import Window
    >>> run = np.zeros((190, 122))
    >>> Window(run, start=12, stop=20).shape
    (8, 122)
    """

    def __init__(self, scan: Any, start: int, stop: int):
        start, stop = operator.index(start), operator.index(stop)
        if not 0 <= start < stop <= len(scan):
            raise ValueError(
                f"window [{start}, {stop}) does not lie inside a scan of {len(scan)} frames"
            )
        self.scan = scan
        self.start = start
        self.stop = stop

    @property
    def shape(self) -> tuple[int, int]:
        """Frames and regions, ``(n_timepoints, n_regions)``."""
        return self.stop - self.start, np.shape(self.scan)[1]

    def __len__(self) -> int:
        return self.stop - self.start

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray:
        frames = masked_as_nan(self.scan)[self.start : self.stop]
        return np.array(frames, dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        return f"Window({np.shape(self.scan)} scan, start={self.start}, stop={self.stop})"


@dataclass(frozen=True, eq=False)
class Cohort:
    """Validated scans: every run once, z-scored, one after another in a single array.

    A *run* is a distinct scan; a *sample* is what the user passed as one element of ``X``: a
    whole run, or a :class:`Window` of one.

    Attributes
    ----------
    frames : ndarray of shape (n_frames, n_regions), float32
        All runs, concatenated in time. Each region has mean 0 and variance 1 over its run;
        what is missing or hidden is 0. Many frames lie in a file, see
        :mod:`~sk_brainmae.storage`.
    run_start, run_length : ndarray of shape (n_runs,)
        First row of each run in ``frames``, and its number of frames.
    observed : ndarray of shape (n_runs, n_regions), bool
        False where a region is missing in a run: constant, or not measured in more than half of
        its frames.
    mean, scale : ndarray of shape (n_runs, n_regions)
        What standardising removed, in the units of the input.
    runs : ndarray of shape (n_samples,)
        The run each sample is cut from.
    start, stop : ndarray of shape (n_samples,)
        Frames of each sample inside its run.
    resampled : ndarray of shape (n_runs,), bool
        Which runs were recorded at another repetition time.
    hidden : ndarray of shape (n_frames, n_regions), bool, or None
        Cells of ``frames`` that a model must not see; None: it may see all.
    missing : ndarray of shape (n_frames, n_regions), bool, or None
        Cells of ``frames`` that were not measured; None: all were, but for missing regions.
    """

    frames: NDArray
    run_start: NDArray
    run_length: NDArray
    observed: NDArray
    mean: NDArray
    scale: NDArray
    runs: NDArray
    start: NDArray
    stop: NDArray
    resampled: NDArray
    hidden: NDArray | None = None
    missing: NDArray | None = None

    def __len__(self) -> int:
        return len(self.runs)

    @property
    def n_regions(self) -> int:
        """Number of regions, the same in every run."""
        return self.frames.shape[1]

    @property
    def whole_runs(self) -> bool:
        """Whether every sample is a whole run, none a Window of one."""
        return bool((self.stop - self.start == self.run_length[self.runs]).all())

    def units(self, groups: Any = None) -> Any:
        """Return who samples belong to: ``groups``, else the runs where some share one, or None."""
        shared = len(np.unique(self.runs)) < len(self)
        return self.runs if groups is None and shared else groups

    def take(self, samples: NDArray) -> "Cohort":
        """Return some samples; the frames are shared, not copied."""
        return replace(
            self, runs=self.runs[samples], start=self.start[samples], stop=self.stop[samples]
        )

    def spaced(self, at_most: int) -> "Cohort":
        """Return all samples, or so many of them, evenly spaced."""
        n_samples = min(len(self), at_most)
        return self.take(np.linspace(0, len(self) - 1, n_samples).round().astype(int))

    def as_runs(self) -> "Cohort":
        """Return the cohort whose samples are the whole runs, each once."""
        n_runs = len(self.run_length)
        return replace(
            self, runs=np.arange(n_runs), start=np.zeros(n_runs, dtype=int), stop=self.run_length
        )

    def sample(self, i: int) -> NDArray:
        """Return the z-scored frames of sample ``i``, shape (n_timepoints, n_regions)."""
        forget(self.frames)  # of the sample before
        first = self.run_start[self.runs[i]]
        return self.frames[first + self.start[i] : first + self.stop[i]]

    def uncensored(self, i: int) -> NDArray:
        """Return those frames of sample ``i`` in which any region was measured, z-scored."""
        known = self.known(i)
        return self.sample(i)[known.any(axis=1)] if known.ndim == 2 else self.sample(i)

    def known(self, i: int) -> NDArray:
        """Return where sample ``i`` was measured, as :meth:`known_frames` does."""
        return self.known_frames(self.runs[i], self.start[i], self.stop[i])

    def known_frames(self, run: int, start: int, stop: int) -> NDArray:
        """Return where some frames of a run were measured.

        Parameters
        ----------
        run : int
            Which one.
        start, stop : int
            Frames inside it.

        Returns
        -------
        bool ndarray of shape (n_regions,) or (n_timepoints, n_regions)
            The first shape where all frames are alike: complete but for missing regions.
        """
        observed = self.observed[run]
        first = self.run_start[run]
        if self.missing is None or not self.missing[first + start : first + stop].any():
            return observed
        return observed & ~self.missing[first + start : first + stop]


def validate_scans(
    X: Any,
    *,
    n_regions: int | None = None,
    hidden: Sequence[Any] | None = None,
    missing: str = "mask",
    t_r: Any = None,
    grid: float | None = None,
) -> Cohort:
    """Check scans, bring them to one time grid and standardise them; the input is never changed.

    Means and variances are those of the values that are there: what is missing (NaN, or masked in
    a masked array) stays out of them and is no part of what follows.

    Parameters
    ----------
    X : list, tuple or object array of scans, or ndarray of shape (n_scans, n_timepoints, n_regions)
        A scan is an array or DataFrame of shape (n_timepoints, n_regions), or a :class:`Window`.
        Lengths may differ, region counts may not. What is no array itself but turns into one
        (``__array__``: a lazily loaded scan) is read when it is needed, twice, one scan at a
        time. Rows of NaN are censored frames, columns of NaN
        missing regions; see :func:`censor`.
    n_regions : int, optional
        The region count a fitted model expects.
    hidden : list of bool array-like, each of shape (n_timepoints_i, n_regions), optional
        Cells a model must not know. They are left out of the mean and variance, too.
    missing : {"mask", "raise"}, default="mask"
        What to do about missing values: mark them, or refuse them.
    t_r : float or array-like of shape (n_scans,), optional
        Repetition time of the scans, or of each, in seconds. None: they are on the grid.
    grid : float, optional
        Time between frames of the model, in seconds: scans of another ``t_r`` are resampled to
        it, see :func:`~sk_brainmae.resampling.resample_scan`, and Windows of them move along.

    Returns
    -------
    Cohort
        The runs behind ``X``, each kept once.

    Raises
    ------
    TypeError
        If ``X`` or a scan is not numeric data.
    ValueError
        If ``X`` is empty, is a single 2-D scan, or if a scan has another number of regions, is
        infinite somewhere, lacks more than half of its values (or any, with ``missing="raise"``),
        or is constant in every region; if a ``t_r`` cannot be used.

    Warns
    -----
    UserWarning
        If values are missing, or regions constant (they are treated as missing), if a scan's
        ``t_r`` is longer than the grid's, or if one has more regions than frames, as transposed
        scans do.
    """
    items = as_list(X)
    if missing not in ("mask", "raise"):
        raise ValueError(f"missing={missing!r} must be 'mask' or 'raise'")
    runs, run_of = _distinct_runs(items, missing, keep_all=hidden is not None)
    names = [run.item for run in runs]
    start = np.array([item.start if isinstance(item, Window) else 0 for item in items])
    stop = start + [len(item) for item in items]
    shapes = [run.shape for run in runs]
    check_regions(shapes, names, n_regions)
    for i, mask in enumerate([] if hidden is None else check_masks(hidden, items)):
        of_run = runs[i].hidden = np.zeros(runs[i].shape, dtype=bool)
        of_run[start[i] : stop[i]] = mask
    warn_if_transposed(shapes, names)
    warn_of_gaps([run.gaps for run in runs], names)
    resampled = np.zeros(len(runs), dtype=bool)
    if t_r is not None:
        grid, step = check_t_r(t_r, run_of, grid)
        warn_if_coarser(step, grid)
        resampled = step != grid
        for r in np.flatnonzero(resampled):
            here, length, change = run_of == r, len(runs[r]), (step[r], grid)
            start[here], stop[here] = resample_samples(start[here], stop[here], length, *change)
            runs[r].step, runs[r].grid = change

    kept, (hidden_cells, missing_cells), flat = standardise_runs(runs)
    cohort = Cohort(*kept, run_of, start, stop, resampled, hidden_cells, missing_cells)
    if hidden is None:
        if (empty := np.flatnonzero(~cohort.observed.any(axis=1))).size:
            i = names[empty[0]]
            raise ValueError(f"scan {i} is constant in every region: it holds no signal")
        warn_if_constant(flat, names)
    _check_moments(cohort)
    return cohort


def censor(scan: Any, frames: Any) -> NDArray:
    """Return a copy of a scan whose censored frames are NaN, such as those of high motion.

    Parameters
    ----------
    scan : array-like of shape (n_timepoints, n_regions)
        What it has in the censored frames is forgotten.
    frames : array-like of bool of shape (n_timepoints,), or of int
        True where censored; or which frames are, as in nilearn's ``sample_mask`` the ones kept.

    Returns
    -------
    ndarray of shape (n_timepoints, n_regions)
        Floating-point.

    Raises
    ------
    ValueError
        If the bool array has another length than the scan.
    IndexError
        If a frame is not in the scan.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_brainmae.timeseries import censor
    >>> motion = np.array([0.1, 0.9, 0.2])  # framewise displacement, mm
    >>> censor(np.ones((3, 2)), motion > 0.5)
    array([[ 1.,  1.],
           [nan, nan],
           [ 1.,  1.]])
    """
    frames = np.asarray(frames)
    if frames.dtype == bool and frames.shape != (len(scan),):
        raise ValueError(f"{frames.size} censoring flags for a scan of {len(scan)} frames")
    signal = masked_as_nan(scan)
    censored = signal.astype(np.result_type(signal, np.float32))
    censored[frames if frames.size else []] = np.nan
    return censored


def as_list(X: Any) -> list:
    """Return the samples of a cohort, or say why it is none.

    Parameters
    ----------
    X : list, tuple or object array of scans, or array of shape (n_scans, n_timepoints, n_regions)
        What a user passed.

    Returns
    -------
    list
        Scans and Windows; those of an array that is no NumPy array are read when looked at.

    Raises
    ------
    TypeError
        If it is no sequence.
    ValueError
        If it is empty, or a single scan.
    """
    if isinstance(X, Window) or (hasattr(X, "ndim") and X.ndim == 2):
        raise ValueError(
            f"X is a single scan of shape {X.shape}; a cohort is a list of scans or an array"
            " (n_scans, n_timepoints, n_regions): pass [X] for one scan. Reshape your data"
        )
    if getattr(X, "ndim", 0) == 3 and not isinstance(X, np.ndarray):
        items = [Row(X, i) for i in range(len(X))]
    elif isinstance(X, (list, tuple)) or getattr(X, "ndim", 0) in (1, 3):
        items = list(X)
    else:
        raise TypeError(
            "X must be a list of scans or an array (n_scans, n_timepoints, n_regions),"
            f" got {type(X).__name__}"
        )
    if not items:
        raise ValueError("X holds no scans")
    return items


def _distinct_runs(items: list, missing: str, keep_all: bool) -> tuple[list[Run], NDArray]:
    """Return every distinct scan once, checked, and the run of each item."""
    seen: dict[int, int] = {}
    runs: list[Run] = []
    run_of = []
    for i, item in enumerate(items):
        scan = item.scan if isinstance(item, Window) else item
        key = i if keep_all else id(scan)
        if key not in seen:
            seen[key] = len(runs)
            runs.append(Run.check(scan, i, missing))
        run_of.append(seen[key])
    return runs, np.array(run_of)


def _check_moments(cohort: Cohort) -> None:
    """Raise where more than half of a sample is missing, in the regions that its run has."""
    for i, run in enumerate(cohort.runs):
        known = cohort.known(i)
        if known.ndim == 2:
            check_share(~known[:, cohort.observed[run]], i, "in its frames")
