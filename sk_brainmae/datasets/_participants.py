"""Phenotypes of subjects, from BIDS' participants.tsv or any table with their ids."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd

ID = "participant_id"


def join_participants(
    subjects: list[str], participants: pd.DataFrame | str | Path | None
) -> tuple[pd.DataFrame, list[str]]:
    """Return one row a scan, aligned with ``subjects``, and the participants without a scan.

    Ids count as equal with and without "sub-". Scans whose subject is not in the table get a
    row of missing values, and a warning.
    """
    if participants is None:
        return pd.DataFrame({ID: subjects}), []
    table, source = _read(participants)
    keys = table[ID].map(_key)
    if (twice := keys[keys.duplicated()]).size:
        raise ValueError(f"{source} has {twice.iloc[0]!r} more than once: keep one row a subject")
    wanted = [_key(subject) for subject in subjects]
    known = set(keys)
    if unknown := sorted({s for s, key in zip(subjects, wanted, strict=True) if key not in known}):
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        warnings.warn(
            f"{source} has no row for {len(unknown)} of {len(set(subjects))} subjects:"
            f" {', '.join(unknown[:5])}{more}; their phenotypes are missing",
            stacklevel=3,
        )
    rows = table.set_index(keys).reindex(wanted).reset_index(drop=True)
    rows[ID] = subjects
    return rows, table.loc[~keys.isin(wanted), ID].tolist()


def _read(participants: pd.DataFrame | str | Path) -> tuple[pd.DataFrame, str]:
    """Return the table, its ids as text, and how to call it in messages."""
    if isinstance(participants, (str, Path)):
        return read_phenotypes(Path(participants), ID), str(participants)
    if ID not in participants:
        raise ValueError(f"participants has no column {ID!r}, only {list(participants)}")
    return _with_ids(participants.copy(), ID, "participants"), "participants"


def read_phenotypes(path: Path, identifier: str | None = None) -> pd.DataFrame:
    """Read a table, csv or else tab separated, whose column of ids is text: 097 is not 97.

    ``identifier=None``: the first column.
    """
    sep = "," if path.suffix.lower() == ".csv" else "\t"
    try:
        with path.open(encoding="utf-8-sig") as file:
            names = list(pd.read_csv(file, sep=sep, nrows=0).columns)
            identifier = names[0] if identifier is None else identifier
            if identifier not in names:
                raise ValueError(f"no column {identifier!r}, only {names}")
            file.seek(0)
            table = pd.read_csv(file, sep=sep, dtype={identifier: str})
    except ValueError as error:  # of pandas and of the encoding as well
        raise ValueError(f"{path} cannot be read: {error}") from None
    if not isinstance(table.index, pd.RangeIndex):
        raise ValueError(f"{path} has more cells in its rows than names in its first line")
    return _with_ids(table, identifier, str(path))


def _with_ids(table: pd.DataFrame, identifier: str, source: str) -> pd.DataFrame:
    if (without := np.flatnonzero(table[identifier].isna())).size:
        raise ValueError(
            f"{source} has no {identifier} in row {without[0] + 1} of its {len(table)}"
        )
    table[identifier] = table[identifier].astype(str).str.strip()
    return table


def _key(subject: str) -> str:
    return subject.removeprefix("sub-")
