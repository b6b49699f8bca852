"""Moments of scans: the frames of a trial, as its run makes them comparable, become features.

What a moment is about shows in few slow components of each region's signal, and in a metric that
does not let the strongest networks of the run drown the others. So regions are whitened by their
covariance in the run (a statistic of the whole run, unlabelled), frames are projected onto the
temporal components of a window, and the half window that follows is looked at, too: the
haemodynamic response outlasts its cause.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sk_brainmae.scans.cohort import Cohort
from sk_brainmae.scans.covariance import fill_missing, region_covariance, window_covariance
from sk_brainmae.scans.crops import tile_crops
from sk_brainmae.scans.gaps import bridge_gaps

# Temporal components hold this share of the variance of a window. Those left out are the ones
# that a filter has emptied; linear heads are indifferent to a few more or less.
TEMPORAL_SHARE = 0.99


@dataclass(frozen=True)
class MomentSpace:
    """What the embedding of moments learns from the training cohort.

    Attributes
    ----------
    covariance : ndarray of shape (n_regions, n_regions)
        Of the training frames, over the runs in which both regions have signal.
    basis : ndarray of shape (n_regions, n_latents)
        Orthonormal basis of the span of the ROI embeddings.
    components : ndarray of shape (window, n_components)
        Orthonormal time courses of a window, the strongest first.
    """

    covariance: NDArray
    basis: NDArray
    components: NDArray

    @property
    def n_features(self) -> int:
        """Length of the embedding of a moment."""
        return 2 * self.components.shape[1] * self.basis.shape[1]


def fit_moment_space(cohort: Cohort, roi_embeddings: NDArray, window: int) -> MomentSpace:
    """Learn from a training cohort how its moments are looked at.

    Parameters
    ----------
    cohort : Cohort
        Training scans of at least one window each.
    roi_embeddings : ndarray of shape (n_regions, embedding_dim)
        One vector a region.
    window : int
        Frames tau in a window.

    Returns
    -------
    MomentSpace
        With min(n_regions, embedding_dim) latents, and as many temporal components as hold 99 %
        of the variance of a window.
    """
    basis, _ = np.linalg.qr(roi_embeddings.astype(float))  # (N, n_latents)
    variance, components = np.linalg.eigh(window_covariance(cohort, window))
    share = np.cumsum(variance[::-1]) / variance.sum()
    n_components = np.searchsorted(share, TEMPORAL_SHARE) + 1
    # The strides of a slice are seen by joblib.hash, and not kept by pickle.
    strongest = components[:, ::-1][:, :n_components].copy()
    return MomentSpace(region_covariance(cohort), basis.copy(), strongest)


def embed_moments(cohort: Cohort, space: MomentSpace) -> NDArray:
    """Embed every sample by the states of its window and of the one half a window later.

    With Q the basis of latents, U the temporal components, C the covariance of the training
    cohort and C_r that of the sample's run, the state of a window X of shape (tau, N) is

        U' X Q S^-1/2,  S = Q' (C_r + C + I) Q / 3,

    that is, latents whitened by the covariance of their run, drawn towards the cohort's and
    towards independence in equal parts. A later window that would end after the run is the last
    one of the run. A sample longer than a window is the mean over the windows that tile it, a
    shorter one is widened evenly, see :func:`~sk_brainmae.scans.tile_crops`. Missing regions count
    by their expectation and their covariance given the others; latents of censored frames lie on a
    line between those before and after.

    An embedding depends on its sample's run and on no other, nor on which other samples of that
    run there are. Distances are to be taken as they are: standardising features would inflate
    the weakest components.

    Parameters
    ----------
    cohort : Cohort
        Samples of runs of at least one window each.
    space : MomentSpace
        Learned from the training cohort.

    Returns
    -------
    ndarray of shape (n_samples, 2 * n_components * n_latents), float32
        The embeddings.
    """
    window = len(space.components)
    tiles = tile_crops(cohort, window, n_windows=1)
    first = tiles.starts[:, 0] - cohort.run_start[tiles.run]  # (n_windows,), inside the run
    later = np.minimum(first + window // 2, cohort.run_length[tiles.run] - window)

    n_windows = np.bincount(tiles.sample, minlength=len(cohort))
    embeddings = np.zeros((len(cohort), space.n_features))
    for run in np.unique(tiles.run):
        latents = _whitened_latents(cohort, run, space)  # (T, n_latents)
        for i in np.flatnonzero(tiles.run == run):
            states = [
                space.components.T @ latents[start : start + window]
                for start in (first[i], later[i])
            ]
            embeddings[tiles.sample[i]] += np.ravel(states)
    return (embeddings / n_windows[:, None]).astype(np.float32)


def _whitened_latents(cohort: Cohort, run: int, space: MomentSpace) -> NDArray:
    """Return a run's latents, whitened by its own covariance, (T, n_latents)."""
    frames = cohort.run_frames(run).astype(float)  # (T, N)
    unexplained: NDArray | float = 0.0
    known = cohort.known_frames(run, 0, len(frames))
    seen = np.broadcast_to(known, frames.shape).sum(axis=1) > 0
    if not known.all():
        frames[seen], unexplained = fill_missing(
            frames[seen], known if known.ndim == 1 else known[seen], space.covariance
        )
    own = frames.T @ frames / seen.sum() + unexplained  # (N, N)
    shrunk = (own + space.covariance + np.eye(len(own))) / 3
    variance, rotation = np.linalg.eigh(space.basis.T @ shrunk @ space.basis)
    latents = frames @ space.basis  # (T, n_latents)
    if not seen.all():
        latents = bridge_gaps(latents, np.broadcast_to(seen[:, None], latents.shape))
    return latents @ (rotation / np.sqrt(variance)) @ rotation.T
