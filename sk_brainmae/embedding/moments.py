"""Moments of scans: the frames of a trial become features, made comparable by their run.

What a moment is about shows in few slow components of each region's signal, and in a metric that
does not let the strongest networks of the run drown the others. So regions are whitened by their
covariance in the whole run (no label is needed), and frames are projected onto the temporal
components of a window. The half window that follows is read, too: the haemodynamic response
outlasts its cause.
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
    """What the embedding of moments learns from the training cohort."""

    covariance: NDArray  # (N, N), each pair of regions over the frames that measured both
    basis: NDArray  # (N, n_latents), orthonormal, of the span of the ROI embeddings
    components: NDArray  # (tau, n_components), orthonormal time courses, the strongest first

    @property
    def n_features(self) -> int:
        """Size of an embedding."""
        return 2 * self.components.shape[1] * self.basis.shape[1]


def fit_moment_space(cohort: Cohort, roi_embeddings: NDArray, window: int) -> MomentSpace:
    """Learn from a training cohort how its moments are read.

    The basis spans the ROI embeddings (n_regions, embedding_dim). The temporal components are as
    many as hold 99 % of the variance of a window.
    """
    basis, _ = np.linalg.qr(roi_embeddings.astype(float))  # (N, n_latents)
    variance, components = np.linalg.eigh(window_covariance(cohort, window))
    share = np.cumsum(variance[::-1]) / variance.sum()
    n_components = np.searchsorted(share, TEMPORAL_SHARE) + 1
    # joblib.hash sees the strides of a slice, and pickle does not keep them.
    strongest = components[:, ::-1][:, :n_components].copy()
    return MomentSpace(region_covariance(cohort), basis.copy(), strongest)


def embed_moments(cohort: Cohort, space: MomentSpace) -> NDArray:
    """Embed every sample by its window and the one half a window later, (n_samples, n_features).

    With Q the basis of latents, U the temporal components, C the covariance of the training
    cohort and C_r that of the sample's run, a window X of shape (tau, N) becomes

        U' X Q S^-1/2,  S = Q' (C_r + C + I) Q / 3,

    that is, latents whitened by the covariance of their run, drawn towards the cohort's and
    towards independence in equal parts. A later window that would end after the run is the last
    one of the run. A sample longer than a window is the mean over the windows that tile it; a
    shorter one is widened evenly, see :func:`~sk_brainmae.scans.crops.tile_crops`. Missing regions
    count by their expectation and their covariance given the others. Latents of censored frames
    lie on a line between those before and after.

    An embedding depends on its sample's run alone, and not on the other samples of that run.
    Distances are to be taken as they are: to standardise features would inflate the weakest
    components.
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
            both = [
                space.components.T @ latents[start : start + window]
                for start in (first[i], later[i])
            ]
            embeddings[tiles.sample[i]] += np.ravel(both)
    return (embeddings / n_windows[:, None]).astype(np.float32)


def _whitened_latents(cohort: Cohort, run: int, space: MomentSpace) -> NDArray:
    """Return a run's latents, whitened by its own covariance, (T, n_latents)."""
    frames = cohort.run_frames(run).astype(float)  # (T, N)
    known = cohort.known_frames(run, 0, len(frames))
    seen = np.broadcast_to(known, frames.shape).sum(axis=1) > 0  # (T,)
    unexplained: NDArray | float = 0.0
    if not known.all():
        frames[seen], unexplained = fill_missing(
            frames[seen], known if known.ndim == 1 else known[seen], space.covariance
        )
    own = frames.T @ frames / seen.sum() + unexplained  # (N, N)
    shrunk = (own + space.covariance + np.eye(len(own))) / 3
    variance, rotation = np.linalg.eigh(space.basis.T @ shrunk @ space.basis)
    latents = frames @ space.basis
    if not seen.all():
        latents = bridge_gaps(latents, np.broadcast_to(seen[:, None], latents.shape))
    return latents @ (rotation / np.sqrt(variance)) @ rotation.T
