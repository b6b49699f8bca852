"""Where to compute: the user's name of a device becomes one of this machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock

import torch

_global_generator = RLock()


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch's global generator, and restore its state; one thread at a time."""
    with _global_generator, torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def resolve_device(device: str) -> str:
    """Return a torch device; "auto" takes a GPU (CUDA) where there is one, else the CPU.

    Raises ValueError if the device cannot be used on this machine.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"device={device!r} cannot be used here ({str(error).splitlines()[0]}):"
            " 'auto' takes a GPU where there is one"
        ) from None
    return device
