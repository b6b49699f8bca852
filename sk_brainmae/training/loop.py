"""The training loop: skorch takes the steps, this module runs the epochs."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, cast

import torch
from skorch.callbacks import GradientNormClipping, LRScheduler
from skorch.helper import predefined_split
from torch import Tensor, nn
from torch.utils.data import IterableDataset

from sk_brainmae.training.checkpoint import Checkpoint, Progress, Resumable
from sk_brainmae.training.cuda_graphs import RecordedNetwork
from sk_brainmae.training.net import DeviceNet

# Runs the epoch that it is handed; returning True stops training.
Observer = Callable[[Callable[[], None]], bool]
# Share of the steps in which the learning rate rises, and at most how many.
WARM_UP, MAX_WARM_UP = 0.1, 30
# Steps after which the whole module must have helped; else parameters with "alone" learn for so
# many epochs.
TRIAL_STEPS, ALONE_EPOCHS = 30, 3
MAX_GRADIENT_NORM = 1.0


class Batches(IterableDataset, ABC):
    """Batches ``(inputs, targets)`` of tensors on the device; one iteration is an epoch.

    They are data set and data loader in one: a loader has nothing left to do.
    """

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of batches in an epoch."""


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
    begin: Callable[[], None] = lambda: None,
) -> list[dict[str, float]]:
    """Train ``module`` in place and return the history; with validation, keep the best epoch.

    The untrained module counts as epoch 0, so its validation loss never gets worse. ``begin`` is
    called after it has been scored. Raises FloatingPointError where a loss or a weight is not
    finite. With a checkpoint, the training batches must be ``Resumable``.

    Some of the ``param_groups`` may have the setting "alone". With validation, the whole module is
    then on trial for 30 steps. If no epoch of them is better than the untrained module, this comes
    back, and only those groups learn, for three epochs, at "alone" times their learning rate.
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
        begin()
    validated = valid_batches is not None
    trial = 0
    if validated and any("alone" in settings for _, settings in param_groups):
        trial = min(-(-TRIAL_STEPS // len(train_batches)), schedule.patience)
    while not _is_done(progress, schedule, validated, trial):
        if _has_failed(progress, trial):
            if progress.epoch == trial and progress.best_weights is not None:
                module.load_state_dict(progress.best_weights)
                net.optimizer_.state.clear()
            net.rates.turn(trial * len(train_batches), ALONE_EPOCHS * len(train_batches))
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


def _has_failed(progress: Progress, trial: int) -> bool:
    """Tell whether the ``trial`` epochs are over, if there are any, and have brought nothing."""
    if not 0 < trial <= progress.epoch:
        return False
    untrained, *losses = (row["valid_loss"] for row in progress.history[: trial + 1])
    return min(losses) >= untrained


def _is_done(progress: Progress, schedule: Schedule, validated: bool, trial: int) -> bool:
    if progress.epoch >= schedule.max_epochs:
        return True
    if _has_failed(progress, trial):
        return progress.epoch >= trial + ALONE_EPOCHS
    return validated and progress.epoch - progress.best_epoch >= schedule.patience


def compose(
    module: nn.Module,
    criterion: nn.Module,
    train_batches: Batches,
    valid_batches: Batches | None,
    schedule: Schedule,
    device: str,
    param_groups: Sequence[tuple[str, dict[str, float]]] = (),
) -> DeviceNet:
    """Return a net that is ready to train ``module`` in place, with optimiser and schedule.

    ``param_groups`` are patterns of parameter names, each with settings of its own. On a GPU the
    passes of the network are recorded.
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
            LRScheduler(LearningRates, n_steps=n_steps, step_every="batch"),
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


class LearningRates(torch.optim.lr_scheduler.LRScheduler):
    """Rates that warm up and fall as a cosine; after the turn again, for groups with "alone"."""

    def __init__(self, optimizer: torch.optim.Optimizer, n_steps: int, last_epoch: int = -1):
        self.first, self.n_steps, self.turned = 0, n_steps, False
        super().__init__(optimizer, last_epoch)

    def turn(self, first: int, n_steps: int) -> None:
        """Let only groups with "alone" learn from step ``first`` on, for ``n_steps``."""
        self.first, self.n_steps, self.turned = first, n_steps, True
        for group, lr in zip(self.optimizer.param_groups, self.get_lr(), strict=True):
            group["lr"] = lr

    def get_lr(self) -> list[float | Tensor]:
        """Return the learning rate of each group in the next step."""
        share = _warm_up_then_cosine(self.last_epoch - self.first, self.n_steps)
        groups = self.optimizer.param_groups
        factors = [group.get("alone", 0.0) if self.turned else 1.0 for group in groups]
        return [lr * factor * share for lr, factor in zip(self.base_lrs, factors, strict=True)]


def _warm_up_then_cosine(step: int, n_steps: int) -> float:
    """Return the share of the highest learning rate in a step."""
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
