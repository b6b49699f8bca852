"""Training and prediction of a published network: torch alone.

The networks come from the package ml4fmri: ``network(*inputs)`` returns outputs and the input of
``network.compute_loss``; ``network.get_optimizer()`` has the learning rate of its paper.
"""

import math
from collections.abc import Iterator
from copy import deepcopy
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode


class Samples(NamedTuple):
    """What a network sees and has to predict."""

    inputs: tuple[Tensor, ...]  # (n_samples, ...) each: signals, connectivity, or both
    target: Tensor  # (n_samples,), classes (int64) or standardised values (float32)

    def take(self, samples: NDArray) -> "Samples":
        """Return some samples."""
        return Samples(tuple(x[samples] for x in self.inputs), self.target[samples])


class _WithoutDropout(TorchFunctionMode):
    """Turns off functional dropout that ignores ``network.eval()``, as BrainNetCNN's does."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return args[0] if func is F.dropout else func(*args, **(kwargs or {}))


def train_peer(
    network: Any,
    training: Samples,
    held_out: Samples | None,
    *,
    max_epochs: int,
    batch_size: int,
    patience: int,
    device: str,
) -> list[dict[str, float]]:
    """Train in place with the network's own loss and optimizer; return one dict an epoch.

    The epoch with the lowest loss on ``held_out`` is kept, and training stops after ``patience``
    epochs without a lower one; with None the last epoch is kept. Random numbers come from torch's
    global generator. A loss that is not finite raises FloatingPointError.
    """
    network.to(device)
    optimizer = network.get_optimizer()
    history: list[dict[str, float]] = []
    best, best_epoch, best_weights = math.inf, 0, None
    for epoch in range(max_epochs):
        network.train()
        total = 0.0
        for batch in _batches(training, batch_size, device, shuffle=True):
            loss = peer_loss(network, batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += len(batch.target) * float(loss.detach())
        history.append({"epoch": epoch, "loss": total / len(training.target)})
        if not math.isfinite(total):
            raise FloatingPointError(
                f"the loss of {type(network).__name__} is {total} in epoch {epoch}: its weights"
                " have diverged"
            )
        if held_out is None:
            continue
        score = _mean_loss(network, held_out, batch_size, device)
        history[-1]["validation_loss"] = score
        if score < best:
            best, best_epoch, best_weights = score, epoch, deepcopy(network.state_dict())
        elif epoch - best_epoch >= patience:
            break
    if best_weights is not None:
        network.load_state_dict(best_weights)
    return history


def peer_loss(network: Any, batch: Samples) -> Tensor:
    """Return the network's own loss; for values, squared error replaces its cross-entropy."""
    output, details = network(*batch.inputs)
    if not batch.target.is_floating_point():
        return network.compute_loss(details, batch.target)[0]
    # The cross-entropy of a single class is 0, so this is the sum of the network's own penalties.
    one_class = torch.zeros_like(batch.target, dtype=torch.int64)
    penalties = network.compute_loss(details, one_class)[0]
    return F.mse_loss(output[:, 0], batch.target) + penalties


@torch.no_grad()
def predict_peer(network: Any, inputs: tuple[Tensor, ...], batch_size: int, device: str) -> NDArray:
    """Return logits, or one value, of each sample, (n_samples, n_outputs)."""
    network.to(device).eval()
    samples = Samples(inputs, torch.zeros(len(inputs[0])))
    with _WithoutDropout():
        outputs = [
            network(*batch.inputs)[0].cpu().numpy()
            for batch in _batches(samples, batch_size, device, shuffle=False)
        ]
    return np.concatenate(outputs)


@torch.no_grad()
def _mean_loss(network: Any, samples: Samples, batch_size: int, device: str) -> float:
    network.eval()
    with _WithoutDropout():
        losses = [
            len(batch.target) * float(peer_loss(network, batch))
            for batch in _batches(samples, batch_size, device, shuffle=False)
        ]
    return sum(losses) / len(samples.target)


def _batches(samples: Samples, batch_size: int, device: str, *, shuffle: bool) -> Iterator[Samples]:
    """Yield batches of nearly equal size: batch normalisation fails on a single sample."""
    n_samples = len(samples.target)
    order = torch.randperm(n_samples) if shuffle else torch.arange(n_samples)
    for chosen in torch.tensor_split(order, math.ceil(n_samples / batch_size)):
        yield Samples(
            tuple(x[chosen].to(device) for x in samples.inputs), samples.target[chosen].to(device)
        )
