"""Pretraining is found again by what it depends on: in grids, workers and other processes."""

import pickle
import warnings

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline

from sk_brainmae import BrainMAEClassifier, BrainMAERegressor, BrainMAETransformer
from sk_brainmae.timeseries import Window

SUBJECTS = np.repeat(np.arange(4), 3)


@pytest.fixture
def folder(tmp_path):
    return str(tmp_path)


@pytest.fixture(scope="module")
def validating(tiny):
    """Return a function that makes an estimator which holds out a share of the scans."""
    return lambda kind=BrainMAETransformer, **params: tiny(
        kind, **{"validation_fraction": 0.25, **params}
    )


@pytest.fixture(scope="module")
def shared(tmp_path_factory, validating, scans):
    """A folder that keeps the pretraining of the default settings; tests add others to it."""
    folder = str(tmp_path_factory.mktemp("memory"))
    validating(memory=folder).fit(scans)
    return folder


def n_kept(folder):
    """Return how many results of pretraining a folder keeps."""
    return len(list(joblib.Memory(folder, verbose=0).store_backend.get_items()))


def test_second_fit_runs_no_epoch_and_gives_the_same_model(
    validating, validated, scans, folder, callback
):
    begun, ended = [], []
    tasks = callback(
        lambda task: begun.append(task.task_name), lambda task: ended.append(task.task_name)
    )
    for _ in range(2):
        model = validating(memory=folder).set_callbacks(tasks).fit(scans)
        assert ended.count("epoch") == 1, "of the first fit"
        assert sorted(begun) == sorted(ended)
        assert joblib.hash(model.weights_) == joblib.hash(validated.weights_)
        assert model.held_out_r2_ == validated.held_out_r2_
        assert model.history_.equals(validated.history_)
        np.testing.assert_array_equal(model.transform(scans), validated.transform(scans))
        assert model.effective_rank_ == validated.effective_rank_


@pytest.mark.parametrize(
    "params",
    [
        {"views": "state_mean"},
        {"views": ["connectivity", "tempo"]},
        {"verbose": 1},
        {"t_r": 2, "window_size": 20, "crop_length": 60},  # the same frames
    ],
)
def test_what_pretraining_does_not_depend_on_finds_it(validating, scans, shared, params):
    n_before = n_kept(shared)
    validating(**params, memory=shared).fit(scans)
    assert n_kept(shared) == n_before


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


@pytest.mark.filterwarnings("ignore:on held-out scans the network")
@pytest.mark.parametrize("params", OTHERS, ids=lambda params: next(iter(params)))
def test_another_parameter_of_pretraining_does_not_find_it(validating, scans, shared, params):
    n_before = n_kept(shared)
    validating(**params, memory=shared).fit(scans)
    assert n_kept(shared) == n_before + 1


@pytest.mark.parametrize("case", ["one value", "fewer scans", "groups"])
def test_other_scans_or_groups_do_not_find_it(validating, scans, shared, case):
    other = scans.copy()
    other[3, 7, 2] += 1e-3
    X = {"one value": other, "fewer scans": scans[:-1]}.get(case, scans)
    n_before = n_kept(shared)
    validating(memory=shared).fit(X, groups=SUBJECTS if case == "groups" else None)
    assert n_kept(shared) == n_before + 1


def test_another_version_does_not_find_it(validating, scans, shared, monkeypatch):
    n_before = n_kept(shared)
    monkeypatch.setattr("sk_brainmae.training.pretraining.__version__", "1.0")
    validating(memory=shared).fit(scans)
    assert n_kept(shared) == n_before + 1


def test_moments_of_the_same_runs_find_it(validating, scans, shared):
    n_before = n_kept(shared)
    for start in (0, 30):
        validating(memory=shared).fit([Window(run, start, start + 10) for run in scans])
    assert n_kept(shared) == n_before


def test_pickled_estimator_finds_it(validating, scans, shared):
    n_before = n_kept(shared)
    model = validating(memory=joblib.Memory(shared, verbose=0))
    pickle.loads(pickle.dumps(model)).fit(pickle.loads(pickle.dumps(list(scans))))
    assert n_kept(shared) == n_before


def test_mapped_files_end_as_ordinary_arrays(validating, scans, folder):
    memory = joblib.Memory(folder, mmap_mode="r", verbose=0)
    for _ in range(2):
        model = validating(memory=memory).fit(scans)
        assert {type(weight) for weight in model.weights_.values()} == {np.ndarray}
    assert joblib.hash(pickle.loads(pickle.dumps(model))) == joblib.hash(model)


def test_training_that_a_callback_ended_is_not_kept(validating, scans, folder, stop_after):
    model = validating(max_epochs=3, memory=folder).set_callbacks(stop_after(1))
    assert len(model.fit(scans).history_) == 2, "the start and one epoch"
    assert n_kept(folder) == 0
    assert len(model.set_callbacks().fit(scans).history_) == 4


def test_diverged_training_is_not_kept(tiny, scans, folder):
    model = tiny(max_epochs=3, lr=1e30, init="random", memory=folder)
    for _ in range(2):
        with pytest.raises(FloatingPointError):
            model.fit(scans)
    assert n_kept(folder) == 0


def test_clones_of_one_random_state_find_it(validating, scans, folder):
    model = validating(random_state=np.random.RandomState(0), memory=folder)
    for _ in range(2):
        clone(model).fit(scans)
    assert n_kept(folder) == 1


# --- warnings -----------------------------------------------------------------------------------


def test_warnings_come_again_when_it_is_found(validating, scans, folder):
    model = validating(init="random", views="cls", memory=folder)
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
            validating(memory=folder).fit(scans, groups=np.zeros(12))


@pytest.mark.parametrize("kind", [BrainMAETransformer, BrainMAERegressor])
def test_memory_without_a_seed_warns(tiny, scans, values, folder, kind):
    model = tiny(kind, random_state=None, max_epochs=0)
    with pytest.warns(UserWarning, match="memory needs an integer random_state"):
        clone(model).set_params(memory=folder).fit(scans, values)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(scans, values)


@pytest.mark.parametrize("kind", [BrainMAETransformer, BrainMAERegressor])
def test_checkpoint_without_a_seed_raises(tiny, scans, values, folder, kind):
    with pytest.raises(ValueError, match="checkpoint needs an integer random_state"):
        tiny(kind, random_state=None, checkpoint=folder).fit(scans, values)


# --- searches, workers --------------------------------------------------------------------------


def test_grid_over_a_head_pretrains_once_a_fold(tiny, scans, values, folder):
    model = make_pipeline(tiny(memory=folder), Ridge())
    grid = {"ridge__alpha": [0.1, 1.0], "brainmaetransformer__views": ["state_mean", "tempo"]}
    GridSearchCV(model, grid, cv=2, error_score="raise").fit(scans, values)
    assert n_kept(folder) == 2 + 1, "folds and refit"


@pytest.mark.parametrize("kind", [BrainMAEClassifier, BrainMAERegressor])
def test_probe_and_finetuning_share_their_pretraining(tiny, scans, target, folder, kind):
    y = target(kind)
    plain = tiny(kind, strategy="finetune").fit(scans, y).predict(scans)
    grid = [
        {"strategy": ["probe"], "views": ["state_mean"]},
        {"strategy": ["finetune"], "views": ["state_mean", "cls"]},
    ]
    model = tiny(kind, memory=folder)
    GridSearchCV(model, grid, cv=2, error_score="raise", refit=False).fit(scans, y)
    assert n_kept(folder) == 2
    found = clone(model).set_params(strategy="finetune").fit(scans, y)
    np.testing.assert_array_equal(found.predict(scans), plain)


@pytest.mark.parametrize("container", [np.asarray, list])
def test_other_processes_find_it_and_score_like_one_without_memory(
    one_thread, tiny, scans, values, folder, container
):
    X = container(scans)
    plain = cross_val_score(tiny(BrainMAERegressor), X, values, cv=2, error_score="raise")
    model = tiny(BrainMAERegressor, memory=folder)
    for n_jobs in (2, 2, 1):  # computed in workers, found by workers, found here
        scores = cross_val_score(model, X, values, cv=2, n_jobs=n_jobs, error_score="raise")
        np.testing.assert_array_equal(scores, plain)
        assert n_kept(folder) == 2
