"""Functional connectivity of the regions of a scan, as a row of features."""

from copy import copy
from typing import Any, Self

import numpy as np
from nilearn.connectome import ConnectivityMeasure, sym_matrix_to_vec
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.covariance import empirical_covariance, ledoit_wolf_shrinkage, shrunk_covariance

from sk_brainmae.baselines.features import ScanFeatures
from sk_brainmae.scans.cohort import Cohort

KINDS = ("correlation", "partial correlation", "tangent")
# Ledoit-Wolf does not shrink where all frames have one of two values; a logarithm needs some.
MIN_SHRINKAGE = 1e-6
MAX_CORRELATION = 1 - 1e-6  # keeps the Fisher z of duplicate regions finite
# Of whitened components, the same for all samples: estimates by sample (Ledoit-Wolf) put noise
# into the logarithm.
SHRINKAGE = 0.1
MIN_EIGENVALUE = 1e-6  # over the largest; components below are rounding of the float32 frames


class ShrunkCovariance(BaseEstimator):
    """Ledoit-Wolf covariance, always positive definite; constant regions get a row of identity."""

    covariance_: NDArray  # (n_regions, n_regions)

    def fit(self, X: NDArray, y: Any = None) -> Self:
        """Estimate the covariance of frames (n_timepoints, n_regions); at least two must differ."""
        varies = np.ptp(X, axis=0) > 0
        X = X[:, varies]
        shrinkage = max(ledoit_wolf_shrinkage(X), MIN_SHRINKAGE)
        self.covariance_ = np.eye(len(varies))
        self.covariance_[np.ix_(varies, varies)] = shrunk_covariance(
            empirical_covariance(X), shrinkage
        )
        return self


class ConnectivityFeatures(ScanFeatures):
    """Connectivity of each sample's regions, vectorised, by nilearn's ``ConnectivityMeasure``.

    Covariances are shrunk [1]_, so samples may have fewer frames than regions, though few frames
    say little about connectivity.

    Parameters
    ----------
    kind : {"correlation", "partial correlation", "tangent"}, default="tangent"
        (Partial) correlations are Fisher z-transformed. The tangent space [2]_ is taken at the
        geometric mean of the training scans; it predicts best on most cohorts [3]_.

    Attributes
    ----------
    n_features_in_ : int
        Number of regions.
    measure_ : nilearn.connectome.ConnectivityMeasure
        Fitted on the training scans; ``measure_.mean_`` is the reference of the tangent space.

    References
    ----------
    .. [1] Ledoit and Wolf (2004). A well-conditioned estimator for large-dimensional covariance
       matrices. Journal of Multivariate Analysis, 88, 365-411.
    .. [2] Varoquaux et al. (2010). Detection of brain functional-connectivity difference in
       post-stroke patients using group-level covariance modeling. MICCAI, 200-208.
    .. [3] Dadi et al. (2019). Benchmarking functional connectome-based predictive models for
       resting-state fMRI. NeuroImage, 192, 115-134.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_brainmae.baselines import ConnectivityFeatures
    >>> scans = np.random.default_rng(0).normal(size=(6, 50, 4))
    >>> ConnectivityFeatures(kind="correlation").fit_transform(scans).shape
    (6, 6)
    """

    def __init__(self, kind: str = "tangent"):
        self.kind = kind

    def _learn(self, cohort: Cohort) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown kind of connectivity {self.kind!r}: it is one of {KINDS}")
        self.measure_ = ConnectivityMeasure(
            cov_estimator=ShrunkCovariance(),
            kind=self.kind,
            vectorize=True,
            discard_diagonal=self.kind != "tangent",  # the diagonal of a correlation is 1
        ).fit(_varying_samples(cohort))

    def _compute(self, cohort: Cohort) -> NDArray:
        samples = _varying_samples(cohort)
        # nilearn stores the covariance that it works on: threads would read each other's.
        measure = copy(self.measure_)
        measure.cov_estimator_ = ShrunkCovariance()
        # nilearn refuses to transform a single scan to the tangent space, even when fitted.
        features = measure.transform(samples if len(samples) > 1 else samples * 2)
        features = features[: len(samples)]
        if self.kind == "tangent":
            return features
        return np.arctanh(np.clip(features, -MAX_CORRELATION, MAX_CORRELATION))


class GroupPCAConnectivity(ScanFeatures):
    """Log-covariance of each sample in the whitened principal components of the training runs.

    The components are computed from the frames of all training runs. The covariance of a sample's
    component time courses is shrunk by a tenth. Its matrix logarithm is vectorised with
    off-diagonals times sqrt(2), which keeps the matrix norm [1]_.

    Parameters
    ----------
    n_components : int, default=64
        Number of components; fewer where the training frames span fewer. 64 hold nearly all
        variance of some hundred regions, and give 2080 features.

    Attributes
    ----------
    n_features_in_ : int
        Number of regions.
    whitening_ : ndarray of shape (n_regions, n_components)
        Maps frames to whitened components.

    References
    ----------
    .. [1] Arsigny et al. (2006). Log-Euclidean metrics for fast and simple calculus on diffusion
       tensors. Magnetic Resonance in Medicine, 56, 411-421.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_brainmae.baselines import GroupPCAConnectivity
    >>> scans = np.random.default_rng(0).normal(size=(6, 50, 4))
    >>> GroupPCAConnectivity(n_components=2).fit_transform(scans).shape
    (6, 3)
    """

    def __init__(self, n_components: int = 64):
        self.n_components = n_components

    def _learn(self, cohort: Cohort) -> None:
        if not self.n_components >= 1:
            raise ValueError(f"n_components must be at least 1, got {self.n_components}")
        frames = cohort.frames.astype(float)
        n_measured = frames.any(axis=1).sum()  # censored frames are 0
        variance, axes = np.linalg.eigh(frames.T @ frames / n_measured)
        kept = np.flatnonzero(variance > MIN_EIGENVALUE * variance[-1])[::-1][: self.n_components]
        self.whitening_ = axes[:, kept] / np.sqrt(variance[kept])

    def _compute(self, cohort: Cohort) -> NDArray:
        covariances = [
            shrunk_covariance(empirical_covariance(frames @ self.whitening_), SHRINKAGE)
            for frames in _varying_samples(cohort)
        ]
        return np.sqrt(2) * sym_matrix_to_vec(_log(np.stack(covariances)))


def _varying_samples(cohort: Cohort) -> list[NDArray]:
    """Return every sample's uncensored frames in float64, or raise where one does not vary."""
    samples = [cohort.uncensored(i).astype(float) for i in range(len(cohort))]
    for i, frames in enumerate(samples):
        if not np.ptp(frames, axis=0).any():
            raise ValueError(
                f"sample {i} does not vary over its {len(frames)} frames: connectivity needs at"
                " least two different frames"
            )
    return samples


def _log(matrices: NDArray) -> NDArray:
    """Return the matrix logarithm of symmetric positive definite matrices, (n, k, k)."""
    values, vectors = np.linalg.eigh(matrices)
    return (vectors * np.log(values)[:, None, :]) @ np.swapaxes(vectors, 1, 2)
