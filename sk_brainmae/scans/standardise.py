"""Scans as z-scored signal, of what is known of them."""

import numpy as np
from numpy.typing import NDArray

from sk_brainmae.scans.resampling import MAX_MISSING
from sk_brainmae.scans.runs import Run, empty_frames, forget

Kept = tuple[NDArray, NDArray, NDArray, NDArray, NDArray, NDArray]
# A region that varies this much less than the liveliest region of its scan carries no signal.
FLAT_REGION = 1e-6


def standardise_runs(
    runs: list[Run],
) -> tuple[Kept, tuple[NDArray | None, NDArray | None], NDArray]:
    """Read and standardise checked runs, one at a time.

    Parameters
    ----------
    runs : list of Run
        Of as many regions.

    Returns
    -------
    kept : tuple of ndarray
        The frames of all runs, then the start, length, observed regions, means and scales of
        each, as in :class:`~sk_brainmae.scans.cohort.Cohort`.
    hidden, missing : tuple of (ndarray of shape (n_frames, n_regions), bool, or None)
        Cells that a model must not see, and that were not measured.
    flat : ndarray of shape (n_runs, n_regions), bool
        Which regions are constant.
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
        mean[r], scale[r], observed[r] = standardise(signal, known, frames[rows])
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
    cells = join(masks, shape, run_start), join(missing, shape, run_start)
    return (frames, run_start, lengths, observed, mean, scale), cells, flat


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
    # In units of a power of two nothing is rounded, and squares of tiny values are no zeros.
    unit = np.exp2(np.frexp(np.abs(centred).max())[1])
    scale = unit * np.sqrt(np.square(centred / unit).sum(axis=0) / count)
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
