"""How signal varies over regions and over the frames of a window, in the training scans.

Both covariances are what the closed-form start of the network, the embedding of whole scans and
the decoding of moments have in common.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from sk_brainmae.scans.cohort import Cohort

# Complete windows of a region that tell a covariance in time better than all pairs of frames do,
# in windows: it takes that many to know its weakest directions.
ENOUGH_WINDOWS = 100
# Noise that a conditional Gaussian of z-scored signal allows for: it keeps inverses finite in
# band-passed data.
NOISE = 0.05


def region_covariance(cohort: Cohort, precision: NDArray | None = None) -> NDArray:
    """Covariance of the regions over the frames of all samples.

    Parameters
    ----------
    cohort : Cohort
        Training scans.
    precision : ndarray of shape (window, window), optional
        Inverse covariance of the frames of a window: samples are cut into windows, X'PX is
        counted instead of X'X, and directions in time count as they are weighted there.

    Returns
    -------
    ndarray of shape (n_regions, n_regions)
        A pair of regions counts the frames in which both were measured; 0 where there is none.
        Of a window with censored frames, the covariance of the others is inverted.
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
    """Whiten windows, one after another in ``frames``, by the covariance of their seen frames."""
    inverse = inverse_of_seen(np.linalg.inv(precision), seen.reshape(-1, len(precision)))
    # The root of a masked inverse is that of its seen part; the others are 0 anyway.
    inverse[..., range(len(precision)), range(len(precision))] += ~seen.reshape(inverse.shape[:2])
    root = np.linalg.cholesky(inverse).swapaxes(1, 2).astype(np.float32)
    return (root @ frames.reshape(*inverse.shape[:2], -1)).reshape(frames.shape)


def inverse_of_seen(covariance: NDArray, seen: NDArray) -> NDArray:
    """Invert the part of a covariance that is seen, in many windows at once.

    Parameters
    ----------
    covariance : ndarray of shape (n, n)
        Of the frames of a window.
    seen : bool ndarray of shape (n_windows, n)
        Which of its frames each window has.

    Returns
    -------
    ndarray of shape (n_windows, n, n)
        0 in the rows and columns of what is not seen.
    """
    both = seen[:, :, None] & seen[:, None, :]
    return np.linalg.inv(np.where(both, covariance, np.eye(len(covariance)))) * both


def window_covariance(cohort: Cohort, window: int) -> NDArray:
    """Covariance of the frames of a window, over all places of it in all samples and regions.

    Parameters
    ----------
    cohort : Cohort
        Training scans; those shorter than a window do not count.
    window : int
        Frames tau in a window.

    Returns
    -------
    ndarray of shape (window, window)
        Symmetric, positive semidefinite.

    Raises
    ------
    ValueError
        If no sample is as long as a window.
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
    """Sum x x' over all places of a window and all regions; say how many places there are."""
    total = np.zeros((window, window))
    n_places = len(frames) - window + 1
    products = frames @ frames.T  # of all pairs of frames, summed over regions, (T, T)
    for lag in range(window):
        # Frames a and a + lag of the windows at all places: a sum along a diagonal.
        sums = np.concatenate([[0], np.cumsum(np.diagonal(products, lag))])
        first = np.arange(window - lag)
        total[first, first + lag] += sums[first + n_places] - sums[first]
    return np.triu(total) + np.triu(total, 1).T, n_places


def _count_pairs(
    frames: NDArray, known: NDArray, window: int
) -> tuple[NDArray, int, NDArray, NDArray]:
    """Sum x x' over the windows that are complete, and over all pairs of frames that are known.

    Each with its number of terms: one for complete windows, of pairs one a pair, (window, window).
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
    """Lift eigenvalues to the size of the most negative one: smaller ones are errors, too."""
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.maximum(values, -min(values[0], 0.0))) @ vectors.T


def fill_missing(frames: NDArray, known: NDArray, covariance: NDArray) -> tuple[NDArray, NDArray]:
    """Fill in missing regions m from the observed v: C_mv (C_vv + noise I)^-1 x_v.

    Parameters
    ----------
    frames : ndarray of shape (n_timepoints, n_regions)
        z-scored signal of a scan.
    known : bool ndarray of shape (n_regions,) or (n_timepoints, n_regions)
        False where a region is missing, in all frames or in each.
    covariance : ndarray of shape (n_regions, n_regions)
        C, of the training cohort.

    Returns
    -------
    filled : ndarray of shape (n_timepoints, n_regions)
        The frames, complete; 0 where nothing of a frame is known.
    unexplained : ndarray of shape (n_regions, n_regions)
        The covariance that filling in leaves out, C_mm - C_mv (C_vv + noise I)^-1 C_vm: without
        it a missing region would look like one of hardly any variance. The mean over frames.
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
