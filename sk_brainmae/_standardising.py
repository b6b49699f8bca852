"""Scans as z-scored signal, of what is known of them."""

import numpy as np
from numpy.typing import NDArray

# A region that varies this much less than the liveliest region of its scan carries no signal.
FLAT_REGION = 1e-6


def standardise(
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


def join(cells: list[NDArray | None], shape: tuple[int, int], run_start: NDArray) -> NDArray | None:
    """Join the marked cells of all runs, (n_frames, n_regions); None where there are none."""
    if all(some is None for some in cells):
        return None
    joined = np.zeros(shape, dtype=bool)
    for some, first in zip(cells, run_start, strict=True):
        if some is not None:
            joined[first : first + len(some)] = some
    return joined
