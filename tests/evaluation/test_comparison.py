import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_allclose
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    StratifiedKFold,
    cross_val_score,
)

from sk_brainmae.evaluation import Comparison, compare
from sk_brainmae.timeseries import Window

mpl.use("Agg")

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
    assert list(scores.columns) == ["estimator", "fold", "metric", "value", "fit_time"]
    kwargs = {"cv": GroupKFold(4), "groups": GROUPS, "scoring": "roc_auc"}
    for region, name in enumerate(["ours", "opponent"]):
        expected = cross_val_score(MeanSignal(region), X, Y, **kwargs)
        assert_allclose(scores.loc[scores["estimator"] == name, "value"], expected)


def test_table_agrees_with_a_computation_by_hand():
    values = {"ours": [0.9, 0.7, 0.8], "a": [0.8, 0.8, 0.8], "b": [0.5, 0.6, 0.7]}
    rows = [(name, k, "roc_auc", values[name][k], 2.0 * k) for k in range(3) for name in values]
    scores = pd.DataFrame(rows, columns=["estimator", "fold", "metric", "value", "fit_time"])
    table = Comparison(scores).table.loc["roc_auc"]
    assert_allclose(table["mean"], [0.8, 0.8, 0.6])
    assert_allclose(table["std"], [0.1, 0, 0.1], atol=1e-12)
    # ours - a: .1, -.1, 0; ours - b: .4, .1, .1
    assert_allclose(table["difference"], [np.nan, 0, 0.2], atol=1e-12)
    assert_allclose(table["difference_std"], [np.nan, 0.1, np.sqrt(0.03)])
    assert list(table["n_folds"]) == [3, 3, 3]
    assert_allclose(table["fit_time"], 2)


def test_table_holds_the_others_against_the_first_named_and_marks_the_best_of_them():
    rows = [("x", 0, "r2", 0.9, 0), ("b", 0, "r2", 0.2, 0), ("a", 0, "r2", 0.3, 0)]
    scores = pd.DataFrame(rows, columns=["estimator", "fold", "metric", "value", "fit_time"])
    table = Comparison(scores).table.loc["r2"]
    assert list(table.index) == ["x", "b", "a"]
    assert list(table["best_opponent"]) == [False, False, True]
    assert_allclose(table["difference"], [np.nan, 0.7, 0.6])


def test_table_of_one_estimator_has_no_opponent(X):
    table = compare({"ours": MeanSignal()}, X, Y, cv=GroupKFold(4), groups=GROUPS).table
    assert not table["best_opponent"].any()
    assert table["difference"].isna().all()


def test_several_metrics_are_rows_of_one_table(X):
    comparison = compare_two(X, scoring=["roc_auc", "balanced_accuracy"])
    assert list(comparison.table.index) == [
        (metric, name)
        for metric in ("roc_auc", "balanced_accuracy")
        for name in ("ours", "opponent")
    ]
    assert len(comparison.scores) == 2 * 2 * 4


def test_regressors_are_scored_by_r2(X):
    y = np.arange(len(X), dtype=float)
    table = compare({"mean": DummyRegressor()}, X, y, cv=KFold(4)).table
    assert table.index.get_level_values("metric").unique() == ["r2"]


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


def test_interruption_leaves_the_finished_folds_on_disk(X, tmp_path):
    estimators = {"ours": MeanSignal(0, fail_at=5), "opponent, too": MeanSignal(1, fail_at=5)}
    with pytest.raises(KeyboardInterrupt):
        compare(estimators, X, Y, cv=GroupKFold(4), groups=GROUPS, folder=tmp_path / "new")
    on_disk = pd.read_csv(tmp_path / "new" / "scores.csv")
    names = ["ours", "opponent, too"]
    assert list(zip(on_disk["estimator"], on_disk["fold"], strict=True)) == [
        (names[0], 0),
        (names[1], 0),
        (names[0], 1),
        (names[1], 1),
        (names[0], 2),
    ]


def test_scores_on_disk_are_those_returned(X, tmp_path):
    comparison = compare_two(X, folder=tmp_path)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "scores.csv"), comparison.scores)


def test_to_csv_writes_scores_and_table(X, tmp_path):
    comparison = compare_two(X)
    comparison.to_csv(tmp_path / "a" / "b")
    again = pd.read_csv(tmp_path / "a" / "b" / "scores.csv")
    pd.testing.assert_frame_equal(again, comparison.scores)
    table = pd.read_csv(tmp_path / "a" / "b" / "table.csv", index_col=[0, 1])
    pd.testing.assert_frame_equal(table, comparison.table)


def test_folder_with_earlier_results_raises_and_keeps_them(X, tmp_path):
    (tmp_path / "scores.csv").write_text("earlier\n")
    with pytest.raises(FileExistsError, match="earlier call"):
        compare({"ours": Unwilling()}, X, Y, cv=GroupKFold(4), groups=GROUPS, folder=tmp_path)
    assert (tmp_path / "scores.csv").read_text() == "earlier\n"


def test_progress_is_told_before_each_fit(X):
    told = []
    compare_two(X, progress=lambda name, fold: told.append((name, fold, len(MeanSignal.seen))))
    assert told[:3] == [("ours", 0, 0), ("opponent", 0, 1), ("ours", 1, 2)]
    assert len(told) == 8


def test_error_in_a_fit_names_estimator_and_fold(X):
    with pytest.raises(AssertionError) as caught:
        compare({"ours": MeanSignal(), "bad": Unwilling()}, X, Y, cv=GroupKFold(4), groups=GROUPS)
    assert caught.value.__notes__ == ["raised by estimator 'bad' in fold 0"]


def test_plot_names_metric_and_estimators(X):
    comparison = compare_two(X, scoring=["roc_auc", "f1_macro"])
    ax = comparison.plot()
    assert [label.get_text() for label in ax.get_yticklabels()] == ["ours", "opponent"]
    assert ax.get_xlabel().startswith("roc_auc")
    assert comparison.plot("f1_macro").get_xlabel().startswith("f1_macro")
    top, bottom = (ax.transData.transform((0, y))[1] for y in (0, 1))
    assert top > bottom, "the first-named estimator is drawn on top"


def test_plot_joins_each_fold_and_marks_means(X):
    comparison = compare_two(X)
    *folds, means = comparison.plot().get_lines()
    scores = comparison.scores
    for k, line in enumerate(folds):
        assert_allclose(line.get_xdata(), scores.loc[scores["fold"] == k, "value"])
    assert len(folds) == 4
    assert_allclose(means.get_xdata(), comparison.table["mean"])


def test_figure_grows_with_the_estimators(X):
    few = compare_two(X).plot().figure
    names = [f"estimator {i}" for i in range(12)]
    many = compare({n: MeanSignal() for n in names}, X, Y, cv=GroupKFold(4), groups=GROUPS)
    assert many.plot().figure.get_figheight() > few.get_figheight() + 3


def test_plot_of_an_unknown_metric_raises(X):
    with pytest.raises(ValueError, match=r"no metric 'f1'.*roc_auc"):
        compare_two(X).plot("f1")


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"y": Y[:-1]}, ValueError, r"y has shape \(31,\); X holds 32 samples"),
        ({"y": Y[:, None]}, ValueError, r"y has shape \(32, 1\)"),
        ({"groups": GROUPS[:-1]}, ValueError, r"groups has shape \(31,\)"),
        ({"y": np.full(32, "hot")}, ValueError, "only the class hot"),
        ({"y": np.repeat([0, 1], 16)}, ValueError, "fold 0: its test part .* class 1"),
        ({"y": np.repeat([0, 1], [31, 1])}, ValueError, "fold 0: its test part .* class 1"),
        ({"y": np.repeat([1, 0], [31, 1])}, ValueError, "fold 0: its test part .* class 0"),
        (
            {"cv": StratifiedKFold(4, shuffle=True, random_state=0)},
            ValueError,
            "fold 0: . of the groups are in both",
        ),
        ({"estimators": [Unwilling()]}, TypeError, "must be a dict"),
        ({"estimators": {}}, TypeError, "must be a dict"),
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
    with pytest.raises(ValueError, match=r"fold 0: its training part .* class warm"):
        compare({"ours": Unwilling()}, X, Y, cv=folds)
