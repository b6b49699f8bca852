"""How signal varies over regions and over the frames of a window, in the training scans.

Both covariances are what the closed-form start of the network, the embedding of whole scans and
the decoding of moments have in common.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from sk_brainmae.timeseries import Cohort

# Noise that a conditional Gaussian of z-scored signal allows for: it keeps inverses finite in
# band-passed data.
NOISE = 0.05


def region_covariance(cohort: Cohort) -> NDArray:
    """Covariance of the regions over all frames of all runs.

    Parameters
    ----------
    cohort : Cohort
        Training scans.

    Returns
    -------
    ndarray of shape (n_regions, n_regions)
        A pair of regions counts the runs in which both have signal; 0 where there is none.
    """
    n_together = (cohort.observed.T * cohort.run_length) @ cohort.observed  # frames, (N, N)
    return (cohort.frames.T @ cohort.frames).astype(float) / np.maximum(n_together, 1)


def window_covariance(cohort: Cohort, window: int) -> NDArray:
    """Covariance of the frames of a window, over all places of it in all runs and regions.

    Parameters
    ----------
    cohort : Cohort
        Training scans of at least one window each.
    window : int
        Frames tau in a window.

    Returns
    -------
    ndarray of shape (window, window)
        Symmetric, positive semidefinite.
    """
    total, n_windows = np.zeros((window, window)), 0
    for start, length, observed in zip(
        cohort.run_start, cohort.run_length, cohort.observed, strict=True
    ):
        run = cohort.frames[start : start + length, observed].astype(float)
        places = sliding_window_view(run, window, axis=0).reshape(-1, window)  # (places * N, tau)
        total += places.T @ places
        n_windows += len(places)
    return total / n_windows


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
