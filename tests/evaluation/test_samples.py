import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.model_selection import PredefinedSplit, StratifiedKFold

from sk_brainmae import BrainMAEClassifier, BrainMAERegressor
from sk_brainmae.baselines import ConnectivityBaseline
from sk_brainmae.datasets import make_cohort
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


class Seen(ClassifierMixin, BaseEstimator):
    """A classifier that remembers its fits, and may pretrain on unlabelled scans."""

    fits: list = []  # noqa: RUF012

    def __init__(self, pretrained=None):
        self.pretrained = pretrained

    def fit(self, X, y, groups=None):
        self.fits.append((X, y, groups))
        self.classes_ = np.unique([label for label in y if not pd.isna(label)])
        return self

    def predict(self, X):
        return np.resize(self.classes_, len(X))

    def decision_function(self, X):
        return np.arange(len(X), dtype=float)


@pytest.fixture
def seen():
    Seen.fits.clear()
    return Seen.fits


UNLABELLED = {
    "-1": np.array([0, 1, -1] * 4),
    "NaN": np.array([0, 1, np.nan] * 4),
    "None": np.array([0, 1, None] * 4),
    "NA": pd.Series([0, 1, pd.NA] * 4, dtype="Int64"),
    "texts": np.array(["a", "b", None] * 4),
    "booleans": pd.Series([True, False, pd.NA] * 4, dtype="boolean"),
}


@pytest.mark.parametrize("mark", UNLABELLED)
def test_unlabelled_samples_take_part_in_pretraining_alone(mark, seen):
    X, y = np.random.default_rng(0).normal(size=(12, 20, 3)), UNLABELLED[mark]
    given = {"ours": Seen(), "chance": DummyClassifier()}
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = compare(given, X, y, cv=2, scoring="accuracy")
    assert [str(w.message)[:50] for w in told] == [
        "4 of 12 samples are unlabelled: ours pretrain on t"
    ]
    assert len(seen) == 2
    for scans, labels, _ in seen:
        assert len(scans) == len(labels) == 8
        assert pd.isna(np.asarray(labels, dtype=object)).sum() == 4
    labelled = [i for i in range(12) if i % 3 < 2]
    for _, rows in found.predictions.groupby("estimator"):
        assert sorted(rows["sample"]) == labelled
    assert set(found.predictions["y_true"]) == {y[0], y[1]}


def test_only_labelled_samples_reach_an_estimator_that_does_not_pretrain(seen):
    class Blind(Seen):
        def __init__(self):
            pass

    X, y = np.random.default_rng(0).normal(size=(12, 20, 3)), UNLABELLED["-1"]
    with pytest.warns(UserWarning, match="4 of 12 samples are unlabelled: ours"):
        compare({"blind": Blind(), "ours": Seen()}, X, y, cv=2, scoring="accuracy")
    assert [len(scans) for scans, _, _ in seen] == [4, 8, 4, 8]


def test_unlabelled_samples_of_a_tested_group_are_not_pretrained_on(seen):
    X, y = np.random.default_rng(0).normal(size=(12, 20, 3)), UNLABELLED["-1"]
    groups = np.repeat([0, 1, 2, 3], 3)  # each with one unlabelled sample
    with pytest.warns(UserWarning, match="4 of 12 samples are unlabelled"):
        found = compare({"ours": Seen()}, X, y, cv=2, groups=groups, scoring="accuracy")
    for fold, (_, labels, of) in enumerate(seen):
        tested = found.predictions["group"][found.predictions["fold"] == fold]
        assert not set(of) & set(tested)
        assert pd.isna(labels).sum() == 2


def test_unlabelled_moments_of_a_tested_run_are_not_pretrained_on(seen):
    runs = np.random.default_rng(0).normal(size=(6, 20, 3))
    X = [Window(run, start, start + 6) for run in runs for start in (0, 7, 14)]
    y = np.array([0, 1, -1] * 6)
    with pytest.warns(UserWarning, match="6 of 18 samples are unlabelled"):
        compare({"ours": Seen()}, X, y, cv=2, scoring="accuracy")
    for scans, labels, _ in seen:
        hidden = [x for x, label in zip(scans, labels, strict=True) if pd.isna(label)]
        known = {id(x.scan) for x, label in zip(scans, labels, strict=True) if not pd.isna(label)}
        assert {id(x.scan) for x in hidden} <= known


def test_unlabelled_values_of_a_regression_take_part_in_pretraining_alone():
    X = make_cohort(n_scans=12, n_timepoints=40, n_regions=6, random_state=0).scans
    y = np.where(np.arange(12) % 3, np.linspace(0, 1, 12), np.nan)
    ours = BrainMAERegressor(window_size=8, crop_length=40, embedding_dim=8, max_epochs=0)
    with pytest.warns(UserWarning, match="4 of 12 samples are unlabelled: ours") as told:
        found = compare({"ours": ours, "mean": DummyRegressor()}, X, y, cv=2, scoring="r2")
    assert sum("unlabelled" in str(w.message) for w in told) == 1
    assert len(found.predictions) == 16


def test_unlabelled_samples_are_an_error_where_nobody_pretrains():
    X, y = np.zeros((12, 20, 3)), UNLABELLED["-1"]
    with pytest.raises(
        ValueError, match=r"target of 4 of 12 samples is missing, .* sample 2 \(y i"
    ):
        compare({"chance": DummyClassifier()}, X, y, cv=2)
    with pytest.warns(UserWarning, match="left out 4 of 12 samples"):
        compare({"ours": DummyClassifier()}, X, y, cv=2, drop_missing=True)


def test_unlabelled_samples_are_an_error_where_all_encoders_are_pretrained_already(seen):
    X, y = np.zeros((12, 20, 3)), UNLABELLED["-1"]
    with pytest.raises(ValueError, match="target of 4 of 12 samples is missing"):
        compare({"ours": Seen(pretrained="folder")}, X, y, cv=2)


def test_group_that_is_a_text_for_a_missing_one_raises_and_names_the_sample():
    groups = ["a", "b", "n/a", "c", "d", "e"] * 2
    with pytest.raises(ValueError, match="groups is missing for 2 samples, the first is sample 2"):
        compare({"chance": DummyClassifier()}, np.zeros((12, 20, 3)), [0, 1] * 6, groups=groups)


def test_folder_of_other_unlabelled_scans_is_refused(tmp_path, seen):
    X, y = np.random.default_rng(0).normal(size=(12, 20, 3)), UNLABELLED["-1"]
    kwargs = {"cv": 2, "scoring": "accuracy", "folder": tmp_path, "random_state": 0}
    for _ in range(2):
        with pytest.warns(UserWarning, match="4 of 12 samples are unlabelled"):
            compare({"ours": Seen()}, X, y, **kwargs)
    assert len(seen) == 2, "the second call resumes"
    X[2] += 1
    with (
        pytest.warns(UserWarning, match="4 of 12"),
        pytest.raises(ValueError, match="unlabelled differs"),
    ):
        compare({"ours": Seen()}, X, y, **kwargs)


class OnDisk:
    """A 3-D array that takes rows in rising order alone, as h5py's do."""

    def __init__(self, scans):
        self.scans = scans
        self.shape, self.ndim, self.dtype = scans.shape, 3, scans.dtype

    def __len__(self):
        return len(self.scans)

    def __getitem__(self, key):
        if np.ndim(key) == 1 and (np.diff(key) <= 0).any():
            raise TypeError("Indexing elements must be in increasing order")
        return self.scans[key]

    def __array__(self, dtype=None, copy=None):
        raise AssertionError("all of it was read at once")


@pytest.mark.parametrize("mark", ["none", "-1"])
def test_shuffled_folds_of_an_array_on_disk_equal_those_in_memory(mark):
    scans = make_cohort(n_scans=12, n_timepoints=40, n_regions=6, random_state=0).scans
    y = UNLABELLED["-1"] if mark == "-1" else np.array([0, 1] * 6)
    ours = BrainMAEClassifier(
        window_size=8, crop_length=40, embedding_dim=8, n_heads=2, max_epochs=0, random_state=0
    )
    given = {"ours": ours, "FC": ConnectivityBaseline("correlation", random_state=0)}
    kwargs = {"cv": StratifiedKFold(2, shuffle=True, random_state=0), "scoring": "roc_auc"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        memory, disk = (compare(given, X, y, **kwargs) for X in (scans, OnDisk(scans)))
    columns = ["estimator", "sample", "y_true", "score"]
    pd.testing.assert_frame_equal(memory.predictions[columns], disk.predictions[columns])
