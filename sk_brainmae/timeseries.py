"""Scans in: the one place where scans are validated and standardised.

A scan is a matrix of regional BOLD signal, ``(n_timepoints, n_regions)``. Everything behind this
module works on a :class:`Cohort`, which holds each run once, contiguous and z-scored, so that a
crop of any scan is a plain index into one array.
"""

import operator
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sk_brainmae.storage import empty_frames, forget

# A region that varies this much less than the liveliest region of its scan carries no signal.
FLAT_REGION = 1e-6


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
        frames = np.asarray(self.scan)[self.start : self.stop]
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
        missing regions are 0. Many frames lie in a file, see :mod:`~sk_brainmae.storage`.
    run_start, run_length : ndarray of shape (n_runs,)
        First row of each run in ``frames``, and its number of frames.
    observed : ndarray of shape (n_runs, n_regions), bool
        False where a region is missing (constant) in a run.
    mean, scale : ndarray of shape (n_runs, n_regions)
        What standardising removed, in the units of the input.
    runs : ndarray of shape (n_samples,)
        The run each sample is cut from.
    start, stop : ndarray of shape (n_samples,)
        Frames of each sample inside its run.
    hidden : ndarray of shape (n_frames, n_regions), bool, or None
        Cells of ``frames`` that a model must not see; None: it may see all.
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
    hidden: NDArray | None = None

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


def validate_scans(
    X: Any, *, n_regions: int | None = None, hidden: Sequence[Any] | None = None
) -> Cohort:
    """Check scans and standardise them; the input is never changed.

    Parameters
    ----------
    X : list, tuple or object array of scans, or ndarray of shape (n_scans, n_timepoints, n_regions)
        A scan is an array or DataFrame of shape (n_timepoints, n_regions), or a :class:`Window`.
        Lengths may differ, region counts may not.
    n_regions : int, optional
        The region count a fitted model expects.
    hidden : list of bool array-like, each of shape (n_timepoints_i, n_regions), optional
        Cells a model must not know. They are left out of the mean and variance, too.

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
        not finite, or is constant in every region.

    Warns
    -----
    UserWarning
        If regions are constant (they are treated as missing), or if a scan has more regions than
        frames, as transposed scans do.
    """
    items = _as_list(X)
    scans, runs, names = _distinct_runs(items, keep_all=hidden is not None)
    start = np.array([item.start if isinstance(item, Window) else 0 for item in items])
    stop = start + [len(item) for item in items]
    _check_regions(scans, names, n_regions)

    lengths = np.array([len(scan) for scan in scans])
    run_start = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    n_frames, n_regions = int(lengths.sum()), scans[0].shape[1]
    hidden_cells = None
    if hidden is not None:
        hidden_cells = np.zeros((n_frames, n_regions), dtype=bool)
        for i, mask in enumerate(_check_masks(hidden, items)):
            hidden_cells[run_start[i] + start[i] : run_start[i] + stop[i]] = mask

    frames = empty_frames((n_frames, n_regions))
    mean = np.zeros((len(scans), n_regions))
    scale, observed = np.ones_like(mean), np.ones_like(mean, dtype=bool)
    for r, scan in enumerate(scans):
        rows = slice(run_start[r], run_start[r] + lengths[r])
        known = None if hidden_cells is None else ~hidden_cells[rows]
        mean[r], scale[r], observed[r] = _standardise(scan, known, frames[rows])
        forget(scan)
        forget(frames)
        if known is None and not observed[r].any():
            raise ValueError(f"scan {names[r]} is constant in every region: it holds no signal")
    _warn_if_transposed(scans, names)
    if hidden is None:
        _warn_if_constant(observed, names)
    return Cohort(
        frames, run_start, lengths, observed, mean, scale, runs, start, stop, hidden_cells
    )


def _as_list(X: Any) -> list:
    """Return the samples of ``X`` as a list, or say why it is no cohort."""
    if isinstance(X, Window) or (hasattr(X, "ndim") and X.ndim == 2):
        raise ValueError(
            f"X is a single scan of shape {X.shape}; a cohort is a list of scans or an array"
            " (n_scans, n_timepoints, n_regions): pass [X] for one scan. Reshape your data"
        )
    if isinstance(X, (list, tuple)) or getattr(X, "ndim", 0) in (1, 3):
        items = list(X)
    else:
        raise TypeError(
            "X must be a list of scans or an array (n_scans, n_timepoints, n_regions),"
            f" got {type(X).__name__}"
        )
    if not items:
        raise ValueError("X holds no scans")
    return items


def _distinct_runs(items: list, keep_all: bool) -> tuple[list[NDArray], NDArray, list[int]]:
    """Return every distinct scan once, checked, the run of each item, and each run's first item."""
    seen: dict[int, int] = {}
    scans: list[NDArray] = []
    runs, names = [], []
    for i, item in enumerate(items):
        scan = item.scan if isinstance(item, Window) else item
        key = i if keep_all else id(scan)
        if key not in seen:
            seen[key] = len(scans)
            scans.append(_as_signal(scan, i))
            forget(scan)
            names.append(i)
        runs.append(seen[key])
    return scans, np.array(runs), names


def _as_signal(scan: Any, i: int) -> NDArray:
    """Return scan ``i`` as a finite float array (n_timepoints, n_regions)."""
    if np.ma.is_masked(scan):
        raise ValueError(f"scan {i} has masked values: clean or interpolate it first")
    try:
        signal = np.asarray(scan, order="C")
    except ValueError as error:
        raise ValueError(f"scan {i} is no matrix (n_timepoints, n_regions): {error}") from None
    if signal.dtype.kind == "O" and not any(isinstance(value, str) for value in signal.flat):
        try:
            signal = signal.astype(float)
        except (TypeError, ValueError) as error:
            raise TypeError(f"scan {i} holds values that are no numbers: {error}") from None
    if signal.dtype.kind == "c":
        raise ValueError(f"Complex data not supported: scan {i} has dtype {signal.dtype}")
    if signal.dtype.kind not in "fiub":
        raise TypeError(f"scan {i} holds no numbers but dtype {signal.dtype}")
    if signal.ndim != 2 or 0 in signal.shape:
        raise ValueError(
            f"scan {i} has shape {signal.shape}; a scan is a matrix (n_timepoints, n_regions)"
        )
    bad = ~np.isfinite(signal)
    if bad.any():
        frame, region = np.argwhere(bad)[0]
        raise ValueError(
            f"scan {i} has {signal[frame, region]} at frame {frame}, region {region}"
            f" ({bad.sum()} values in it are NaN or infinite): clean or interpolate it first"
        )
    return signal


def _check_regions(scans: list[NDArray], names: list[int], expected: int | None) -> None:
    """Raise where region counts differ from each other or from what a model expects."""
    counts = np.array([scan.shape[1] for scan in scans])
    usual = int(np.bincount(counts).argmax())
    if expected is not None and expected not in counts:
        raise ValueError(f"the scans have {usual} regions, but the model was fitted on {expected}")
    right = usual if expected is None else expected
    if (odd := np.flatnonzero(counts != right)).size:
        others = "the others have" if odd.size == 1 else "most have"
        others = others if expected is None else "the model was fitted on"
        raise ValueError(f"scan {names[odd[0]]} has {counts[odd[0]]} regions, {others} {right}")


def _check_masks(hidden: Sequence[Any], items: list) -> list[NDArray]:
    """Return the masks as bool arrays, each of the shape of its scan."""
    if len(hidden) != len(items):
        raise ValueError(f"{len(hidden)} masks for {len(items)} scans: give one mask a scan")
    masks = [np.asarray(mask) for mask in hidden]
    for i, (mask, item) in enumerate(zip(masks, items, strict=True)):
        if mask.dtype != bool or mask.shape != np.shape(item):
            raise ValueError(
                f"mask {i} has dtype {mask.dtype} and shape {mask.shape};"
                f" it must be bool of its scan's shape {np.shape(item)}, True where hidden"
            )
    return masks


def _standardise(
    scan: NDArray, known: NDArray | None, out: NDArray
) -> tuple[NDArray, NDArray, NDArray]:
    """Write the z-scored scan into ``out``; return mean, scale and which regions have signal.

    Only ``known`` cells count. A region without signal keeps the scale 1, and zeros.
    """
    count = np.full(scan.shape[1], len(scan))
    if known is not None:
        count = np.maximum(known.sum(axis=0), 1)
        scan = np.where(known, scan, 0)
    mean = scan.sum(axis=0, dtype=float) / count
    centred = scan - mean
    if known is not None:
        centred[~known] = 0
    scale = np.sqrt(np.square(centred).sum(axis=0) / count)
    rounding = np.finfo(float).eps * len(scan) * np.abs(mean)  # a constant region may show this
    observed = (scale > FLAT_REGION * scale.max()) & (scale > rounding)
    scale = np.where(observed, scale, 1)
    np.divide(centred, scale, out=out, where=observed, casting="same_kind")
    return mean, scale, observed


def _warn_if_transposed(scans: list[NDArray], names: list[int]) -> None:
    wide = [r for r, scan in enumerate(scans) if scan.shape[1] > len(scan)]
    if wide:
        n_frames, n_regions = scans[wide[0]].shape
        warnings.warn(
            f"{len(wide)} of {len(scans)} scans have more regions than frames, the first is scan"
            f" {names[wide[0]]} ({n_regions} and {n_frames}): a scan is (n_timepoints, n_regions);"
            " transpose yours if it is the other way round",
            stacklevel=3,
        )


def _warn_if_constant(observed: NDArray, names: list[int]) -> None:
    flat = [
        f"scan {name}: {np.flatnonzero(~row).tolist()}"
        for name, row in zip(names, observed, strict=True)
        if not row.all()
    ]
    if flat:
        more = f"; and {len(flat) - 5} more scans" if len(flat) > 5 else ""
        warnings.warn(
            "constant regions carry no signal and are treated as missing: "
            + "; ".join(flat[:5])
            + more,
            stacklevel=3,
        )
