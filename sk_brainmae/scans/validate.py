"""The one place where scans are refused, warned of, and made a cohort.

Everything behind it works on a :class:`~sk_brainmae.scans.Cohort`, which holds each run once,
contiguous and z-scored, so that a crop of any scan is a plain index into one array.
"""

import warnings
from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sk_brainmae.scans.cohort import Cohort
from sk_brainmae.scans.gaps import MAX_MISSING
from sk_brainmae.scans.identity import keys_of
from sk_brainmae.scans.regions import region_orders, reorder_columns, reorder_regions
from sk_brainmae.scans.resampling import check_t_r, resample_samples
from sk_brainmae.scans.runs import Row, Run, check_share
from sk_brainmae.scans.standardise import standardise_runs
from sk_brainmae.scans.tables import is_labelled, labels_of, name_of
from sk_brainmae.scans.window import Window

# A warning names this many scans and counts the others.
NAMED = 5
# Values that come standardised have root mean squares between these.
STANDARDISED = 0.1, 10


def validate_scans(
    X: Any,
    *,
    n_regions: int | None = None,
    region_names: Sequence[str] | None = None,
    hidden: Sequence[Any] | None = None,
    missing: str = "mask",
    t_r: Any = None,
    grid: float | None = None,
    standardize: str | bool = "scan",
) -> Cohort:
    """Check scans, bring them to one time grid and standardise them; the input is never changed.

    Missing values (NaN, or masked in a masked array) count neither here nor in what follows.

    Parameters
    ----------
    X : list, tuple or object array of scans, or ndarray of shape (n_scans, n_timepoints, n_regions)
        A scan is an array or table of shape (n_timepoints, n_regions), or a :class:`Window`.
        Tables (pandas, polars, PyArrow, xarray) name their regions by text or whole numbers, and
        are brought into one order. Lengths may differ, region counts may not. Scans that are not
        arrays yet but turn into one (``__array__``: lazily loaded scans) are read when they are
        needed, twice, one at a time. Rows of NaN are censored frames, columns of NaN missing
        regions; see :func:`censor`.
    n_regions : int, optional
        The region count that a fitted model expects.
    region_names : sequence of str, optional
        The regions of a fitted model, in order. None: those of the first table.
    hidden : list of bool array-like, each of shape (n_timepoints_i, n_regions), optional
        True in cells that a model must not see. They are left out of mean and variance, too.
        Columns are those of the scan.
    missing : {"mask", "raise"}, default="mask"
        What to do about missing values: mask them, or refuse them.
    t_r : float or array-like of shape (n_scans,), optional
        Repetition time of all scans, or of each, in seconds. None: they are on the grid.
    grid : float, optional
        Time between frames of the model, in seconds. Scans of another ``t_r`` are resampled to
        it, see :func:`~sk_brainmae.resampling.resample_scan`, and moments of them move along.
    standardize : {"scan", False}, default="scan"
        "scan": z-score each region over its scan. False: keep the values of scans that come
        standardised, such as trials cut from a run that was z-scored as a whole.

    Returns
    -------
    Cohort
        The runs behind ``X``, each once, and where its samples lie in them.

    Raises
    ------
    TypeError
        If ``X`` or a scan is not numeric data, or a ``t_r`` is not a number.
    ValueError
        If ``X`` is empty or a single 2-D scan; if a scan has other regions, a column that is
        none, such as an index or a time, an infinite value, more than half of its values missing
        (or any, with ``missing="raise"``), or only constant regions; if a mask does not fit its
        scan; if a ``t_r`` cannot be used.

    Warns
    -----
    UserWarning
        If values are missing, if regions are constant (they are treated as missing), if a scan's
        ``t_r`` is longer than the grid's, if values that should come standardised are not, or if
        scans name no regions although the model or others do.
    """
    items = as_list(X)
    if missing not in ("mask", "raise"):
        raise ValueError(f"missing={missing!r} must be 'mask' or 'raise'")
    if standardize not in ("scan", False):
        raise ValueError(f"standardize={standardize!r} must be 'scan' or False")
    regions, orders = region_orders(items, region_names)
    if n_regions is not None and region_names is None and regions is not None:
        warnings.warn(
            "X has feature names, but the model was fitted without feature names: columns are taken"
            " to be its regions in the same order",
            stacklevel=2,
        )
    items, hidden = reorder_regions(items, orders), reorder_columns(hidden, orders)
    runs, run_of = _distinct_runs(items, missing, keep_all=hidden is not None)
    start = np.array([item.start if isinstance(item, Window) else 0 for item in items])
    stop = start + [len(item) for item in items]
    names, shapes = [run.item for run in runs], [run.shape for run in runs]
    check_regions(shapes, names, n_regions)
    check_no_time(runs)
    if hidden is not None:
        _hide_cells(runs, start, stop, check_masks(hidden, items))
    warn_of_gaps([run.gaps for run in runs], names)
    if t_r is not None:
        grid, times = check_t_r(t_r, run_of, grid)
        warn_if_coarser(times, grid)
        start, stop = _move_to_grid(runs, run_of, start, stop, times, grid)
    cohort, flat = standardise_runs(runs, keep=not standardize)
    if hidden is None:
        check_any_signal(cohort.observed, names)
        warn_if_constant(flat, names)
    if not standardize:
        warn_if_not_standardised(cohort, names)
    cohort = replace(cohort, runs=run_of, start=start, stop=stop, region_names=regions)
    _check_moments(cohort)
    return cohort


def as_list(X: Any) -> list:
    """Return the samples of ``X``, or raise if it is not a cohort.

    Rows of a 3-D array that is not a NumPy array are read when they are used.
    """
    if isinstance(X, Window) or len(getattr(X, "shape", ())) == 2:
        raise ValueError(
            f"X is a single scan of shape {X.shape}; a cohort is a list of scans or an array"
            " (n_scans, n_timepoints, n_regions): pass [X] for one scan. Reshape your data"
        )
    if getattr(X, "ndim", 0) == 3 and not isinstance(X, np.ndarray) and not is_labelled(X):
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
    """Return every distinct scan once, checked, and the run of each sample, (n_samples,)."""
    seen: dict[Hashable, int] = {}
    runs: list[Run] = []
    run_of = []
    for i, (item, key) in enumerate(zip(items, keys_of(items), strict=True)):
        if (place := i if keep_all else key) not in seen:
            windowed = isinstance(item, Window) and not keep_all
            run = Run.check(item.scan if isinstance(item, Window) else item, i, missing, windowed)
            # Moments of equal copies of a run are moments of that run.
            equal = seen.setdefault(run.digest, len(runs)) if run.digest else len(runs)
            if equal == len(runs):
                runs.append(run)
            seen[place] = equal
        run_of.append(seen[place])
    return runs, np.array(run_of)


def _hide_cells(runs: list[Run], start: NDArray, stop: NDArray, masks: list[NDArray]) -> None:
    """Mark the cells that the masks of the samples hide; every sample has a run of its own."""
    for run, first, last, mask in zip(runs, start, stop, masks, strict=True):
        run.hidden = np.zeros(run.shape, dtype=bool)
        run.hidden[first:last] = mask


def _move_to_grid(
    runs: list[Run], run_of: NDArray, start: NDArray, stop: NDArray, times: NDArray, grid: float
) -> tuple[NDArray, NDArray]:
    """Have runs of other repetition times read on the grid; return where the samples are then."""
    start, stop = start.copy(), stop.copy()
    for r in np.flatnonzero(times != grid):
        here, length = run_of == r, len(runs[r])
        runs[r].times = times[r], grid
        start[here], stop[here] = resample_samples(start[here], stop[here], length, times[r], grid)
    return start, stop


def _check_moments(cohort: Cohort) -> None:
    """Raise where more than half of a sample is missing, in the regions that its run has."""
    for i, run in enumerate(cohort.runs):
        known = cohort.known(i)
        if known.ndim == 2:
            check_share(~known[:, cohort.observed[run]], i, "in its frames")


def check_regions(shapes: list[tuple[int, int]], names: list[int], expected: int | None) -> None:
    """Raise where region counts differ from each other or from what a model expects."""
    counts = np.array([shape[1] for shape in shapes])
    usual = int(np.bincount(counts).argmax())
    if expected is not None and expected not in counts:
        raise ValueError(f"the scans have {usual} regions, but the model was fitted on {expected}")
    right = usual if expected is None else expected
    if (odd := np.flatnonzero(counts != right)).size:
        others = "the others have" if odd.size == 1 else "most have"
        others = others if expected is None else "the model was fitted on"
        raise ValueError(f"scan {names[odd[0]]} has {counts[odd[0]]} regions, {others} {right}")


def check_no_time(runs: list[Run]) -> None:
    """Raise where a column of tables counts frames, or tells times, in every scan."""
    labels = next((own for run in runs if (own := labels_of(run.source, run.item))), None)
    found = np.flatnonzero(np.logical_and.reduce([run.rising for run in runs]))
    if labels is not None and found.size:
        raise ValueError(
            f"column {name_of(labels[found[0]])!r} rises from frame to frame in every scan, as"
            " frame numbers or times do: it is not a region, drop it"
        )


def check_masks(hidden: Sequence[Any], items: list) -> list[NDArray]:
    """Return the masks as bool arrays, each of the shape of its scan."""
    if len(hidden) != len(items):
        raise ValueError(f"{len(hidden)} masks for {len(items)} scans: give one mask per scan")
    masks = [np.asarray(mask) for mask in hidden]
    for i, (mask, item) in enumerate(zip(masks, items, strict=True)):
        if mask.dtype != bool or mask.shape != np.shape(item):
            raise ValueError(
                f"mask {i} has dtype {mask.dtype} and shape {mask.shape};"
                f" it must be bool of its scan's shape {np.shape(item)}, True where hidden"
            )
    return masks


def check_any_signal(observed: NDArray, names: list[int]) -> None:
    """Raise where no region of a run has signal; ``observed`` is (n_runs, n_regions)."""
    if (empty := np.flatnonzero(~observed.any(axis=1))).size:
        i = names[empty[0]]
        raise ValueError(f"scan {i} is constant in every region: it holds no signal")


def warn_if_constant(flat: NDArray, names: list[int]) -> None:
    """Warn of constant regions, ``flat`` of shape (n_runs, n_regions)."""
    found = [
        f"scan {name}: {np.flatnonzero(row).tolist()}"
        for name, row in zip(names, flat, strict=True)
        if row.any()
    ]
    if found:
        warnings.warn(
            f"constant regions carry no signal and are treated as missing: {_shorten(found)}",
            stacklevel=3,
        )


def warn_if_not_standardised(cohort: Cohort, names: list[int]) -> None:
    """Warn of runs whose values, kept as they came, are far from those of z-scores."""
    size = np.zeros(len(names))  # root mean square of each run
    for r, observed in enumerate(cohort.observed):
        values = cohort.run_frames(r)[:, observed]
        size[r] = np.sqrt(np.mean(np.square(values, dtype=float)))
    least, most = STANDARDISED
    if (odd := np.flatnonzero((size < least) | (size > most))).size:
        warnings.warn(
            f"standardize=False keeps values as they come, but those of {odd.size} of"
            f" {len(names)} scans are not standardised (scan {names[odd[0]]}: root mean square"
            f" {size[odd[0]]:.3g}): z-score each run before its trials are cut, or pass Windows",
            stacklevel=3,
        )


def warn_of_gaps(gaps: list[NDArray | None], names: list[int]) -> None:
    """Warn once of missing values: which scans, and how many frames, regions and other cells."""
    found = []
    for name, cells in zip(names, gaps, strict=True):
        if cells is None:
            continue
        regions = cells.mean(axis=0) > MAX_MISSING
        frames = cells[:, ~regions].all(axis=1)
        n_cells = cells[np.ix_(~frames, ~regions)].sum()
        counts = {"frames": frames.sum(), "regions": regions.sum(), "other values": n_cells}
        listed = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
        found.append(f"scan {name}: {listed}")
    if found:
        warnings.warn(
            f"{len(found)} of {len(gaps)} scans have missing values, which are masked:"
            f" {_shorten(found)}",
            stacklevel=3,
        )


def warn_if_coarser(times: NDArray, grid: float) -> None:
    """Warn of runs with a longer repetition time than the model; ``times`` is (n_runs,), in s."""
    if (coarser := np.flatnonzero(times > grid)).size:
        longest = times.max()
        warnings.warn(
            f"{coarser.size} of {len(times)} scans have a longer t_r than the model's {grid} s, up"
            f" to {longest} s: they hold no signal above {0.5 / longest:.3g} Hz, other scans may."
            " Set the model's t_r to the longest of the scans",
            stacklevel=3,
        )


def _shorten(found: list[str]) -> str:
    more = f"; and {len(found) - NAMED} more scans" if len(found) > NAMED else ""
    return "; ".join(found[:NAMED]) + more
