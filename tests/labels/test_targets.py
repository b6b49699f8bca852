"""Which scans are labelled: the marks of each kind of target, and what is no target at all."""

import numpy as np
import pandas as pd
import pytest

from sk_brainmae.labels.targets import labelled_classes, labelled_values

CLASSES = {
    "numbers": (np.array([0, 1, -1, 0, 1]), [0, 1, 0, 1]),
    "floats": ([0.0, 1.0, -1.0, 0.0, 1.0], [0, 1, 0, 1]),
    "unsigned, none marked": (np.array([0, 1, 2], dtype=np.uint8), [0, 1, 2]),
    "bool": (np.array([True, False]), [True, False]),
    "list with None": (["a", "b", None, "a", "b"], ["a", "b", "a", "b"]),
    "list with NaN": (["a", "b", np.nan, "a", "b"], ["a", "b", "a", "b"]),
    "nan as a name": (["a", "nan"], ["a", "nan"]),
    "object array": (np.array(["a", "b", None, "a"], dtype=object), ["a", "b", "a"]),
    "Series": (pd.Series(["a", "b", None, "a"]), ["a", "b", "a"]),
    "categories": (pd.Series(["a", "b", None, "a"], dtype="category"), ["a", "b", "a"]),
    "numbers and None": ([0, 1, None, -1], [0, 1]),
    "nullable integers": (pd.Series([0, 1, pd.NA, 1], dtype="Int64"), [0, 1, 1]),
}


@pytest.mark.parametrize("kind", CLASSES)
def test_class_labels_are_found_and_keep_their_order(kind):
    y, expected = CLASSES[kind]
    labelled, labels = labelled_classes(y)
    assert labels.tolist() == expected
    assert labelled.shape == (len(y),)
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


def test_nan_among_numeric_classes_is_an_error_not_a_mark():
    with pytest.raises(ValueError, match="NaN"):
        labelled_classes([0.0, 1.0, np.nan])


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
