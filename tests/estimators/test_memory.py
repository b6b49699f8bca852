"""Pretraining is found again by what it depends on: in grids, workers and other processes."""

import pickle
import subprocess
import sys
import warnings

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from threadpoolctl import threadpool_limits

from sk_brainmae import BrainMAEClassifier, BrainMAERegressor, BrainMAETransformer
from sk_brainmae.datasets import make_cohort
from sk_brainmae.timeseries import Window

TINY = {
    "embedding_dim": 8,
    "n_heads": 2,
    "window_size": 10,
    "crop_length": 30,
    "max_epochs": 1,
    "validation_fraction": 0.25,
    "random_state": 0,
}
VALUES = np.random.default_rng(0).normal(size=12)
LABELS = np.array(["rest", "task"] * 6)
SUBJECTS = np.repeat(np.arange(4), 3)


@pytest.fixture(scope="module")
def scans():
    return make_cohort(n_scans=12, n_timepoints=60, n_regions=10, random_state=0).scans


@pytest.fixture
def folder(tmp_path):
    return str(tmp_path)


def n_kept(folder):
    """Return how many results of pretraining a folder keeps."""
    return len(list(joblib.Memory(folder, verbose=0).store_backend.get_items()))


class Epochs:
    """A callback that counts epochs, and can end training after one; all tasks must end."""

    def __init__(self, stop=False):
        self.stop, self.n, self.open = stop, 0, 0

    def setup(self, estimator, context): ...

    def teardown(self, estimator, context): ...

    def on_fit_task_begin(self, estimator, context):
        self.open += 1

    def on_fit_task_end(self, estimator, context):
        self.open -= 1
        self.n += context.task_name == "epoch"
        return self.stop and context.task_name == "epoch"


def assert_equal_models(a, b):
    assert joblib.hash(a.weights_) == joblib.hash(b.weights_)
    assert a.held_out_r2_ == b.held_out_r2_
    assert a.history_.equals(b.history_)


def test_second_fit_runs_no_epoch_and_gives_the_same_model(scans, folder):
    plain = BrainMAETransformer(**TINY).fit(scans)
    for expected in (1, 0):
        epochs = Epochs()
        model = BrainMAETransformer(**TINY, memory=folder).set_callbacks(epochs).fit(scans)
        assert (epochs.n, epochs.open) == (expected, 0)
        assert_equal_models(model, plain)
        np.testing.assert_array_equal(model.transform(scans), plain.transform(scans))
        assert model.effective_rank_ == plain.effective_rank_


HEAD_SETTINGS = [
    {"pooling": "mean"},
    {"n_components": 3},
    {"verbose": 1},
    {"t_r": 2, "window_size": 20, "crop_length": 60},  # the same frames
]


@pytest.mark.parametrize("params", HEAD_SETTINGS)
def test_what_pretraining_does_not_depend_on_finds_it(scans, folder, params):
    BrainMAETransformer(**TINY, memory=folder).fit(scans)
    BrainMAETransformer(**{**TINY, **params}, memory=folder).fit(scans)
    assert n_kept(folder) == 1


OTHERS = [
    {"random_state": 1},
    {"mask_ratio": 0.3},
    {"max_epochs": 2},
    {"batch_size": 4},
    {"lr": 0.01},
    {"weight_decay": 0.1},
    {"patience": 3},
    {"validation_fraction": 0.5},
    {"init": "random"},
    {"n_states": 3},
    {"attention": "vanilla"},
    {"embedding_dim": 4},
    {"n_heads": 1},
    {"n_layers": 1},
    {"window_size": 5},
    {"crop_length": 20},
]


@pytest.mark.parametrize("params", OTHERS)
def test_another_parameter_of_pretraining_does_not_find_it(scans, folder, params):
    BrainMAETransformer(**TINY, memory=folder).fit(scans)
    BrainMAETransformer(**{**TINY, **params}, memory=folder).fit(scans)
    assert n_kept(folder) == 2


def test_other_scans_or_groups_do_not_find_it(scans, folder):
    model = BrainMAETransformer(**TINY, memory=folder).fit(scans)
    other = scans.copy()
    other[3, 7, 2] += 1e-3
    for n, (X, groups) in enumerate([(other, None), (scans[:-1], None), (scans, SUBJECTS)]):
        clone(model).fit(X, groups=groups)
        assert n_kept(folder) == 2 + n


def test_another_version_does_not_find_it(scans, folder, monkeypatch):
    for version in ("1.0", "1.1"):
        monkeypatch.setattr("sk_brainmae.training.pretraining.__version__", version)
        BrainMAETransformer(**TINY, memory=folder).fit(scans)
    assert n_kept(folder) == 2


def test_moments_of_the_same_runs_find_it(scans, folder):
    runs = list(scans)
    for start in (0, 30):
        X = [Window(run, start, start + 10) for run in runs]
        BrainMAETransformer(**TINY, memory=folder).fit(X)
    assert n_kept(folder) == 1


def test_a_pickled_estimator_finds_it(scans, folder):
    model = BrainMAETransformer(**TINY, memory=joblib.Memory(folder, verbose=0)).fit(scans)
    copied_scans = pickle.loads(pickle.dumps(list(scans)))
    pickle.loads(pickle.dumps(model)).fit(copied_scans)
    assert n_kept(folder) == 1


def test_another_process_finds_it(scans, folder, tmp_path):
    BrainMAETransformer(**TINY, memory=folder).fit(scans)
    np.save(tmp_path / "scans.npy", scans)
    script = (
        "import sys, numpy as np\n"
        "from sk_brainmae import BrainMAETransformer\n"
        f"BrainMAETransformer(**{TINY!r}, memory=sys.argv[1]).fit(np.load(sys.argv[2]))\n"
    )
    subprocess.run([sys.executable, "-c", script, folder, tmp_path / "scans.npy"], check=True)
    assert n_kept(folder) == 1


def test_mapped_files_end_as_ordinary_arrays(scans, folder):
    memory = joblib.Memory(folder, mmap_mode="r", verbose=0)
    for _ in range(2):
        model = BrainMAETransformer(**TINY, memory=memory).fit(scans)
        assert {type(weight) for weight in model.weights_.values()} == {np.ndarray}
    assert joblib.hash(pickle.loads(pickle.dumps(model))) == joblib.hash(model)


def test_training_that_a_callback_ended_is_not_kept(scans, folder):
    params = {**TINY, "max_epochs": 3}
    model = BrainMAETransformer(**params, memory=folder).set_callbacks(Epochs(stop=True))
    assert len(model.fit(scans).history_) == 2, "the start and one epoch"
    assert n_kept(folder) == 0
    assert len(model.set_callbacks().fit(scans).history_) == 4


def test_diverged_training_is_not_kept(scans, folder):
    params = {**TINY, "lr": 1e30, "max_epochs": 3, "init": "random", "validation_fraction": 0}
    for _ in range(2):
        with pytest.raises(FloatingPointError):
            BrainMAETransformer(**params, memory=folder).fit(scans)
    assert n_kept(folder) == 0


# --- warnings -----------------------------------------------------------------------------------


def test_warnings_come_again_when_it_is_found(scans, folder):
    model = BrainMAETransformer(**{**TINY, "init": "random", "pooling": "cls"}, memory=folder)
    told = []
    for _ in range(2):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model.fit(scans)
        told.append(sorted(str(warning.message) for warning in caught))
    assert any("worse than a linear predictor" in message for message in told[0])
    assert told[0] == told[1]
    for _ in range(2):
        with pytest.warns(UserWarning, match="none can be held out"):
            BrainMAETransformer(**TINY, memory=folder).fit(scans, groups=np.zeros(12))


@pytest.mark.parametrize("estimator", [BrainMAETransformer, BrainMAERegressor])
def test_memory_without_a_seed_warns(scans, folder, estimator):
    params = {**TINY, "random_state": None}
    with pytest.warns(UserWarning, match="memory needs an integer random_state"):
        estimator(**params, memory=folder).fit(scans, VALUES)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        estimator(**params).fit(scans, VALUES)


def test_clones_of_one_random_state_find_it(scans, folder):
    model = BrainMAETransformer(**{**TINY, "random_state": np.random.RandomState(0)}, memory=folder)
    for _ in range(2):
        clone(model).fit(scans)
    assert n_kept(folder) == 1


# --- searches, workers --------------------------------------------------------------------------


def test_grid_over_a_head_pretrains_once_a_fold(scans, folder):
    model = make_pipeline(BrainMAETransformer(**TINY, memory=folder), Ridge())
    grid = {"ridge__alpha": [0.1, 1.0], "brainmaetransformer__pooling": ["mean", "covariance"]}
    GridSearchCV(model, grid, cv=2, error_score="raise").fit(scans, VALUES)
    assert n_kept(folder) == 2 + 1, "folds and refit"


@pytest.mark.parametrize(
    ("estimator", "y"), [(BrainMAEClassifier, LABELS), (BrainMAERegressor, VALUES)]
)
def test_probe_and_finetuning_share_their_pretraining(scans, folder, estimator, y):
    plain = estimator(**TINY, strategy="finetune").fit(scans, y).predict(scans)
    grid = {"strategy": ["probe", "finetune"], "pooling": ["mean", "cls"]}
    model = estimator(**TINY, memory=folder)
    GridSearchCV(model, grid, cv=2, error_score="raise", refit=False).fit(scans, y)
    assert n_kept(folder) == 2
    found = clone(model).set_params(strategy="finetune").fit(scans, y)
    np.testing.assert_array_equal(found.predict(scans), plain)


@pytest.fixture
def one_thread():
    """One thread here and in workers: another number gives other last digits."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpool_limits(1), joblib.parallel_config("loky", inner_max_num_threads=1):
        yield
    torch.set_num_threads(n_threads)


@pytest.mark.parametrize("container", [np.asarray, list])
def test_two_workers_score_like_one_without_memory(one_thread, scans, folder, container):
    X = container(scans)
    plain = cross_val_score(BrainMAERegressor(**TINY), X, VALUES, cv=3, error_score="raise")
    model = BrainMAERegressor(**TINY, memory=folder)
    for n_jobs in (2, 2, 1):  # computed, found in workers, found here
        scores = cross_val_score(model, X, VALUES, cv=3, n_jobs=n_jobs, error_score="raise")
        np.testing.assert_array_equal(scores, plain)
        assert n_kept(folder) == 3
