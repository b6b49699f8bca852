import joblib
import numpy as np
import pandas as pd
import pytest
from distributed import Client, LocalCluster
from joblib import parallel_config
from numpy.testing import assert_array_equal
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold
from sklearn.pipeline import make_pipeline

from sk_brainmae import BrainMAEClassifier, BrainMAERegressor
from sk_brainmae.baselines import ConnectivityBaseline, make_opponents
from sk_brainmae.datasets import make_cohort
from sk_brainmae.evaluation import Comparison, ComparisonError, compare

Y = np.tile(["warm", "hot"], 16)  # of the trials
GROUPS = np.repeat(np.arange(8), 4)


class Unwilling(DummyClassifier):
    """Must not be fitted: checks come before work."""

    def fit(self, X, y, sample_weight=None):
        raise AssertionError("fitted before the checks")


def test_predictions_hold_every_test_sample_once_a_repeat(trials, compare_two):
    comparison = compare_two(cv=None, random_state=0)
    predictions = comparison.predictions.query("estimator == 'opponent'")
    assert predictions.groupby("repeat")["sample"].apply(sorted).tolist() == [list(range(32))] * 5
    sample = predictions["sample"].astype(int)
    assert (predictions["y_true"] == trials.y[sample]).all()
    assert (predictions["group"] == trials.groups[sample]).all()
    auc = [
        roc_auc_score(p["y_true"], p["score"]) for _, p in predictions.groupby(["repeat", "fold"])
    ]
    assert comparison.table.loc[("roc_auc", "opponent"), "mean"] == pytest.approx(np.mean(auc))


def test_several_threads_find_what_one_finds(compare_two):
    with parallel_config("threading"):
        assert_same(compare_two(n_jobs=2), compare_two())


def test_confounds_that_nobody_takes_raise(compare_two):
    with pytest.raises(ValueError, match="no estimator takes confounds"):
        compare_two(confounds=np.arange(32.0))


@pytest.mark.parametrize(
    ("classes", "message"),
    [([-1, 1], r"one class only \(1\) beside -1"), ([-2, -1, 0], "beside other negative labels")],
)
def test_minus_one_that_may_be_a_class_is_refused(trials, classes, message):
    y = np.resize(classes, len(trials.X))
    with pytest.raises(ValueError, match=message):
        compare({"chance": DummyClassifier()}, trials.X, y, groups=trials.groups)


@pytest.mark.parametrize(
    "opponent",
    [DummyClassifier(), FrozenEstimator(BrainMAEClassifier()), make_pipeline(BrainMAEClassifier())],
    ids=["another", "frozen", "in a pipeline"],
)
def test_transductive_estimators_without_unlabelled_pretraining_are_refused(trials, opponent):
    for name in ("opponent", "nobody"):
        with pytest.raises(ValueError, match=f"'{name}': only BrainMAEClassifier and BrainMAERegr"):
            compare({"opponent": opponent}, trials.X, Y, groups=GROUPS, transductive=[name])


def test_progress_is_called_before_each_fit(mean_signal, compare_two):
    told = []
    compare_two(progress=lambda name, fold: told.append((name, fold, len(mean_signal.seen))))
    assert told[:3] == [("ours", 0, 0), ("opponent", 0, 1), ("ours", 1, 2)]
    assert len(told) == 8


@pytest.fixture
def fragile(mean_signal):
    """The class of a classifier that cannot be fitted to one scan."""

    class Fragile(mean_signal):
        forbidden = None

        def fit(self, X, y, groups=None):
            if any(x is self.forbidden for x in X):
                raise ValueError("cannot bear this scan")
            return super().fit(X, y, groups)

    return Fragile


@pytest.mark.filterwarnings("ignore:estimator 'bad' failed in fold [12]")
def test_error_in_a_fit_names_estimator_and_fold_and_keeps_the_others(trials, mean_signal, fragile):
    fragile.forbidden = trials.X[0]  # tested in one fold, trains in three
    estimators = {"ours": mean_signal(), "bad": fragile(region=1)}
    kwargs = {"cv": GroupKFold(4), "groups": trials.groups}
    with (
        pytest.warns(UserWarning, match="estimator 'bad' failed in fold 0: ValueError: cannot"),
        pytest.raises(ComparisonError, match="failed in 3 of 4 folds, first in fold 0") as caught,
    ):
        compare(estimators, trials.X, trials.y, **kwargs)
    n_folds = caught.value.comparison.table.loc["roc_auc", "n_folds"]
    assert dict(n_folds) == {"ours": 4, "bad": 1}


@pytest.mark.filterwarnings("ignore:estimator 'ours' failed", "ignore:The groups parameter")
def test_first_estimator_that_fails_in_the_first_fold_stays_the_reference(
    trials, mean_signal, fragile
):
    fragile.forbidden = trials.X[-1]  # trains in the first of the folds
    estimators = {"ours": fragile(), "opponent": mean_signal(region=1)}
    with pytest.raises(ComparisonError, match="fold 0") as caught:
        compare(estimators, trials.X, trials.y, cv=KFold(4), groups=trials.groups)
    comparison = caught.value.comparison
    assert comparison.estimators == ["ours", "opponent"]
    assert np.isnan(comparison.table.loc[("roc_auc", "ours"), "difference"])


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
        ({"y": np.full(32, "hot")}, ValueError, "one class only"),
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
def test_bad_input_raises_before_any_fit(trials, changed, error, message, tmp_path):
    given = {
        "estimators": {"ours": Unwilling()},
        "X": trials.X,
        "y": Y,
        "cv": KFold(4),
        "groups": GROUPS,
        "folder": tmp_path / "scores",
        **changed,
    }
    with pytest.raises(error, match=message):
        compare(**given)
    assert not (tmp_path / "scores").exists()


def test_class_missing_from_the_training_part_raises(trials):
    folds = [(np.flatnonzero(Y == "hot")[:9], np.arange(20, 32))]
    with pytest.raises(ValueError, match=r"fold 0: the training part .* class warm"):
        compare({"ours": Unwilling()}, trials.X, Y, cv=folds, groups=GROUPS)


def assert_same(found, expected):
    """Bit by bit, but for how long it took."""
    pd.testing.assert_frame_equal(found.predictions, expected.predictions, check_exact=True)
    scores, others = (c.scores.drop(columns="fit_time") for c in (found, expected))
    pd.testing.assert_frame_equal(scores, others, check_exact=True)


def compare_with_ours(**kwargs):
    """Compare BrainMAE and an opponent on eight scans."""
    cohort = make_cohort(n_scans=8, n_timepoints=60, n_regions=6, random_state=0)
    window = {"window_size": 15, "crop_length": 60, "embedding_dim": 4, "n_heads": 1}
    estimators = {
        "BrainMAE": BrainMAERegressor(**window, max_epochs=1, random_state=0),
        "FC": ConnectivityBaseline("correlation", "regression", random_state=0),
    }
    kwargs = {"cv": 2, "random_state": 0, **kwargs}
    return compare(estimators, cohort.scans, cohort.traits["static"].to_numpy(), **kwargs)


@pytest.fixture(scope="module")
def serial():
    return compare_with_ours()


def test_processes_find_what_one_process_finds(serial):
    assert_same(compare_with_ours(n_jobs=2), serial)


@pytest.fixture(scope="module")
def client():
    """Two workers that are threads, as they start at once; tasks reach them pickled, by TCP."""
    kwargs = {"n_workers": 2, "threads_per_worker": 1, "processes": False, "protocol": "tcp"}
    with LocalCluster(**kwargs, dashboard_address=None) as cluster, Client(cluster) as client:
        yield client


def test_workers_of_a_cluster_find_and_write_what_one_process_finds(serial, client, tmp_path):
    with joblib.parallel_config("dask"):
        assert_same(compare_with_ours(folder=tmp_path), serial)
    fitted_by = client.run(lambda dask_worker: len(dask_worker.state.log))
    assert min(fitted_by.values()) > 0
    written = Comparison.from_csv(tmp_path).predictions
    assert len(written) == len(serial.predictions)
    assert_array_equal(sorted(written["y_pred"]), sorted(serial.predictions["y_pred"]))


NULL_COHORTS = 20


@pytest.fixture(scope="module")
def null_scores():
    """Scores of every estimator on cohorts whose target is unrelated to the scans."""
    kwargs = {"t_r": 1.0, "max_epochs": 1, "embedding_dim": 16, "random_state": 0}
    auc, r = {}, {}
    for seed in range(NULL_COHORTS):
        shape = {"n_scans": 40, "n_timepoints": 100, "n_regions": 12}
        scans = make_cohort(**shape, t_r=1.0, random_state=seed).scans
        rng = np.random.default_rng(seed)
        classes, target = rng.permutation(np.tile([0, 1], 20)), rng.normal(size=40)
        for found, kind, task, y, metric in [
            (auc, BrainMAEClassifier, "classification", classes, "roc_auc"),
            (r, BrainMAERegressor, "regression", target, "pearson_r"),
        ]:
            ours = kind(crop_length=100, **kwargs)
            models = {"BrainMAE": ours, **make_opponents(task, t_r=1.0, random_state=0)}
            # Forests on thousands of features take minutes and see what the others see.
            models = {name: model for name, model in models.items() if "forest" not in name}
            comparison = compare(models, scans, y, cv=5, random_state=seed)
            for name, mean in comparison.table.loc[metric, "mean"].items():
                found.setdefault(name, []).append(mean)
    return auc, r


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_estimator_stays_at_chance_where_there_is_nothing_to_find(null_scores):
    auc, r = null_scores
    for found, chance in ((auc, 0.5), (r, 0.0)):
        for name, means in found.items():
            margin = 3 * np.std(means) / np.sqrt(NULL_COHORTS) + 0.02
            # Out-of-fold correlations lie a little below 0: a high test part means a low
            # training part.
            assert chance - margin - 0.1 < np.mean(means) < chance + margin, name
