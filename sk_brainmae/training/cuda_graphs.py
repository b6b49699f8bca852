"""What a GPU does differently: half-precision matrix products, and passes recorded once."""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Key = tuple[torch.Size, ...]


class RecordedNetwork(nn.Module):
    """A network whose passes are recorded for each shape of a batch, and then replayed.

    Small networks are bound by the launches of their kernels. A CUDA graph launches all kernels
    of a forward or a backward pass at once; shapes must stay the same and nothing in the network
    may wait for the GPU. Matrix products are computed in bfloat16 (autocast), the rest and the
    output in float32.

    Parameters
    ----------
    network : nn.Module
        Takes tensors by name, returns a tensor; without randomness and without buffers that
        training changes.
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
        # Casts are not cached: a recorded pass has to repeat them.
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
