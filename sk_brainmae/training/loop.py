"""The training loop: skorch steps, our epochs."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, cast

import torch
from skorch.callbacks import GradientNormClipping, LRScheduler
from skorch.helper import predefined_split
from torch import nn
from torch.utils.data import IterableDataset

from sk_brainmae.training.checkpoint import Checkpoint, Progress, Resumable
from sk_brainmae.training.cuda_graphs import RecordedNetwork
from sk_brainmae.training.net import DeviceNet

# Runs the epoch it is handed; True stops training.
Observer = Callable[[Callable[[], None]], bool]
# Share of the steps in which the learning rate rises before it falls.
WARM_UP = 0.1
MAX_GRADIENT_NORM = 1.0


class Batches(IterableDataset, ABC):
    """Ready batches ``(inputs, targets)`` of tensors on the device; one iteration is an epoch.

    skorch takes it for its data set and for its data loader alike: batches are gathered on the
    device, so there is nothing left for a loader to do.
    """

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of batches in an epoch."""


class Schedule(NamedTuple):
    """How long and how fast to train.

    Attributes
    ----------
    max_epochs : int
        Passes over the training crops.
    batch_size : int
        Crops in a step.
    lr : float
        Highest learning rate of AdamW; it rises linearly, then falls as a cosine to zero.
    weight_decay : float
        Decoupled weight decay; norms and biases are exempt.
    patience : int
        Epochs without a better validation loss before training stops.
    verbose : int
        Whether skorch prints a line for each epoch.
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
) -> list[dict[str, float]]:
    """Train ``module`` in place; with validation, leave it at its best epoch.

    The start counts as epoch 0: by its validation loss, a module never ends worse than it began.

    Parameters
    ----------
    module, criterion : nn.Module
        The network, and its loss ``criterion(output, targets)``.
    train_batches, valid_batches : Batches
        Training data, and held-out data or None.
    schedule : Schedule
        Epochs and learning rate.
    device : str
        Where to train.
    observe : callable
        Runs the epoch it is handed, and returns True to stop training after it.
    param_groups : sequence of (str, dict), default=()
        Parameters, by a pattern of their names, that the optimiser treats differently.
    checkpoint : Checkpoint, default=None
        Keeps the state after each epoch; training goes on from what it holds. The training
        batches must be :class:`~sk_brainmae.training.checkpoint.Resumable`.

    Returns
    -------
    list of dict
        One row an epoch: epoch, train_loss, valid_loss (with validation), lr. With validation,
        a row for the start comes first: epoch 0, train_loss NaN, lr 0.

    Raises
    ------
    FloatingPointError
        If the validation loss of the start, the loss of an epoch, or a weight after the last
        one is not finite.
    MemoryError
        If a step does not fit into memory; names a batch size that does.
    OSError
        If the checkpoint cannot be written, as on a full disk; the one before stays.
    """
    if not schedule.max_epochs:
        return []
    net = compose(module, criterion, train_batches, valid_batches, schedule, device, param_groups)
    resumable = cast(Resumable, train_batches)
    progress = None if checkpoint is None else checkpoint.load(net, resumable)
    if progress is None:
        progress = Progress()
        if valid_batches is not None:
            loss = _loss_before_training(net, valid_batches)
            start = {"epoch": 0, "train_loss": math.nan, "valid_loss": loss, "lr": 0.0}
            progress.add(start, module)
    while not _is_done(progress, schedule, valid_batches is not None):
        # Epoch by epoch, because skorch's own loop takes Ctrl-C for a normal end of training.
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


def _is_done(progress: Progress, schedule: Schedule, validated: bool) -> bool:
    waited = progress.epoch - progress.best_epoch
    return progress.epoch >= schedule.max_epochs or (validated and waited >= schedule.patience)


def compose(
    module: nn.Module,
    criterion: nn.Module,
    train_batches: Batches,
    valid_batches: Batches | None,
    schedule: Schedule,
    device: str,
    param_groups: Sequence[tuple[str, dict[str, float]]] = (),
) -> DeviceNet:
    """Put network, optimiser, schedule and clipping together, ready to run epochs.

    Parameters
    ----------
    module, criterion : nn.Module
        The network, and its loss ``criterion(output, targets)``.
    train_batches, valid_batches : Batches
        Training data, and held-out data or None.
    schedule : Schedule
        Epochs and learning rate.
    device : str
        Where to train. On a GPU the network's passes are recorded, see
        :class:`~sk_brainmae.training.cuda_graphs.RecordedNetwork`.
    param_groups : sequence of (str, dict), default=()
        As in :func:`train`.

    Returns
    -------
    DeviceNet
        Trains ``module`` in place.
    """
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
            LRScheduler(
                torch.optim.lr_scheduler.LambdaLR,
                lr_lambda=lambda step: _warm_up_then_cosine(step, n_steps),
                step_every="batch",
            ),
        ],
        verbose=schedule.verbose,
        device=device,
    )
    net.initialize()
    net.notify("on_train_begin", X=train_batches, y=None)
    return net


def _own_batches(batches: Iterable, batch_size: int) -> Iterable:
    """Stand in for skorch's data loader: batches come ready, gathered on the device."""
    return batches


def _warm_up_then_cosine(step: int, n_steps: int) -> float:
    """Return the share of the learning rate in a step: up in a tenth of them, then down to 0."""
    warm_up = WARM_UP * n_steps
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
