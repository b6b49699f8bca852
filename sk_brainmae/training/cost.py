"""Estimates the time and memory of pretraining before it starts."""

import copy
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sk_brainmae.network import BrainMAE
from sk_brainmae.scans.cohort import Cohort
from sk_brainmae.scans.runs import mapping_of
from sk_brainmae.training.loop import Schedule, compose
from sk_brainmae.training.masking import MaskedCrops, ReconstructionLoss
from sk_brainmae.training.scoring import ScoringCrops

# Timed steps, after one that warms up.
N_TIMED = 3
# The weights, their gradient, and two moments of AdamW.
COPIES = 4


class Cost(NamedTuple):
    """Expected time and memory of pretraining; ``str`` gives one line.

    Attributes
    ----------
    seconds : float
        Duration of all epochs with validation; training may stop earlier.
    memory : int
        Bytes at the peak: scans (unless they stay in a file), weights, optimiser, and the
        activations of a step.
    crops_per_second : float
        Measured training throughput.
    n_crops : int
        Number of crops in all epochs.
    device : str
        Where it was measured.
    """

    seconds: float
    memory: int
    crops_per_second: float
    n_crops: int
    device: str

    def __str__(self) -> str:
        hours, minutes = self.seconds / 3600, self.seconds / 60
        duration = f"{hours:.1f} h" if hours >= 1 else f"{minutes:.1f} min"
        if minutes < 1:
            duration = f"{self.seconds:.1f} s"
        return (
            f"about {duration} and {self.memory / 1e6:.0f} MB on {self.device}"
            f" ({self.n_crops} crops, {self.crops_per_second:.3g} a second)"
        )


def estimate_cost(
    network: BrainMAE,
    cohort: Cohort,
    valid_cohort: Cohort | None = None,
    *,
    window: int,
    n_windows: int,
    mask_ratio: tuple[float, float],
    schedule: Schedule,
    device: str,
) -> Cost:
    """Estimate the time and memory of :func:`~sk_brainmae.training.pretrain` from a few steps.

    A copy of the network takes the steps, at the mean mask ratio: the time of a step is linear in
    the number of visible regions. Activations are counted at the lowest ratio, where they are
    largest. Random numbers are drawn from separate generators, so an estimate changes no later
    training.

    Parameters
    ----------
    network : BrainMAE
        The network to pretrain; not changed.
    cohort : Cohort
        Runs to train on.
    valid_cohort : Cohort, default=None
        Runs that choose the best epoch.
    window, n_windows : int
        Frames in a window, and windows in a crop.
    mask_ratio : (float, float)
        Range of the share of hidden regions; each batch draws one value.
    schedule : Schedule
        Epochs and batch size.
    device : str
        Where to train.

    Returns
    -------
    Cost
        Seconds, bytes, and the measured throughput.
    """
    low, high = mask_ratio
    layout, size = (window, n_windows), schedule.batch_size
    network = copy.deepcopy(network).to(device)
    usual = MaskedCrops(cohort, *layout, ((low + high) / 2,) * 2, size, 0, device)
    fullest = MaskedCrops(cohort, *layout, (low, low), size, 0, device)
    net = compose(network, ReconstructionLoss(), usual, None, schedule, device)
    batch, full_batch = next(iter(usual)), next(iter(fullest))
    activations = _activation_bytes(lambda: net.train_step(full_batch), device)
    per_crop = _seconds(lambda: net.train_step(batch), device) / len(batch[0]["signal"])
    n_crops = schedule.max_epochs * len(cohort)
    seconds = n_crops * per_crop
    if valid_cohort is not None:
        valid = ScoringCrops(valid_cohort, *layout, size, device, usual.tensors)
        batch = next(iter(valid))
        forward = _seconds(lambda: net.validation_step(batch), device)
        seconds += (1 + schedule.max_epochs) * len(valid) * forward
    weights = sum(p.numel() * p.element_size() for p in network.parameters())
    n_copies = COPIES + (valid_cohort is not None)  # and the weights of the best epoch
    scans = sum(array.nbytes for array in (cohort.hidden, cohort.missing) if array is not None)
    if torch.device(device).type != "cpu" or mapping_of(cohort.frames) is None:
        scans += cohort.frames.nbytes  # else they stay in their file
    memory = scans + n_copies * weights + activations
    return Cost(seconds, memory, 1 / per_crop, n_crops, device)


def _seconds(step: Callable[[], Any], device: str) -> float:
    """Return the median duration of a step, after one that warms up."""
    durations = []
    for _ in range(1 + N_TIMED):
        start = time.perf_counter()
        step()
        if torch.device(device).type == "cuda":
            torch.cuda.synchronize(device)
        durations.append(time.perf_counter() - start)
    return statistics.median(durations[1:])


def _activation_bytes(step: Callable[[], Any], device: str) -> int:
    """Return the bytes that a step allocates at its peak; on a CPU, those saved for backward."""
    if torch.device(device).type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        step()
        return torch.cuda.max_memory_allocated(device) - before
    saved: dict[int, int] = {}

    def count(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        step()
    return sum(saved.values())
