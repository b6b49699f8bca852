"""Runs scans through a trained network: window states, CLS tokens, reconstructions."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sk_brainmae.network import BrainMAE
from sk_brainmae.scans.cohort import Cohort
from sk_brainmae.scans.crops import Crops, overlapping_windows, tile_crops
from sk_brainmae.training.tensors import CohortTensors


@torch.inference_mode()
def encode(
    network: BrainMAE, cohort: Cohort, *, window: int, n_windows: int, batch_size: int, device: str
) -> tuple[list[NDArray], NDArray]:
    """Encode every sample, without masking.

    Parameters
    ----------
    network : BrainMAE
        Trained network.
    cohort : Cohort
        Samples to encode.
    window, n_windows : int
        Frames in a window, and windows in a crop.
    batch_size : int
        Number of crops at once.
    device : str
        Where to compute.

    Returns
    -------
    states : list of ndarray, each of shape (n_windows_i, d)
        Window states of each sample's own windows, in the context of their crop.
    cls : ndarray of shape (n_samples, d)
        Mean CLS token over the crops of each sample.
    """
    network.to(device).eval()
    crops = tile_crops(cohort, window, n_windows)
    tensors = CohortTensors(cohort, window, device)
    encoded = [
        network.encode(*tensors.gather(crops, rows)) for rows in _slices(crops.starts, batch_size)
    ]
    states = torch.cat([states for states, _ in encoded]).cpu().numpy()  # (n_crops, n, d)
    cls = torch.cat([cls for _, cls in encoded]).cpu().numpy()  # (n_crops, d)
    first = np.searchsorted(crops.sample, np.arange(len(cohort)))  # crops are in sample order
    n_crops = np.bincount(crops.sample).astype(cls.dtype)
    return _by_sample(states[crops.own], crops), np.add.reduceat(cls, first) / n_crops[:, None]


@torch.inference_mode()
def encode_alone(
    network: BrainMAE, cohort: Cohort, *, window: int, n_windows: int, batch_size: int, device: str
) -> list[NDArray]:
    """Encode overlapping windows of every sample, each without context.

    Parameters
    ----------
    network : BrainMAE
        Trained network.
    cohort, window, n_windows, batch_size, device
        As in :func:`encode`.

    Returns
    -------
    list of ndarray, each of shape (n_windows_i, d)
        States of windows that begin half a window apart. Windows in which nothing was measured are
        left out, unless a sample has no others.
    """
    network.to(device).eval()
    crops = overlapping_windows(cohort, window)
    tensors = CohortTensors(cohort, window, device)
    states, measured = [], []
    for rows in _slices(crops.starts, batch_size * n_windows):
        signal, visible = tensors.gather(crops, rows)
        states.append(network.encode(signal, visible)[0].cpu().numpy())  # (B, 1, d)
        measured.append(visible.any(-1).cpu().numpy())  # (B, 1)
    by_sample = zip(
        _by_sample(np.concatenate(states)[:, 0], crops),
        _by_sample(np.concatenate(measured)[:, 0], crops),
        strict=True,
    )
    return [own[known] if known.any() else own for own, known in by_sample]


@torch.inference_mode()
def reconstruct(
    network: BrainMAE, cohort: Cohort, *, window: int, n_windows: int, batch_size: int, device: str
) -> list[NDArray]:
    """Reconstruct the frames of every sample from what is visible.

    One hidden frame hides the whole window of its region.

    Parameters
    ----------
    network : BrainMAE
        Trained network.
    cohort : Cohort
        Samples to reconstruct.
    window, n_windows : int
        Frames in a window, and windows in a crop.
    batch_size : int
        Number of crops at once.
    device : str
        Where to compute.

    Returns
    -------
    list of ndarray, each of shape (n_timepoints_i, n_regions)
        Reconstructed signal, z-scored.
    """

    def rebuild(signal: Tensor, visible: Tensor) -> Tensor:
        return network(signal, visible).transpose(2, 3)

    network.to(device).eval()
    return _frame_by_frame(rebuild, cohort, window, n_windows, batch_size, device)


@torch.inference_mode()
def brain_states(
    network: BrainMAE, cohort: Cohort, *, window: int, n_windows: int, batch_size: int, device: str
) -> list[NDArray]:
    """Return the probability of each of the prior's brain states in every frame of every sample.

    Parameters
    ----------
    network : BrainMAE
        Trained network with a prior.
    cohort, window, n_windows, batch_size, device
        As in :func:`encode`.

    Returns
    -------
    list of ndarray, each of shape (n_timepoints_i, n_states)
        Probabilities; without training there is one brain state.
    """
    network.to(device).eval()
    return _frame_by_frame(network.brain_states, cohort, window, n_windows, batch_size, device)


def _frame_by_frame(
    run: Callable[[Tensor, Tensor], Tensor],
    cohort: Cohort,
    window: int,
    n_windows: int,
    batch_size: int,
    device: str,
) -> list[NDArray]:
    """Run crops through a function that returns (B, n, tau, m); (T_i, m) for each sample."""
    crops = tile_crops(cohort, window, n_windows)
    tensors = CohortTensors(cohort, window, device)
    batches = [
        run(*tensors.gather(crops, rows)).cpu().numpy()[crops.own[rows]]
        for rows in _slices(crops.starts, batch_size)
    ]
    windows, within = np.concatenate(batches), np.arange(window)  # (n_own, tau, m)
    starts = _by_sample(crops.starts[crops.own], crops)
    frames, samples = np.zeros((len(cohort.frames), windows.shape[2]), windows.dtype), []
    # One sample after another, because moments of a run may overlap.
    for i, own in enumerate(_by_sample(windows, crops)):
        frames[starts[i][:, None] + within] = own
        first = cohort.run_start[cohort.runs[i]]
        samples.append(frames[first + cohort.start[i] : first + cohort.stop[i]].copy())
    return samples


def _by_sample(windows: NDArray, crops: Crops) -> list[NDArray]:
    """Split an array (n_own, ...) of the own windows of all crops by sample."""
    n_own = np.bincount(crops.sample, weights=crops.own.sum(axis=1)).astype(int)
    return np.split(windows, np.cumsum(n_own)[:-1])


def _slices(rows: NDArray, size: int) -> list[slice]:
    return [slice(start, start + size) for start in range(0, len(rows), size)]
