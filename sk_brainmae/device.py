"""Where to compute: a name given by the user as a device of this machine."""

import torch


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
