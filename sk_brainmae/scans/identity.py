"""When two objects are one scan."""

import hashlib
from collections.abc import Hashable, Iterable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sk_brainmae.scans.window import Window


def keys_of(items: Iterable[Any]) -> list[Hashable]:
    """Return a key for the run of each sample; moments of the same memory share one.

    ``A[i]`` is a new object each time, as is a slice of a DataFrame. Other kinds of scans are
    told apart as objects, and so are whole scans: given twice, they are duplicates. Keys hold
    while the samples are alive.
    """
    known: dict[int, Hashable] = {}
    keys = []
    windowed = set()
    for item in items:
        scan = item.scan if isinstance(item, Window) else item
        if id(scan) not in known:
            known[id(scan)] = _memory_of(scan)
        keys.append((id(scan), known[id(scan)]))
        if isinstance(item, Window):
            windowed.add(known[id(scan)])
    return [memory if memory in windowed else own for own, memory in keys]


def _memory_of(scan: Any) -> Hashable:
    if isinstance(scan, np.ma.MaskedArray):
        return _place(scan.data), _place(np.ma.getmask(scan))
    if isinstance(scan, np.ndarray):
        return _place(scan)
    if isinstance(scan, pd.DataFrame):
        values, again = scan.to_numpy(), scan.to_numpy()
        if _place(values) == _place(again):  # it is no copy
            return _place(values), tuple(scan.columns)
    return id(scan)


def digest_of(signal: NDArray) -> bytes:
    """Return a key that scans of the same values share."""
    digest = hashlib.blake2b(repr((signal.shape, signal.dtype.str)).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(signal).data)
    return digest.digest()


def _place(array: Any) -> Hashable:
    """Return where an array lies in memory, and how it is read."""
    return array.__array_interface__["data"][0], array.shape, array.strides, array.dtype.str
