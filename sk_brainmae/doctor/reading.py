"""Scans as they come, none of them trusted."""

from collections.abc import Hashable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sk_brainmae.doctor.measures import ZScored
from sk_brainmae.scans.cohort import Cohort
from sk_brainmae.scans.gaps import masked_as_nan
from sk_brainmae.scans.identity import keys_of
from sk_brainmae.scans.runs import as_numbers, forget
from sk_brainmae.scans.window import Window


def as_matrix(scan: Any) -> NDArray:
    """Return a scan as a real matrix, a copy only where needed; masked values become NaN."""
    matrix = masked_as_nan(scan)
    if matrix.dtype.kind == "O":
        matrix = as_numbers(matrix)
    if matrix.dtype.kind not in "fiub":
        raise TypeError(f"its values are not real numbers but {matrix.dtype}")
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise ValueError(f"its shape is {matrix.shape}")
    return matrix


def values(scan: Any, n_frames: int | None = None) -> NDArray:
    """Return a contiguous float64 copy of a scan's first frames, (n_frames, n_regions)."""
    copy = as_matrix(scan)[:n_frames].astype(float, order="C")
    forget(scan)
    return copy


def run_z_scored(cohort: Cohort, run: int) -> ZScored:
    """Return a run of a cohort as the measures take it; its frames are not copied."""
    frames = cohort.run_frames(run)
    known = np.broadcast_to(cohort.known_frames(run, 0, len(frames)), frames.shape)
    return ZScored(frames, cohort.mean[run], cohort.scale[run], cohort.observed[run], known)


def distinct_runs(items: list) -> tuple[list[int], list[Any], dict[int, str]]:
    """Return the place of each run's first sample, the runs, and why other samples are unreadable.

    A scan given twice counts twice; a run of several Windows counts once.
    """
    places: list[int] = []
    runs: list[Any] = []
    trouble: dict[int, str] = {}
    windowed: set[Hashable] = set()
    for i, (item, key) in enumerate(zip(items, keys_of(items), strict=True)):
        run = item
        if isinstance(item, Window):
            run = item.scan
            if key in windowed:
                continue
            windowed.add(key)
        try:
            as_matrix(run)
            forget(run)
        except (TypeError, ValueError) as error:
            trouble[i] = str(error)
        else:
            places.append(i)
            runs.append(run)
    return places, runs, trouble
