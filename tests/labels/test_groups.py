"""Groups of samples: what is refused, and of which sample it is said."""

import numpy as np
import pandas as pd
import pytest

from sk_brainmae.labels.groups import check_groups, hold_out

BAD = {
    "length": ([1, 1, 2], r"shape \(3,\); there are 4 scans"),
    "table": (np.zeros((4, 1)), r"shape \(4, 1\)"),
    "NaN": ([1.0, 1.0, np.nan, 2.0], "scan 2 has no group"),
    "None": ([1, None, 1, None], r"scan 1 has no group \(2 of 4 have none\)"),
    "NaN among texts": (["a", "b", "b", np.nan], "scan 3 has no group"),
    "pandas' NA": (pd.Series([1, 1, 2, None], dtype="Int64"), "scan 3 has no group"),
    "masked": (np.ma.masked_equal([5, 1, 1, 2], 5), "scan 0 has no group"),
    "mixed": (["1", 1, "2", 2], "'1' of scan 0 and 1 of scan 1"),
}


@pytest.mark.parametrize("case", BAD)
def test_groups_that_cannot_be_used_name_the_scan(case):
    groups, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        check_groups(groups, 4)


GOOD = [
    [3, 1, 1, 2],
    list("abba"),
    pd.Series([1, 1, 2, 2], dtype="Int64", index=[5, 6, 7, 8]),
]


@pytest.mark.parametrize("groups", GOOD)
def test_groups_that_can_be_used_stay_as_they_are(groups):
    assert check_groups(groups, 4).tolist() == list(groups)


def test_a_single_unit_is_not_held_out():
    train, held_out = hold_out(np.zeros(4), 0.5, 0)
    assert train.tolist() == [0, 1, 2, 3]
    assert held_out is None


def test_text_that_stands_for_a_missing_group_raises_and_names_the_scan():
    with pytest.raises(ValueError, match=r"the group of scan 2 is the text 'n/a' \(1 of 4"):
        check_groups(["s1", "s2", "n/a", "s3"], 4)
