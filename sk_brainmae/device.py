"""Where and how to compute: a device of this machine, and torch's settings for our own code."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import RLock

import torch

_global_generator = RLock()


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch's global generator, and restore its state; one thread at a time."""
    with _global_generator, torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


@contextmanager
def own_settings() -> Iterator[None]:
    """Compute in float32 on explicit devices, with gradients, whatever torch is set to globally.

    A default dtype or device, autocast, no_grad and inference_mode around a fit belong to other
    code: they would change results, or end in an error.
    """
    dtype = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with ExitStack() as settings:
            settings.enter_context(torch.inference_mode(False))
            settings.enter_context(torch.enable_grad())
            for kind in ("cpu", "cuda"):
                settings.enter_context(torch.autocast(kind, enabled=False))
            if torch.get_default_device().type != "cpu":
                settings.enter_context(torch.device("cpu"))
            yield
    finally:
        torch.set_default_dtype(dtype)


def resolve_device(device: str) -> str:
    """Return a torch device; "auto" takes a GPU (CUDA) where there is one, else the CPU.

    Raises ValueError if the device cannot be used on this machine.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "meta":
        raise ValueError("device='meta' holds no data: nothing can be computed there")
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"device={device!r} cannot be used here ({str(error).splitlines()[0]}):"
            " 'auto' takes a GPU where there is one"
        ) from None
    return device
