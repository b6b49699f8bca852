"""Where to compute: a name given by the user as a device of this machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock

import torch

_global_state = RLock()


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch's global random state for networks that know no other, and restore it.

    Threads share that state, so they enter one after another.

    Parameters
    ----------
    seed : int
        On every device.

    Yields
    ------
    None
        Once.
    """
    with _global_state, torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def resolve_device(device: str) -> str:
    """Return the device that a name means here.

    Parameters
    ----------
    device : str
        "auto" takes a GPU (CUDA) where there is one; or a torch device such as "cpu".

    Returns
    -------
    str
        A torch device.

    Raises
    ------
    ValueError
        If it cannot be used here.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"device={device!r} cannot be used here ({str(error).splitlines()[0]});"
            " 'auto' takes a GPU where there is one"
        ) from None
    return device
