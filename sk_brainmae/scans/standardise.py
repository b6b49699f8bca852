"""Z-score each region over its observed frames, or keep values that come standardised."""

import numpy as np
from numpy.typing import NDArray

from sk_brainmae.scans.cohort import Cohort
from sk_brainmae.scans.gaps import MAX_MISSING
from sk_brainmae.scans.runs import Run, check_size, empty_frames, forget

# A region that varies this much less than the liveliest region of its scan carries no signal.
FLAT_REGION = 1e-6
# The squares of larger values overflow in float32, if they are kept as they are.
LARGEST_KEPT = 1e15


def standardise_runs(runs: list[Run], *, keep: bool = False) -> tuple[Cohort, NDArray]:
    """Read and z-score checked runs, or ``keep`` their values, one at a time.

    The samples of the cohort are the whole runs. The array says which regions are constant,
    (n_runs, n_regions).
    """
    lengths = np.array([len(run) for run in runs])
    run_start = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    shape = int(lengths.sum()), runs[0].shape[1]
    frames = empty_frames(shape)
    mean = np.zeros((len(runs), shape[1]))
    scale, observed = np.ones_like(mean), np.ones_like(mean, dtype=bool)
    flat = np.zeros_like(observed)
    missing: list[NDArray | None] = []
    masks: list[NDArray | None] = []
    for r, run in enumerate(runs):
        rows = slice(run_start[r], run_start[r] + lengths[r])
        signal, gaps, hidden = run.read()
        unknown = [cells for cells in (gaps, hidden) if cells is not None]
        known = ~np.logical_or.reduce(unknown) if unknown else None
        if keep:
            check_size(signal, hidden, run.item, LARGEST_KEPT)
        mean[r], scale[r], observed[r] = standardise(signal, known, frames[rows], keep=keep)
        forget(run.source)
        forget(frames)
        flat[r] = ~observed[r]
        if gaps is not None:
            lost = gaps.mean(axis=0) > MAX_MISSING
            observed[r] &= ~lost
            flat[r] &= ~lost
            frames[rows][:, lost] = 0
            gaps = gaps & observed[r]
        missing.append(gaps if gaps is not None and gaps.any() else None)
        masks.append(hidden)
    cohort = Cohort(
        *(frames, run_start, lengths, observed, mean, scale),
        runs=np.arange(len(runs)),
        start=np.zeros(len(runs), dtype=int),
        stop=lengths,
        resampled=np.array([run.times is not None for run in runs]),
        hidden=_join(masks, shape, run_start),
        missing=_join(missing, shape, run_start),
    )
    return cohort, flat


def standardise(
    scan: NDArray, known: NDArray | None, out: NDArray, *, keep: bool = False
) -> tuple[NDArray, NDArray, NDArray]:
    """Write the z-scored scan into ``out``; return mean, scale and which regions have signal.

    Only ``known`` cells count (None: all). Regions without signal get scale 1 and stay 0 in
    ``out``, which must be zeros. To ``keep`` values is to standardise by mean 0 and scale 1.
    """
    count = np.full(scan.shape[1], len(scan))
    if known is not None:
        count = np.maximum(known.sum(axis=0), 1)
        scan = np.where(known, scan, 0)
    mean = scan.sum(axis=0, dtype=float) / count
    centred = scan - mean
    if known is not None:
        centred[~known] = 0
    # Dividing by a power of two rounds nothing, and squares of tiny values do not vanish.
    unit = np.exp2(np.frexp(np.abs(centred).max())[1])
    scale = unit * np.sqrt(np.square(centred / unit).sum(axis=0) / count)
    rounding = np.finfo(float).eps * len(scan) * np.abs(mean)  # a constant region may show this
    observed = (scale > FLAT_REGION * scale.max()) & (scale > rounding)
    if keep:
        np.copyto(out, scan, where=observed, casting="same_kind")
        return np.zeros_like(mean), np.ones_like(scale), observed
    scale = np.where(observed, scale, 1)
    np.divide(centred, scale, out=out, where=observed, casting="same_kind")
    return mean, scale, observed


def _join(
    cells: list[NDArray | None], shape: tuple[int, int], run_start: NDArray
) -> NDArray | None:
    """Join the marked cells of all runs, (n_frames, n_regions); None where there are none."""
    if all(some is None for some in cells):
        return None
    joined = np.zeros(shape, dtype=bool)
    for some, first in zip(cells, run_start, strict=True):
        if some is not None:
            joined[first : first + len(some)] = some
    return joined
