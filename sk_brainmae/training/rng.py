"""Random weights from a given generator instead of torch's global one."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

# Functions that draw random numbers where networks are made.
DRAWS = (torch.randn, nn.init.uniform_, nn.init.kaiming_uniform_, Tensor.uniform_, Tensor.normal_)


class DrawFrom(TorchFunctionMode):
    """Context in which new layers draw their weights from a generator on the CPU.

    It applies to the current thread only. Seeding torch's global generator would apply to all
    threads, and fits in threads would draw each other's numbers.
    """

    def __init__(self, generator: torch.Generator):
        super().__init__()
        self.generator = generator

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run a torch function; hand the generator to those that draw."""
        kwargs = kwargs or {}
        if func in DRAWS:
            kwargs = {**kwargs, "generator": self.generator}
        return func(*args, **kwargs)
