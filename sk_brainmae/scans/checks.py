"""What scans are refused for, and what users are warned of."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sk_brainmae.scans.gaps import MAX_MISSING

# The squares of larger values overflow. No scanner measures them, but fill values may be larger.
LARGEST = 1e100
# A warning names this many scans and counts the others.
NAMED = 5


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


def find_gaps(signal: NDArray, i: int, missing: str) -> NDArray | None:
    """Return where scan ``i`` has NaN, (n_timepoints, n_regions); None where it is complete."""
    bad = ~np.isfinite(signal)
    if not bad.any():
        return None
    gaps = np.isnan(signal)
    infinite = bad & ~gaps
    if missing == "raise" or infinite.any():
        frame, region = np.argwhere(infinite if infinite.any() else gaps)[0]
        way_out = "clean or interpolate it first"
        if not infinite.any():
            way_out += ", or set missing='mask'"
        raise ValueError(
            f"scan {i} has {signal[frame, region]} at frame {frame}, region {region}"
            f" ({bad.sum()} values in it are NaN or infinite): {way_out}"
        )
    check_share(gaps, i, "of its run")
    return gaps


def check_share(gaps: NDArray, i: int, what: str) -> None:
    """Raise where more than half of a scan, or of a moment, is missing."""
    if (share := gaps.mean()) > MAX_MISSING:
        raise ValueError(
            f"scan {i} lacks {share:.0%} of the values {what}, more than the {MAX_MISSING:.0%}"
            " that can be filled in: leave it out"
        )


def check_size(signal: NDArray, hidden: NDArray | None, i: int) -> None:
    """Raise where a value of scan ``i`` that is not hidden is too large to be squared."""
    if signal.dtype.kind != "f" or signal.dtype.itemsize <= 4:
        return
    large = np.abs(signal) > LARGEST
    if hidden is not None:
        large &= ~hidden
    if large.any():
        frame, region = np.argwhere(large)[0]
        raise ValueError(
            f"scan {i} has {signal[frame, region]} at frame {frame}, region {region}"
            f" ({large.sum()} values in it are beyond {LARGEST:g}): clean it, or set them to NaN"
        )


def check_any_signal(observed: NDArray, names: list[int]) -> None:
    """Raise where no region of a run has signal; ``observed`` is (n_runs, n_regions)."""
    if (empty := np.flatnonzero(~observed.any(axis=1))).size:
        i = names[empty[0]]
        raise ValueError(f"scan {i} is constant in every region: it holds no signal")


def warn_if_transposed(shapes: list[tuple[int, int]], names: list[int]) -> None:
    """Warn of scans that have more regions than frames."""
    wide = [r for r, (n_frames, n_regions) in enumerate(shapes) if n_regions > n_frames]
    if wide:
        n_frames, n_regions = shapes[wide[0]]
        warnings.warn(
            f"{len(wide)} of {len(shapes)} scans have more regions than frames, the first is scan"
            f" {names[wide[0]]} ({n_regions} and {n_frames}): a scan is (n_timepoints, n_regions);"
            " transpose yours if it is the other way round",
            stacklevel=3,
        )


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
