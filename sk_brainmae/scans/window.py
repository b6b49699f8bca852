"""What users make of a scan before they pass it: a moment of it, or a scan without bad frames."""

import operator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sk_brainmae.scans.gaps import masked_as_nan


class Window:
    """A moment of a scan: a trial, a block, a mental state.

    Accepted wherever a scan is. As an array it is its own frames. Models may also look at the
    rest of *that* scan, unlabelled, for temporal context and for the scan's mean and variance.

    Parameters
    ----------
    scan : array-like of shape (n_timepoints, n_regions)
        The whole run. Moments of one object, of views of one array (``A[i]``) or of equal copies
        are moments of one run, which is kept once.
    start, stop : int
        First frame, and the frame after the last one, as in ``scan[start:stop]``.

    Raises
    ------
    TypeError
        If ``start`` or ``stop`` is not an integer.
    ValueError
        If ``start`` and ``stop`` do not lie inside the scan, or the moment has no frame.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_brainmae.timeseries import Window
    >>> run = np.zeros((190, 122))
    >>> Window(run, start=12, stop=20).shape
    (8, 122)
    """

    def __init__(self, scan: Any, start: int, stop: int):
        start, stop = operator.index(start), operator.index(stop)
        if not 0 <= start < stop <= len(scan):
            raise ValueError(
                f"moment [{start}, {stop}) does not lie inside its scan of {len(scan)} frames"
            )
        self.scan = scan
        self.start = start
        self.stop = stop

    @property
    def shape(self) -> tuple[int, int]:
        """Frames and regions, ``(n_timepoints, n_regions)``."""
        return self.stop - self.start, np.shape(self.scan)[1]

    def __len__(self) -> int:
        return self.stop - self.start

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray:
        frames = masked_as_nan(self.scan)[self.start : self.stop]
        return np.array(frames, dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        return f"Window({np.shape(self.scan)} scan, start={self.start}, stop={self.stop})"


def censor(scan: Any, frames: Any) -> NDArray:
    """Return a copy of a scan whose censored frames are NaN, such as those of high motion.

    Parameters
    ----------
    scan : array-like of shape (n_timepoints, n_regions)
        Its values in the censored frames are discarded.
    frames : array-like of bool of shape (n_timepoints,), or of int
        True for each censored frame, or the numbers of the censored frames. Mind that nilearn's
        ``sample_mask`` gives the numbers of the kept frames.

    Returns
    -------
    ndarray of shape (n_timepoints, n_regions)
        The scan in floating point, with NaN in the censored frames.

    Raises
    ------
    ValueError
        If the bool array has another length than the scan.
    IndexError
        If a frame is not in the scan.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_brainmae.timeseries import censor
    >>> motion = np.array([0.1, 0.9, 0.2])  # framewise displacement, mm
    >>> censor(np.ones((3, 2)), motion > 0.5)
    array([[ 1.,  1.],
           [nan, nan],
           [ 1.,  1.]])
    """
    frames = np.asarray(frames)
    if frames.dtype == bool and frames.shape != (len(scan),):
        raise ValueError(f"{frames.size} censoring flags for a scan of {len(scan)} frames")
    signal = masked_as_nan(scan)
    censored = signal.astype(np.result_type(signal, np.float32))
    censored[frames if frames.size else []] = np.nan
    return censored
