"""Second-order pooling: the signal of a scan becomes one subject embedding.

What tells people apart in fMRI is how signals vary together, not their mean. Three views of that
stand side by side in an embedding, each a logarithm, so that distances are those between
covariances (Arsigny et al. 2006, Log-Euclidean metrics):

1. *Signal*: how the regions' frames correlate, as in tangent functional connectivity
   (Varoquaux et al. 2010). Strong, slow fluctuations decide; traits are read from here.
2. *Innovations*: how what is new in each frame correlates, after its prediction from the frames
   before. Innovations are white in time, so weak temporal components count as much as strong
   ones and every frame is an independent observation: under a covariance that is separable into
   time and regions this is maximum likelihood (Dutilleul 1999). Subjects are told apart here,
   from seconds of signal.
3. *Tempo*: how much each temporal component of a window varies. Dynamics that leave
   connectivity as it is, such as the dwell time of brain states, show here.

The first two are correlations: what z-scoring a short scan does to its regions cancels out.
"""

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from sk_brainmae.scans.cohort import Cohort
from sk_brainmae.scans.covariance import (
    fill_missing,
    inverse_of_seen,
    region_covariance,
    window_covariance,
)
from sk_brainmae.scans.crops import check_long_enough, widen

# The smallest variance of a latent direction relative to the largest: it keeps inverses finite in
# band-passed data.
SMALLEST_VARIANCE = 1e-3
# Smallest variance of a temporal component that is read, of signal with variance 1. Far below the
# stop-band of a filter, just above the rounding of float32 frames.
SMALLEST_TEMPORAL_VARIANCE = 1e-9
# The same of models that learned from resampled scans: what is weaker in them are the stop-bands of
# two filters, which tell the repetition time. Not for all, since a stop-band tells subjects, too:
# from 32 s of a scan, identification falls from .91 to .79.
SMALLEST_RESAMPLED_VARIANCE = 1e-3
# Frames that predict the next one, in windows: the autocorrelation of band-passed signal reaches
# further than one. From 32 s of a scan, identification is .92 with 32-48 s of them, .84 with 16 s.
PREDICTION_WINDOWS = 3
# How far each view is drawn towards "nothing known", the same for all scans: an intensity
# estimated scan by scan (Ledoit-Wolf) puts noise into the logarithms, and linear models suffer.
# The signal's correlation is drawn to independent regions, which makes its weakest directions
# matter less; innovations and tempo to the training cohort's.
SHRINKAGE = 0.2
TEMPO_SHRINKAGE = 0.03
# Of the signal's view in distances. A standardising linear head does not see it.
SIGNAL_WEIGHT = 0.25


@dataclass(frozen=True)
class Signal:
    """How the signal of the training cohort varies over regions and over time.

    Attributes
    ----------
    covariance : ndarray of shape (n_regions, n_regions)
        Of the training frames, over the runs in which both regions have signal.
    innovation_filters : ndarray of shape (n_predictors + 1, n_predictors + 1)
        Row i takes frames 0 to i to the innovation of frame i; lower triangular.
    temporal_components : ndarray of shape (window, window)
        Columns take a window of a region to its temporal components, which have unit variance
        in the training cohort; strongest first. Those too weak to be read are 0.
    """

    covariance: NDArray
    innovation_filters: NDArray
    temporal_components: NDArray


@dataclass(frozen=True)
class Latents(Signal):
    """Directions in the span of the ROI embeddings that have unit covariance in the cohort.

    Attributes
    ----------
    signal_whitening, innovation_whitening : ndarray of shape (n_regions, n_latents)
        Take frames, and innovations, to their latents.
    """

    signal_whitening: NDArray
    innovation_whitening: NDArray


@dataclass(frozen=True)
class LatentSpace(Latents):
    """What second-order pooling learns from the training cohort.

    Attributes
    ----------
    mean : ndarray of shape (n_features,)
        Mean embedding of the training scans.
    axes : ndarray of shape (n_features, n_components), or None
        Principal axes of the training embeddings; None leaves embeddings as they are.
    """

    mean: NDArray
    axes: NDArray | None

    @property
    def n_features(self) -> int:
        """Size of an embedding."""
        return len(self.mean) if self.axes is None else self.axes.shape[1]


def fit_latent_space(
    cohort: Cohort, roi_embeddings: NDArray, window: int, n_components: int | None = None
) -> LatentSpace:
    """Learn the whitened latent space of a training cohort.

    With Q an orthonormal basis of the span of the ROI embeddings and R the mean correlation of
    the training scans, of their signal or of their innovations, the latents of a frame x are

        (Q' R Q)^-1/2 Q' x.

    Parameters
    ----------
    cohort : Cohort
        Training scans of at least one window each.
    roi_embeddings : ndarray of shape (n_regions, embedding_dim)
        One vector a region, of any rank.
    window : int
        Frames in a window.
    n_components : int, default=None
        Keep this many principal components of the embedding. None keeps it whole.

    Returns
    -------
    LatentSpace
        With min(n_regions, embedding_dim) latents.

    Raises
    ------
    ValueError
        If a scan is shorter than a window, or if there are fewer training scans than
        ``n_components``.
    """
    check_long_enough(cohort, window)
    check_n_components(n_components, len(cohort), min(roi_embeddings.shape), window)
    latents = _fit_latents(cohort, _fit_signal(cohort, window), _basis(roi_embeddings))
    if n_components is None:
        total = sum((_embed(cohort, i, latents) for i in range(len(cohort))), start=np.zeros(1))
        return LatentSpace(**vars(latents), mean=total / len(cohort), axes=None)
    embeddings = np.stack([_embed(cohort, i, latents) for i in range(len(cohort))])
    mean = embeddings.mean(axis=0)
    _, _, principal = np.linalg.svd(embeddings - mean, full_matrices=False)
    axes = np.ascontiguousarray(principal[:n_components].T)
    return LatentSpace(**vars(latents), mean=mean, axes=axes)


def _fit_signal(cohort: Cohort, window: int) -> Signal:
    """Learn covariances: with K = L L' that of successive frames, innovations are L^-1 x."""
    n_frames = min(PREDICTION_WINDOWS * window, int(cohort.run_length.min()))
    resampled = cohort.resampled[cohort.runs].any()
    smallest = SMALLEST_RESAMPLED_VARIANCE if resampled else SMALLEST_TEMPORAL_VARIANCE
    successive = window_covariance(cohort, n_frames) + smallest * np.eye(n_frames)
    variance, axes = np.linalg.eigh(window_covariance(cohort, window))
    weight = np.where(variance > smallest, np.maximum(variance, smallest) ** -0.5, 0)
    return Signal(
        covariance=region_covariance(cohort),
        innovation_filters=np.linalg.inv(np.linalg.cholesky(successive)),
        temporal_components=np.ascontiguousarray((axes * weight)[:, ::-1]),
    )


def _fit_latents(cohort: Cohort, signal: Signal, basis: NDArray) -> Latents:
    """Whiten the mean correlations of the scans in a basis (N, n_latents)."""
    of_signal = of_innovations = np.zeros_like(signal.covariance)
    for i in range(len(cohort)):
        correlations = _correlations(cohort, i, signal)
        of_signal, of_innovations = of_signal + correlations[0], of_innovations + correlations[1]
    return Latents(
        **vars(signal),
        signal_whitening=_whitening(of_signal / len(cohort), basis),
        innovation_whitening=_whitening(of_innovations / len(cohort), basis),
    )


def check_n_components(n_components: int | None, n_scans: int, n_latents: int, window: int) -> None:
    """Raise ValueError where training scans do not have so many principal components."""
    if n_components is None:
        return
    if n_components > n_scans:
        raise ValueError(
            f"n_components={n_components} principal components of the embedding need as many"
            f" training scans, and there are {n_scans}"
        )
    if n_components > (n_features := n_latents * (n_latents + 1) + window):
        raise ValueError(
            f"n_components={n_components}, but the embedding has {n_features} features"
        )


def _basis(roi_embeddings: NDArray) -> NDArray:
    """Return an orthonormal basis of the ROI embeddings' span, (n_regions, n_latents).

    Distances do not depend on which, but heads that standardise every feature do: where all of
    space is spanned, the regions themselves read better than principal directions, the weakest of
    which would count as much as the strongest.
    """
    n_regions = len(roi_embeddings)
    if np.linalg.matrix_rank(roi_embeddings.astype(float)) == n_regions:
        return np.eye(n_regions)
    return np.linalg.qr(roi_embeddings.astype(float))[0]


def pool_covariance(cohort: Cohort, space: LatentSpace) -> NDArray:
    """Embed every sample by the logarithms of how its signal varies.

    With R the correlation of the signal over frames, P that of the innovations, W and V the
    whitening of each, v the variances of the temporal components and n(.) the division by the
    mean variance (the mean of the diagonal; of v the mean), an embedding holds

        1. signal:       1/4 log n(W' R_b W),      R_b = (1 - b) R + b I,    b = 0.2
        2. innovations:  log((1 - b) n(V' P V) + b I),                       b = 0.2
        3. tempo:        log((1 - c) n(v) + c),                              c = 0.03

    less the mean over the training scans. The signal is shrunk before it is whitened and not
    again after that; innovations and tempo are shrunk in units of the training cohort. Of the
    symmetric matrices the upper triangles are kept, off-diagonal entries multiplied by sqrt(2):
    Euclidean distances between embeddings are then those between log-covariances [1]_.

    Missing regions count by their expectation and their covariance given the others. Censored
    frames do not count in the signal. Innovations are predicted from the frames before that were
    measured, and the tempo is expected given the frames around, with its uncertainty: frames that
    were interpolated would look like slow signal. A moment that is shorter than a window is widened
    evenly. Each embedding depends on its own scan alone.

    Parameters
    ----------
    cohort : Cohort
        Scans of at least a window each, or moments of them.
    space : LatentSpace
        Learned from the training cohort.

    Returns
    -------
    ndarray of shape (n_samples, n_features), float32
        The embeddings, n_features = n_latents * (n_latents + 1) + window, or ``n_components``.

    Raises
    ------
    ValueError
        If a scan is shorter than a window, or has a single frame.

    Warns
    -----
    UserWarning
        If scans were resampled and none of the training cohort was, whose signal is band-passed.

    References
    ----------
    .. [1] Arsigny, Fillard, Pennec, Ayache (2006). Log-Euclidean metrics for fast and simple
       calculus on diffusion tensors. Magnetic Resonance in Medicine 56(2).
    """
    window = len(space.temporal_components)
    check_long_enough(cohort, window)
    if max(window, (cohort.stop - cohort.start).min()) < 2:
        raise ValueError("pooling='covariance' needs scans of two frames or more; use 'mean'")
    if cohort.resampled[cohort.runs].any() and _reads_stop_bands(space):
        warnings.warn(
            "scans are resampled, but the model learned from band-passed scans none of which was:"
            " embeddings tell the two apart, and subjects poorly. Fit it on scans of every t_r, or"
            " on resampled ones",
            stacklevel=2,
        )
    embeddings = np.empty((len(cohort), space.n_features), dtype=np.float32)
    for i in range(len(cohort)):
        embedding = _embed(cohort, i, space) - space.mean
        embeddings[i] = embedding if space.axes is None else embedding @ space.axes
    return embeddings


def _reads_stop_bands(space: LatentSpace) -> bool:
    """Say whether temporal components count that are as weak as what filters leave."""
    weakest = 1 / np.square(space.temporal_components).sum(axis=0).max()
    return bool(weakest < SMALLEST_RESAMPLED_VARIANCE * (1 - 1e-6))


def _embed(cohort: Cohort, i: int, space: Latents) -> NDArray:
    """Embedding of a sample before the training mean is subtracted, (n_features,)."""
    signal, innovation = _correlations(cohort, i, space)
    frames, known = _frames(cohort, i, space)
    if known.ndim == 1:
        tempo = _log_tempo(frames[:, known], space.temporal_components)
    else:
        observed = cohort.observed[cohort.runs[i]]
        filled, _ = fill_missing(frames, known, space.covariance)
        components, factor = space.temporal_components, np.linalg.inv(space.innovation_filters)
        tempo = _log_tempo_of_seen(
            filled[:, observed],
            known.sum(axis=1) > 0,
            components,
            (factor @ factor.T)[: len(components), : len(components)],
        )
    views = (
        SIGNAL_WEIGHT * _log_covariance(signal, space.signal_whitening, 0),
        _log_covariance(innovation, space.innovation_whitening, SHRINKAGE),
        tempo,
    )
    return np.concatenate(views)


def _frames(cohort: Cohort, i: int, space: Signal) -> tuple[NDArray, NDArray]:
    """Frames of a sample, centred, (T, N), and where they are known, (N,) or (T, N)."""
    run = cohort.runs[i]
    start, stop = widen(
        cohort.start[i], cohort.stop[i], len(space.temporal_components), cohort.run_length[run]
    )
    frames = cohort.run_frames(run, start, stop)
    known = cohort.known_frames(run, start, stop)
    if known.ndim == 1:
        return frames - frames.mean(axis=0, dtype=float), known
    mean = frames.sum(axis=0, dtype=float) / np.maximum(known.sum(axis=0), 1)
    return np.where(known, frames - mean, 0), known


def _correlations(cohort: Cohort, i: int, space: Signal) -> tuple[NDArray, NDArray]:
    """Correlations of a sample's signal, shrunk, and of its innovations, each (N, N)."""
    frames, known = _frames(cohort, i, space)
    unexplained: NDArray | float = 0.0
    if known.ndim == 2:
        seen = known.sum(axis=1) > 0
        filled, unexplained = fill_missing(frames[seen], known[seen], space.covariance)
        frames[seen] = filled
        innovations = _innovations_of_seen(frames, seen, space.innovation_filters)
        frames = filled
    else:
        if not known.all():
            frames, unexplained = fill_missing(frames, known, space.covariance)
        innovations = _innovations(frames, space.innovation_filters)
    signal = _correlation(frames.T @ frames / len(frames) + unexplained)
    signal *= 1 - SHRINKAGE
    signal[np.diag_indices_from(signal)] = 1
    return signal, _correlation(innovations.T @ innovations / len(frames) + unexplained)


def _innovations(frames: NDArray, filters: NDArray) -> NDArray:
    """What is new in each frame given those before it, (T, N); variance 1 in training scans."""
    n_first = min(len(filters) - 1, len(frames))
    first = filters[:n_first, :n_first] @ frames[:n_first]
    if len(frames) < len(filters):
        return first
    return np.concatenate([first, sliding_window_view(frames, len(filters), axis=0) @ filters[-1]])


def _innovations_of_seen(frames: NDArray, seen: NDArray, filters: NDArray) -> NDArray:
    """What is new in each seen frame given the seen ones before it, (n_seen, N).

    With K the covariance of the seen frames up to one, w = K^-1 e and e the last of them, it is
    w'x / sqrt(e'w): the last row of the inverse of K's Cholesky factor, as in the complete case.
    """
    n_before = len(filters) - 1
    factor = np.linalg.inv(filters)
    places = sliding_window_view(np.pad(seen, (n_before, 0)), len(filters))[seen]  # (n_seen, n)
    weights = inverse_of_seen(factor @ factor.T, places)[..., -1]  # (n_seen, n)
    weights /= np.sqrt(weights[:, -1:])
    windows = sliding_window_view(np.pad(frames, ((n_before, 0), (0, 0))), len(filters), axis=0)
    return (windows[seen] @ weights[..., None])[..., 0]


def _correlation(covariance: NDArray) -> NDArray:
    """Correlation, (N, N); a region that does not vary correlates with none."""
    scale = np.sqrt(np.diag(covariance))
    scale[scale == 0] = 1
    correlation = covariance / scale / scale[:, None]
    correlation[np.diag_indices_from(correlation)] = 1
    return correlation


def _whitening(correlation: NDArray, basis: NDArray) -> NDArray:
    """Map to latents in the span of a basis that have unit covariance, (N, n_latents)."""
    variance, rotation = np.linalg.eigh(basis.T @ correlation @ basis)
    variance = np.maximum(variance, SMALLEST_VARIANCE * variance.max())
    return basis @ (rotation / np.sqrt(variance)) @ rotation.T


def _log_covariance(correlation: NDArray, whitening: NDArray, shrinkage: float) -> NDArray:
    """Logarithm of the trace-normalised, shrunk covariance of latents, as a vector."""
    variance, rotation = np.linalg.eigh(whitening.T @ correlation @ whitening)
    variance = (1 - shrinkage) * np.maximum(variance, 0) / variance.mean() + shrinkage
    log = (rotation * np.log(variance)) @ rotation.T
    rows, columns = np.triu_indices(len(log))
    return log[rows, columns] * np.where(rows == columns, 1, np.sqrt(2))


def _log_tempo(frames: NDArray, components: NDArray) -> NDArray:
    """Logarithm of the shrunk relative variance of each temporal component, (window,)."""
    window = len(components)
    places = len(frames) - window + 1
    shifted = [frames[start : start + places] for start in range(window)]
    covariance = np.array([[np.vdot(a, b) for b in shifted] for a in shifted])
    return _log_relative(np.einsum("ak,ab,bk->k", components, covariance, components))


def _log_tempo_of_seen(
    frames: NDArray, seen: NDArray, components: NDArray, covariance: NDArray
) -> NDArray:
    """Expect the log tempo given the seen frames of every window, as :func:`_log_tempo`.

    With K the covariance of the frames of a window and P the inverse of its seen part, windows are
    expected to be K P x, with the covariance K - K P K.
    """
    places = sliding_window_view(seen, len(components))  # (n, tau)
    inverse = inverse_of_seen(covariance, places)  # (n, tau, tau)
    windows = sliding_window_view(frames, len(components), axis=0)  # (n, N, tau)
    expected = windows @ inverse @ covariance @ components
    unexplained = covariance - covariance @ inverse @ covariance
    variance = np.square(expected).sum((0, 1))
    variance += frames.shape[1] * np.einsum("ak,nab,bk->k", components, unexplained, components)
    return _log_relative(variance)


def _log_relative(variance: NDArray) -> NDArray:
    """Logarithm of shrunk variances relative to their mean."""
    if (mean := variance.mean()) == 0:  # a moment without any change is like the average one
        return np.zeros(len(variance))
    return np.log((1 - TEMPO_SHRINKAGE) * np.maximum(variance, 0) / mean + TEMPO_SHRINKAGE)
