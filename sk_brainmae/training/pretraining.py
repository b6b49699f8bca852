"""Masked pretraining, and the score that goes with it."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sk_brainmae.crops import Crops, random_crops, tile_crops
from sk_brainmae.network import BrainMAE
from sk_brainmae.timeseries import Cohort
from sk_brainmae.training.engine import Batches, Observer, Schedule, train
from sk_brainmae.training.losses import ReconstructionLoss
from sk_brainmae.training.masking import hide_regions
from sk_brainmae.training.windows import CohortTensors

# The ratio at which models are compared, in validation and in score.
SCORE_RATIO = 0.5
SCORE_SEED = 0


class MaskedCrops(Batches):
    """Batches of masked crops: one random crop of every sample in an epoch, in random order.

    Parameters
    ----------
    cohort : Cohort
        Training runs.
    window, n_windows : int
        Frames in a window, and windows in a crop.
    mask_ratio : (float, float)
        Each batch draws one ratio uniformly between the two.
    batch_size : int
        Crops in a batch.
    seed : int
        Of crops, order, ratios and masks.
    device : str
        Where batches are made.
    """

    def __init__(
        self,
        cohort: Cohort,
        window: int,
        n_windows: int,
        mask_ratio: tuple[float, float],
        batch_size: int,
        seed: int,
        device: str,
    ):
        self.cohort, self.window, self.n_windows = cohort, window, n_windows
        self.mask_ratio, self.batch_size = mask_ratio, batch_size
        self.tensors = CohortTensors(cohort, window, device)
        self.rng = np.random.default_rng(seed)
        self.mask_rng = torch.Generator(device).manual_seed(seed)

    def __len__(self) -> int:
        return -(-len(self.cohort) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[dict[str, Tensor], dict[str, Tensor]]]:
        crops = random_crops(self.cohort, self.window, self.n_windows, self.rng)
        order = self.rng.permutation(len(self.cohort))
        for rows in np.array_split(order, len(self)):
            ratio = self.rng.uniform(*self.mask_ratio)
            yield _masked_batch(self.tensors, crops, rows, ratio, self.mask_rng)


class ScoringCrops(Batches):
    """The same crops with the same masks, every time: what models are compared on.

    Parameters
    ----------
    cohort : Cohort
        Runs to score.
    window, n_windows : int
        Frames in a window, and windows in a crop.
    batch_size : int
        Crops in a batch.
    device : str
        Where batches are made.
    other : CohortTensors or None
        Of another part of the same cohort, see :class:`CohortTensors`.
    """

    def __init__(
        self,
        cohort: Cohort,
        window: int,
        n_windows: int,
        batch_size: int,
        device: str,
        other: CohortTensors | None = None,
    ):
        self.crops = tile_crops(cohort, window, n_windows)
        self.tensors = CohortTensors(cohort, window, device, other)
        self.batch_size = batch_size

    def __len__(self) -> int:
        return -(-len(self.crops.starts) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[dict[str, Tensor], dict[str, Tensor]]]:
        mask_rng = torch.Generator(self.tensors.device).manual_seed(SCORE_SEED)
        for rows in np.array_split(np.arange(len(self.crops.starts)), len(self)):
            yield _masked_batch(self.tensors, self.crops, rows, SCORE_RATIO, mask_rng)


def pretrain(
    network: BrainMAE,
    cohort: Cohort,
    valid_cohort: Cohort | None,
    *,
    window: int,
    n_windows: int,
    mask_ratio: tuple[float, float],
    schedule: Schedule,
    seed: int,
    device: str,
    observe: Observer,
) -> list[dict[str, float]]:
    """Train an autoencoder to fill in hidden regions; see :func:`train` for the rest.

    Parameters
    ----------
    network : BrainMAE
        Trained in place.
    cohort, valid_cohort : Cohort
        Runs to train on, and runs that choose the best epoch, or None.
    window, n_windows : int
        Frames in a window, and windows in a crop.
    mask_ratio : (float, float)
        Range of the ratio that each batch draws.
    schedule : Schedule
        Epochs and learning rate.
    seed : int
        Of crops and masks.
    device : str
        Where to train.
    observe : callable
        As in :func:`train`.

    Returns
    -------
    list of dict
        One row an epoch.
    """
    size = schedule.batch_size
    batches = MaskedCrops(cohort, window, n_windows, mask_ratio, size, seed, device)
    valid = None
    if valid_cohort is not None:
        valid = ScoringCrops(valid_cohort, window, n_windows, size, device, batches.tensors)
    return train(
        network,
        ReconstructionLoss(),
        batches,
        valid,
        schedule,
        device,
        observe,
    )


@torch.inference_mode()
def masked_r2(
    network: BrainMAE, cohort: Cohort, *, window: int, n_windows: int, batch_size: int, device: str
) -> float:
    """Return the R^2 of reconstructing hidden regions, at a fixed ratio and with fixed masks.

    Parameters
    ----------
    network : BrainMAE
        Trained weights.
    cohort : Cohort
        Samples to score.
    window, n_windows : int
        Frames in a window, and windows in a crop.
    batch_size : int
        Crops at once.
    device : str
        Where to compute.

    Returns
    -------
    float
        One minus the squared error over the signal's variance in the hidden cells; 0 is what
        each region's mean over the scan reaches.
    """
    error = variance = 0.0
    network.to(device).eval()
    for inputs, target in ScoringCrops(cohort, window, n_windows, batch_size, device):
        hidden = target["hidden"][..., None]
        difference = (network(**inputs) - target["signal"]) * hidden
        error += difference.square().sum().item()
        variance += (target["signal"] * hidden).square().sum().item()
    return 1 - error / variance


def _masked_batch(
    tensors: CohortTensors, crops: Crops, rows: Any, ratio: float, generator: torch.Generator
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Gather crops and hide regions: the network's inputs, and what the loss needs."""
    signal, observed = tensors.gather(crops, rows)
    hidden = hide_regions(observed, ratio, generator)
    visible = observed & ~hidden
    return (
        {"signal": signal, "visible": visible},
        {"signal": signal, "hidden": hidden, "visible": visible},
    )
