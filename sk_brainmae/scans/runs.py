"""Runs are read one at a time, when they are needed, and large frames are kept in a file."""

import mmap
import os
import tempfile
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sk_brainmae.scans.gaps import MAX_MISSING, masked_as_nan
from sk_brainmae.scans.identity import digest_of
from sk_brainmae.scans.resampling import n_frames_on, resample_parts
from sk_brainmae.scans.time_columns import time_columns

# The squares of larger values overflow. No scanner measures them, but fill values may be larger.
LARGEST = 1e100
# Bytes of frames that are kept in memory.
IN_MEMORY = 2**30


class Row:
    """One scan of a 3-D array that is not in memory (h5py, netCDF4), read when it is used."""

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
    """A distinct scan, checked. Its values stay in ``source`` until they are read."""

    source: Any  # as it was given, (n_timepoints, n_regions)
    item: int  # its first sample, by which messages name it
    shape: tuple[int, int]
    gaps: NDArray | None  # True where it has no value, (n_timepoints, n_regions)
    rising: NDArray  # True for columns that rise as times do, (n_regions,)
    digest: bytes | None = None  # of its values, where that was asked for
    hidden: NDArray | None = None  # True where a model must not see it
    times: tuple[float, float] | None = None  # its own t_r and the grid's, where they differ

    @classmethod
    def check(cls, source: Any, item: int, missing: str, digest: bool = False) -> "Run":
        """Read a scan to check its values, and let go of them again."""
        signal = as_signal(source, item)
        gaps = find_gaps(signal, item, missing)
        values = digest_of(signal) if digest else None
        rising = time_columns(signal)
        forget(signal)  # either may be a view of a mapped file
        forget(source)
        return cls(source, item, signal.shape, gaps, rising, values)

    def __len__(self) -> int:
        """Count the frames that :meth:`read` gives."""
        return self.shape[0] if self.times is None else n_frames_on(self.shape[0], *self.times)

    def read(self) -> tuple[NDArray, NDArray | None, NDArray | None]:
        """Return signal, gaps and hidden cells on the grid, each (n_timepoints, n_regions)."""
        signal = as_signal(self.source, self.item)
        if signal.shape != self.shape:
            raise ValueError(
                f"scan {self.item} has shape {signal.shape}, but had {self.shape} a moment ago: it"
                " changes while it is read"
            )
        check_size(signal, self.hidden, self.item)
        if self.times is None:
            return signal, self.gaps, self.hidden
        return resample_parts(signal, self.gaps, self.hidden, *self.times)


def as_signal(scan: Any, i: int) -> NDArray:
    """Return scan ``i`` as numbers, (n_timepoints, n_regions), NaN where it has no value."""
    try:
        signal = np.asarray(scan, order="C")
    except ValueError as error:
        raise ValueError(f"scan {i} is not a matrix (n_timepoints, n_regions): {error}") from None
    if signal.dtype.kind == "O":
        try:
            signal = as_numbers(signal)
        except (TypeError, ValueError) as error:
            raise TypeError(f"scan {i} holds values that are not numbers: {error}") from None
    if signal.dtype.kind == "c":
        raise ValueError(f"Complex data not supported: scan {i} has dtype {signal.dtype}")
    if signal.dtype.kind not in "fiub":
        raise TypeError(f"scan {i} holds dtype {signal.dtype}, not numbers")
    if signal.ndim != 2 or 0 in signal.shape:
        raise ValueError(
            f"scan {i} has shape {signal.shape}; a scan is a matrix (n_timepoints, n_regions)"
        )
    return masked_as_nan(scan) if np.ma.is_masked(scan) else signal


def as_numbers(values: NDArray) -> NDArray:
    """Return objects as floats, NaN for None and pandas.NA; texts and complex numbers raise."""
    for value in values.flat:
        if isinstance(value, (str, bytes, np.complexfloating)):  # NumPy would convert them
            raise TypeError(f"{value!r} is not a real number")
    return np.where(pd.isna(values), np.nan, values).astype(float)


def find_gaps(signal: NDArray, i: int, missing: str) -> NDArray | None:
    """Return where scan ``i`` has NaN, (n_timepoints, n_regions); None where it is complete."""
    bad = ~np.isfinite(signal)
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


def check_share(gaps: NDArray, i: int, what: str) -> None:
    """Raise where more than half of a scan, or of a moment, is missing."""
    if (share := gaps.mean()) > MAX_MISSING:
        raise ValueError(
            f"scan {i} lacks {share:.0%} of the values {what}, more than the {MAX_MISSING:.0%}"
            " that can be filled in: leave it out"
        )


def check_size(signal: NDArray, hidden: NDArray | None, i: int, largest: float = LARGEST) -> None:
    """Raise where a value of scan ``i`` that is not hidden is too large to be squared."""
    if signal.dtype.kind != "f" or float(np.finfo(signal.dtype).max) <= largest:
        return
    large = np.abs(signal) > largest
    if hidden is not None:
        large &= ~hidden
    if large.any():
        frame, region = np.argwhere(large)[0]
        raise ValueError(
            f"scan {i} has {signal[frame, region]} at frame {frame}, region {region}"
            f" ({large.sum()} values in it are beyond {largest:g}): clean it, or set them to NaN"
        )


def empty_frames(shape: tuple[int, int]) -> NDArray:
    """Return float32 zeros; above ``IN_MEMORY`` bytes they lie in an unnamed file in ``TMPDIR``."""
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
    """Drop the pages of a mapped file from memory; they are read again when they are used.

    Anything that is not a view of a mapped file is left alone.
    """
    mapped = mapping_of(array)
    if mapped is not None and mapped.mode != "c" and hasattr(mmap, "MADV_DONTNEED"):
        mapped._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]
