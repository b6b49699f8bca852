"""The view "response": the frames of a moment, made comparable by their run.

What a moment is about shows in few slow components of each region's signal, and in a metric that
does not let the strongest networks of the run drown the others. So regions are whitened by their
covariance in the whole run (no label is needed), and frames are projected onto the temporal
components of a window. The half window that follows is read, too: the haemodynamic response
outlasts its cause.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from sk_brainmae.embedding.signal import Signal
from sk_brainmae.embedding.source import Source
from sk_brainmae.scans.cohort import Cohort
from sk_brainmae.scans.covariance import fill_missing, window_covariance
from sk_brainmae.scans.crops import tile_crops
from sk_brainmae.scans.gaps import bridge_gaps

# Temporal components hold this share of the variance of a window. Those left out are the ones
# that a filter has emptied; linear heads are indifferent to a few more or less.
TEMPORAL_SHARE = 0.99
# Windows in a run that tell its covariance.
LONG_RUN = 10


@dataclass(frozen=True)
class Response:
    """Slow temporal components of a moment, in regions that are whitened by its run.

    With U the temporal components, C the covariance of the training cohort and C_r that of the
    sample's run, a window X of shape (tau, N) becomes

        U' X S^-1/2,  S = (w C_r + (2 - w) C + I) / 3,

    that is, the signal whitened by the covariance of its run, drawn towards the cohort's and
    towards independence. w is 1 in runs of ten windows or more, and falls with their length: the
    covariance of a short run is the response itself.

    The window half a window later stands beside it; one that would end after the run is the last
    one of the run. A sample longer than a window is the mean over the windows that tile it; a
    shorter one is widened evenly, see :func:`~sk_brainmae.scans.crops.tile_crops`. Missing regions
    count by their expectation and their covariance given the others. Censored frames lie on a line
    between those before and after.

    An embedding depends on its sample's run alone, and not on the other samples of that run.
    """

    axes: ClassVar[dict[str, str]] = {"components": "TM"}

    components: NDArray  # (tau, n_components), orthonormal time courses, the strongest first

    @classmethod
    def fit(cls, source: Source) -> "Response":
        """Keep as many temporal components as hold 99 % of the variance of a window."""
        variance, components = np.linalg.eigh(
            window_covariance(source.cohort, source.signal.window)
        )
        share = np.cumsum(variance[::-1]) / variance.sum()
        n_components = np.searchsorted(share, TEMPORAL_SHARE) + 1
        # joblib.hash sees the strides of a slice, and pickle does not keep them.
        return cls(components[:, ::-1][:, :n_components].copy())

    def embed(self, source: Source) -> NDArray:
        """Embed every sample, (n_samples, 2 * n_components * N)."""
        cohort, window = source.cohort, len(self.components)
        tiles = tile_crops(cohort, window, n_windows=1)
        first = tiles.starts[:, 0] - cohort.run_start[tiles.run]  # (n_windows,), inside the run
        later = np.minimum(first + window // 2, cohort.run_length[tiles.run] - window)
        n_windows = np.bincount(tiles.sample, minlength=len(cohort))
        n_features = 2 * self.components.shape[1] * cohort.n_regions
        embeddings = np.zeros((len(cohort), n_features))
        for run in np.unique(tiles.run):
            whitened = _whitened_run(cohort, run, source.signal)  # (T, N)
            for i in np.flatnonzero(tiles.run == run):
                both = [
                    self.components.T @ whitened[start : start + window]
                    for start in (first[i], later[i])
                ]
                embeddings[tiles.sample[i]] += np.ravel(both)
        return (embeddings / n_windows[:, None]).astype(np.float32)

    def feature_names(self, regions: list[str]) -> list[str]:
        """Name each feature by its window, its temporal component and its region."""
        components = range(self.components.shape[1])
        return [
            f"{when}_component{k}_{region}"
            for when in ("now", "later")
            for k in components
            for region in regions
        ]


def _whitened_run(cohort: Cohort, run: int, signal: Signal) -> NDArray:
    """Return the frames of a run, whitened by its own covariance, (T, N)."""
    covariance = signal.covariance
    frames = cohort.run_frames(run).astype(float)  # (T, N)
    known = cohort.known_frames(run, 0, len(frames))
    seen = np.broadcast_to(known, frames.shape).sum(axis=1) > 0  # (T,)
    unexplained: NDArray | float = 0.0
    if not known.all():
        frames[seen], unexplained = fill_missing(
            frames[seen], known if known.ndim == 1 else known[seen], covariance
        )
    own = frames.T @ frames / seen.sum() + unexplained  # (N, N)
    weight = min(1, len(frames) / (LONG_RUN * signal.window))
    shrunk = (weight * own + (2 - weight) * covariance + np.eye(len(own))) / 3
    variance, rotation = np.linalg.eigh(shrunk)
    if not seen.all():
        frames = bridge_gaps(frames, np.broadcast_to(seen[:, None], frames.shape))
    return frames @ (rotation / np.sqrt(variance)) @ rotation.T
