"""How signal varies over regions and over the frames of a window, in the training scans.

Both covariances are what the closed-form start of the network, the embedding of whole scans and
the decoding of moments have in common.
"""

import numpy as np
from numpy.typing import NDArray

from sk_brainmae.timeseries import Cohort

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
        A pair of regions counts the samples in which both have signal; 0 where there is none.
    """
    window = 1 if precision is None else len(precision)
    root = None if precision is None else np.linalg.cholesky(precision).T.astype(np.float32)
    total = np.zeros((cohort.n_regions, cohort.n_regions))
    n_frames = np.zeros(len(cohort))
    for i in range(len(cohort)):
        frames = cohort.sample(i)
        n_frames[i] = len(frames) // window * window
        frames = frames[: int(n_frames[i])]
        if root is not None:
            frames = (root @ frames.reshape(-1, window, cohort.n_regions)).reshape(frames.shape)
        total += frames.T @ frames
    observed = cohort.observed[cohort.runs]  # (n_samples, N)
    return total / np.maximum((observed.T * n_frames) @ observed, 1)


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
    for i, observed in enumerate(cohort.observed[cohort.runs]):
        frames = cohort.sample(i)[:, observed].astype(float)
        n_places = len(frames) - window + 1
        if n_places < 1:
            continue
        products = frames @ frames.T  # of all pairs of frames, summed over regions, (T, T)
        for lag in range(window):
            # Frames a and a + lag of the windows at all places: a sum along a diagonal.
            sums = np.concatenate([[0], np.cumsum(np.diagonal(products, lag))])
            first = np.arange(window - lag)
            total[first, first + lag] += sums[first + n_places] - sums[first]
        n_windows += n_places * observed.sum()
    if not n_windows:
        raise ValueError(f"no sample has the {window} frames of a window")
    return (np.triu(total) + np.triu(total, 1).T) / n_windows


def fill_missing(
    frames: NDArray, observed: NDArray, covariance: NDArray
) -> tuple[NDArray, NDArray]:
    """Fill in missing regions m from the observed v: C_mv (C_vv + noise I)^-1 x_v.

    Parameters
    ----------
    frames : ndarray of shape (n_timepoints, n_regions)
        z-scored signal of a scan.
    observed : ndarray of shape (n_regions,), bool
        False where a region is missing.
    covariance : ndarray of shape (n_regions, n_regions)
        C, of the training cohort.

    Returns
    -------
    filled : ndarray of shape (n_timepoints, n_regions)
        The frames, complete.
    unexplained : ndarray of shape (n_regions, n_regions)
        The covariance that filling in leaves out, C_mm - C_mv (C_vv + noise I)^-1 C_vm: without
        it a missing region would look like one of hardly any variance.
    """
    known = covariance[np.ix_(observed, observed)] + NOISE * np.eye(observed.sum())
    shared = covariance[np.ix_(observed, ~observed)]
    predictor = np.linalg.solve(known, shared)
    filled, unexplained = frames.copy(), np.zeros_like(covariance)
    filled[:, ~observed] = frames[:, observed] @ predictor
    missing = np.ix_(~observed, ~observed)
    unexplained[missing] = covariance[missing] - shared.T @ predictor
    return filled, unexplained
