"""The runs behind samples: read one at a time, whenever they are needed, never held all at once."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sk_brainmae._scan_checks import as_signal, check_size, find_gaps
from sk_brainmae.resampling import masked_as_nan, n_frames_on, resample_parts
from sk_brainmae.storage import forget

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
