"""Second-order pooling: a scan becomes one vector that tells how its signal varies.

People differ in how their regions vary together, hardly in mean signal. An embedding holds three
views of that. Each is a logarithm, so distances are those between covariances (Arsigny et al. 2006,
Log-Euclidean metrics). The first two are correlations, so the scale that z-scoring gives to the
regions of a short scan cancels out.

1. *Signal*: the correlation of regions over frames, as in tangent functional connectivity
   (Varoquaux et al. 2010). Strong, slow fluctuations decide. Traits are read from here.
2. *Innovations*: the correlation of what is new in each frame, after its prediction from the frames
   before. Innovations are white in time: weak temporal components count as much as strong ones, and
   every frame is an independent observation. Where a covariance is separable into time and regions,
   this is maximum likelihood (Dutilleul 1999). Seconds of signal tell subjects apart here.
3. *Tempo*: the variance of each temporal component of a window. Dynamics that do not change
   connectivity, such as the dwell time of brain states, show here.
"""

import warnings
from dataclasses import dataclass
from typing import NamedTuple

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
# The smallest variance of a temporal component that is read, in signal of variance 1. It is far
# below the stop-band of a filter and just above the rounding of float32 frames.
SMALLEST_TEMPORAL_VARIANCE = 1e-9
# The same for models that learned from resampled scans: what is weaker in those are the stop-bands
# of two filters, which tell the repetition time. Not for all models, since a stop-band tells
# subjects, too: from 32 s of a scan, identification falls from .91 to .79.
SMALLEST_RESAMPLED_VARIANCE = 1e-3
# Frames that predict the next one, in windows: the autocorrelation of band-passed signal reaches
# further than one. From 32 s of a scan, identification is .92 with 32-48 s of them, .84 with 16 s.
PREDICTION_WINDOWS = 3
# How far each view is drawn towards "nothing known". It is the same for all scans: an intensity
# estimated scan by scan (Ledoit-Wolf) puts noise into the logarithms, and linear models suffer.
# The signal's correlation is drawn to independent regions, so its weakest directions matter less;
# innovations and tempo are drawn to the training cohort's.
SHRINKAGE = 0.2
TEMPO_SHRINKAGE = 0.03
# Weight of the signal in distances. A standardising linear head does not see it.
SIGNAL_WEIGHT = 0.25


@dataclass(frozen=True)
class Signal:
    """How the signal of the training cohort varies over regions and over time."""

    covariance: NDArray  # (N, N), each pair of regions over the frames that measured both
    innovation_filters: NDArray  # (p, p), lower triangular: row i takes frames 0..i to innovation i
    temporal_components: NDArray  # (tau, tau), columns, strongest first; 0 where too weak to read


@dataclass(frozen=True)
class Latents(Signal):
    """Directions in the span of the ROI embeddings that have unit covariance in the cohort."""

    signal_whitening: NDArray  # (N, n_latents), takes frames to their latents
    innovation_whitening: NDArray  # (N, n_latents), takes innovations to theirs


@dataclass(frozen=True)
class LatentSpace(Latents):
    """What second-order pooling learns from the training cohort."""

    mean: NDArray  # (n_features,), mean embedding of the training scans
    axes: NDArray | None  # (n_features, n_components), their principal axes; None keeps features

    def __post_init__(self) -> None:
        """Raise ValueError where the mean is not that of such embeddings."""
        window, n_latents = len(self.temporal_components), self.signal_whitening.shape[1]
        if len(self.mean) != (n_features := _count_features(n_latents, window)):
            raise ValueError(f"the mean embedding has {len(self.mean)} features, not {n_features}")

    @property
    def n_features(self) -> int:
        """Size of an embedding."""
        return len(self.mean) if self.axes is None else self.axes.shape[1]


class _Sample(NamedTuple):
    """A sample as the views read it."""

    frames: NDArray  # (T, N), centred, missing regions filled in, 0 where no region was measured
    unexplained: NDArray | float  # (N, N), the covariance that filling in loses
    seen: NDArray | None  # (T,), where any region was measured; None if no frame has gaps
    observed: NDArray  # (N,), False for regions that are missing in the whole run


def fit_latent_space(
    cohort: Cohort, roi_embeddings: NDArray, window: int, n_components: int | None = None
) -> LatentSpace:
    """Learn the whitened latents of a training cohort, and its mean embedding.

    With Q an orthonormal basis of the span of the ROI embeddings (n_regions, embedding_dim), the
    latents of a frame x are (Q' R Q)^-1/2 Q' x. R is the mean over the training scans of their
    correlation: of the signal, shrunk as in :func:`pool_covariance`, or of the innovations.
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
    """Learn covariances. With K = L L' that of successive frames x, innovations are L^-1 x."""
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
    total = np.zeros((2, cohort.n_regions, cohort.n_regions))
    for i in range(len(cohort)):
        total += _correlations(_read(cohort, i, signal), signal)
    of_signal, of_innovations = total / len(cohort)
    return Latents(
        **vars(signal),
        signal_whitening=_whitening(of_signal, basis),
        innovation_whitening=_whitening(of_innovations, basis),
    )


def check_n_components(n_components: int | None, n_scans: int, n_latents: int, window: int) -> None:
    """Raise ValueError where the training scans do not have so many principal components."""
    if n_components is None:
        return
    if n_components > n_scans:
        raise ValueError(
            f"n_components={n_components} principal components of the embedding need as many"
            f" training scans, and there are {n_scans}"
        )
    if n_components > (n_features := _count_features(n_latents, window)):
        raise ValueError(
            f"n_components={n_components}, but the embedding has {n_features} features"
        )


def _count_features(n_latents: int, window: int) -> int:
    """Return the size of an embedding: two symmetric matrices and the tempo."""
    return n_latents * (n_latents + 1) + window


def _basis(roi_embeddings: NDArray) -> NDArray:
    """Return an orthonormal basis of the ROI embeddings' span, (n_regions, n_latents).

    Distances are the same in any basis, but heads that standardise every feature see it. Where the
    span is all of space, the regions themselves read better than principal directions: the weakest
    of those would count as much as the strongest.
    """
    n_regions = len(roi_embeddings)
    if np.linalg.matrix_rank(roi_embeddings.astype(float)) == n_regions:
        return np.eye(n_regions)
    return np.linalg.qr(roi_embeddings.astype(float))[0]


def pool_covariance(cohort: Cohort, space: LatentSpace) -> NDArray:
    """Embed every sample by the logarithms of how its signal varies, (n_samples, n_features).

    With R the correlation of the signal over frames, P that of the innovations, W and V the
    whitening of each, v the variances of the temporal components and n(.) the division by the
    mean variance (the mean of the diagonal; of v the mean), an embedding holds

        1. signal:       1/4 log n(W' R_b W),      R_b = (1 - b) R + b I,    b = 0.2
        2. innovations:  log((1 - b) n(V' P V) + b I),                       b = 0.2
        3. tempo:        log((1 - c) n(v) + c),                              c = 0.03

    minus the mean over the training scans. The signal is shrunk before it is whitened and not
    again after that; innovations and tempo are shrunk in units of the training cohort. Symmetric
    matrices become their upper triangles, with off-diagonal entries times sqrt(2), so Euclidean
    distances between embeddings are those between log-covariances.

    Missing regions count by their expectation and their covariance given the others. Censored
    frames do not count in the signal. Innovations are predicted from the earlier frames that were
    measured. The tempo is expected given the frames around, with its uncertainty, because
    interpolated frames would look like slow signal. A moment shorter than a window is widened
    evenly. Each embedding depends on its own scan alone.
    """
    window = len(space.temporal_components)
    check_long_enough(cohort, window)
    if max(window, (cohort.stop - cohort.start).min()) < 2:
        raise ValueError("pooling='covariance' needs scans of two frames or more; use 'mean'")
    if cohort.resampled[cohort.runs].any() and _reads_stop_bands(space):
        warnings.warn(
            "scans are resampled, but the model learned from band-passed scans that were not:"
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
    """Tell whether temporal components count that are as weak as a filter's stop-band."""
    weakest = 1 / np.square(space.temporal_components).sum(axis=0).max()
    return bool(weakest < SMALLEST_RESAMPLED_VARIANCE * (1 - 1e-6))


def _embed(cohort: Cohort, i: int, space: Latents) -> NDArray:
    """Embed a sample before the training mean is subtracted, (n_features,)."""
    sample = _read(cohort, i, space)
    signal, innovations = _correlations(sample, space)
    views = (
        SIGNAL_WEIGHT * _log_covariance(signal, space.signal_whitening, 0),
        _log_covariance(innovations, space.innovation_whitening, SHRINKAGE),
        _log_tempo(sample, space),
    )
    return np.concatenate(views)


def _read(cohort: Cohort, i: int, space: Signal) -> _Sample:
    """Read a sample, at least a window long; centre it, and fill in its missing regions."""
    run, window = cohort.runs[i], len(space.temporal_components)
    start, stop = widen(cohort.start[i], cohort.stop[i], window, cohort.run_length[run])
    frames, known = cohort.run_frames(run, start, stop), cohort.known_frames(run, start, stop)
    observed = cohort.observed[run]
    if known.ndim == 1:
        frames = frames - frames.mean(axis=0, dtype=float)
        if known.all():
            return _Sample(frames, 0.0, None, observed)
        return _Sample(*fill_missing(frames, known, space.covariance), None, observed)
    mean = frames.sum(axis=0, dtype=float) / np.maximum(known.sum(axis=0), 1)
    frames, seen = np.where(known, frames - mean, 0), known.sum(axis=1) > 0
    frames[seen], unexplained = fill_missing(frames[seen], known[seen], space.covariance)
    return _Sample(frames, unexplained, seen, observed)


def _correlations(sample: _Sample, space: Signal) -> tuple[NDArray, NDArray]:
    """Return the correlations of the signal, shrunk, and of the innovations, each (N, N)."""
    frames, filters = sample.frames, space.innovation_filters
    if sample.seen is None:
        innovations = _innovations(frames, filters)
    else:
        innovations = _innovations_of_seen(frames, sample.seen, filters)
        frames = frames[sample.seen]
    signal = (1 - SHRINKAGE) * _correlation(frames, sample.unexplained)
    np.fill_diagonal(signal, 1)
    return signal, _correlation(innovations, sample.unexplained)


def _innovations(frames: NDArray, filters: NDArray) -> NDArray:
    """Return what is new in each frame given those before, (T, N); of unit variance in training."""
    n_first = min(len(filters) - 1, len(frames))
    first = filters[:n_first, :n_first] @ frames[:n_first]
    if len(frames) < len(filters):
        return first
    return np.concatenate([first, sliding_window_view(frames, len(filters), axis=0) @ filters[-1]])


def _innovations_of_seen(frames: NDArray, seen: NDArray, filters: NDArray) -> NDArray:
    """Return what is new in each seen frame given the seen ones before it, (n_seen, N).

    With K the covariance of the seen frames up to one, w = K^-1 e and e the last of them, it is
    w'x / sqrt(e'w): the last row of the inverse of K's Cholesky factor, as without gaps.
    """
    n_before = len(filters) - 1
    places = sliding_window_view(np.pad(seen, (n_before, 0)), len(filters))[seen]  # (n_seen, n)
    weights = inverse_of_seen(_frame_covariance(filters), places)[..., -1]  # (n_seen, n)
    weights /= np.sqrt(weights[:, -1:])
    windows = sliding_window_view(np.pad(frames, ((n_before, 0), (0, 0))), len(filters), axis=0)
    return (windows[seen] @ weights[..., None])[..., 0]


def _frame_covariance(filters: NDArray) -> NDArray:
    """Return the covariance of successive frames that innovation filters are made from."""
    factor = np.linalg.inv(filters)
    return factor @ factor.T


def _correlation(frames: NDArray, unexplained: NDArray | float) -> NDArray:
    """Correlate regions, (N, N); a region that does not vary correlates with none."""
    covariance = frames.T @ frames / len(frames) + unexplained
    scale = np.sqrt(np.diag(covariance))
    scale[scale == 0] = 1
    correlation = covariance / scale / scale[:, None]
    np.fill_diagonal(correlation, 1)
    return correlation


def _whitening(correlation: NDArray, basis: NDArray) -> NDArray:
    """Return the map to latents in the span of a basis, of unit covariance, (N, n_latents)."""
    variance, rotation = np.linalg.eigh(basis.T @ correlation @ basis)
    variance = np.maximum(variance, SMALLEST_VARIANCE * variance.max())
    return basis @ (rotation / np.sqrt(variance)) @ rotation.T


def _log_covariance(correlation: NDArray, whitening: NDArray, shrinkage: float) -> NDArray:
    """Return the logarithm of the normalised, shrunk covariance of latents as a vector."""
    variance, rotation = np.linalg.eigh(whitening.T @ correlation @ whitening)
    variance = (1 - shrinkage) * np.maximum(variance, 0) / variance.mean() + shrinkage
    log = (rotation * np.log(variance)) @ rotation.T
    rows, columns = np.triu_indices(len(log))
    return log[rows, columns] * np.where(rows == columns, 1, np.sqrt(2))


def _log_tempo(sample: _Sample, space: Signal) -> NDArray:
    """Return the logarithm of the shrunk, relative variance of each component, (window,)."""
    frames, components = sample.frames[:, sample.observed], space.temporal_components
    if sample.seen is None:
        variance = _component_variance(frames, components)
    else:
        covariance = _frame_covariance(space.innovation_filters)
        variance = _expected_variance(frames, sample.seen, components, covariance)
    if (mean := variance.mean()) == 0:  # a moment without any change is like the average one
        return np.zeros(len(variance))
    return np.log((1 - TEMPO_SHRINKAGE) * np.maximum(variance, 0) / mean + TEMPO_SHRINKAGE)


def _component_variance(frames: NDArray, components: NDArray) -> NDArray:
    """Sum the squares of each temporal component over all windows and regions, (window,)."""
    places = len(frames) - len(components) + 1
    shifted = [frames[start : start + places] for start in range(len(components))]
    covariance = np.array([[np.vdot(a, b) for b in shifted] for a in shifted])
    return np.einsum("ak,ab,bk->k", components, covariance, components)


def _expected_variance(
    frames: NDArray, seen: NDArray, components: NDArray, covariance: NDArray
) -> NDArray:
    """Expect the sums of :func:`_component_variance` given the seen frames, (window,).

    With K the covariance of the frames of a window and P the inverse of its seen part, windows x
    are expected to be K P x, with the covariance K - K P K.
    """
    window = len(components)
    covariance = covariance[:window, :window]
    inverse = inverse_of_seen(covariance, sliding_window_view(seen, window))  # (n, tau, tau)
    windows = sliding_window_view(frames, window, axis=0)  # (n, N, tau)
    expected = windows @ inverse @ covariance @ components  # (n, N, tau)
    unexplained = covariance - covariance @ inverse @ covariance  # (n, tau, tau)
    variance = np.square(expected).sum((0, 1))
    variance += frames.shape[1] * np.einsum("ak,nab,bk->k", components, unexplained, components)
    return variance
