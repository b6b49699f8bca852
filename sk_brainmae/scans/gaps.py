"""Missing values: how many are too many, masked arrays, and lines over gaps."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

# What lacks more than this share of its cells counts as missing: a frame on another time grid, a
# region's window, a region of a scan. A scan that lacks more is refused.
MAX_MISSING = 0.5


def masked_as_nan(values: Any) -> NDArray:
    """Return an array with NaN where a masked array is masked; NumPy alone unmasks them."""
    if not np.ma.is_masked(values):
        return np.asarray(values)
    return np.ma.filled(values.astype(float), np.nan)


def bridge_gaps(signal: NDArray, known: NDArray) -> NDArray:
    """Fill the gaps of each column with straight lines between its known values.

    Both arrays have shape (n_timepoints, n_columns). The ends are filled with the nearest known
    value, columns without any with 0. Values that are not known are never read.
    """
    bridged = np.where(known, signal, 0)
    frame = np.arange(len(signal))
    for column in np.flatnonzero(~known.all(axis=0) & known.any(axis=0)):
        here = known[:, column]
        bridged[~here, column] = np.interp(frame[~here], frame[here], bridged[here, column])
    return bridged
