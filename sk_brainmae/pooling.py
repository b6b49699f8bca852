"""Second-order pooling: latent time courses of a scan become one subject embedding.

What tells people apart in fMRI is how signals vary together, not their mean. Frames are projected
onto the space that the ROI embeddings span, whitened by the training cohort, and the logarithm of
their covariance is the embedding: a vector space in which distances are those between covariances
(Arsigny et al. 2006, Log-Euclidean metrics).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sk_brainmae.spectrum import fill_missing, region_covariance
from sk_brainmae.timeseries import Cohort

# The smallest variance of a latent direction relative to the largest: it keeps inverses finite in
# band-passed data.
SMALLEST_VARIANCE = 1e-3
# How far a scan's covariance is drawn towards the cohort's. The same for all scans: an intensity
# estimated scan by scan (Ledoit-Wolf) puts noise into the logarithms, and linear models suffer.
SHRINKAGE = 0.1


class LatentSpace(NamedTuple):
    """What second-order pooling learns from the training cohort.

    Attributes
    ----------
    covariance : ndarray of shape (n_regions, n_regions)
        Of the training frames, over the runs in which both regions have signal.
    whitening : ndarray of shape (n_regions, n_latents)
        Takes a frame to its latents, which have unit covariance in the training cohort.
    mean_log : ndarray of shape (n_latents, n_latents)
        Mean log-covariance of the training scans.
    """

    covariance: NDArray
    whitening: NDArray
    mean_log: NDArray


def fit_latent_space(cohort: Cohort, roi_embeddings: NDArray) -> LatentSpace:
    """Learn the whitened latent space of a training cohort.

    With Q an orthonormal basis of the span of the ROI embeddings and C the covariance of the
    training frames, the latents of a frame x are (Q'CQ)^-1/2 Q' x.

    Parameters
    ----------
    cohort : Cohort
        Training scans.
    roi_embeddings : ndarray of shape (n_regions, embedding_dim)
        One vector a region.

    Returns
    -------
    LatentSpace
        With min(n_regions, embedding_dim) latents.
    """
    covariance = region_covariance(cohort)
    basis, _ = np.linalg.qr(roi_embeddings.astype(float))  # (N, n_latents)
    variance, rotation = np.linalg.eigh(basis.T @ covariance @ basis)
    variance = np.maximum(variance, SMALLEST_VARIANCE * variance.max())
    whitening = basis @ (rotation / np.sqrt(variance)) @ rotation.T
    space = LatentSpace(covariance, whitening, np.zeros((len(variance), len(variance))))
    logs = (_log_covariance(cohort, i, space) for i in range(len(cohort)))
    return space._replace(mean_log=sum(logs, start=space.mean_log) / len(cohort))


def pool_covariance(cohort: Cohort, space: LatentSpace) -> NDArray:
    """Embed every sample by the log-covariance of its latents.

    The covariance is divided by its mean variance and drawn a little towards the training
    cohort's, which is the identity here; from its logarithm the training mean is subtracted.
    Missing regions count by their expectation and their covariance given the others.
    Off-diagonal entries are multiplied by sqrt(2), so that Euclidean distances between embeddings
    are those between log-covariances.

    Parameters
    ----------
    cohort : Cohort
        Scans of at least two frames.
    space : LatentSpace
        Learned from the training cohort.

    Returns
    -------
    ndarray of shape (n_samples, n_latents * (n_latents + 1) / 2), float32
        The embeddings.

    Raises
    ------
    ValueError
        If a scan has a single frame.
    """
    if (cohort.stop - cohort.start).min() < 2:
        raise ValueError("pooling='covariance' needs scans of two frames or more; use 'mean'")
    rows, columns = np.triu_indices(len(space.mean_log))
    weight = np.where(rows == columns, 1, np.sqrt(2))
    embeddings = np.empty((len(cohort), len(rows)), dtype=np.float32)
    for i in range(len(cohort)):
        log = _log_covariance(cohort, i, space) - space.mean_log
        embeddings[i] = log[rows, columns] * weight
    return embeddings


def _log_covariance(cohort: Cohort, i: int, space: LatentSpace) -> NDArray:
    """Logarithm of the trace-normalised, shrunk covariance of a sample's latents."""
    frames = cohort.sample(i).astype(float)  # (T, N)
    observed = cohort.observed[cohort.runs[i]]
    latent_unexplained: NDArray | float = 0.0
    if not observed.all():
        frames, unexplained = fill_missing(frames, observed, space.covariance)
        latent_unexplained = space.whitening.T @ unexplained @ space.whitening
    latents = frames @ space.whitening  # (T, n_latents)
    latents -= latents.mean(axis=0)
    covariance = latents.T @ latents / len(latents) + latent_unexplained
    variance, rotation = np.linalg.eigh(covariance)
    variance = (1 - SHRINKAGE) * np.maximum(variance, 0) / variance.mean() + SHRINKAGE
    return (rotation * np.log(variance)) @ rotation.T
