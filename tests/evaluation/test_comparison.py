import numpy as np
import pandas as pd
import pytest
import sklearn
from joblib import parallel_config
from numpy.testing import assert_allclose
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    StratifiedKFold,
    cross_val_score,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import SVC

from sk_brainmae import BrainMAEClassifier
from sk_brainmae.datasets import make_cohort
from sk_brainmae.evaluation import ComparisonError, compare
from sk_brainmae.evaluation.folds import make_folds
from sk_brainmae.timeseries import Window

N_SUBJECTS, N_TRIALS = 8, 4
GROUPS = np.repeat([f"s{i}" for i in range(N_SUBJECTS)], N_TRIALS)
Y = np.tile(["warm", "hot"], N_SUBJECTS * N_TRIALS // 2)


class MeanSignal(ClassifierMixin, BaseEstimator):
    """Tells "hot" by a region's mean signal in the window; remembers what it was fitted on."""

    seen: list = []  # of all clones, in order  # noqa: RUF012

    def __init__(self, region=0, fail_at=None):
        self.region = region
        self.fail_at = fail_at

    def fit(self, X, y, groups=None):
        if len(self.seen) == self.fail_at:
            raise KeyboardInterrupt
        self.seen.append((self.region, [id(x) for x in X], groups))
        self.classes_ = np.unique(y)
        return self

    def decision_function(self, X):
        return -np.array([np.asarray(x)[:, self.region].mean() for x in X])

    def predict(self, X):
        return self.classes_[(self.decision_function(X) > 0).astype(int)]


class Unwilling(DummyClassifier):
    """Must not be fitted: checks come before work."""

    def fit(self, X, y, sample_weight=None):
        raise AssertionError("fitted before the checks")


@pytest.fixture(autouse=True)
def nothing_seen():
    MeanSignal.seen.clear()


@pytest.fixture
def X():
    """Trials of runs; "hot" lifts region 0 somewhat, region 1 less."""
    rng = np.random.default_rng(0)
    windows = []
    for s in range(N_SUBJECTS):
        run = rng.normal(size=(10 * N_TRIALS, 3))
        labels = Y[s * N_TRIALS : (s + 1) * N_TRIALS]
        run[:, :2] += np.repeat(labels == "hot", 10)[:, None] * [0.6, 0.2]
        windows += [Window(run, 10 * i, 10 * i + 8) for i in range(N_TRIALS)]
    return windows


def compare_two(X, **kwargs):
    estimators = {"ours": MeanSignal(region=0), "opponent": MeanSignal(region=1)}
    return compare(estimators, X, Y, **{"cv": GroupKFold(4), "groups": GROUPS, **kwargs})


def test_all_estimators_see_the_same_folds(X):
    compare_two(X, cv=GroupKFold(4, shuffle=True, random_state=np.random.RandomState(0)))
    regions, trained_on, _ = zip(*MeanSignal.seen, strict=True)
    assert regions == (0, 1) * 4
    assert trained_on[0::2] == trained_on[1::2]
    assert len({tuple(ids) for ids in trained_on}) == 4


def test_estimators_are_left_unfitted(X):
    ours = MeanSignal()
    compare({"ours": ours}, X, Y, cv=GroupKFold(4), groups=GROUPS)
    assert not hasattr(ours, "classes_")


def test_scores_are_those_of_scikit_learn(X):
    scores = compare_two(X).scores
    columns = ["estimator", "repeat", "fold", "metric", "value", "fit_time", "n_train", "n_test"]
    assert list(scores.columns) == columns
    scores = scores[scores["metric"] == "roc_auc"]
    kwargs = {"cv": GroupKFold(4), "groups": GROUPS, "scoring": "roc_auc"}
    for region, name in enumerate(["ours", "opponent"]):
        expected = cross_val_score(MeanSignal(region), X, Y, **kwargs)
        assert_allclose(scores.loc[scores["estimator"] == name, "value"], expected)


def test_several_metrics_are_rows_of_one_table(X):
    comparison = compare_two(X, scoring=["roc_auc", "balanced_accuracy"])
    assert list(comparison.table.index) == [
        (metric, name)
        for metric in ("roc_auc", "balanced_accuracy")
        for name in ("ours", "opponent")
    ]
    assert len(comparison.scores) == 2 * 2 * 4


def test_regressors_have_r2_against_the_training_mean(X):
    y = np.arange(len(X), dtype=float)
    comparison = compare({"constant": DummyRegressor()}, X, y, cv=KFold(4), groups=GROUPS)
    assert comparison.metrics == ["r2", "pearson_r", "neg_mean_absolute_error"]
    # The training mean itself reaches 0, however far the test part is from it.
    assert_allclose(comparison.table.loc["r2", "mean"], 0, atol=1e-12)
    assert_allclose(comparison.table.loc["pearson_r", "mean"], 0)
    assert comparison.table.loc["neg_mean_absolute_error", "mean"].item() < -8


def test_predictions_that_differ_by_rounding_alone_correlate_with_nothing(X):
    class Rounds(DummyRegressor):
        def predict(self, X):
            return super().predict(X) + 1e-14 * np.arange(len(X))

    y = 100 + np.arange(len(X), dtype=float)
    comparison = compare({"rounds": Rounds()}, X, y, cv=KFold(4), groups=GROUPS)
    assert (comparison.scores.query("metric == 'pearson_r'")["value"] == 0).all()


def test_two_classes_have_sensitivity_and_specificity(X):
    comparison = compare_two(X)
    table = comparison.table["mean"].unstack("metric").loc["ours"]
    predicted = comparison.predictions.query("estimator == 'ours'")
    hit = (predicted["y_pred"] == predicted["y_true"]).groupby(predicted["y_true"]).mean()
    # Classes in sorted order: "hot" is negative, "warm" positive. Folds are of equal make.
    assert table["specificity"] == pytest.approx(hit["hot"])
    assert table["sensitivity"] == pytest.approx(hit["warm"])
    assert table["balanced_accuracy"] == pytest.approx(hit.mean())


def test_several_classes_have_the_mean_auc_of_each_against_the_others():
    rng = np.random.default_rng(0)
    y = np.tile([0, 1, 2], 20)
    X = rng.normal(size=(60, 12, 3)) + 0.5 * np.eye(3)[y][:, None]
    flat = make_pipeline(FunctionTransformer(_mean_signal), LogisticRegression())
    comparison = compare({"flat": flat}, X, y, cv=3, random_state=0)
    assert comparison.metrics == ["roc_auc", "balanced_accuracy", "f1"]
    assert {"score_0", "score_1", "score_2"} <= set(comparison.predictions)
    folds = [(f.train, f.test) for f in make_folds(3, y, None, classification=True, random_state=0)]
    expected = cross_val_score(flat, X, y, cv=folds, scoring="f1_macro")
    assert_allclose(comparison.scores.query("metric == 'f1'")["value"], expected)
    assert comparison.table.loc["roc_auc", "mean"].item() > 0.8


@pytest.mark.filterwarnings("ignore:estimator 'svm' failed")
def test_scores_of_pairs_of_classes_are_not_taken_for_those_of_classes():
    X, y = np.random.default_rng(0).normal(size=(30, 12, 3)), np.tile([0, 1, 2], 10)
    svm = make_pipeline(FunctionTransformer(_mean_signal), SVC(decision_function_shape="ovo"))
    with pytest.raises(ComparisonError, match="set it to 'ovr'"):
        compare({"svm": svm}, X, y, cv=2, random_state=0)


def _mean_signal(X):
    return X.mean(axis=1)


def test_predictions_hold_every_test_sample_once_a_repeat(X):
    comparison = compare_two(X, cv=None, random_state=0)
    predictions = comparison.predictions.query("estimator == 'opponent'")
    assert predictions.groupby("repeat")["sample"].apply(sorted).tolist() == [list(range(32))] * 5
    assert (predictions["y_true"] == Y[predictions["sample"].astype(int)]).all()
    assert (predictions["group"] == GROUPS[predictions["sample"].astype(int)]).all()
    auc = [
        roc_auc_score(p["y_true"], p["score"]) for _, p in predictions.groupby(["repeat", "fold"])
    ]
    assert comparison.table.loc[("roc_auc", "opponent"), "mean"] == pytest.approx(np.mean(auc))


def test_several_jobs_find_what_one_finds(X):
    found = []
    for n in (1, 2):
        with parallel_config("threading"):  # processes are tested in test_scale_out
            found.append(compare_two(X, n_jobs=n).scores.drop(columns="fit_time"))
    pd.testing.assert_frame_equal(*found)


def test_column_of_decision_values_for_each_of_two_classes_is_that_of_the_second(X):
    class TwoColumns(MeanSignal):
        def decision_function(self, X):
            return np.column_stack([-super().decision_function(X), super().decision_function(X)])

        def predict(self, X):
            return self.classes_[self.decision_function(X).argmax(axis=1)]

    kwargs = {"cv": GroupKFold(4), "groups": GROUPS}
    two = compare({"same": TwoColumns()}, X, Y, **kwargs).predictions
    one = compare({"same": MeanSignal()}, X, Y, **kwargs).predictions
    pd.testing.assert_frame_equal(one, two)


class TellsByConfound(ClassifierMixin, BaseEstimator):
    """Predicts the confound it is given."""

    def fit(self, X, y, confounds=None):
        self.classes_ = np.unique(y)
        return self

    def decision_function(self, X, confounds=None):
        return confounds["heat"].to_numpy()

    def predict(self, X, confounds=None):
        return self.classes_[(self.decision_function(X, confounds) > 0).astype(int)]


def test_confounds_reach_fit_and_predict_of_those_that_take_them(X):
    heat = pd.DataFrame({"heat": np.where(Y == "warm", 1.0, -1.0)})
    estimators = {"told": TellsByConfound(), "blind": MeanSignal()}
    table = compare(estimators, X, Y, cv=GroupKFold(4), groups=GROUPS, confounds=heat).table
    assert table.loc[("roc_auc", "told"), "mean"] == 1
    assert table.loc[("roc_auc", "blind"), "mean"] < 1


def test_confounds_that_nobody_takes_raise(X):
    with pytest.raises(ValueError, match="no estimator takes confounds"):
        compare_two(X, confounds=np.arange(32.0))


@pytest.mark.parametrize(
    ("classes", "unlabelled"),
    [([0, 1], [-1]), ([0.0, 1.0], [-1]), (["a", "b"], [np.nan]), ([False, True], [np.nan])],
)
def test_transductive_estimators_see_the_test_scans_and_are_marked(classes, unlabelled):
    cohort = make_cohort(n_scans=12, n_timepoints=60, n_regions=8, random_state=0)
    y = np.tile(classes, 6)
    seen = []

    class Watched(BrainMAEClassifier):
        def fit(self, X, y, groups=None):
            seen.append((len(X), list(y)))
            return super().fit(X, y, groups)

    ours = Watched(window_size=10, crop_length=60, max_epochs=0, random_state=0)
    given = {"inductive": ours, "sees all": ours}
    fold = (np.arange(6), np.arange(6, 12))
    comparison = compare(given, cohort.scans, y, cv=[fold], transductive=["sees all"])
    assert comparison.estimators == ["inductive", "sees all (transductive)"]
    assert [n for n, _ in seen] == [6, 12]
    assert all(sum(label in classes for label in labels) == 6 for _, labels in seen)
    for n, labels in seen:
        assert pd.Series(labels).isin(unlabelled).sum() == (6 if n == 12 else 0)


def test_transductive_with_a_class_that_marks_the_unlabelled_is_refused(X):
    ours = BrainMAEClassifier(max_epochs=0)
    with pytest.raises(ValueError, match="-1 marks scans without a label"):
        compare({"ours": ours}, X, np.resize([-1, 1], len(X)), transductive=["ours"])


def test_transductive_opponents_are_refused(X):
    with pytest.raises(ValueError, match="only BrainMAEClassifier"):
        compare_two(X, transductive=["opponent"])


def test_groups_reach_a_fit_that_takes_them(X):
    compare_two(X)
    *_, groups = MeanSignal.seen[0]
    assert len(groups) == len(X) * 3 // 4
    assert len(set(groups)) == 6


def test_groups_reach_a_nested_search_by_metadata_routing(X):
    with sklearn.config_context(enable_metadata_routing=True):
        search = GridSearchCV(
            MeanSignal().set_fit_request(groups=True), {"region": [0, 1]}, cv=GroupKFold(2)
        )
        compare({"search": search}, X, Y, cv=GroupKFold(2), groups=GROUPS)
    inner = [set(groups) for _, _, groups in MeanSignal.seen]
    # Two outer folds; in each two regions on two inner folds of two groups, then the refit.
    assert [len(groups) for groups in inner] == [2, 2, 2, 2, 4] * 2


def test_progress_is_told_before_each_fit(X):
    told = []
    compare_two(X, progress=lambda name, fold: told.append((name, fold, len(MeanSignal.seen))))
    assert told[:3] == [("ours", 0, 0), ("opponent", 0, 1), ("ours", 1, 2)]
    assert len(told) == 8


class Fragile(MeanSignal):
    """Cannot be fitted where a given scan is among the training samples."""

    forbidden: int = 0  # id

    def fit(self, X, y, groups=None):
        if any(id(x) == self.forbidden for x in X):
            raise ValueError("cannot bear this scan")
        return super().fit(X, y, groups)


def test_error_in_a_fit_names_estimator_and_fold_and_keeps_the_others(X, monkeypatch):
    monkeypatch.setattr(Fragile, "forbidden", id(X[0]))  # tested in one fold, trains in three
    estimators = {"ours": MeanSignal(), "bad": Fragile(region=1)}
    with (
        pytest.warns(UserWarning, match="estimator 'bad' failed in fold 0: ValueError: cannot"),
        pytest.raises(
            ComparisonError, match="'bad' failed in 3 of 4 folds, first in fold 0"
        ) as caught,
    ):
        compare(estimators, X, Y, cv=GroupKFold(4), groups=GROUPS)
    n_folds = caught.value.comparison.table.loc["roc_auc", "n_folds"]
    assert dict(n_folds) == {"ours": 4, "bad": 1}


def test_first_named_that_fails_in_the_first_fold_stays_the_reference(X, monkeypatch):
    monkeypatch.setattr(Fragile, "forbidden", id(X[-1]))  # trains in the first of the folds
    estimators = {"ours": Fragile(), "opponent": MeanSignal(region=1)}
    with pytest.warns(UserWarning, match="fold 0"), pytest.raises(ComparisonError) as caught:
        compare(estimators, X, Y, cv=KFold(4), groups=GROUPS)
    comparison = caught.value.comparison
    assert comparison.estimators == ["ours", "opponent"]
    assert np.isnan(comparison.table.loc[("roc_auc", "ours"), "difference"])


def test_metrics_mean_the_same_whatever_else_is_measured(X):
    alone = compare_two(X, scoring="f1").table.loc["f1", "mean"]
    mixed = compare_two(X, scoring=["accuracy", "f1"])
    assert mixed.metrics == ["accuracy", "f1"]
    assert_allclose(mixed.table.loc["f1", "mean"], alone)
    y = np.arange(len(X), dtype=float)
    scoring = {"R2": "r2", "max": "neg_max_error"}
    table = compare(
        {"a": DummyRegressor()}, X, y, cv=KFold(4), groups=GROUPS, scoring=scoring
    ).table
    assert_allclose(table.loc["R2", "mean"], 0, atol=1e-12)  # against the training mean


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"scoring": {"f1": "f1_macro"}}, ValueError, "gives another metric the name 'f1'"),
        ({"scoring": []}, ValueError, "names no metric"),
        ({"y": np.resize(np.array(["a", 1], object), 32)}, ValueError, "y holds mixed"),
        ({"groups": np.resize(np.array(["a", 1], object), 32)}, ValueError, "groups holds mixed"),
        ({"y": Y[:-1]}, ValueError, r"y has shape \(31,\); X holds 32 samples"),
        ({"y": Y[:, None]}, ValueError, r"y has shape \(32, 1\)"),
        ({"groups": GROUPS[:-1]}, ValueError, r"groups has shape \(31,\)"),
        ({"y": np.full(32, "hot")}, ValueError, "only the class hot"),
        ({"y": np.repeat([0, 1], 16)}, ValueError, "fold 0: the test part .* class 1"),
        ({"y": np.repeat([0, 1], [31, 1])}, ValueError, "fold 0: the test part .* class 1"),
        ({"y": np.repeat([1, 0], [31, 1])}, ValueError, "fold 0: the test part .* class 0"),
        (
            {"cv": StratifiedKFold(4, shuffle=True, random_state=0)},
            ValueError,
            "fold 0: . groups are in both",
        ),
        ({"estimators": [Unwilling()]}, TypeError, "must be a dict"),
        ({"estimators": {}}, TypeError, "must be a dict"),
        ({"estimators": {1: Unwilling()}}, TypeError, "must be text .* got 1"),
        ({"estimators": {"a (transductive)": Unwilling()}}, TypeError, "does not end in"),
        (
            {"estimators": {"a": Unwilling(), "b": DummyRegressor()}},
            ValueError,
            r"classifiers are \['a'\], regressors \['b'\]",
        ),
        ({"scoring": "auc"}, ValueError, "'auc'"),
    ],
)
@pytest.mark.filterwarnings("ignore:The groups parameter is ignored")
def test_bad_input_raises_before_any_fit(X, changed, error, message, tmp_path):
    given = {
        "estimators": {"ours": Unwilling()},
        "X": X,
        "y": Y,
        "cv": KFold(4),
        "groups": GROUPS,
        "folder": tmp_path / "scores",
        **changed,
    }
    with pytest.raises(error, match=message):
        compare(**given)
    assert not (tmp_path / "scores").exists()


def test_class_missing_from_the_training_part_raises(X):
    folds = [(np.flatnonzero(Y == "hot")[:9], np.arange(20, 32))]
    with pytest.raises(ValueError, match=r"fold 0: the training part .* class warm"):
        compare({"ours": Unwilling()}, X, Y, cv=folds)
