"""Phenotypes of subjects, from BIDS' participants.tsv or any table with their ids."""

import csv
import io
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from sk_brainmae.datasets.tables import read_lines, separated_otherwise
from sk_brainmae.labels.missing import MISSING

ID = "participant_id"


def join_participants(
    subjects: list[str], participants: pd.DataFrame | str | Path | None
) -> tuple[pd.DataFrame, list[str]]:
    """Return one row per scan, aligned with ``subjects``, and the participants without a scan.

    Ids count as equal with and without "sub-". A subject that is not in the table gets a row of
    missing values, and a warning.
    """
    if participants is None:
        return pd.DataFrame({ID: subjects}), []
    table, source = _read(participants)
    keys = table[ID].str.removeprefix("sub-")
    if (twice := keys[keys.duplicated()]).size:
        raise ValueError(f"{source} has {twice.iloc[0]!r} more than once: keep one row per subject")
    wanted = [subject.removeprefix("sub-") for subject in subjects]
    known = set(keys)
    if unknown := sorted({s for s, key in zip(subjects, wanted, strict=True) if key not in known}):
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        warnings.warn(
            f"{source} has no row for {len(unknown)} of {len(set(subjects))} subjects:"
            f" {', '.join(unknown[:5])}{more}; their phenotypes are missing (the ids in the table"
            f" are {', '.join(map(repr, keys[:3]))}, ...)",
            stacklevel=3,
        )
    rows = table.set_index(keys).reindex(wanted).reset_index(drop=True)
    rows[ID] = subjects
    return rows, table.loc[~keys.isin(wanted), ID].tolist()


def _read(participants: pd.DataFrame | str | Path) -> tuple[pd.DataFrame, str]:
    """Return the table, with its ids as text, and its name in messages."""
    if isinstance(participants, (str, Path)):
        return read_phenotypes(Path(participants), ID), str(participants)
    if ID not in participants:
        raise ValueError(
            f"participants has no column {ID!r}, only {list(participants)}: rename its ids"
        )
    return _with_ids(participants.copy(), ID, "participants"), "participants"


def read_phenotypes(path: Path, identifier: str | None = None) -> pd.DataFrame:
    """Read a table, csv or else tab separated, whose ids are text: 097 is not 97.

    ``identifier`` names the column of ids; None: the first, or an error where it is in doubt.
    """
    sep = "," if path.suffix.lower() == ".csv" else "\t"
    try:
        rows = _rows("\n".join(read_lines(path)), sep)
        identifier = _identifier(rows[0], identifier)
    except (ValueError, csv.Error) as error:
        raise ValueError(f"{path} cannot be read: {error}") from None
    plain = io.StringIO()
    csv.writer(plain).writerows(rows)
    plain.seek(0)
    table = pd.read_csv(
        plain, dtype={identifier: str}, keep_default_na=False, na_values=list(MISSING)
    )
    _warn_of_words(table.drop(columns=identifier), path)
    return _with_ids(table, identifier, str(path))


def _rows(text: str, sep: str) -> list[list[str]]:
    """Return the cells of all rows that have any, the names first; raise if lengths differ."""
    rows: list[list[str]] = []
    reader = csv.reader(io.StringIO(text), delimiter=sep)
    for cells in reader:
        if not any(map(str.strip, cells)):  # as spreadsheets save empty rows
            continue
        if any("\n" in cell or "\t" in cell for cell in cells):
            raise ValueError(
                f"line {reader.line_num} ends a cell with a tab or line break in it: separate cells"
                f" by {sep!r}, and remove line breaks and unclosed quotes"
            )
        rows.append([cell.strip() for cell in cells])
        if len(rows[0]) == 1 and (other := set(cells[0]) & {";", ",", "\t"}):
            raise ValueError(separated_otherwise(reader.line_num, other.pop(), sep))
        if len(cells) != len(rows[0]):
            raise ValueError(
                f"line {reader.line_num} has {len(cells)} cells, the first line has {len(rows[0])}"
            )
    if not rows:
        raise ValueError("it is empty")
    if twice := [name for name in rows[0] if name and rows[0].count(name) > 1]:
        raise ValueError(f"two of its columns are named {twice[0]!r}")
    return rows


def _identifier(names: list[str], identifier: str | None) -> str:
    if identifier is not None:
        if identifier not in names:
            raise ValueError(f"no column {identifier!r}, only {names}: which one holds the ids?")
        return identifier
    first, *others = names
    if not first or first.startswith("Unnamed"):
        raise ValueError(
            "its first column has no name, as the index of a saved table: save without the index,"
            " or name the column of ids (--id)"
        )
    if ID in others:
        raise ValueError(f"both {first!r} and {ID!r} may be the ids: name the column of ids (--id)")
    return first


def _warn_of_words(table: pd.DataFrame, path: Path) -> None:
    """Warn of numeric columns that single words, or commas in decimals, turn into text."""
    for name, column in table.select_dtypes(["object", "string"]).items():
        text = column.dropna()
        if not all(isinstance(value, str) for value in text):
            continue  # True and False beside missing values
        numbers = pd.to_numeric(text.str.replace(",", "."), errors="coerce").notna()
        words = text[pd.to_numeric(text, errors="coerce").isna()]
        if len(words) and numbers.sum() > len(text) / 2:
            warnings.warn(
                f"{path}: column {name!r} counts as text, not as numbers, as it holds"
                f" {words.iloc[0]!r} ({len(words)} of {len(text)} values are not numbers). Write"
                " decimals with a point, and n/a where a value is missing",
                stacklevel=3,
            )


def _with_ids(table: pd.DataFrame, identifier: str, source: str) -> pd.DataFrame:
    """Turn the ids of a table into text, in place, or raise where one is missing."""
    if (without := np.flatnonzero(table[identifier].isna())).size:
        raise ValueError(
            f"{source} has no {identifier} in row {without[0] + 1} of its {len(table)}"
        )
    ids = table[identifier]
    if ids.dtype.kind == "f" and (ids % 1 == 0).all():  # whole, as pandas keeps them beside gaps
        ids = ids.astype(int)
    table[identifier] = ids.astype(str).str.strip()
    return table
