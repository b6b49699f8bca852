"""Rows of epochs as JSON, which has no NaN."""

import math
from numbers import Real
from typing import Any

History = list[dict[str, float]]


def pack_history(history: History) -> list[dict[str, float | None]]:
    """Return rows of epochs as JSON: None stands for NaN."""
    return [{k: None if math.isnan(v) else v for k, v in row.items()} for row in history]


def unpack_history(history: Any) -> History:
    """Return rows of epochs from JSON; raise ValueError where they are not such rows."""
    if not isinstance(history, list) or not all(isinstance(row, dict) for row in history):
        raise ValueError("history must be a list of JSON objects")
    values = (value for row in history for value in row.values() if value is not None)
    if odd := [value for value in values if not is_number(value)]:
        raise ValueError(f"history holds {odd[0]!r}, which is not a number")
    if not all(is_number(row.get("epoch")) for row in history):
        raise ValueError("history has rows without an epoch")
    return [{k: math.nan if v is None else v for k, v in row.items()} for row in history]


def is_number(value: Any) -> bool:
    """Tell whether a JSON value is a number; true and false are not."""
    return isinstance(value, Real) and not isinstance(value, bool)
