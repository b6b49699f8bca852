import pickle
import warnings

import numpy as np
import pytest
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.model_selection import GridSearchCV, GroupKFold

from sk_brainmae.baselines import PEERS, make_opponents
from sk_brainmae.baselines.heads import HEADS
from sk_brainmae.datasets import make_cohort
from sk_brainmae.evaluation import compare
from sk_brainmae.timeseries import Window

pytestmark = pytest.mark.usefixtures("coarse_heads")


@pytest.fixture(scope="module")
def cohort():
    return make_cohort(n_scans=16, n_timepoints=80, n_regions=6, random_state=0)


@pytest.mark.parametrize("task", HEADS)
@pytest.mark.parametrize("trials", [False, True])
def test_all_opponents_are_of_the_task_clone_and_pickle(task, trials):
    opponents = make_opponents(task, trials=trials, confounds=True, peers=True, random_state=3)
    for model in opponents.values():
        assert is_classifier(model) == (task == "classification")
        assert is_regressor(model) == (task == "regression")
        params = clone(model).get_params(deep=False)
        assert params.get("random_state", 3) in (3, None)
        assert repr(pickle.loads(pickle.dumps(model))) == repr(model)
    assert list(opponents)[-1] == "chance"
    connectivity = [name for name in opponents if name.startswith("FC ") and "states" not in name]
    assert len(connectivity) == 3 * len(HEADS[task])


def test_scans_and_trials_get_the_opponents_that_suit_them():
    scans, trials = (
        set(make_opponents("classification", trials=trials, peers=True)) for trials in (False, True)
    )
    assert {"dynamic FC, logistic", "FC states, logistic", "BolT"} <= scans - trials
    assert {"flat window, logistic", "mean activation, logistic"} <= trials - scans
    assert set(PEERS) <= scans
    assert "confounds only" not in scans | trials
    assert {"FC tangent, RBF SVM", "group PCA, logistic", "BrainNetCNN", "chance"} <= scans & trials
    assert "FBNetGen" in trials  # its windows have 4 frames, which a trial has


def test_repetition_time_reaches_the_sliding_windows():
    opponents = make_opponents("regression", t_r=2.0)
    assert opponents["dynamic FC, ridge"].features.t_r == 2.0
    assert opponents["FC states, ridge"].features.t_r == 2.0


@pytest.mark.parametrize("task", HEADS)
def test_compare_takes_the_opponents_of_whole_scans(cohort, task):
    value = cohort.traits["static"].to_numpy()
    y = value if task == "regression" else (value > np.median(value)).astype(int)
    opponents = make_opponents(task, random_state=0)
    slow = ("forest", "correlation")  # like those that are left, at several times the cost
    chosen = {
        name: model for name, model in opponents.items() if not any(part in name for part in slow)
    }
    folds = [(np.arange(12), np.arange(12, 16))]
    comparison = compare(chosen, cohort.scans, y, cv=folds)
    assert np.isfinite(comparison.table["mean"]).all()
    assert comparison.estimators == list(chosen)


def test_compare_takes_the_opponents_of_trials(cohort):
    X = [Window(scan, start, start + 8) for scan in cohort.scans[:8] for start in (5, 25, 45, 65)]
    opponents = make_opponents("classification", trials=True, random_state=0)
    chosen = {name: model for name, model in opponents.items() if "logistic" in name}
    y, groups = np.tile([0, 1], 16), np.repeat(np.arange(8), 4)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning)
        table = compare(chosen, X, y, cv=GroupKFold(2), groups=groups).table
    assert np.isfinite(table["mean"]).all()


def test_grid_search_takes_heads_and_features(cohort):
    value = cohort.traits["static"].to_numpy()
    model = make_opponents("regression", random_state=0)["dynamic FC, ridge"]
    grid = {"head": ["linear", "linear svm"], "features__window_size": [20, 44]}
    search = GridSearchCV(model, grid, cv=2, error_score="raise").fit(cohort.scans, value)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_unknown_task_raises():
    with pytest.raises(ValueError, match="unknown task 'ranking': it is one of"):
        make_opponents("ranking")
