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
    if isinstance(participants, pd.DataFrame):
        table, source = participants.copy(), "participants"
    else:
        source = str(participants)
        sep = "," if source.lower().endswith(".csv") else "\t"
        table = pd.read_csv(participants, sep=sep, dtype={ID: str})
    if ID not in table:
        raise ValueError(f"{source} has no column {ID!r}, only {table.columns.tolist()}")
    if not isinstance(table.index, pd.RangeIndex) and isinstance(participants, (str, Path)):
        raise ValueError(f"{source} has more cells in its rows than names in its first line")
    if (without := np.flatnonzero(table[ID].isna())).size:
        raise ValueError(f"{source} has no {ID} in row {without[0] + 1} of its {len(table)}")
    table[ID] = table[ID].astype(str)
    return table, source


def _key(subject: str) -> str:
    return subject.strip().removeprefix("sub-")
