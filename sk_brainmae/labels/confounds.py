"""Confounds: what varies with a target but is not meant to be decoded (age, sex, motion, site)."""

import warnings
from typing import Any

import numpy as np
import pandas as pd

from sk_brainmae.labels.missing import missing_code, missing_words


def check_confounds(confounds: Any, n_samples: int) -> pd.DataFrame:
    """Return confounds as a table without gaps.

    Parameters
    ----------
    confounds : DataFrame, Series, or array-like of shape (n_samples, n_confounds) or (n_samples,)
        Columns of numbers are continuous, all others categorical.
    n_samples : int
        How many rows there must be.

    Returns
    -------
    DataFrame of shape (n_samples, n_confounds)
        Columns are named as given, or "confound 0" and so on.

    Raises
    ------
    ValueError
        If there are none, the number of rows differs, or a value is missing, also by a text
        such as "n/a".

    Warns
    -----
    UserWarning
        If a column holds numbers as text, as in an array of ages and words, or a usual code for a
        missing value.
    """
    if confounds is None:
        raise ValueError(
            "confounds are needed: pass confounds=, a table with one row per sample, to fit and to"
            " predict (with scikit-learn's metadata routing where others call them)"
        )
    table = pd.DataFrame(confounds).infer_objects()  # ages beside words are numbers
    if not isinstance(confounds, (pd.DataFrame, pd.Series)):
        table.columns = pd.Index([f"confound {i}" for i in range(table.shape[1])])
    table.columns = table.columns.astype(str)
    if len(table) != n_samples or not table.shape[1]:
        raise ValueError(
            f"confounds have shape {table.shape}; there are {n_samples} samples, so there must be"
            f" {n_samples} rows and at least one column"
        )
    for name, column in table.items():
        missing = column.isna()
        if column.dtype.kind == "f":
            missing |= ~np.isfinite(column.to_numpy(float, na_value=np.nan))
        if missing.any():
            raise ValueError(
                f"confound {name!r} is missing for {missing.sum()} samples, first"
                f" {int(np.argmax(missing))}: leave these samples out, or fill in a value"
            )
        if (words := missing_words(column)).any():
            raise ValueError(
                f"confound {name!r} is the text {column.iloc[int(words.argmax())]!r} for"
                f" {words.sum()} samples, first {int(words.argmax())}: leave these samples out, or"
                " fill in a value"
            )
        if (
            column.dtype.kind in "iuf"
            and (code := missing_code(column.to_numpy(float))) is not None
        ):
            warnings.warn(
                f"confound {name!r} is {code:g} for {(column == code).sum()} samples, far from all"
                " others: if it stands for a missing value, leave these samples out",
                stacklevel=3,
            )
        text = pd.api.types.is_string_dtype(column) and column.dtype != "category"
        if text and pd.to_numeric(column, errors="coerce").notna().all():
            warnings.warn(
                f"confound {name!r} holds numbers as text and counts as categorical: pass numbers"
                " if it is continuous, a pandas category if these are codes",
                stacklevel=3,
            )
    return table
