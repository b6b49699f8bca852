"""Which scans are labelled: the marks of each kind of target, and what is no target at all."""

import warnings

import numpy as np
import pandas as pd
import pytest

from sk_brainmae.labels.targets import (
    known_classes,
    known_values,
    labelled_classes,
    labelled_values,
)

CLASSES = {
    "numbers": (np.array([0, 1, -1, 0, 1]), [0, 1, 0, 1]),
    "floats": ([0.0, 1.0, -1.0, 0.0, 1.0], [0, 1, 0, 1]),
    "unsigned, none marked": (np.array([0, 1, 2], dtype=np.uint8), [0, 1, 2]),
    "bool": (np.array([True, False]), [True, False]),
    "list with None": (["a", "b", None, "a", "b"], ["a", "b", "a", "b"]),
    "list with NaN": (["a", "b", np.nan, "a", "b"], ["a", "b", "a", "b"]),
    "None as a name": (["a", "None"], ["a", "None"]),
    "Likert scale": ([-2, 0, 1, -2], [-2, 0, 1, -2]),
    "object array": (np.array(["a", "b", None, "a"], dtype=object), ["a", "b", "a"]),
    "Series": (pd.Series(["a", "b", None, "a"]), ["a", "b", "a"]),
    "categories": (pd.Series(["a", "b", None, "a"], dtype="category"), ["a", "b", "a"]),
    "numbers and None": ([0, 1, None, 1], [0, 1, 1]),
    "Likert scale and None": ([-2, 2, None, 0], [-2, 2, 0]),
    "numbers and NaN": ([0.0, 1.0, np.nan], [0, 1]),
    "objects": (np.array([0, 1, 1], dtype=object), [0, 1, 1]),
    "nullable integers": (pd.Series([0, 1, pd.NA, 1], dtype="Int64"), [0, 1, 1]),
    "nullable booleans": (pd.Series([True, pd.NA, False], dtype="boolean"), [True, False]),
}


@pytest.mark.parametrize("kind", CLASSES)
def test_class_labels_are_found_and_keep_their_order(kind):
    y, expected = CLASSES[kind]
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        labelled, labels = labelled_classes(y)
    assert labels.tolist() == expected
    assert labels.dtype.kind != "O" or isinstance(expected[0], str)
    assert labelled.shape == (len(y),)
    unlabelled = f"{len(y) - len(expected)} of {len(y)} scans are unlabelled"
    if labelled.all():
        assert not told
    else:
        assert [str(w.message)[: len(unlabelled)] for w in told] == [unlabelled]
    assert [label for label, known in zip(y, labelled, strict=True) if known] == expected


def test_unmarked_labels_stay_as_they_are():
    y = np.array(["a", "b", "a"])
    labelled, labels = labelled_classes(y)
    assert labelled.all()
    assert labels.dtype == y.dtype


@pytest.mark.parametrize("y", [[-1, 1, -1, 1], [-1.0, 1.0], np.array([-1, 7, 7])])
def test_one_class_beside_minus_one_asks_to_recode(y):
    with pytest.raises(ValueError, match=r"beside -1, which marks unlabelled.* recode"):
        labelled_classes(y)


@pytest.mark.parametrize("y", [[-1, -1, -1], [None, None, None], [np.nan, None, np.nan]])
def test_no_labelled_scan_raises_with_the_count(y):
    with pytest.raises(ValueError, match="all 3 scans are unlabelled"):
        labelled_classes(y)


def test_one_labelled_class_raises():
    with pytest.raises(ValueError, match="one class only"):
        labelled_classes(["a", None, "a"])


def test_minus_one_is_announced_as_a_mark_that_may_have_been_a_class():
    with pytest.warns(
        UserWarning, match=r"4 of 12 scans are unlabelled and .*; -1 marks .* recode"
    ):
        labelled_classes(np.tile([-1, 0, 1], 4))


@pytest.mark.parametrize(
    ("y", "beside"),
    [
        (np.tile(np.arange(-2, 3), 4), r"other negative labels \(-2\)"),
        ([-1.0, -3.0, 2.0], r"other negative labels \(-3\)"),
        (pd.Series([-1, -2, None], dtype="Int64"), r"other negative labels \(-2\)"),
        ([0, 1, None, -1], "missing labels"),
        ([0.0, 1.0, np.nan, -1.0], "missing labels"),
        (np.ma.masked_equal([0, 1, 9, -1], 9), "missing labels"),
    ],
)
@pytest.mark.parametrize("find", [labelled_classes, known_classes])
def test_minus_one_that_may_be_a_class_raises_and_says_how_to_mark(find, y, beside):
    with pytest.raises(ValueError, match=rf"y is -1 .* beside {beside}: .* NaN .* y - y.min\(\)"):
        find(y)


@pytest.mark.parametrize(
    "y", [["a", "b", "n/a"], np.array(["a", "b", np.nan]), ["a", "", "b"], [None, "a", "NA"]]
)
def test_text_that_stands_for_a_missing_label_raises_and_names_the_scan(y):
    first = next(i for i, label in enumerate(y) if label in ("n/a", "nan", "", "NA"))
    with pytest.raises(ValueError, match=rf"for scan {first} \(1 of 3 scans have no label\)"):
        labelled_classes(y)


def test_texts_beside_numbers_raise_and_name_both_scans():
    with pytest.raises(ValueError, match="mixes texts and others: 'a' for scan 2 and 1 for scan 0"):
        labelled_classes([1, None, "a", 2])


@pytest.mark.parametrize("code", [-9999, 99, -9])
def test_number_that_may_stand_for_a_missing_one_warns(code):
    with pytest.warns(UserWarning, match=rf"y is {code} for 2 scans, far .* \(1 to 3\).* None"):
        labelled_classes([1, 2, 3, code, code])
    with pytest.warns(UserWarning, match=rf"y is {code} for 1 scans, far .* \(1 to 3\).* NaN"):
        labelled_values([1.0, 2.5, 3, code])


def test_ordinary_numbers_do_not_count_as_missing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        labelled_values([99.0, 98, 70, 100])
        labelled_values(np.arange(-20.0, 20))
        labelled_classes([0, 99, 0])


def test_labels_of_a_score_may_be_of_one_class_and_leave_the_unlabelled_out():
    with pytest.warns(UserWarning, match=r"1 of 3 scans are unlabelled .* left out of the score"):
        labelled, labels = known_classes([1, -1, 1])
    assert (labelled.tolist(), labels.tolist()) == ([True, False, True], [1, 1])
    with pytest.warns(UserWarning, match="1 of 3 scans are unlabelled and are left out of the sco"):
        labelled, values = known_values([2.0, None, 2.0])
    assert (labelled.tolist(), values.tolist()) == ([True, False, True], [2, 2])


@pytest.mark.parametrize("y", [["1.5", "n/a", "2"], np.array([1.5, "2,5", None], dtype=object)])
def test_text_among_values_raises_and_names_the_scan(y):
    with pytest.raises(ValueError, match=f"convert string to float: y is the text '{y[1]}' for sc"):
        labelled_values(y)


VALUES = {
    "array": np.array([1.5, np.nan, -1.0]),
    "list with None": [1.5, None, -1.0],
    "Series": pd.Series([1.5, None, -1.0]),
    "nullable": pd.Series([1.5, pd.NA, -1.0], dtype="Float64"),
}


@pytest.mark.parametrize("kind", VALUES)
def test_known_values_are_found(kind):
    labelled, values = labelled_values(VALUES[kind])
    assert labelled.tolist() == [True, False, True]
    assert values.tolist() == [1.5, -1.0]


def test_what_is_masked_is_not_known():
    labelled, values = labelled_values(np.ma.masked_greater([1.5, 99.0, -1.0], 9))
    assert labelled.tolist() == [True, False, True]
    assert values.tolist() == [1.5, -1.0]
    labelled, classes = labelled_classes(np.ma.masked_equal([1, 2, 9, 2], 9))
    assert labelled.tolist() == [True, True, False, True]
    assert classes.tolist() == [1, 2, 2]


def test_no_known_value_raises_with_the_count():
    with pytest.raises(ValueError, match="all 2 scans are unlabelled"):
        labelled_values([np.nan, None])


@pytest.mark.parametrize("find", [labelled_classes, labelled_values])
def test_no_target_raises(find):
    with pytest.raises(ValueError, match="requires y to be passed"):
        find(None)


@pytest.mark.parametrize("value", [1e200, -1e101])
def test_a_value_whose_square_overflows_raises_and_names_the_sample(value):
    with pytest.raises(ValueError, match=r"for sample 2 \(1 values are beyond 1e\+100\)"):
        labelled_values([1.0, np.nan, value])


@pytest.mark.parametrize("values", [[2.0, np.nan, 2.0], [1e-200, 2e-200, 0.0]])
def test_values_that_are_all_the_same_warn(values):
    with pytest.warns(UserWarning, match=rf"y is {values[0]} for all \d labelled scans"):
        labelled_values(values)


def test_infinite_value_raises():
    with pytest.raises(ValueError, match="infinity"):
        labelled_values([1.0, np.inf])


def test_classes_that_differ_in_case_or_spaces_alone_warn():
    with pytest.warns(UserWarning, match="y holds 'M' and 'm ', which differ in case or spaces"):
        labelled_classes(["M", "F", "m ", "F"])


@pytest.mark.parametrize("find", [labelled_classes, labelled_values])
@pytest.mark.parametrize("y", [pd.date_range("2020", periods=3), pd.to_timedelta([1, 2, 3], "D")])
def test_dates_and_durations_raise(find, y):
    with pytest.raises(ValueError, match=r"y holds (datetime|timedelta)64.*: give numbers"):
        find(y)
