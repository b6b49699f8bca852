"""Scans in text tables, one row a frame: when the first line names regions, what is refused."""

import csv
import io
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

# Cells without a value, as pandas, R, MATLAB and BIDS write them.
MISSING = ("", "n/a", "N/A", "NA", "<NA>", "nan", "NaN", "NAN", "-nan", "null", "NULL", "None")
LOOKED_AT = 10  # lines below the first that tell whether whole numbers in it are names


def read_table(path: Path, sep: str, named: bool | None = None) -> NDArray:
    """Return the table's numbers as float32; cells without a value are NaN."""
    text = _text(path).rstrip("\n")
    lines = text.split("\n") if text else []
    names, n_cells = _header(lines, sep, named)
    body = lines[1:] if names else lines
    if not body:
        raise ValueError("it holds no frames")
    first = 2 if names else 1  # a line's number as an editor shows it
    for number, line in enumerate(body, first):
        if (found := line.count(sep) + 1) != n_cells:
            raise ValueError(f"line {number} has {found} cells, the first line has {n_cells}")
    table = _parse(body, sep)
    for i in range(n_cells):
        if table[i].dtype.kind not in "fiu":
            _raise_not_numeric(table[i], first, names[i] if names else str(i + 1))
    frames = table.to_numpy(dtype=float)
    if not names and n_cells > 1 and all(line.endswith(sep) for line in body):
        raise ValueError(
            "all its lines end in a separator: remove it, or name the regions in a first line if"
            " the last one has no values"
        )
    return frames.astype(np.float32)


def table_regions(path: Path, sep: str, named: bool | None = None) -> list[str] | None:
    """Return the names in the table's first line, or None if it is a frame.

    ``named=None`` decides by its cells. Text names regions; numbers are a frame, unless they just
    count the columns, or are different whole numbers above others (an atlas' labels).
    """
    with path.open(encoding="utf-8-sig") as file:
        try:
            lines = [line.rstrip("\r\n") for line in islice(file, 1 + LOOKED_AT)]
        except UnicodeDecodeError as error:
            raise _not_utf8(error) from None
    return _header(lines, sep, named)[0]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise _not_utf8(error) from None


def _not_utf8(error: UnicodeDecodeError) -> ValueError:
    return ValueError(f"it is no text in UTF-8 ({error.reason}, byte {error.start}): save it so")


def _cells(line: str, sep: str) -> list[str]:
    return [cell.strip() for cell in next(csv.reader([line], delimiter=sep), [])]


def _header(lines: list[str], sep: str, named: bool | None) -> tuple[list[str] | None, int]:
    """Return the names in a table's first line, or None, and its number of cells."""
    cells = _cells(lines[0], sep) if lines else []
    if named is None:
        below = [cell for line in lines[1 : 1 + LOOKED_AT] for cell in _cells(line, sep)]
        named = _is_header(cells, below)
    if not named:
        return None, len(cells)
    _check_names(cells)
    return cells, len(cells)


def _is_header(cells: list[str], below: list[str]) -> bool:
    """Return whether a first line names the regions; raise where it might and might not."""
    text = [cell for cell in cells if cell not in MISSING and not _is_number(cell)]
    if not text:
        labels = cells if all(cells) else cells[1:]  # pandas leaves its index without a name
        return len(labels) > 1 and _are_labels(labels, below)
    if numbers := [cell for cell in cells if _is_number(cell)]:
        raise ValueError(
            f"line 1 is neither names nor numbers: it holds {text[0]!r} and {numbers[0]!r}"
        )
    return True


def _are_labels(cells: list[str], below: list[str]) -> bool:
    """Return whether a line of numbers names regions by numbers."""
    n = len(cells)
    if cells in ([str(i) for i in range(n)], [str(i + 1) for i in range(n)]):
        return True  # as pandas numbers columns
    fractions = any(_is_number(cell) and not _is_whole(cell) for cell in below)
    return fractions and all(map(_is_whole, cells)) and len(set(cells)) == n


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell and cell not in MISSING  # Python reads 1_1 as 11, pandas does not


def _is_whole(cell: str) -> bool:
    return cell.removeprefix("-").isdecimal()


def _check_names(names: list[str]) -> None:
    if names and not names[0]:
        raise ValueError(
            "its first column has no name, as the index of a saved table: write it without index"
        )
    if "" in names:
        raise ValueError(f"its column {names.index('') + 1} has no name: name or remove it")
    if all(map(_is_number, names)) and not all(map(_is_whole, names)):
        raise ValueError(f"its first line holds numbers, {names[0]} first, not region names")
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"two of its columns are named {name!r}")
        seen.add(name)


def _parse(body: list[str], sep: str) -> pd.DataFrame:
    return pd.read_csv(
        io.StringIO("\n".join(body)),
        sep=sep,
        header=None,
        skip_blank_lines=False,
        skipinitialspace=True,
        keep_default_na=False,
        na_values=list(MISSING),
    )


def _raise_not_numeric(cells: pd.Series, first: int, name: str) -> None:
    text = cells.astype(str)
    bad = pd.to_numeric(text, errors="coerce").isna() & cells.notna()
    row = int(np.flatnonzero(bad)[0]) if bad.any() else 0
    raise ValueError(
        f"line {row + first}, column {name!r} holds {text.iloc[row]!r}, which is no number"
    )
