"""Covariance of the training scans over regions, and over the frames of a window.

The closed-form start of the network, the embedding of whole scans and that of moments share them.
"""

import numpy as np
from numpy.lib.stride_tricks import as_strided, sliding_window_view
from numpy.typing import NDArray

from sk_brainmae.scans.cohort import Cohort

# From this many complete windows on, counted per frame of a window, they give a better covariance
# in time than all pairs of frames do. Fewer do not show its weakest directions.
ENOUGH_WINDOWS = 100
# At least so many frames are multiplied with those after them at once.
PAIRED_FRAMES = 256
# Variance of the noise in z-scored signal that a conditional Gaussian assumes: it keeps inverses
# finite in band-passed data.
NOISE = 0.05


def region_covariance(cohort: Cohort, precision: NDArray | None = None) -> NDArray:
    """Covariance of the regions over the frames of all samples, (n_regions, n_regions).

    Each pair of regions counts the frames in which both were measured; 0 where there is none. A
    ``precision`` P, (window, window), weighs directions in time: samples are cut into windows X
    and X'PX is summed instead of X'X. Windows with censored frames use the P of the others.
    """
    window = 1 if precision is None else len(precision)
    root = None if precision is None else np.linalg.cholesky(precision).T.astype(np.float32)
    total = np.zeros((cohort.n_regions, cohort.n_regions))
    n_frames = np.zeros(len(cohort))
    n_damaged = np.zeros_like(total)
    for i in range(len(cohort)):
        frames, known = cohort.sample(i), cohort.known(i)
        length = len(frames) // window * window
        frames = frames[:length]
        if known.ndim == 2:
            known = known[:length].astype(np.float32)
            n_damaged += known.T @ known
            if precision is not None:
                frames = _whiten_seen(frames, known.sum(axis=1) > 0, precision)
        else:
            n_frames[i] = length
            if root is not None:
                frames = (root @ frames.reshape(-1, window, cohort.n_regions)).reshape(frames.shape)
        total += frames.T @ frames
    observed = cohort.observed[cohort.runs]  # (n_samples, N)
    return total / np.maximum((observed.T * n_frames) @ observed + n_damaged, 1)


def _whiten_seen(frames: NDArray, seen: NDArray, precision: NDArray) -> NDArray:
    """Whiten consecutive windows of ``frames`` by the covariance of their seen frames."""
    inverse = inverse_of_seen(np.linalg.inv(precision), seen.reshape(-1, len(precision)))
    # A 1 on the diagonal for unseen frames, which are 0, leaves the root of the seen part as it is.
    inverse[..., range(len(precision)), range(len(precision))] += ~seen.reshape(inverse.shape[:2])
    root = np.linalg.cholesky(inverse).swapaxes(1, 2).astype(np.float32)
    return (root @ frames.reshape(-1, len(precision), frames.shape[1])).reshape(frames.shape)


def inverse_of_seen(covariance: NDArray, seen: NDArray) -> NDArray:
    """Invert a covariance (n, n) over the seen frames of each window, ``seen`` (n_windows, n).

    The inverses, (n_windows, n, n), are 0 in the rows and columns of unseen frames.
    """
    both = seen[:, :, None] & seen[:, None, :]  # (n_windows, n, n)
    return np.linalg.inv(np.where(both, covariance, np.eye(len(covariance)))) * both


def window_covariance(cohort: Cohort, window: int) -> NDArray:
    """Covariance of the frames of a window, over all its places in all samples and regions.

    It is positive semidefinite, (window, window). Samples shorter than a window do not count; if
    all are, ValueError is raised.
    """
    total, n_windows = np.zeros((window, window)), 0
    damaged = []
    for i in range(len(cohort)):
        if len(frames := cohort.sample(i)) < window:
            continue
        if (known := cohort.known(i)).ndim == 2:
            damaged.append(_count_pairs(frames, known, window))
            continue
        products, n_places = _sum_products(frames[:, known].astype(float), window)
        total += products
        n_windows += n_places * known.sum()
    if damaged:
        whole, n_whole, pairs, n_pairs = (sum(each) for each in zip(*damaged, strict=True))
        if n_windows + n_whole < ENOUGH_WINDOWS * window:
            return _nearest_covariance((total + pairs) / np.maximum(n_windows + n_pairs, 1))
        total, n_windows = total + whole, n_windows + n_whole
    if not n_windows:
        raise ValueError(f"no sample has the {window} frames of a window")
    return total / n_windows


def _sum_products(frames: NDArray, window: int) -> tuple[NDArray, int]:
    """Sum x x' over all places of a window and all regions; return it and the number of places.

    Memory and time grow linearly with the frames: only pairs of frames less than a window apart
    are multiplied, in blocks.
    """
    n_frames = len(frames)
    n_places = n_frames - window + 1
    by_lag = np.zeros((n_frames, window))  # products of frames t and t + lag, over regions
    block = max(PAIRED_FRAMES, 2 * window)
    for start in range(0, n_frames, block):
        here = frames[start : start + block]
        near = frames[start : start + block + window - 1]
        products = np.zeros((len(here), len(here) + window))  # 0 beyond the end
        products[:, : len(near)] = here @ near.T
        # Row t of this view begins on the diagonal of the products.
        rows, columns = products.strides
        bands = as_strided(products, (len(here), window), (rows + columns, columns))
        by_lag[start : start + block] = bands
    # Over all places, frames a and a + lag of a window are t and t + lag for n_places values of t.
    total = np.zeros((window, window))
    sums = np.concatenate([np.zeros((1, window)), np.cumsum(by_lag, axis=0)])
    over_places = sums[n_places:] - sums[:window]  # (window, window): of frame a, by lag
    for lag in range(window):
        first = np.arange(window - lag)
        total[first, first + lag] = over_places[first, lag]
    return np.triu(total) + np.triu(total, 1).T, n_places


def _count_pairs(
    frames: NDArray, known: NDArray, window: int
) -> tuple[NDArray, int, NDArray, NDArray]:
    """Sum x x' over the complete windows, and over all pairs of known frames.

    Each sum, (window, window), comes with its number of terms: an int for complete windows, one
    for each entry, (window, window), for pairs.
    """
    whole, n_whole = np.zeros((window, window)), 0
    for region, here in zip(frames.T.astype(float), known.T, strict=True):
        complete = sliding_window_view(here, window).all(axis=1)
        windows = sliding_window_view(region, window)[complete]  # (n, window)
        whole += windows.T @ windows
        n_whole += len(windows)
    pairs, _ = _sum_products(frames.astype(float), window)
    n_pairs, _ = _sum_products(known.astype(float), window)
    return whole, n_whole, pairs, n_pairs


def _nearest_covariance(covariance: NDArray) -> NDArray:
    """Lift eigenvalues to at least the size of the most negative one: smaller ones are errors."""
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.maximum(values, -min(values[0], 0.0))) @ vectors.T


def fill_missing(frames: NDArray, known: NDArray, covariance: NDArray) -> tuple[NDArray, NDArray]:
    """Fill in missing regions m from the known ones v: C_mv (C_vv + noise I)^-1 x_v.

    ``frames`` is (n_timepoints, n_regions), ``known`` (n_regions,) or (n_timepoints, n_regions),
    and C the ``covariance`` of the training cohort. Frames without a known region become 0.
    Also returns the covariance that filling in loses, (n_regions, n_regions), as a mean over
    frames: C_mm - C_mv (C_vv + noise I)^-1 C_vm. Without it, a missing region would seem to have
    hardly any variance.
    """
    if known.ndim == 2:
        patterns, pattern = np.unique(known, axis=0, return_inverse=True)
        filled, unexplained = np.zeros_like(frames), np.zeros_like(covariance)
        for k, regions in enumerate(patterns):
            here = pattern.ravel() == k
            filled[here], left_out = fill_missing(frames[here], regions, covariance)
            unexplained += here.mean() * left_out
        return filled, unexplained
    shared = covariance[np.ix_(known, ~known)]
    predictor = np.linalg.solve(
        covariance[np.ix_(known, known)] + NOISE * np.eye(known.sum()), shared
    )
    filled, unexplained = frames.copy(), np.zeros_like(covariance)
    filled[:, ~known] = frames[:, known] @ predictor
    missing = np.ix_(~known, ~known)
    unexplained[missing] = covariance[missing] - shared.T @ predictor
    return filled, unexplained
