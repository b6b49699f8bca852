"""Scans as they come, none of them trusted."""

from typing import Any

from numpy.typing import NDArray

from sk_brainmae.scans.resampling import masked_as_nan
from sk_brainmae.scans.runs import as_numbers, forget
from sk_brainmae.scans.window import Window


def as_matrix(scan: Any) -> NDArray:
    """Return a scan as a matrix of numbers, without a copy where it is one.

    Parameters
    ----------
    scan : array-like
        Masked values become NaN.

    Returns
    -------
    ndarray of shape (n_timepoints, n_regions)
        Of any real dtype.

    Raises
    ------
    TypeError
        If it holds no real numbers.
    ValueError
        If it is no matrix, or an empty one.
    """
    matrix = masked_as_nan(scan)
    if matrix.dtype.kind == "O":
        matrix = as_numbers(matrix)
    if matrix.dtype.kind not in "fiub":
        raise TypeError(f"it holds no real numbers but dtype {matrix.dtype}")
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise ValueError(f"its shape is {matrix.shape}")
    return matrix


def values(scan: Any, n_frames: int | None = None) -> NDArray:
    """Return a copy of a scan's first frames as float64.

    Parameters
    ----------
    scan : array-like of shape (n_timepoints, n_regions)
        The scan.
    n_frames : int, optional
        None: all of them.

    Returns
    -------
    ndarray of shape (n_frames, n_regions)
        Contiguous.
    """
    copy = as_matrix(scan)[:n_frames].astype(float, order="C")
    forget(scan)
    return copy


def distinct_runs(items: list) -> tuple[list[int], list[Any], dict[int, str]]:
    """Return the runs behind the samples, as far as they can be read.

    Parameters
    ----------
    items : list
        Scans, or Windows of scans.

    Returns
    -------
    places : list of int
        The first sample of each run. A scan given twice counts twice, a run of several Windows
        once.
    runs : list of array-like of shape (n_timepoints, n_regions)
        The runs, as they came.
    trouble : dict of int to str
        Why the other samples cannot be read.
    """
    places: list[int] = []
    runs: list[Any] = []
    trouble: dict[int, str] = {}
    windowed: set[int] = set()
    for i, item in enumerate(items):
        run = item
        if isinstance(item, Window):
            run = item.scan
            if id(run) in windowed:
                continue
            windowed.add(id(run))
        try:
            as_matrix(run)
            forget(run)
        except (TypeError, ValueError) as error:
            trouble[i] = str(error)
        else:
            places.append(i)
            runs.append(run)
    return places, runs, trouble
