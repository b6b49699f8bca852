"""Scans in: the one place where scans are validated and standardised.

A scan is a matrix of regional BOLD signal, ``(n_timepoints, n_regions)``. Everything behind this
module works on a :class:`Cohort`, which holds each run once, contiguous and z-scored, so that a
crop of any scan is a plain index into one array.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sk_brainmae.scans.checks import (
    check_masks,
    check_regions,
    check_share,
    warn_if_coarser,
    warn_if_constant,
    warn_if_transposed,
    warn_of_gaps,
)
from sk_brainmae.scans.cohort import Cohort
from sk_brainmae.scans.resampling import check_t_r, resample_samples
from sk_brainmae.scans.runs import Row, Run
from sk_brainmae.scans.standardise import standardise_runs
from sk_brainmae.scans.window import Window


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
