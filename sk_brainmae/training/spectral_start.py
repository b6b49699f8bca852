"""The spectral start: network weights in closed form, from covariances of the training scans."""

import math
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sk_brainmae.network import BrainMAE
from sk_brainmae.network.prior import STATE_REACH, SpectralPrior
from sk_brainmae.scans.cohort import Cohort
from sk_brainmae.scans.covariance import region_covariance, window_covariance
from sk_brainmae.training.scoring import masked_r2

# Runs that give the temporal covariance, and runs on which choices are compared.
MAX_TEMPORAL_RUNS = 64
MAX_TRIAL_RUNS, TRIAL_BATCH = 24, 8
# Variance of a region that no other region shares.
NOISE = 0.03
# Smallest variance of a direction, relative to the largest.
SMALLEST_VARIANCE = 1e-6
# Frames over which evidence for a brain state is gathered, and its weight.
PERSISTENCE, CONFIDENCE = 5.0, 0.5


class Choice(NamedTuple):
    """What covariances leave open; the masked error decides."""

    # Noise in the prediction from neighbouring windows, where a frame has variance 1. Large:
    # windows are hardly predicted.
    ridge: float
    # Added to the variance of temporal directions, relative to their mean. Small: weak directions
    # count as much as strong ones, good for band-passed data. Large: strong ones dominate.
    floor: float
    share: float  # of the scan's own covariance in the prior


class Spectrum(NamedTuple):
    """Covariance of the regions over windows that are whitened in time."""

    values: NDArray  # (N,), eigenvalues
    vectors: NDArray  # (N, N), eigenvectors in columns
    precision: NDArray  # (tau, tau), of the frames of a window, in units of that covariance


FIRST = Choice(ridge=0.1, floor=1.0, share=0.4)
# One parameter is changed at a time, from the best choice so far.
ALTERNATIVES = {"ridge": (1e-3, 3.0), "floor": (1e-2, 100.0), "share": (0.1, 0.65, 0.8)}


def spectral_start(network: BrainMAE, cohort: Cohort, *, n_windows: int, device: str) -> None:
    """Set ROI embeddings, prior and projection of the network in closed form, in place.

    The ROI embeddings are E = V sqrt(w), from the eigenvalues w and eigenvectors V of the
    covariance between regions, over windows that are whitened in time. The prior predicts each
    window from the one before and the one after by ridge regression. The window state holds the
    strongest principal components of the window. Three numbers that covariances leave open are
    chosen by the masked error on a few training runs.
    """
    network.to(device).eval()
    prior = network.prior
    assert prior is not None
    window = len(prior.precision)
    temporal = _temporal_covariance(cohort, window)
    trial = cohort.spaced(MAX_TRIAL_RUNS)
    layout: Any = {"window": window, "n_windows": n_windows, "device": device}

    def predict(signal: Tensor, visible: Tensor) -> Tensor:
        return prior.fill(signal, visible, prior(signal, visible, network.roi))

    within = temporal[window : 2 * window, window : 2 * window]

    @cache  # most choices have the same floor
    def spectrum(floor: float) -> Spectrum:
        return _region_spectrum(cohort, _precision(within, floor))

    @cache
    def score(choice: Choice) -> float:
        _set(network, temporal, spectrum(choice.floor), choice)
        return masked_r2(predict, trial, batch_size=TRIAL_BATCH, **layout)

    best = FIRST
    for name, values in ALTERNATIVES.items():
        best = max([best, *(best._replace(**{name: value}) for value in values)], key=score)
    _set(network, temporal, spectrum(best.floor), best)


def _temporal_covariance(cohort: Cohort, window: int) -> NDArray:
    """Return the covariance of the frames of three windows in a row, (3 tau, 3 tau).

    Where no run has three windows, windows count as independent.
    """
    some = cohort.spaced(MAX_TEMPORAL_RUNS)
    longest = int((some.stop - some.start).max())
    if longest >= 3 * window:
        return window_covariance(some, 3 * window)
    return np.kron(np.eye(3), window_covariance(some, window))


def _set(network: BrainMAE, temporal: NDArray, spectrum: Spectrum, choice: Choice) -> None:
    """Write the start into the network."""
    prior = network.prior
    assert prior is not None
    window = len(temporal) // 3
    within = temporal[window : 2 * window, window : 2 * window]
    values, vectors, precision = spectrum
    _copy(network.roi, vectors * np.sqrt(values))
    _copy(prior.precision, precision)
    _copy(prior.log_noise, math.log(NOISE))
    _copy(prior.adaptation, math.log(choice.share / (1 - choice.share)))
    distance = np.abs(np.arange(-STATE_REACH, STATE_REACH + 1))
    _copy(prior.persistence, CONFIDENCE * np.exp(-distance / PERSISTENCE))
    _set_prediction(prior, temporal, choice.ridge)
    _set_projection(network.project, (values, vectors), np.linalg.eigh(within))


def _precision(within: NDArray, floor: float) -> NDArray:
    """Invert the floored covariance of a window's frames, scaled to mean variance 1."""
    window = len(within)
    floored = within + floor * np.trace(within) / window * np.eye(window)
    return np.linalg.inv(floored * window / np.trace(floored))


def _region_spectrum(cohort: Cohort, precision: NDArray) -> Spectrum:
    """Decompose the covariance of the regions, divided by its mean variance."""
    covariance = region_covariance(cohort, precision)
    variance = np.diag(covariance)
    scale = float(variance[variance > 0].mean())
    values, vectors = np.linalg.eigh(covariance / scale)
    return Spectrum(np.maximum(values, SMALLEST_VARIANCE * values[-1]), vectors, precision / scale)


def _set_prediction(prior: SpectralPrior, temporal: NDArray, ridge: float) -> None:
    """Set the regressions of a window on the ones before and after it, and on each alone."""
    before, middle, after = np.arange(len(temporal)).reshape(3, -1)

    def regress(on: NDArray) -> NDArray:
        known = temporal[np.ix_(on, on)] + ridge * np.eye(len(on))
        return np.linalg.solve(known, temporal[np.ix_(on, middle)])

    from_before, from_after = np.split(regress(np.concatenate([before, after])), 2)
    _copy(prior.from_before, from_before)
    _copy(prior.from_after, from_after)
    _copy(prior.from_before_alone, regress(before))
    _copy(prior.from_after_alone, regress(after))


def _set_projection(
    project: nn.Linear, regions: tuple[NDArray, NDArray], frames: tuple[NDArray, NDArray]
) -> None:
    """Project windows onto their strongest principal components.

    These are products of an eigenvector over regions and one over frames.
    """
    variance = np.outer(regions[0], np.maximum(frames[0], 0)).ravel()
    strongest = np.argsort(variance)[::-1][: project.out_features]
    region, frame = np.divmod(strongest, len(frames[0]))
    scale = np.sqrt(np.maximum(variance[strongest], SMALLEST_VARIANCE * variance[strongest[0]]))
    weight = np.zeros((project.out_features, project.in_features))
    outer = regions[1].T[region][:, :, None] * frames[1].T[frame][:, None, :]  # (d, N, tau)
    weight[: len(strongest)] = outer.reshape(len(strongest), -1) / scale[:, None]
    _copy(project.weight, weight)
    _copy(project.bias, 0.0)


@torch.no_grad()
def _copy(parameter: Tensor, value: NDArray | float) -> None:
    parameter.copy_(torch.as_tensor(value))
