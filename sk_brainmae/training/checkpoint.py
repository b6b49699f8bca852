"""Checkpoints: training that was killed goes on from its last epoch, as if nothing had happened.

After each epoch all that the next one depends on is written in one step: weights, optimiser,
learning-rate schedule, the generators of crops and masks, the history and the best epoch so far.
On a CPU the end is the same to the last bit as without the interruption. Nothing is pickled, and
a file of which a single bit has changed is refused.
"""

import copy
import hashlib
import json
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import torch
from filelock import FileLock, Timeout
from skorch.callbacks import LRScheduler
from torch import Tensor, nn

from sk_brainmae.persistence import read_sealed, write_sealed
from sk_brainmae.persistence.history import pack_history, unpack_history
from sk_brainmae.scans.cohort import Cohort
from sk_brainmae.training.net import DeviceNet

FILE, LOCK = "pretraining.sealed", "lock"
# Raise it when what is written means something else.
FORMAT_VERSION = 2

# What users call the parts of an identity.
USER_NAMES = {
    "dim": "embedding_dim",
    "window": "window_size (frames)",
    "n_windows": "crop_length (windows)",
    "n_states": "n_states (0 with init='random')",
    "seed": "the seed of random_state",
    "version": "the version of sk_brainmae",
}

State = dict[str, Any]


@dataclass
class Progress:
    """How far training has come.

    Attributes
    ----------
    epoch : int
        Epochs that are done.
    history : list of dict
        One row an epoch.
    best_epoch : int
        The epoch with the lowest validation loss; 0 is the start.
    best_loss : float
        Its validation loss.
    best_weights : dict of str to Tensor, or None
        Its state of the network; None without validation.
    """

    epoch: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    best_loss: float = math.inf
    best_weights: dict[str, Tensor] | None = None

    def add(self, row: dict[str, float], module: nn.Module) -> None:
        """Record an epoch, and keep the weights of the best one where there is validation."""
        self.epoch = int(row["epoch"])
        self.history.append(row)
        if row.get("valid_loss", math.inf) < self.best_loss:
            self.best_epoch, self.best_loss = self.epoch, row["valid_loss"]
            self.best_weights = copy.deepcopy(module.state_dict())


class Resumable(Protocol):
    """Batches whose next epoch depends on a state that can be kept."""

    def state(self) -> tuple[State, Tensor]:
        """Return what the next epoch depends on, as JSON and as a tensor of bytes."""

    def set_state(self, state: State, bits: Tensor) -> None:
        """Go on where another iterator was."""


class Checkpoint:
    """A folder that keeps one training run; a context that no other process can enter.

    Parameters
    ----------
    folder : str or PathLike
        Made if needed. It keeps the state of the finished training, too.
    identity : dict
        All that training depends on, by name, as JSON. A checkpoint with another identity is
        not gone on from.

    Raises
    ------
    OSError
        If the folder cannot be used, or another process, or thread, is using it.
    """

    def __init__(self, folder: str | os.PathLike, identity: State):
        self.folder = Path(os.path.expanduser(folder))
        self.identity = json.loads(json.dumps(identity))  # as it will come back
        self.folder.mkdir(parents=True, exist_ok=True)
        # The system frees it when its process dies, however that happens.
        self.lock = FileLock(self.folder / LOCK, timeout=0, thread_local=False)

    def __enter__(self) -> Self:
        try:
            self.lock.acquire()
        except Timeout:
            raise BlockingIOError(
                f"checkpoint={str(self.folder)!r} is in use by another process: give every fit"
                " a folder of its own"
            ) from None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.lock.release()

    def exists(self) -> bool:
        """Whether there is something to go on from."""
        return (self.folder / FILE).exists()

    def save(self, net: DeviceNet, batches: Resumable, progress: Progress) -> None:
        """Keep the state after an epoch.

        Parameters
        ----------
        net : DeviceNet
            In training.
        batches : Resumable
            What it trains on.
        progress : Progress
            How far it has come.

        Raises
        ------
        OSError
            If it cannot be written, as on a full disk; the state before stays.
        """
        random, mask_bits = batches.state()
        optimiser = net.optimizer_.state_dict()
        tensors = {f"weights.{k}": v for k, v in net.module_.state_dict().items()}
        tensors |= {f"best.{k}": v for k, v in (progress.best_weights or {}).items()}
        tensors |= {
            f"optimiser.{k}.{name}": value
            for k, values in optimiser["state"].items()
            for name, value in values.items()
        }
        tensors["random.masks"] = mask_bits
        note = {
            "format_version": FORMAT_VERSION,
            "identity": self.identity,
            "epoch": progress.epoch,
            "history": pack_history(progress.history),
            "best_epoch": progress.best_epoch,
            "learning_rates": [group["lr"] for group in optimiser["param_groups"]],
            "steps": _scheduler(net).last_epoch,
            "random": random,
        }
        arrays = {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}
        write_sealed(self.folder / FILE, arrays, note)

    def load(self, net: DeviceNet, batches: Resumable) -> Progress | None:
        """Go on where training was: set network, optimiser, schedule and generators.

        Parameters
        ----------
        net : DeviceNet
            Ready for its first epoch; changed in place.
        batches : Resumable
            What it trains on; changed in place.

        Returns
        -------
        Progress or None
            None where there is nothing to go on from.

        Raises
        ------
        ValueError
            If the file is damaged, or of another training run; says what differs.
        """
        if not self.exists():
            return None
        arrays, note = read_sealed(self.folder / FILE)
        self._check(note)
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        net.module_.load_state_dict(_under("weights.", tensors))
        optimiser = net.optimizer_.state_dict()
        optimiser["state"] = {}
        for name, tensor in _under("optimiser.", tensors).items():
            k, _, key = name.partition(".")
            optimiser["state"].setdefault(int(k), {})[key] = tensor
        for group, lr in zip(optimiser["param_groups"], note["learning_rates"], strict=True):
            group["lr"] = lr
        net.optimizer_.load_state_dict(optimiser)
        scheduler = _scheduler(net)
        scheduler.last_epoch, scheduler._last_lr = note["steps"], note["learning_rates"]
        batches.set_state(note["random"], tensors["random.masks"])
        for _ in range(note["epoch"]):  # skorch counts the epochs that it prints
            net.history.new_epoch()
        history = unpack_history(note["history"])
        best = _under("best.", tensors)
        best_loss = min((row.get("valid_loss", math.inf) for row in history), default=math.inf)
        return Progress(note["epoch"], history, note["best_epoch"], best_loss, best or None)

    def _check(self, note: Any) -> None:
        """Raise where a checkpoint is not of this training run."""
        if not isinstance(note, dict) or note.get("format_version") != FORMAT_VERSION:
            raise ValueError(
                f"{self.folder / FILE} was not written by this version: give training another"
                " checkpoint folder"
            )
        if differences := _differences(note["identity"], self.identity):
            raise ValueError(
                f"checkpoint={str(self.folder)!r} is of another training run: "
                + "; ".join(differences)
                + ". Choose another folder, or remove it to start over"
            )


def identify(runs: Cohort, train: Any, held_out: Any, **arguments: Any) -> State:
    """Return what a training run depends on, for its checkpoint.

    Parameters
    ----------
    runs : Cohort
        Whole runs.
    train, held_out : ndarray or None
        Indices of the runs to train on, and of those that choose the best epoch.
    **arguments : Any
        Whatever else it depends on, as JSON.

    Returns
    -------
    dict
        The arguments, and a digest of each run.
    """
    digests = [
        hashlib.blake2b(
            runs.sample(i).tobytes() + runs.known(i).tobytes(), digest_size=8
        ).hexdigest()
        for i in range(len(runs))
    ]
    return {
        **arguments,
        "training scans": [int(i) for i in train],
        "validation scans": None if held_out is None else [int(i) for i in held_out],
        "scans": digests,
    }


def _differences(then: State, now: State) -> list[str]:
    """Say in words what two identities differ in."""
    found = []
    for name in sorted({*then, *now} - {"scans"}):
        before, after = then.get(name), now.get(name)
        if before != after and isinstance(before, list) and isinstance(after, list):
            found.append(f"other {name}")
        elif before != after:
            found.append(f"{USER_NAMES.get(name, name)} was {before!r}, and is {after!r}")
    before, after = then["scans"], now["scans"]
    if len(before) != len(after):
        return [f"there were {len(before)} scans, and are {len(after)}", *found]
    changed = [i for i, pair in enumerate(zip(before, after, strict=True)) if len(set(pair)) > 1]
    if changed:
        found.insert(0, f"scan {changed[0]} differs ({len(changed)} of {len(before)} do)")
    return found


def _scheduler(net: DeviceNet) -> Any:
    callbacks = [callback for _, callback in net.callbacks_]
    return next(c for c in callbacks if isinstance(c, LRScheduler)).lr_scheduler_


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
