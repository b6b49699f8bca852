"""Masked pretraining: a pure function of scans, parameters and a seed, so that it can be kept.

``joblib.Memory`` finds its result again by the values of its arguments, in any process.
"""

import os
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
from numpy.typing import NDArray

from sk_brainmae.network import BrainMAE
from sk_brainmae.scans.cohort import Cohort
from sk_brainmae.training.checkpoint import Checkpoint, identify
from sk_brainmae.training.cost import estimate_cost
from sk_brainmae.training.diagnostics import compare_with_linear
from sk_brainmae.training.loop import Observer, Schedule, train
from sk_brainmae.training.losses import ReconstructionLoss
from sk_brainmae.training.masking import MaskedCrops
from sk_brainmae.training.rng import DrawFrom
from sk_brainmae.training.scoring import ScoringCrops
from sk_brainmae.training.spectral_start import spectral_start
from sk_brainmae.version import __version__

# How different the states of the prior are when training starts to tell them apart.
STATE_DIFFERENCE = 0.1
# The prior starts in closed form and learns faster than the rest, without decay to zero.
PRIOR_LR_FACTOR = 2.0
# Arguments of pretraining_stage that its result is not looked up by.
NOT_IN_KEY = ["device", "observe", "verbose", "checkpoint"]


class Pretrained(NamedTuple):
    """What pretraining finds.

    Attributes
    ----------
    weights : dict of str to ndarray
        The network's parameters, on no device.
    history : list of dict
        One row an epoch.
    held_out_r2 : dict of str to float
        As :func:`compare_with_linear` returns it; empty without validation.
    """

    weights: dict[str, NDArray]
    history: list[dict[str, float]]
    held_out_r2: dict[str, float]


class Stopped(Exception):  # noqa: N818 (not an error)
    """A callback ended training: the result, past a cache that must not keep it."""

    def __init__(self, result: Pretrained):
        super().__init__(result)
        self.result = result


def find_or_pretrain(
    memory: Any, runs: Cohort, train: NDArray, held_out: NDArray | None, **arguments: Any
) -> Pretrained:
    """Return what the pretraining stage finds, from memory where it has run before.

    Parameters
    ----------
    memory : object with the joblib.Memory interface
        Where results are kept; the device that one was found on is not part of its key.
    runs, train, held_out : Cohort, ndarray, ndarray or None
        As in :func:`pretraining_stage`.
    **arguments : Any
        The others of :func:`pretraining_stage`, but for the version.

    Returns
    -------
    Pretrained
        Weights, history and scores.
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
    """Start a network, in closed form where it has a prior, train it, and score it.

    Parameters
    ----------
    runs : Cohort
        Whole runs.
    train, held_out : ndarray
        Indices of the runs to train on, and of those that choose the best epoch, or None.
    architecture : dict
        Arguments of :class:`~sk_brainmae.network.BrainMAE`.
    n_windows : int
        Windows in a crop.
    mask_ratio : (float, float)
        Range of the ratio that each batch draws.
    schedule : Schedule
        Epochs and learning rate.
    seed : int
        Of weights, crops and masks. The global random state is left alone.
    version : str
        Of this package. It changes nothing here; where results are kept, another version looks
        for its own.
    device : str
        Where to train.
    observe : callable
        As in :func:`~sk_brainmae.training.loop.train`.
    verbose : int
        1 prints what training will cost, and a line for each epoch.
    checkpoint : str or PathLike, default=None
        Folder that keeps the state of training after each epoch, and that it goes on from.

    Returns
    -------
    Pretrained
        Weights, history and scores.

    Raises
    ------
    Stopped
        If ``observe`` ended training before its time; holds the result.
    FloatingPointError
        If the loss stops being finite.
    ValueError
        If the checkpoint is damaged, or of other scans, parameters or device.
    OSError
        If the checkpoint is in use, or cannot be written.
    """
    window = architecture["window"]
    layout: Any = {"window": window, "n_windows": n_windows, "device": device}
    training = runs.take(train)
    validation = None if held_out is None else runs.take(held_out)
    keeper: Any = nullcontext()
    if checkpoint is not None and schedule.max_epochs:
        identity = identify(
            runs,
            train,
            held_out,
            **architecture,
            n_windows=n_windows,
            mask_ratio=mask_ratio,
            **schedule._replace(verbose=0)._asdict(),
            seed=seed,
            version=version,
            device=torch.device(device).type,
        )
        keeper = Checkpoint(checkpoint, identity)
    schedule = schedule._replace(verbose=verbose)
    stopped = False

    def watch(run_epoch: Any) -> bool:
        nonlocal stopped
        stopped = observe(run_epoch)
        return stopped

    generator = torch.Generator().manual_seed(seed)
    with DrawFrom(generator):
        network = BrainMAE(**architecture).to(device)
    with keeper as kept:
        plan: Any = {**layout, "mask_ratio": mask_ratio, "schedule": schedule}
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
            observe=watch,
            checkpoint=kept,
        )
    held_out_r2 = {}
    if validation is not None:
        held_out_r2 = compare_with_linear(
            network, training, validation, **layout, batch_size=schedule.batch_size
        )
        best = min(history, key=lambda row: row["valid_loss"])
        if network.prior is not None and best["epoch"] == 0:  # nothing to hold out for
            spectral_start(network, runs, n_windows=n_windows, device=device)
    result = Pretrained(to_arrays(network), history, held_out_r2)
    if stopped:
        raise Stopped(result)
    return result


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


def to_arrays(network: BrainMAE) -> dict[str, NDArray]:
    """Return the network's parameters as arrays on the CPU."""
    return {name: value.cpu().numpy().copy() for name, value in network.state_dict().items()}
