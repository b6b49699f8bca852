"""Where frames live: in memory, or in a file where they would fill it.

Frames in a file are an ordinary array whose pages the system reads when they are looked at.
Passing over them run by run and forgetting each when the next one comes keeps memory small.
"""

import mmap
import os
import tempfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Bytes of frames that are kept in memory.
IN_MEMORY = 2**30


def empty_frames(shape: tuple[int, int]) -> NDArray:
    """Return zeros for frames, in a temporary file if they are many.

    Parameters
    ----------
    shape : (int, int)
        Frames and regions.

    Returns
    -------
    ndarray of shape (n_frames, n_regions), float32
        More than ``IN_MEMORY`` bytes lie in an unnamed file in the folder for temporary files
        (``TMPDIR``), which ends with the array.

    Raises
    ------
    OSError
        If the disk has no room for the file.
    """
    n_bytes = 4 * shape[0] * shape[1]
    if n_bytes <= IN_MEMORY:
        return np.zeros(shape, dtype=np.float32)
    with tempfile.TemporaryFile(prefix="sk_brainmae_") as file:
        if hasattr(os, "posix_fallocate"):  # a full disk is an error now, not a crash later
            os.posix_fallocate(file.fileno(), 0, n_bytes)
        return np.asarray(np.memmap(file, np.float32, "r+", shape=shape))


def mapping_of(array: Any) -> np.memmap | None:
    """Return the memory-mapped file that an array is a view of; None where there is none."""
    while array is not None and not isinstance(array, np.memmap):
        array = getattr(array, "base", None)
    # A copy in memory keeps the class of a mapped array, without a file.
    return None if getattr(array, "_mmap", None) is None else array


def forget(array: Any) -> None:
    """Let go of the pages of a memory-mapped array: they are read again when looked at.

    Parameters
    ----------
    array : Any
        A view of a mapped file; others, and copies that are only in memory, stay.
    """
    mapped = mapping_of(array)
    if mapped is not None and mapped.mode != "c" and hasattr(mmap, "MADV_DONTNEED"):
        mapped._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]
