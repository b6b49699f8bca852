"""Files that hold one scan: how its frames, region names and repetition time are read."""

import csv
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import scipy.io
from nibabel.cifti2 import ParcelsAxis, SeriesAxis
from numpy.typing import NDArray

PTSERIES = ".ptseries.nii"


def _untold(path: Path) -> None:
    """Return None: the file does not tell."""


@dataclass(frozen=True)
class Format:
    """How one scan is read from a file; the functions' errors need not name the file.

    Attributes
    ----------
    read : callable
        Path to frames, (n_timepoints, n_regions); missing values are NaN.
    regions : callable
        Path to the region names, without reading the frames; None where the file has none.
    t_r : callable
        Path to the repetition time in its header, in s; None where the file has none.
    """

    read: Callable[[Path], NDArray]
    regions: Callable[[Path], list[str] | None] = _untold
    t_r: Callable[[Path], float | None] = _untold


def suffix_of(path: Path) -> str:
    """Return the suffix that tells the format, in lower case."""
    name = path.name.lower()
    return PTSERIES if name.endswith(PTSERIES) else path.suffix.lower()


def sidecar_t_r(sidecar: Path) -> float | None:
    """Return the RepetitionTime in a BIDS sidecar, in s; None if there is none."""
    if not sidecar.exists():
        return None
    try:
        told = json.loads(sidecar.read_text(encoding="utf-8")).get("RepetitionTime")
        return None if told is None else float(told)
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"its sidecar {sidecar.name} is damaged: {error}") from None


# ---------------------------------------------------------------------------------- text tables


def read_table(path: Path, sep: str, named: bool | None = None) -> NDArray:
    """Return the table's numbers as float32; empty cells and n/a are NaN."""
    lines = path.read_text(encoding="utf-8-sig").rstrip("\r\n").splitlines()
    names, n_cells = _header(lines[0] if lines else "", sep, named)
    body = lines[1:] if names else lines
    if not body or not body[0]:
        raise ValueError("it holds no frames")
    first = 2 if names else 1  # a line's number as an editor shows it
    for number, line in enumerate(body, first):
        if (found := line.count(sep) + 1) != n_cells:
            raise ValueError(f"line {number} has {found} cells, the first line has {n_cells}")
    table = pd.read_csv(io.StringIO("\n".join(body)), sep=sep, header=None, skip_blank_lines=False)
    for i in range(n_cells):
        if table[i].dtype.kind not in "fiu":
            _raise_not_numeric(table[i], first, names[i] if names else str(i + 1))
    return table.to_numpy(dtype=np.float32)


def table_regions(path: Path, sep: str, named: bool | None = None) -> list[str] | None:
    """Return the names in the table's first line, or None if it holds numbers.

    ``named=None`` decides by its cells: numbers are data, unless they just count the columns.
    """
    with path.open(encoding="utf-8-sig") as file:
        return _header(file.readline(), sep, named)[0]


def _header(line: str, sep: str, named: bool | None) -> tuple[list[str] | None, int]:
    """Return the names in a table's first line, or None, and its number of cells."""
    cells = [cell.strip() for cell in next(csv.reader([line], delimiter=sep), [])]
    counted = [str(i) for i in range(len(cells) + 1)]
    if named is None:
        index = len(cells) > 1 and not cells[0] and cells[1:] in (counted[:-2], counted[1:-1])
        named = index or cells in (counted[:-1], counted[1:]) or not all(map(_is_number, cells))
    if not named:
        return None, len(cells)
    if cells and not cells[0]:
        raise ValueError(
            "its first column has no name, as the index of a saved table: write it without index"
        )
    if twice := {cell for cell in cells if cells.count(cell) > 1}:
        raise ValueError(f"two of its columns are named {min(twice)!r}")
    return cells, len(cells)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return cell.lower() in ("", "n/a", "na")
    return True


def _raise_not_numeric(cells: pd.Series, first: int, name: str) -> None:
    text = cells.astype(str)
    bad = pd.to_numeric(text, errors="coerce").isna() & cells.notna()
    row = int(np.flatnonzero(bad)[0]) if bad.any() else 0
    raise ValueError(
        f"line {row + first}, column {name!r} holds {text.iloc[row]!r}, which is no number"
    )


# ------------------------------------------------------------------------------------- arrays


def read_npy(path: Path) -> NDArray:
    """Return the array, mapped from the file and not yet read."""
    return np.load(path, mmap_mode="r", allow_pickle=False)


def read_npz(path: Path) -> NDArray:
    """Return the only matrix of an archive."""
    with np.load(path, allow_pickle=False) as archive:
        return _only_matrix({name: archive[name] for name in archive.files})


def read_mat(path: Path) -> NDArray:
    """Return the only matrix of a MATLAB file, up to version 7."""
    try:
        variables = scipy.io.loadmat(path)
    except NotImplementedError:
        raise ValueError("it is of MATLAB version 7.3 (HDF5): save it with '-v7'") from None
    return _only_matrix(
        {name: value for name, value in variables.items() if not name.startswith("__")}
    )


def _only_matrix(variables: dict[str, NDArray]) -> NDArray:
    matrices = {
        name: value
        for name, value in variables.items()
        if value.ndim == 2 and min(value.shape) > 1 and value.dtype.kind in "fiub"
    }
    if len(matrices) == 1:
        return next(iter(matrices.values()))
    if not matrices:
        raise ValueError(f"it holds no matrix of numbers, only {sorted(variables)}")
    found = ", ".join(f"{name} {value.shape}" for name, value in sorted(matrices.items()))
    raise ValueError(f"it holds {len(matrices)} matrices ({found}): keep one scan in a file")


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
            "its axes are not time and parcels but"
            f" {type(series).__name__} and {type(parcels).__name__}"
        )
    return series, parcels


def table_format(sep: str, named: bool | None = None) -> Format:
    """Return the format of a text table; ``named``: whether its first line holds names."""
    return Format(
        partial(read_table, sep=sep, named=named), partial(table_regions, sep=sep, named=named)
    )


FORMATS = {
    ".csv": table_format(","),
    ".tsv": table_format("\t"),
    ".npy": Format(read_npy),
    ".npz": Format(read_npz),
    ".mat": Format(read_mat),
    PTSERIES: Format(read_ptseries, ptseries_regions, ptseries_t_r),
}
