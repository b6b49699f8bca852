import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.model_selection import PredefinedSplit

from sk_brainmae.evaluation import compare
from sk_brainmae.timeseries import Window


def test_windows_of_one_run_without_groups_warn():
    runs = np.random.default_rng(0).normal(size=(6, 20, 3))
    windows = [Window(run, start, start + 8) for run in runs for start in (0, 10)]
    with pytest.warns(UserWarning, match="12 samples are of 6 runs, but no groups"):
        compare({"chance": DummyClassifier()}, windows, [0, 1] * 6, cv=2)


def test_run_that_is_in_two_groups_warns():
    runs = np.random.default_rng(0).normal(size=(6, 20, 3))
    windows = [Window(run, start, start + 8) for run in runs for start in (0, 10)]
    groups = [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 6]
    with pytest.warns(UserWarning, match=r"groups put samples of the same run into .* \(1 times\)"):
        compare({"chance": DummyClassifier()}, windows, [0, 1] * 6, groups=groups, cv=2)


def test_no_target_at_all_raises_also_where_missing_ones_are_dropped():
    with pytest.raises(ValueError, match="target of 4 of 4 samples is missing"):
        compare({"chance": DummyClassifier()}, np.zeros((4, 20, 3)), [None] * 4, drop_missing=True)


def test_tables_of_the_same_rows_in_another_order_raise():
    X, rows = np.zeros((4, 20, 3)), ["s1", "s2", "s3", "s4"]
    y = pd.Series([0, 1, 0, 1], index=rows)
    age = pd.DataFrame({"age": [1.0, 2, 3, 4]}, index=rows[::-1])
    with pytest.raises(ValueError, match="y and confounds have the same index, but in another"):
        compare({"chance": DummyClassifier()}, X, y, confounds=age, cv=2)


def test_subject_named_twice_without_groups_warns():
    X = np.random.default_rng(0).normal(size=(8, 20, 3))
    y = pd.Series([0, 1] * 4, index=["s1", "s2", "s3", "s4", "s4", "s5", "s6", "s7"])
    with pytest.warns(UserWarning, match="y names 's4' more than once"):
        compare({"chance": DummyClassifier()}, X, y, cv=2)


def test_missing_targets_are_an_error_unless_dropped_with_a_count():
    X = np.random.default_rng(0).normal(size=(12, 20, 3))
    y = np.array([0, 1] * 6, dtype=float)
    y[[3, 4]] = np.nan
    with pytest.raises(ValueError, match=r"target of 2 of 12 samples is missing, .* sample 3"):
        compare({"chance": DummyClassifier()}, X, y, cv=2)
    with pytest.warns(UserWarning, match="left out 2 of 12 samples"):
        comparison = compare({"chance": DummyClassifier()}, X, y, cv=2, drop_missing=True)
    assert sorted(comparison.predictions["sample"]) == [0, 1, 2, 5, 6, 7, 8, 9, 10, 11]


def test_masked_targets_and_groups_are_missing():
    X, labels = np.random.default_rng(0).normal(size=(12, 20, 3)), [0, 1] * 6
    masked = np.ma.masked_array(labels, mask=np.arange(12) == 3)
    with pytest.raises(ValueError, match=r"target of 1 of 12 samples is missing, .* sample 3"):
        compare({"chance": DummyClassifier()}, X, masked, cv=2)
    with pytest.raises(ValueError, match="groups is missing for 1 samples, the first is sample 3"):
        compare({"chance": DummyClassifier()}, X, labels, groups=masked, cv=2)


PARTS = np.repeat([0, 1], 6)


@pytest.mark.parametrize(
    "cv",
    [[(np.arange(6, 12), np.arange(6)), (np.arange(6), np.arange(6, 12))], PredefinedSplit(PARTS)],
)
@pytest.mark.filterwarnings("ignore:left out 2")
def test_indices_of_folds_and_predictions_are_those_of_all_samples_as_passed(cv):
    X = np.random.default_rng(0).normal(size=(12, 20, 3))
    y = np.arange(12.0)
    y[[3, 4]] = np.nan
    kwargs = {"cv": cv, "groups": PARTS, "drop_missing": True}
    predictions = compare({"mean": DummyRegressor()}, X, y, **kwargs).predictions
    assert len(predictions) == 10
    assert (predictions["fold"] == PARTS[predictions["sample"]]).all()
    assert (predictions["y_true"] == y[predictions["sample"]]).all()


def test_target_of_a_regression_that_is_no_finite_number_raises_and_names_the_sample():
    X = np.zeros((4, 20, 3))
    for wrong in ("old", np.inf, pd.Timestamp("2020-01-01")):
        y = np.array([1.0, 2, wrong, 4], dtype=object)
        with pytest.raises(ValueError, match="not a finite number, the first is sample 2: "):
            compare({"mean": DummyRegressor()}, X, y, cv=2)
