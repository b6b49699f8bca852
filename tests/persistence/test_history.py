"""Rows of epochs as JSON."""

import json
import math

import pytest

from sk_brainmae.persistence.history import pack_history, unpack_history


def test_rows_of_epochs_come_back_with_their_nan():
    rows = [{"epoch": 0, "loss": math.nan}, {"epoch": 1, "loss": 0.5}]
    packed = json.loads(json.dumps(pack_history(rows), allow_nan=False))
    first, second = unpack_history(packed)
    assert math.isnan(first["loss"])
    assert second == rows[1]


@pytest.mark.parametrize(
    ("history", "message"),
    [
        ({}, "must be a list"),
        ([1], "must be a list"),
        ([{"epoch": 1, "loss": "x"}], "'x', which is not a number"),
        ([{"epoch": 1, "loss": True}], "not a number"),
        ([{"loss": 1}], "without an epoch"),
        ([{"epoch": None}], "without an epoch"),
    ],
)
def test_other_json_is_refused(history, message):
    with pytest.raises(ValueError, match=message):
        unpack_history(history)
