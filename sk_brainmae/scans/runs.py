"""The runs behind samples: read one at a time, whenever they are needed, never held all at once."""

import mmap
import os
import tempfile
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sk_brainmae.scans.checks import LARGEST, check_share
from sk_brainmae.scans.resampling import masked_as_nan, n_frames_on, resample_parts

# Bytes of frames that are kept in memory.
IN_MEMORY = 2**30
Parts = tuple[NDArray, NDArray | None, NDArray | None]


class Row:
    """One scan of a 3-D array that is read from elsewhere (h5py, netCDF4), when it is looked at.

    Parameters
    ----------
    scans : array-like of shape (n_scans, n_timepoints, n_regions)
        Indexed by the number of a scan.
    i : int
        Which scan.
    """

    def __init__(self, scans: Any, i: int):
        self.scans = scans
        self.i = i

    @property
    def shape(self) -> tuple[int, int]:
        """Frames and regions."""
        return tuple(self.scans.shape[1:])

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray:
        return np.array(masked_as_nan(self.scans[self.i]), dtype=dtype, copy=copy)


@dataclass
class Run:
    """A distinct scan, checked; its values stay where they are.

    Attributes
    ----------
    source : array-like of shape (n_timepoints, n_regions)
        As it was given.
    item : int
        The first sample that is cut from it: how messages name it.
    shape : (int, int)
        Frames and regions.
    gaps : ndarray of shape (n_timepoints, n_regions), bool, or None
        Where it has no value.
    hidden : ndarray of shape (n_timepoints, n_regions), bool, or None
        What a model must not know.
    step, grid : float or None
        Time between its frames, and between those that :meth:`read` gives; None: the same.
    """

    source: Any
    item: int
    shape: tuple[int, int]
    gaps: NDArray | None
    hidden: NDArray | None = None
    step: float | None = None
    grid: float | None = None

    @classmethod
    def check(cls, source: Any, item: int, missing: str) -> "Run":
        """Read a scan to check its values, and let go of them again."""
        signal = as_signal(source, item)
        gaps = find_gaps(signal, item, missing)
        forget(source)
        return cls(source, item, signal.shape, gaps)

    def __len__(self) -> int:
        """Count the frames that :meth:`read` gives."""
        if self.step is None or self.grid is None:
            return self.shape[0]
        return n_frames_on(self.shape[0], self.step, self.grid)

    def read(self) -> Parts:
        """Return signal, gaps and what is hidden, on the grid, each (n_timepoints, n_regions)."""
        signal = as_signal(self.source, self.item)
        if signal.shape != self.shape:
            raise ValueError(
                f"scan {self.item} has shape {signal.shape}, but had {self.shape} a moment ago: it"
                " changes while it is read"
            )
        check_size(signal, self.hidden, self.item)
        if self.step is None or self.grid is None:
            return signal, self.gaps, self.hidden
        return resample_parts(signal, self.gaps, self.hidden, self.step, self.grid)


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


def as_signal(scan: Any, i: int) -> NDArray:
    """Return scan ``i`` as a float array (n_timepoints, n_regions), NaN where it has no value."""
    try:
        signal = np.asarray(scan, order="C")
    except ValueError as error:
        raise ValueError(f"scan {i} is no matrix (n_timepoints, n_regions): {error}") from None
    if signal.dtype.kind == "O":
        try:
            signal = as_numbers(signal)
        except (TypeError, ValueError) as error:
            raise TypeError(f"scan {i} holds values that are no numbers: {error}") from None
    if signal.dtype.kind == "c":
        raise ValueError(f"Complex data not supported: scan {i} has dtype {signal.dtype}")
    if signal.dtype.kind not in "fiub":
        raise TypeError(f"scan {i} holds no numbers but dtype {signal.dtype}")
    if signal.ndim != 2 or 0 in signal.shape:
        raise ValueError(
            f"scan {i} has shape {signal.shape}; a scan is a matrix (n_timepoints, n_regions)"
        )
    return masked_as_nan(scan) if np.ma.is_masked(scan) else signal


def as_numbers(values: NDArray) -> NDArray:
    """Return objects as floats, NaN for None and pandas.NA; what NumPy would guess at raises."""
    for value in values.flat:
        if isinstance(value, (str, bytes, np.complexfloating)):
            raise TypeError(f"{value!r} is no real number")
    return np.where(pd.isna(values), np.nan, values).astype(float)


def find_gaps(signal: NDArray, i: int, missing: str) -> NDArray | None:
    """Return where scan ``i`` has NaN, (n_timepoints, n_regions); None where it is complete."""
    bad = ~np.isfinite(signal)
    forget(signal)
    if not bad.any():
        return None
    gaps = np.isnan(signal)
    infinite = bad & ~gaps
    if missing == "raise" or infinite.any():
        frame, region = np.argwhere(infinite if infinite.any() else gaps)[0]
        way_out = "clean or interpolate it first"
        if not infinite.any():
            way_out += ", or set missing='mask'"
        raise ValueError(
            f"scan {i} has {signal[frame, region]} at frame {frame}, region {region}"
            f" ({bad.sum()} values in it are NaN or infinite): {way_out}"
        )
    check_share(gaps, i, "of its run")
    return gaps


def check_size(signal: NDArray, hidden: NDArray | None, i: int) -> None:
    """Raise where a value of scan ``i`` that is not hidden is too large to be squared."""
    if signal.dtype.kind != "f" or signal.dtype.itemsize <= 4:
        return
    large = np.abs(signal) > LARGEST
    if hidden is not None:
        large &= ~hidden
    if large.any():
        frame, region = np.argwhere(large)[0]
        raise ValueError(
            f"scan {i} has {signal[frame, region]} at frame {frame}, region {region}"
            f" ({large.sum()} values in it are beyond {LARGEST:g}): clean it, or set them to NaN"
        )
