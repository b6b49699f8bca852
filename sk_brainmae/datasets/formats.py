"""Files that hold one scan: how its frames, region names and repetition time are read."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import scipy.io
import scipy.sparse
from nibabel.cifti2 import ParcelsAxis, SeriesAxis
from numpy.typing import NDArray

from sk_brainmae.datasets.names import PTSERIES
from sk_brainmae.datasets.tables import read_table, table_regions
from sk_brainmae.scans.time_columns import time_columns

LONGEST_T_R = 60.0  # s; a number above is in another unit


def _unknown(path: Path) -> None:
    """Return None: this kind of file does not tell."""


@dataclass(frozen=True)
class Format:
    """How one scan is read from a file. Errors of the functions need not name the file."""

    read: Callable[[Path], NDArray]  # frames, (n_timepoints, n_regions); missing values are NaN
    regions: Callable[[Path], list[str] | None] = _unknown  # names, without reading the frames
    t_r: Callable[[Path], float | None] = _unknown  # repetition time in the header, s


def sidecar_t_r(sidecar: Path) -> float | None:
    """Return the RepetitionTime in a BIDS sidecar, unchecked; None if there is none."""
    if not sidecar.exists():
        return None
    try:
        told = json.loads(sidecar.read_text(encoding="utf-8-sig")).get("RepetitionTime")
        return None if told is None else float(told)
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"its sidecar {sidecar.name} is damaged: {error}") from None


def check_seconds(t_r: float, name: str) -> float:
    """Return a repetition time, or raise if no scanner has it."""
    if not 0 < t_r < LONGEST_T_R:
        raise ValueError(
            f"{name} must be a positive number of seconds below {LONGEST_T_R:g}, got {t_r:g}; is it"
            " in milliseconds?"
        )
    return t_r


def check_is_scan(frames: NDArray) -> None:
    """Raise unless an array is a matrix of numbers, (n_timepoints, n_regions), and may be a scan.

    A connectivity matrix is none, nor is a table with a column of times.
    """
    if frames.ndim != 2 or 0 in frames.shape or frames.dtype.kind not in "fiu":
        raise ValueError(
            f"it holds {frames.dtype} of shape {frames.shape}; a scan is a matrix of numbers"
            " (n_timepoints, n_regions)"
        )
    n_frames, n_regions = frames.shape
    if n_frames == n_regions > 2 and np.allclose(frames, frames.T, atol=0, equal_nan=True):
        raise ValueError(
            f"its {n_frames} rows and columns are symmetric: it is a connectivity matrix; a scan is"
            " time series (n_timepoints, n_regions)"
        )
    if (rising := np.flatnonzero(time_columns(frames))).size:
        column = rising[0]
        name = {0: "first column", n_regions - 1: "last column"}.get(column, f"column {column + 1}")
        raise ValueError(
            f"its {name} rises from frame to frame, up to {np.nanmax(frames[:, column]):g}, as"
            " frame numbers or times do: write the scan without that column"
        )


# ------------------------------------------------------------------------------------- arrays


def read_npy(path: Path) -> NDArray:
    """Return the array, mapped from the file and not yet read."""
    return np.load(path, mmap_mode="r", allow_pickle=False)


def read_npz(path: Path) -> NDArray:
    """Return the only matrix of an archive."""
    variables = {}
    with np.load(path, allow_pickle=False) as archive:
        for name in archive.files:
            try:
                variables[name] = archive[name]
            except ValueError as error:
                raise ValueError(
                    f"its array {name} cannot be read: {error}. Save names as text, dtype=str"
                ) from None
    return _only_matrix(variables)


def read_mat(path: Path) -> NDArray:
    """Return the only matrix of a MATLAB file, up to version 7."""
    with path.open("rb") as file:
        if b"\0" not in file.read(128):  # in all versions' headers
            raise ValueError(
                "it is text, not a MATLAB file: rename it to .csv or .tsv, after its separator"
            )
    try:
        variables = scipy.io.loadmat(path)
    except NotImplementedError:
        raise ValueError("it has MATLAB's format 7.3 (HDF5): save it with '-v7'") from None
    return _only_matrix({k: value for k, value in variables.items() if not k.startswith("__")})


def _only_matrix(variables: dict[str, Any]) -> Any:
    """Return the only array that can be the scan; cubes and complex series count as such too."""
    numbers = [
        (name, value)
        for variable in variables.items()
        for name, value in _arrays(*variable)
        if value.dtype.kind in "fiubc"
    ]
    arrays = [(name, value) for name, value in numbers if sum(n > 1 for n in value.shape) > 1]
    if not arrays:
        raise ValueError(
            f"it holds no matrix of numbers, only {sorted(variables)}; if cells hold one signal per"
            " region, join them to a matrix"
        )
    if len(arrays) > 1:
        found = ", ".join(sorted(f"{name} {value.shape}" for name, value in arrays))
        raise ValueError(f"it holds {len(arrays)} arrays ({found}): keep one scan per file")
    name, array = arrays[0]
    if scipy.sparse.issparse(array):
        raise ValueError(f"its matrix {name} is sparse: save it as a full matrix")
    signals = [value for cell, value in numbers if cell == name and len(array) == value.size]
    if signals:  # regions, as CONN has them, and some components of noise
        raise ValueError(
            f"its {name} holds a matrix {array.shape} and, in cells, {len(signals)} signals of the"
            " same length: save the scan as one matrix"
        )
    return array


def _arrays(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the arrays of a variable, also those inside MATLAB's structures and cells."""
    if value.dtype.names:
        for field in value.dtype.names:
            yield from _arrays(f"{name}.{field}", value[field])
    elif value.dtype.kind == "O":
        for inner in value.flat:
            yield from _arrays(name, inner)
    else:
        yield name, value


# -------------------------------------------------------------------------------------- CIFTI


def read_ptseries(path: Path) -> NDArray:
    """Return the frames of a parcellated CIFTI series, float32."""
    _cifti_axes(path)
    return nibabel.Cifti2Image.from_filename(path).get_fdata(dtype=np.float32)


def ptseries_regions(path: Path) -> list[str]:
    """Return the parcels' names."""
    return [str(name) for name in _cifti_axes(path)[1].name]


def ptseries_t_r(path: Path) -> float | None:
    """Return the series' step in s, or None if it is in another unit."""
    series, _ = _cifti_axes(path)
    return float(series.step) if series.unit == "SECOND" else None


def _cifti_axes(path: Path) -> tuple[SeriesAxis, ParcelsAxis]:
    header = nibabel.Cifti2Image.from_filename(path).header
    series, parcels = (header.get_axis(i) for i in range(2))
    if not isinstance(series, SeriesAxis) or not isinstance(parcels, ParcelsAxis):
        raise ValueError(
            "its axes must be time and parcels, but are"
            f" {type(series).__name__} and {type(parcels).__name__}"
        )
    return series, parcels


def table_format(sep: str, labelled: bool = False) -> Format:
    """Return the format of a text table; if ``labelled``, whole numbers in line 1 are names."""
    return Format(
        partial(read_table, sep=sep, labelled=labelled),
        partial(table_regions, sep=sep, labelled=labelled),
    )


FORMATS = {
    ".csv": table_format(","),
    ".tsv": table_format("\t"),
    ".npy": Format(read_npy),
    ".npz": Format(read_npz),
    ".mat": Format(read_mat),
    PTSERIES: Format(read_ptseries, ptseries_regions, ptseries_t_r),
}
