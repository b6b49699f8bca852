"""Scans in text tables, one row per frame: whether line 1 names regions, and what is refused."""

import csv
import io
import math
import re
import warnings
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sk_brainmae.labels.missing import MISSING
from sk_brainmae.scans.time_columns import is_no_region

LOOKED_AT = 10  # lines below the first that show whether whole numbers in it are names
FEW_LABELS = 7  # fewer whole numbers of a frame may rise by chance


def read_lines(path: Path, at_most: int | None = None) -> list[str]:
    """Return the lines of a text file, or raise if it is not in UTF-8."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            return [line.removesuffix("\n") for line in islice(file, at_most)]
    except UnicodeDecodeError as error:
        raise ValueError(
            f"it is no UTF-8 text ({error.reason}, byte {error.start}): save it as UTF-8, a"
            " spreadsheet as CSV UTF-8"
        ) from None


def separated_otherwise(number: int, other: str, sep: str) -> str:
    """Say that a line holds a character that separates cells in other tables."""
    return (
        f"line {number} holds {other!r}: separate cells by {sep!r} alone, and write decimals with a"
        " point"
    )


def read_table(path: Path, sep: str, labelled: bool = False) -> NDArray:
    """Return the table's numbers as float32; cells without a value are NaN."""
    lines = _without_empty_end(read_lines(path), path, sep)
    names, n_cells = _header(lines, sep, labelled)
    body = lines[1:] if names else lines
    if not body:
        raise ValueError("it holds no frames")
    first = 2 if names else 1  # a line's number as an editor shows it
    for number, line in enumerate(body, first):
        if (found := line.count(sep) + 1) != n_cells:
            raise ValueError(f"line {number} has {found} cells, the first line has {n_cells}")
    table = pd.read_csv(
        io.StringIO("\n".join(body)),
        sep=sep,
        header=None,
        skip_blank_lines=False,
        skipinitialspace=True,
        keep_default_na=False,
        na_values=list(MISSING),
    )
    for i in range(n_cells):
        if table[i].dtype.kind not in "fiu":
            _raise_not_numeric(table[i], first, names[i] if names else str(i + 1))
    frames = table.to_numpy(dtype=float)
    edges = all(line.startswith(sep) for line in body), all(line.endswith(sep) for line in body)
    if not names and n_cells > 1 and any(edges):
        raise ValueError(
            f"all its lines {'begin' if edges[0] else 'end'} with a separator: remove it, or name"
            " the regions in a first line if one has no values"
        )
    return frames.astype(np.float32)


def table_regions(path: Path, sep: str, labelled: bool = False) -> list[str] | None:
    """Return the names in the table's first line, or None if it is a frame.

    Text names regions. Numbers are a frame, with three exceptions: they count the columns, they
    are whole and rise (an atlas' labels), or they are whole and the table is ``labelled``.
    """
    return _header(read_lines(path, 1 + LOOKED_AT), sep, labelled)[0]


def _without_empty_end(lines: list[str], path: Path, sep: str) -> list[str]:
    """Return the lines up to the last with a cell; tabs alone are a frame of a tsv."""
    empty = " " if sep == "\t" else f" {sep}"
    end = next((n for n in range(len(lines), 0, -1) if lines[n - 1].strip(empty)), 0)
    if n_empty := sum(map(bool, lines[end:])):
        warnings.warn(
            f"{path}: empty rows at its end, as spreadsheets save them, are left out ({n_empty})",
            stacklevel=3,
        )
    return lines[:end]


def _header(lines: list[str], sep: str, labelled: bool) -> tuple[list[str] | None, int]:
    """Return the names in a table's first line, or None, and its number of cells."""
    if not lines:
        return None, 0
    if not lines[0].strip():
        raise ValueError("its first line is empty: remove it, or write n/a for missing values")
    for number, line in enumerate(lines[1 : 1 + LOOKED_AT], 2):
        if other := set(line) & {";", ",", "\t"} - {sep}:
            raise ValueError(separated_otherwise(number, other.pop(), sep))
        if re.search(r"\d +[-+.\d]", line):
            raise ValueError(separated_otherwise(number, " ", sep))
    first = lines[0].removeprefix("# ")  # as NumPy writes a header
    cells = _cells(first, sep)
    if (odd := next((k for k, name in enumerate(cells) if is_no_region(name)), None)) is not None:
        place = {0: "first column", len(cells) - 1: "last column"}.get(odd, f"column {odd + 1}")
        raise ValueError(
            f"its {place} is named {cells[odd]!r}, which is not a region: remove the column"
            " or, if the table is not a scan, the table"
        )
    if first == lines[0]:
        below = [cell for line in lines[1 : 1 + LOOKED_AT] for cell in _cells(line, sep)]
        if not _is_header(cells, below, labelled):
            return None, len(cells)
    _check_names(cells)
    return cells, len(cells)


def _cells(line: str, sep: str) -> list[str]:
    return [cell.strip() for cell in next(csv.reader([line], delimiter=sep), [])]


def _is_header(cells: list[str], below: list[str], labelled: bool) -> bool:
    """Tell whether a first line names the regions; raise where it is open."""
    numbers = [cell for cell in cells if _is_number(cell)]
    text = [cell for cell in cells if cell not in MISSING and not _is_number(cell)]
    if not text:
        cells = cells if all(cells) else cells[1:]  # pandas names no index
        return _are_labels(cells, below, labelled)
    in_doubt = not labelled and 2 * len(text) <= len(cells)
    if numbers and (in_doubt or not all(map(_is_whole, numbers))):
        raise ValueError(
            f"line 1 is neither names nor numbers: it holds {text[0]!r} and {numbers[0]!r}"
        )
    return True


def _are_labels(cells: list[str], below: list[str], labelled: bool) -> bool:
    """Tell whether numbers in a first line name regions."""
    if len(cells) < 2 or not all(map(_is_whole, cells)):
        return False
    labels = np.array(cells, dtype=float)
    steps = np.diff(labels)
    counts = labels[0] in (0, 1) and (steps == 1).all()  # as pandas numbers columns
    if labelled or counts or (len(cells) >= FEW_LABELS and (steps > 0).all()):
        return True
    fractions = any(_is_number(cell) and not _is_whole(cell) for cell in below)
    if fractions and len(set(labels)) == len(labels):
        raise ValueError(
            f"line 1 holds different whole numbers, {cells[0]} first, above numbers with fractions:"
            " a frame, or labels of regions? Add a first line that names the regions by words"
        )
    return False


def _is_number(cell: str) -> bool:
    try:
        return not math.isnan(float(cell)) and "_" not in cell  # Python reads 1_1 as 11
    except ValueError:
        return False


def _is_whole(cell: str) -> bool:
    return _is_number(cell) and float(cell).is_integer()


def _check_names(names: list[str]) -> None:
    """Raise where a header cannot name the regions."""
    if not names[0]:
        raise ValueError(
            "its first column has no name, as the index of a saved table: save without the index"
        )
    if "" in names:
        raise ValueError(f"its column {names.index('') + 1} has no name: name or remove it")
    if all(map(_is_number, names)) and not all(map(_is_whole, names)):
        raise ValueError(f"its first line holds numbers, {names[0]} first, not region names")
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"two of its columns are named {twice[0]!r}")


def _raise_not_numeric(cells: pd.Series, first: int, name: str) -> None:
    """Raise, and name the first cell of a column that is not a number."""
    text = cells.astype(str)
    bad = pd.to_numeric(text, errors="coerce").isna() & cells.notna()
    row = int(np.flatnonzero(bad)[0]) if bad.any() else 0
    raise ValueError(
        f"line {row + first}, column {name!r} holds {text.iloc[row]!r}, which is not a number"
    )
