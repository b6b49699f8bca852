"""The training loop: skorch takes the steps, this module runs the epochs."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple, cast

import torch
from skorch.callbacks import GradientNormClipping, LRScheduler
from skorch.helper import predefined_split
from torch import nn
from torch.utils.data import IterableDataset

from sk_brainmae.training.checkpoint import Checkpoint, Progress, Resumable
from sk_brainmae.training.cuda_graphs import RecordedNetwork
from sk_brainmae.training.net import DeviceNet

# Runs the epoch that it is handed; returning True stops training.
Observer = Callable[[Callable[[], None]], bool]
# Share of the steps in which the learning rate rises, and at most how many.
WARM_UP, MAX_WARM_UP = 0.1, 30
# Steps after which a second stage must have helped.
TRIAL_STEPS = 30
MAX_GRADIENT_NORM = 1.0


class Batches(IterableDataset, ABC):
    """Batches ``(inputs, targets)`` of tensors on the device; one iteration is an epoch.

    They are data set and data loader in one: a loader has nothing left to do.
    """

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of batches in an epoch."""


class Stages(NamedTuple):
    """Training in two stages: at first little of the network learns, then all of it.

    The second stage starts from the best epoch of the first. With validation it ends training where
    it does not help at once.
    """

    first: int  # epochs of the first stage, in which only parameter groups with "first" learn
    turn: Callable[[], None]  # is called where the second stage begins


class Schedule(NamedTuple):
    """How long and how fast to train.

    Attributes
    ----------
    max_epochs : int
        Number of passes over the training crops.
    batch_size : int
        Number of crops in a step.
    lr : float
        Highest learning rate of AdamW. It rises linearly in the first tenth of the steps, at most
        30, then falls to zero as a cosine.
    weight_decay : float
        Decoupled weight decay; norms and biases do not decay.
    patience : int
        Training stops after this many epochs without a better validation loss.
    verbose : int
        1 prints a line per epoch.
    """

    max_epochs: int
    batch_size: int
    lr: float
    weight_decay: float
    patience: int
    verbose: int


def train(
    module: nn.Module,
    criterion: nn.Module,
    train_batches: Batches,
    valid_batches: Batches | None,
    schedule: Schedule,
    device: str,
    observe: Observer,
    param_groups: Sequence[tuple[str, dict[str, float]]] = (),
    checkpoint: Checkpoint | None = None,
    stages: Stages | None = None,
) -> list[dict[str, float]]:
    """Train ``module`` in place and return the history; with validation, keep the best epoch.

    The untrained module counts as epoch 0, so its validation loss never gets worse. Raises
    FloatingPointError where a loss or a weight is not finite. With a checkpoint, the training
    batches must be ``Resumable``.
    """
    if not schedule.max_epochs:
        return []
    first = stages.first if stages else 0
    n_trial = -(-TRIAL_STEPS // len(train_batches)) if stages else schedule.max_epochs
    net = compose(
        module, criterion, train_batches, valid_batches, schedule, device, param_groups, first
    )
    resumable = cast(Resumable, train_batches)
    progress = None if checkpoint is None else checkpoint.load(net, resumable)
    if progress is None:
        progress = Progress()
        if valid_batches is not None:
            loss = _loss_before_training(net, valid_batches)
            start = {"epoch": 0, "train_loss": math.nan, "valid_loss": loss, "lr": 0.0}
            progress.add(start, module)
    validated = valid_batches is not None
    while not _is_done(progress, schedule, validated, first, n_trial):
        if stages and progress.epoch == first:
            if progress.best_weights is not None:
                module.load_state_dict(progress.best_weights)
            net.optimizer_.state.clear()
            stages.turn()
        # One epoch at a time: skorch's own loop treats Ctrl-C as a normal end of training.
        stop = observe(lambda: net.fit_loop(train_batches, epochs=1))
        row = _history_row(net, progress.epoch + 1)
        _check_finite(row, schedule.lr)
        progress.add(row, module)
        if checkpoint is not None:
            checkpoint.save(net, resumable, progress)
        if stop:
            break
    if progress.best_weights is not None:
        module.load_state_dict(progress.best_weights)
    if not all(weight.isfinite().all() for weight in module.parameters()):
        raise FloatingPointError(
            f"the last step of training diverged: try a lower lr than {schedule.lr}"
        )
    return progress.history


def _is_done(
    progress: Progress, schedule: Schedule, validated: bool, first: int, n_trial: int
) -> bool:
    epoch, best = progress.epoch, progress.best_epoch
    if epoch >= schedule.max_epochs:
        return True
    failed = best <= first and epoch >= first + n_trial
    return validated and epoch > first and (failed or epoch - max(best, first) >= schedule.patience)


def compose(
    module: nn.Module,
    criterion: nn.Module,
    train_batches: Batches,
    valid_batches: Batches | None,
    schedule: Schedule,
    device: str,
    param_groups: Sequence[tuple[str, dict[str, float]]] = (),
    first: int = 0,
) -> DeviceNet:
    """Return a net that is ready to train ``module`` in place, with optimiser and schedule.

    ``param_groups`` are patterns of parameter names, each with settings of its own. In the
    ``first`` epochs only those with the setting "first" learn. On a GPU the passes of the network
    are recorded.
    """
    n_first = first * len(train_batches)
    n_steps = schedule.max_epochs * len(train_batches)
    on_gpu = torch.device(device).type == "cuda"
    net = DeviceNet(
        RecordedNetwork(module) if on_gpu else module,
        criterion=criterion,
        optimizer=torch.optim.AdamW,
        optimizer__fused=on_gpu,
        optimizer__weight_decay=schedule.weight_decay,
        optimizer__param_groups=[
            *param_groups,
            ("*bias", {"weight_decay": 0.0}),
            ("*norm*", {"weight_decay": 0.0}),
        ],
        lr=schedule.lr,
        iterator_train=_own_batches,
        iterator_valid=_own_batches,
        train_split=None if valid_batches is None else predefined_split(valid_batches),
        callbacks=[
            GradientNormClipping(MAX_GRADIENT_NORM),
            LRScheduler(_StagedLR, n_first=n_first, n_steps=n_steps, step_every="batch"),
        ],
        verbose=schedule.verbose,
        device=device,
    )
    net.initialize()
    net.notify("on_train_begin", X=train_batches, y=None)
    return net


def _own_batches(batches: Iterable, batch_size: int) -> Iterable:
    """Take the place of skorch's data loader: the batches are ready."""
    return batches


class _StagedLR(torch.optim.lr_scheduler.LambdaLR):
    """Each stage warms up and falls as a cosine; groups without "first" pause in the first."""

    def __init__(
        self, optimizer: torch.optim.Optimizer, n_first: int, n_steps: int, last_epoch: int = -1
    ):
        def share(step: int, group: dict[str, Any]) -> float:
            if step < n_first:
                return _warm_up_then_cosine(step, n_first) if group.get("first") else 0.0
            return _warm_up_then_cosine(step - n_first, n_steps - n_first)

        shares: list[Callable[[int], float]] = [
            partial(share, group=group) for group in optimizer.param_groups
        ]
        super().__init__(optimizer, shares, last_epoch)


def _warm_up_then_cosine(step: int, n_steps: int) -> float:
    """Return the share of the highest learning rate in a step."""
    if step >= n_steps:  # the scheduler looks one step ahead
        return 0.0
    warm_up = min(WARM_UP * n_steps, MAX_WARM_UP)
    if step < warm_up:
        return (step + 1) / (warm_up + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / (n_steps - warm_up)))


def _loss_before_training(net: DeviceNet, batches: Batches) -> float:
    net.history.new_epoch()
    net.run_single_epoch(batches, False, "valid", net.validation_step)
    loss = net.history[-1]["valid_loss"]
    net.history.clear()
    if not math.isfinite(loss):
        raise FloatingPointError(
            f"valid_loss is {loss} before training: look for scans with extreme values"
        )
    return loss


def _history_row(net: DeviceNet, epoch: int) -> dict[str, float]:
    recorded = net.history[-1]
    losses = {name: recorded[name] for name in ("train_loss", "valid_loss") if name in recorded}
    return {"epoch": epoch, **losses, "lr": net.optimizer_.param_groups[0]["lr"]}


def _check_finite(row: dict[str, float], lr: float) -> None:
    bad = [name for name, value in row.items() if not math.isfinite(value)]
    if bad:
        raise FloatingPointError(
            f"{bad[0]} became {row[bad[0]]} in epoch {row['epoch']}: training diverged."
            f" Try a lower learning rate (lr={lr} now), and look for scans with extreme values"
        )
