"""Random weights from a generator of one's own: torch's global one belongs to everybody."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

# What draws where networks are made.
DRAWS = (torch.randn, nn.init.uniform_, nn.init.kaiming_uniform_, Tensor.uniform_, Tensor.normal_)


class DrawFrom(TorchFunctionMode):
    """Makes layers draw their weights from a generator, though they know of none.

    It holds for this thread alone, whereas a seed of torch's global generator would hold for all:
    fits in threads would draw each other's numbers.

    Parameters
    ----------
    generator : torch.Generator
        On the processor.
    """

    def __init__(self, generator: torch.Generator):
        super().__init__()
        self.generator = generator

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run what torch was asked for; hand a generator to what draws."""
        kwargs = kwargs or {}
        if func in DRAWS:
            kwargs = {**kwargs, "generator": self.generator}
        return func(*args, **kwargs)
