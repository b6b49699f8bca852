"""Scans in plain files, one a file: npy, csv or tsv."""

import csv
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

DELIMITERS = {".csv": ",", ".tsv": "\t"}
SUFFIXES = (".npy", *DELIMITERS)
MISSING = ("", "n/a", "na", "nan")


def read_scan(path: str | Path) -> pd.DataFrame:
    """Read a scan.

    Parameters
    ----------
    path : str or Path
        A file that ends in npy, csv or tsv; one row per frame, one column per region. The first
        row of a table names the regions if it holds anything but numbers, or just counts them.

    Returns
    -------
    DataFrame of shape (n_timepoints, n_regions)
        Its columns are the region names, or 0, 1, ... where the file has none. Empty and "n/a"
        cells are NaN. An npy file is memory-mapped.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is of another kind, empty or damaged, is no matrix, has rows of different
        lengths, an unnamed region or two of one name; or if a cell is no number, with its row
        and column, counted from 1 as in the file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    if path.suffix.lower() == ".npy":
        return _read_npy(path)
    if path.suffix.lower() in DELIMITERS:
        return _read_table(path)
    raise ValueError(f"{path} is no scan: it must end in {', '.join(SUFFIXES)}")


def read_scans(source: str | Path | Iterable[str | Path]) -> tuple[list[pd.DataFrame], list[str]]:
    """Read the scans of a folder, or of some files.

    Parameters
    ----------
    source : str, Path, or list of them
        A folder, of which all npy, csv and tsv files are read in the order of their names,
        subfolders not included; a file; or files.

    Returns
    -------
    scans : list of DataFrame of shape (n_timepoints_i, n_regions_i)
        As :func:`read_scan` returns them. Their region counts may differ.
    ids : list of str
        The file names without their endings.

    Raises
    ------
    FileNotFoundError
        If a folder or file does not exist, or if a folder holds no scans.
    ValueError
        If a file cannot be read, if two files have one id, or if files of the same number of
        regions name them differently or in another order.
    """
    paths = _scan_files(source)
    ids = [path.stem for path in paths]
    for i, name in enumerate(ids):
        if (first := ids.index(name)) != i:
            raise ValueError(f"two scans have the id {name}: {paths[first]} and {paths[i]}")
    scans = [read_scan(path) for path in paths]
    _check_region_names(scans, paths)
    return scans, ids


def _scan_files(source: str | Path | Iterable[str | Path]) -> list[Path]:
    if not isinstance(source, (str, Path)):
        return [Path(path) for path in source]
    source = Path(source)
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise FileNotFoundError(f"there is no file or folder {source}")
    files = sorted(path for path in source.iterdir() if path.suffix.lower() in SUFFIXES)
    if not files:
        raise FileNotFoundError(f"the folder {source} holds no scans ({', '.join(SUFFIXES)})")
    return files


def _read_npy(path: Path) -> pd.DataFrame:
    try:
        signals = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path} is no npy file of numbers: {error}") from None
    if signals.dtype.kind not in "fiub":
        raise ValueError(f"{path} holds no real numbers but dtype {signals.dtype}")
    if signals.ndim != 2 or 0 in signals.shape:
        raise ValueError(
            f"{path} has shape {signals.shape}; a scan is a matrix (n_timepoints, n_regions)"
        )
    return pd.DataFrame(signals, copy=False)


def _read_table(path: Path) -> pd.DataFrame:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, delimiter=DELIMITERS[path.suffix.lower()])
            rows = [(reader.line_num, cells) for cells in reader if cells]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is no table: {error}") from None
    names = _header(rows[0][1]) if rows else None
    if names is not None:
        _check_names(names, path)
        rows = rows[1:]
    if not rows:
        raise ValueError(f"{path} holds no frames")
    n_regions = len(rows[0][1] if names is None else names)
    signals = np.empty((len(rows), n_regions))
    for frame, (line, cells) in zip(signals, rows, strict=True):
        if len(cells) != n_regions:
            raise ValueError(
                f"{path}: row {line} has {len(cells)} columns, the first has {n_regions}"
            )
        for column, cell in enumerate(cells):
            try:
                frame[column] = _number(cell)
            except ValueError:
                name = "" if names is None else f" ({names[column]})"
                raise ValueError(
                    f"{path}: {cell!r} in row {line}, column {column + 1}{name} is no number"
                ) from None
    return pd.DataFrame(signals, columns=names)


def _number(cell: str) -> float:
    return float("nan" if cell.strip().lower() in MISSING else cell)


def _header(cells: list[str]) -> list[str] | None:
    """Return the region names that a first row is, or None if it is a frame."""
    numbers = cells if cells[0].strip() else cells[1:]  # an index has no name
    n = len(numbers)
    if len(cells) > 1 and numbers in ([str(i) for i in range(n)], [str(i + 1) for i in range(n)]):
        return cells  # as pandas numbers columns
    try:
        for cell in cells:
            _number(cell)
    except ValueError:
        return cells
    return None


def _check_names(names: list[str], path: Path) -> None:
    for column, name in enumerate(names):
        if not name.strip():
            raise ValueError(
                f"{path}: column {column + 1} has no name: if it counts the frames, write the"
                " table without it"
            )
        if name in names[:column]:
            raise ValueError(
                f"{path}: columns {names.index(name) + 1} and {column + 1} are both called"
                f" {name!r}: rename one"
            )


def _check_region_names(scans: list[pd.DataFrame], paths: list[Path]) -> None:
    """Raise where named regions differ from those of the first file of as many."""
    firsts: dict[int, int] = {}
    for i, scan in enumerate(scans):
        if isinstance(scan.columns, pd.RangeIndex):
            continue
        first = scans[firsts.setdefault(scan.shape[1], i)]
        if (different := np.flatnonzero(scan.columns != first.columns)).size:
            region = int(different[0])
            raise ValueError(
                f"{paths[i]} calls its region {region + 1} {scan.columns[region]!r}, but"
                f" {paths[firsts[scan.shape[1]]]} calls it {first.columns[region]!r}: bring the"
                " columns into one order"
            )
