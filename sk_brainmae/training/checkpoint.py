"""Checkpoints: training that was killed resumes after its last epoch.

After each epoch one file is replaced. It holds all that the next epoch depends on: weights,
optimiser, learning-rate schedule, generator states of crops and masks, history, and the best epoch
so far. On a CPU the result is the same to the last bit as without the interruption. Nothing is
pickled, and a damaged file is refused.
"""

import copy
import hashlib
import json
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self

import torch
from filelock import FileLock, Timeout
from torch import Tensor, nn

from sk_brainmae.persistence.files import read_sealed, write_sealed
from sk_brainmae.persistence.history import pack_history, unpack_history
from sk_brainmae.scans.cohort import Cohort
from sk_brainmae.training.net import DeviceNet

FILE, LOCK = "pretraining.sealed", "lock"
# Raise it when the file's content changes its meaning.
FORMAT_VERSION = 3

# Parts of an identity -> what users call them.
USER_NAMES = {
    "dim": "embedding_dim",
    "window": "window_size (frames)",
    "n_windows": "crop_length (windows)",
    "n_states": "n_states (0 with init='random')",
    "seed": "the seed of random_state",
    "version": "the version of sk_brainmae",
}

Json = dict[str, Any]


@dataclass
class Progress:
    """How far training has come."""

    epoch: int = 0  # epochs that are done
    history: list[dict[str, float]] = field(default_factory=list)  # one row per epoch
    best_epoch: int = 0  # with the lowest validation loss; 0 is the untrained network
    best_loss: float = math.inf
    best_weights: dict[str, Tensor] | None = None  # None without validation

    def add(self, row: dict[str, float], module: nn.Module) -> None:
        """Record an epoch; with validation, keep the weights of the best one."""
        self.epoch = int(row["epoch"])
        self.history.append(row)
        if row.get("valid_loss", math.inf) < self.best_loss:
            self.best_epoch, self.best_loss = self.epoch, row["valid_loss"]
            self.best_weights = copy.deepcopy(module.state_dict())


class Resumable(Protocol):
    """Batches whose random generators can be saved and restored between epochs."""

    def generator_state(self) -> tuple[Json, Tensor]:
        """Return the generator states of crops, as JSON, and of masks, as bytes."""

    def set_generator_state(self, crops: Json, masks: Tensor) -> None:
        """Continue the draws from saved generator states."""


class Checkpoint:
    """A folder that keeps one training run, also when it is finished.

    It is a context that only one process, or thread, can enter. ``identity`` is all that training
    depends on, by name; training resumes only from a file of the same identity.
    """

    def __init__(self, folder: str | os.PathLike, identity: Json):
        self.folder = Path(os.path.expanduser(folder))
        self.identity = json.loads(json.dumps(identity))  # as it will come back
        self.folder.mkdir(parents=True, exist_ok=True)
        # The system frees the lock when its process dies, however that happens.
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

    def __exit__(self, *error: object) -> None:
        self.lock.release()

    def exists(self) -> bool:
        """Tell whether there is a file to resume from."""
        return (self.folder / FILE).exists()

    def save(self, net: DeviceNet, batches: Resumable, progress: Progress) -> None:
        """Write all that the next epoch depends on; the file before stays if that fails."""
        crops, masks = batches.generator_state()
        optimiser = net.optimizer_.state_dict()
        tensors = {f"weights.{k}": v for k, v in net.module_.state_dict().items()}
        tensors |= {f"best.{k}": v for k, v in (progress.best_weights or {}).items()}
        tensors |= {
            f"optimiser.{k}.{name}": value
            for k, values in optimiser["state"].items()
            for name, value in values.items()
        }
        tensors["random.masks"] = masks
        note = {
            "format_version": FORMAT_VERSION,
            "identity": self.identity,
            "epoch": progress.epoch,
            "history": pack_history(progress.history),
            "best_epoch": progress.best_epoch,
            "learning_rates": [group["lr"] for group in optimiser["param_groups"]],
            "steps": net.rates.last_epoch,
            "random": crops,
        }
        arrays = {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}
        write_sealed(self.folder / FILE, arrays, note)

    def load(self, net: DeviceNet, batches: Resumable) -> Progress | None:
        """Set network, optimiser, schedule and generators to the file; None where there is none.

        Raises ValueError for a damaged file, and for one of another training run.
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
        scheduler = net.rates
        scheduler.last_epoch, scheduler._last_lr = note["steps"], note["learning_rates"]
        batches.set_generator_state(note["random"], tensors["random.masks"])
        for _ in range(note["epoch"]):  # skorch counts the epochs that it prints
            net.history.new_epoch()
        history = unpack_history(note["history"])
        best = _under("best.", tensors)
        best_loss = min((row.get("valid_loss", math.inf) for row in history), default=math.inf)
        return Progress(note["epoch"], history, note["best_epoch"], best_loss, best or None)

    def _check(self, note: Any) -> None:
        """Raise ValueError where the file belongs to another version or training run."""
        if not isinstance(note, dict) or note.get("format_version") != FORMAT_VERSION:
            raise ValueError(
                f"{self.folder / FILE} was not written by this version: give training another"
                " checkpoint folder"
            )
        if differences := _differences(note["identity"], self.identity):
            raise ValueError(
                f"checkpoint={str(self.folder)!r} belongs to another training run: "
                + "; ".join(differences)
                + ". Choose another folder, or remove this one to start over"
            )


def identify(runs: Cohort, train: Any, held_out: Any, **arguments: Any) -> Json:
    """Return all that a training run depends on: arguments, indices, and a digest of each run."""
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


def _differences(then: Json, now: Json) -> list[str]:
    """Name the differences of two identities."""
    found = []
    for name in sorted({*then, *now} - {"scans"}):
        before, after = then.get(name), now.get(name)
        if before != after and isinstance(before, list) and isinstance(after, list):
            found.append(f"different {name}")
        elif before != after:
            found.append(f"{USER_NAMES.get(name, name)} was {before!r} and is now {after!r}")
    before, after = then["scans"], now["scans"]
    if len(before) != len(after):
        return [f"there were {len(before)} scans and are now {len(after)}", *found]
    changed = [i for i, pair in enumerate(zip(before, after, strict=True)) if len(set(pair)) > 1]
    if changed:
        found.insert(0, f"scan {changed[0]} differs ({len(changed)} of {len(before)} scans do)")
    return found


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
