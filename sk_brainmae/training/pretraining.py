"""Masked pretraining, in the order in which things happen.

``find_or_pretrain`` looks for the result in a memory; ``pretraining_stage`` starts a network,
trains it and scores it; ``pretrain`` is the training itself. The stage is a pure function of scans,
parameters and a seed, so ``joblib.Memory`` finds its result by the values of its arguments, in any
process.
"""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from numpy.typing import NDArray

from sk_brainmae.network import BrainMAE
from sk_brainmae.scans.cohort import Cohort
from sk_brainmae.training.checkpoint import Checkpoint, identify
from sk_brainmae.training.cost import estimate_cost
from sk_brainmae.training.loop import Observer, Schedule, train
from sk_brainmae.training.masking import MaskedCrops, ReconstructionLoss
from sk_brainmae.training.rng import DrawFrom
from sk_brainmae.training.scoring import ScoringCrops, compare_with_linear
from sk_brainmae.training.spectral_start import spectral_start
from sk_brainmae.version import __version__

# How much the brain states of the prior differ when training begins.
STATE_DIFFERENCE = 0.1
# The prior starts in closed form, so it learns faster than the rest and does not decay to zero.
PRIOR_LR_FACTOR = 2.0
# What of the prior learns alone where the whole network gains nothing, and with which share of
# that rate.
ALONE = {"*prior.log_noise": 1.0, "*prior.adaptation": 0.5, "*prior.from_*": 0.25}
# Arguments of pretraining_stage that are no part of the key in the memory.
NOT_IN_KEY = ["device", "observe", "verbose", "checkpoint"]


class Pretrained(NamedTuple):
    """What pretraining found."""

    weights: dict[str, NDArray]  # parameters of the network, on the CPU
    history: list[dict[str, float]]  # one row per epoch
    held_out_r2: dict[str, float]  # of network and linear predictor; empty without validation


class Stopped(Exception):  # noqa: N818 (not an error)
    """A callback ended training early. Carries the result past a memory that must not keep it."""

    def __init__(self, result: Pretrained):
        super().__init__(result)
        self.result = result


def find_or_pretrain(
    memory: Any, runs: Cohort, train: NDArray, held_out: NDArray | None, **arguments: Any
) -> Pretrained:
    """Pretrain a network, or find the result of an earlier run in a memory (joblib's interface).

    The same scans, parameters, seed and version find the same result. The device, the observer,
    printing and the checkpoint do not matter. A result that a callback stopped early is not kept.
    """
    stage = memory.cache(pretraining_stage, ignore=NOT_IN_KEY)
    try:
        return stage(runs, train, held_out, version=__version__, **arguments)
    except Stopped as stopped:
        return stopped.result


def pretraining_stage(
    runs: Cohort,
    train: NDArray,
    held_out: NDArray | None,
    *,
    architecture: dict[str, Any],
    n_windows: int,
    mask_ratio: tuple[float, float],
    schedule: Schedule,
    seed: int,
    version: str,
    device: str,
    observe: Observer,
    verbose: int,
    checkpoint: str | os.PathLike | None = None,
) -> Pretrained:
    """Start a network, in closed form where it has a prior; train it; score it.

    ``train`` and ``held_out`` are indices of ``runs``; ``held_out`` chooses the best epoch.
    ``verbose`` prints the expected cost and a line per epoch. ``version`` is only part of the key:
    another version of this package looks for results of its own. See :func:`pretrain` for the rest.
    """
    training = runs.take(train)
    validation = None if held_out is None else runs.take(held_out)
    layout: Any = {"window": architecture["window"], "n_windows": n_windows, "device": device}
    quiet, loud = schedule._replace(verbose=0), schedule._replace(verbose=verbose)
    plan: Any = {**layout, "mask_ratio": mask_ratio, "schedule": loud}
    watched = _Watched(observe)

    keeper: AbstractContextManager[Checkpoint | None] = nullcontext()
    if checkpoint is not None and schedule.max_epochs:
        arguments = {
            **architecture,
            "n_windows": n_windows,
            "mask_ratio": mask_ratio,
            **quiet._asdict(),
            "seed": seed,
            "version": version,
            "device": torch.device(device).type,
        }
        keeper = Checkpoint(checkpoint, identify(runs, train, held_out, **arguments))

    generator = torch.Generator().manual_seed(seed)
    with DrawFrom(generator):
        network = BrainMAE(**architecture).to(device)
    with keeper as kept:
        if verbose and schedule.max_epochs:
            print(estimate_cost(network, training, validation, **plan))
        if network.prior is not None and not (kept and kept.exists()):
            spectral_start(network, training, n_windows=n_windows, device=device)
        history = pretrain(
            network,
            training,
            validation,
            **plan,
            seed=seed,
            generator=generator,
            observe=watched,
            checkpoint=kept,
        )

    held_out_r2 = {}
    if validation is not None:
        held_out_r2 = compare_with_linear(
            network, training, validation, **layout, batch_size=schedule.batch_size
        )
        best = min(history, key=lambda row: row["valid_loss"])
        if network.prior is not None and best["epoch"] == 0:
            # Training brought nothing, so no run has to be held out from the start.
            spectral_start(network, runs, n_windows=n_windows, device=device)
    result = Pretrained(to_arrays(network), history, held_out_r2)
    if watched.stopped:
        raise Stopped(result)
    return result


class _Watched:
    """An observer that remembers whether it stopped training."""

    def __init__(self, observe: Observer):
        self.observe, self.stopped = observe, False

    def __call__(self, run_epoch: Callable[[], None]) -> bool:
        self.stopped = self.observe(run_epoch)
        return self.stopped


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
    """Train an autoencoder to fill in hidden regions (arXiv 2406.17086, section 3.3).

    With validation the network ends at its best epoch; the untrained network counts as epoch 0.

    Parameters
    ----------
    network : BrainMAE
        Trained in place.
    cohort : Cohort
        Runs to train on.
    valid_cohort : Cohort or None
        Runs that choose the best epoch.
    window, n_windows : int
        Frames in a window, and windows in a crop.
    mask_ratio : (float, float)
        Range of the share of hidden regions; each batch draws one value.
    schedule : Schedule
        Epochs and learning rate.
    seed : int
        Seed of crops and masks.
    generator : torch.Generator
        Draws how the brain states of a prior differ at first; on the CPU.
    device : str
        Where to train.
    observe : callable
        Runs the epoch that it is handed, and returns True to stop training after it.
    checkpoint : Checkpoint, default=None
        Keeps the state of training after each epoch; training resumes from what it holds.

    Returns
    -------
    list of dict
        One row per epoch: epoch, train_loss, valid_loss (with validation) and lr. With validation
        the first row is the untrained network: epoch 0, train_loss NaN, lr 0.

    Raises
    ------
    FloatingPointError
        If a loss or a weight stops being finite.
    MemoryError
        If a step does not fit into memory; names a batch size that does.
    OSError
        If the checkpoint cannot be written, as on a full disk; the one before stays.
    """
    size = schedule.batch_size
    batches = MaskedCrops(cohort, window, n_windows, mask_ratio, size, seed, device)
    valid = None
    if valid_cohort is not None:
        valid = ScoringCrops(valid_cohort, window, n_windows, size, device, batches.tensors)
    groups: list[tuple[str, dict[str, float]]] = []
    if network.prior is not None:
        fast = {"lr": PRIOR_LR_FACTOR * schedule.lr, "weight_decay": 0.0}
        groups = [(pattern, {**fast, "alone": share}) for pattern, share in ALONE.items()]
        groups += [("*roi", fast), ("*prior.*", fast)]

    def tell_states_apart() -> None:
        if network.prior is not None:
            network.prior.break_symmetry(STATE_DIFFERENCE, generator)

    return train(
        network,
        ReconstructionLoss(),
        batches,
        valid,
        schedule,
        device,
        observe,
        groups,
        checkpoint,
        tell_states_apart,
    )


def to_arrays(network: BrainMAE) -> dict[str, NDArray]:
    """Return the network's parameters as arrays on the CPU."""
    return {name: value.cpu().numpy().copy() for name, value in network.state_dict().items()}
