"""The closed-form start: what the covariances of the training scans already tell the network."""

import math
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sk_brainmae.network import BrainMAE
from sk_brainmae.network.prior import STATE_REACH, SpectralPrior
from sk_brainmae.scans.cohort import Cohort
from sk_brainmae.scans.covariance import region_covariance, window_covariance
from sk_brainmae.training.scoring import masked_r2

# Runs whose frames tell how signal varies over time, and runs on which choices are compared.
MAX_TEMPORAL_RUNS = 64
MAX_TRIAL_RUNS = 8
# Variance of a region that no other shares; and the smallest of a direction, over the largest.
NOISE = 0.03
SMALLEST_VARIANCE = 1e-6
# Frames over which evidence for a state is gathered, and its weight.
PERSISTENCE, CONFIDENCE = 5.0, 0.5


class Choice(NamedTuple):
    """What covariances do not tell by themselves, and is chosen by the masked error.

    Attributes
    ----------
    ridge : float
        Noise that the prediction from the windows around allows for; a frame's variance is 1.
        Large: windows are hardly predicted.
    floor : float
        Smallest variance of a temporal direction that counts in full, over the mean. Small: all
        directions of a window tell how regions vary together, as in band-passed data; large:
        the strong ones, as where the weak ones are noise.
    share : float
        How much of a scan's covariance is its own.
    """

    ridge: float
    floor: float
    share: float


class Spectrum(NamedTuple):
    """How regions vary together, counted in windows that are whitened in time.

    Attributes
    ----------
    values : ndarray of shape (n_regions,)
        Eigenvalues of the covariance.
    vectors : ndarray of shape (n_regions, n_regions)
        Its eigenvectors, in columns.
    precision : ndarray of shape (window, window)
        Of the frames of a window, in units of that covariance.
    """

    values: NDArray
    vectors: NDArray
    precision: NDArray


FIRST = Choice(ridge=0.1, floor=1.0, share=0.4)
# Tried one after the other, all else as it is best so far.
ALTERNATIVES = {"ridge": (1e-3, 3.0), "floor": (1e-2, 100.0), "share": (0.1, 0.75)}


def spectral_start(network: BrainMAE, cohort: Cohort, *, n_windows: int, device: str) -> None:
    """Set ROI embeddings, prior and state projection from the covariances of training scans.

    ROI embeddings are E = V sqrt(w), with w and V the eigenvalues and eigenvectors of the
    covariance of the regions, whitened over the frames of a window; every window is predicted
    from those before and after it by ridge regression; its state is made of its strongest
    principal components.

    Parameters
    ----------
    network : BrainMAE
        With a prior; changed in place.
    cohort : Cohort
        Training runs.
    n_windows : int
        Windows in a crop.
    device : str
        Where to compute.
    """
    network.to(device).eval()
    prior = network.prior
    assert prior is not None
    window = len(prior.precision)
    temporal = _temporal_covariance(cohort, window)
    trial = cohort.spaced(MAX_TRIAL_RUNS)

    def predict(signal: Tensor, visible: Tensor) -> Tensor:
        return prior.fill(signal, visible, prior(signal, visible, network.roi))

    within = temporal[window : 2 * window, window : 2 * window]

    @cache  # most choices share their floor
    def spectrum(floor: float) -> Spectrum:
        return _region_spectrum(cohort, _precision(within, floor))

    def score(choice: Choice) -> float:
        _set(network, temporal, spectrum(choice.floor), choice)
        return masked_r2(
            predict,
            trial,
            window=window,
            n_windows=n_windows,
            batch_size=MAX_TRIAL_RUNS,
            device=device,
        )

    best, best_score = FIRST, score(FIRST)
    for name, values in ALTERNATIVES.items():
        choices = [best._replace(**{name: value}) for value in values]
        for choice, its_score in [(choice, score(choice)) for choice in choices]:
            if its_score > best_score:
                best, best_score = choice, its_score
    _set(network, temporal, spectrum(best.floor), best)


def _temporal_covariance(cohort: Cohort, window: int) -> NDArray:
    """Covariance of the frames of three windows in a row; of one alone where no run has three."""
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
    """Invert the covariance of the frames of a window, floored, of mean variance 1."""
    window = len(within)
    floored = within + floor * np.trace(within) / window * np.eye(window)
    return np.linalg.inv(floored * window / np.trace(floored))


def _region_spectrum(cohort: Cohort, precision: NDArray) -> Spectrum:
    """Eigenvalues and eigenvectors of the regions' covariance, divided by its mean variance."""
    covariance = region_covariance(cohort, precision)
    variance = np.diag(covariance)
    scale = float(variance[variance > 0].mean())
    values, vectors = np.linalg.eigh(covariance / scale)
    return Spectrum(np.maximum(values, SMALLEST_VARIANCE * values[-1]), vectors, precision / scale)


def _set_prediction(prior: SpectralPrior, temporal: NDArray, ridge: float) -> None:
    """Regress a window on the one before and the one after, and on each of them alone."""
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
    """Project windows onto their strongest components, products of region and frame ones."""
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
