"""Training on a GPU: matrix products in bfloat16, and passes that are recorded once."""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Key = tuple[torch.Size, ...]


class RecordedNetwork(nn.Module):
    """A network whose passes are recorded once for each shape of a batch, and then replayed.

    Launching kernels takes most of the time of a small network; a CUDA graph launches all kernels
    of a pass at once. The network takes tensors by name and returns one. It must not wait for the
    GPU, draw random numbers, or change buffers. Matrix products run in bfloat16 (autocast), all
    else in float32.
    """

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network
        self.recorded: dict[Key, Callable[..., Any]] = {}

    def forward(self, **inputs: Tensor) -> Tensor:
        """Return the network's output for a batch."""
        in_order = _InOrder(self.network, tuple(inputs))
        if not torch.is_grad_enabled():
            return in_order(*inputs.values())
        shapes = tuple(value.shape for value in inputs.values())
        if shapes not in self.recorded:
            samples = tuple(value.clone() for value in inputs.values())
            self.recorded[shapes] = _record(in_order.train(self.training), samples)
        return self.recorded[shapes](*inputs.values())


class _InOrder(nn.Module):
    """The network under autocast, with its inputs in a fixed order."""

    def __init__(self, network: nn.Module, names: tuple[str, ...]):
        super().__init__()
        self.network, self.names = network, names

    def forward(self, *values: Tensor) -> Tensor:
        # No cache of casts: a recorded pass has to repeat them.
        with torch.autocast(values[0].device.type, torch.bfloat16, cache_enabled=False):
            output = self.network(**dict(zip(self.names, values, strict=True)))
        return output.float()


def _record(network: nn.Module, samples: tuple[Tensor, ...]) -> Callable[..., Any]:
    try:
        return torch.cuda.make_graphed_callables(network, samples, allow_unused_input=True)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        warnings.warn(f"training runs without CUDA graphs, slower: {reason}", stacklevel=2)
        return network
