"""Masked pretraining."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sk_brainmae.crops import random_crops
from sk_brainmae.network import BrainMAE
from sk_brainmae.timeseries import Cohort
from sk_brainmae.training.checkpoint import Checkpoint
from sk_brainmae.training.engine import Batches, Observer, Schedule, train
from sk_brainmae.training.losses import ReconstructionLoss
from sk_brainmae.training.scoring import ScoringCrops, masked_batch
from sk_brainmae.training.windows import CohortTensors

# How different the states of the prior are when training starts to tell them apart.
STATE_DIFFERENCE = 0.1
# The prior starts in closed form and learns faster than the rest, without decay to zero.
PRIOR_LR_FACTOR = 2.0


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

    def state(self) -> tuple[dict[str, Any], Tensor]:
        """Return the states of the generators of crops, as JSON, and of masks, as bytes."""
        return dict(self.rng.bit_generator.state), self.mask_rng.get_state()

    def set_state(self, state: dict[str, Any], bits: Tensor) -> None:
        """Draw next what would have been drawn after :meth:`state`."""
        self.rng.bit_generator.state = state
        self.mask_rng.set_state(bits)

    def __iter__(self) -> Iterator[tuple[dict[str, Tensor], dict[str, Tensor]]]:
        crops = random_crops(self.cohort, self.window, self.n_windows, self.rng)
        order = self.rng.permutation(len(self.cohort))
        for rows in np.array_split(order, len(self)):
            ratio = self.rng.uniform(*self.mask_ratio)
            yield masked_batch(self.tensors, crops, rows, ratio, self.mask_rng)


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
    generator: torch.Generator,
    device: str,
    observe: Observer,
    checkpoint: Checkpoint | None = None,
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
    generator : torch.Generator
        Draws how the states of a prior differ at first; on the processor.
    device : str
        Where to train.
    observe : callable
        As in :func:`train`.
    checkpoint : Checkpoint, default=None
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
    groups = []
    if network.prior is not None:
        fast = {"lr": PRIOR_LR_FACTOR * schedule.lr, "weight_decay": 0.0}
        groups = [("*roi", fast), ("*prior.*", fast)]

    def tell_states_apart(run_epoch: Callable[[], None]) -> bool:
        # Not before the start has been scored.
        if network.prior is not None and not network.prior.modulation.any():
            network.prior.break_symmetry(STATE_DIFFERENCE, generator)
        return observe(run_epoch)

    return train(
        network,
        ReconstructionLoss(),
        batches,
        valid,
        schedule,
        device,
        tell_states_apart,
        groups,
        checkpoint,
    )
