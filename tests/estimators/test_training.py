"""Training inside fit: history, validation share, progress, interruption, threads."""

import math
import threading
from collections import Counter

import joblib
import numpy as np
import pandas as pd
import pytest
import rich
import torch
from sklearn.callback import ProgressBar
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.utils.validation import check_is_fitted

from sk_brainmae import BrainMAEClassifier, BrainMAETransformer
from sk_brainmae.device import seeded
from sk_brainmae.training.rng import DrawFrom


def test_history_has_one_row_an_epoch(encoder, validated):
    assert isinstance(validated.history_, pd.DataFrame)
    assert list(validated.history_.columns) == ["epoch", "train_loss", "valid_loss", "lr"]
    assert validated.history_["epoch"].tolist() == [0, 1], "0 is the start"
    assert list(encoder.history_.columns) == ["epoch", "train_loss", "lr"]
    assert encoder.history_["epoch"].tolist() == [1]


def test_two_short_scans_can_be_overfitted(tiny, scans):
    params = {"embedding_dim": 16, "max_epochs": 120, "batch_size": 2, "lr": 0.01}
    model = tiny(**params, init="random", mask_ratio=0.3)
    model.fit(scans[:2, :30])
    loss = model.history_["train_loss"]
    assert loss.iloc[-5:].mean() < 0.15 * loss.iloc[0]
    assert model.score(scans[:2, :30]) > 0.8


def test_diverging_training_raises_and_names_the_epoch(tiny, scans):
    model = tiny(max_epochs=2, lr=1e30, batch_size=12, init="random")
    with pytest.raises(FloatingPointError, match=r"nan in epoch 2: .*lr=1e\+30"):
        model.fit(scans)
    with pytest.raises(NotFittedError):
        model.transform(scans)


def test_cost_is_told_before_fit_and_changes_nothing(tiny, scans, encoder, capsys):
    model = tiny(max_epochs=2)
    cost = model.estimate_cost(scans)
    assert cost.n_crops == 2 * 12
    assert cost.seconds > 0
    assert cost.memory > scans.nbytes
    assert not hasattr(model, "n_features_in_")
    told = tiny(verbose=1).fit(scans)
    assert "crops" in capsys.readouterr().out
    np.testing.assert_array_equal(told.roi_embeddings_, encoder.roi_embeddings_)


# --- validation share ---------------------------------------------------------------------------


def test_validation_restores_the_best_epoch(tiny, scans, stop_after):
    params = {"max_epochs": 20, "lr": 0.03, "validation_fraction": 0.5, "patience": 20}
    model = tiny(**params, init="random").fit(scans[:4])
    valid_loss = model.history_["valid_loss"]
    best = int(model.history_["epoch"][valid_loss.idxmin()])
    assert 0 < best < model.history_["epoch"].iloc[-1] == 20, "nothing to restore"
    stopped = tiny(**params, init="random").set_callbacks(stop_after(best)).fit(scans[:4])
    assert stopped.history_["epoch"].iloc[-1] == best
    assert model.score(scans) == stopped.score(scans)
    np.testing.assert_array_equal(model.roi_embeddings_, stopped.roi_embeddings_)


@pytest.mark.filterwarnings("ignore:on held-out scans the network reconstructs")
def test_patience_stops_training_early(tiny, scans):
    model = tiny(max_epochs=40, init="random", lr=0.1, validation_fraction=0.5, patience=3)
    valid_loss = model.fit(scans[:4]).history_["valid_loss"]
    assert len(valid_loss) == valid_loss.idxmin() + 1 + 3 < 40


def test_a_spectral_start_that_training_only_harms_ends_after_its_trial(tiny, scans):
    model = tiny(max_epochs=40, lr=0.03, validation_fraction=0.5, patience=3).fit(scans[:4])
    valid_loss = model.history_["valid_loss"]
    assert valid_loss[1:4].min() > valid_loss[0]
    assert len(valid_loss) == 1 + 3 + 3  # start, trial (at most patience), safe numbers alone
    assert model.held_out_r2_["network"] > model.held_out_r2_["conditional_gaussian"]


@pytest.fixture(scope="module")
def held_out_scans(tiny, scans):
    """Return a function: the scans whose signal changes no weight, so were not trained on."""

    def find(scans, groups):
        # Steps enough to leave the start behind, whatever the held-out scans are.
        model = tiny(validation_fraction=0.4, init="random", batch_size=2, lr=0.02)
        weights = model.fit(scans, groups=groups).roi_embeddings_
        out = []
        for i in range(len(scans)):
            changed = scans.copy()
            changed[i] = changed[i, ::-1]
            if np.array_equal(model.fit(changed, groups=groups).roi_embeddings_, weights):
                out.append(i)
        return out

    return find


@pytest.mark.filterwarnings("ignore:on held-out scans the network")
def test_validation_takes_or_leaves_a_group_as_one(scans, held_out_scans):
    groups = np.array(list("abcdabcd"))
    out = held_out_scans(scans[:8], groups)
    assert len(out) == 4, "0.4 of four groups are two of them"
    assert set(groups[out]).isdisjoint(np.delete(groups, out))


@pytest.mark.filterwarnings("ignore:on held-out scans the network")
def test_validation_without_groups_takes_single_scans(scans, held_out_scans):
    assert len(held_out_scans(scans[:6], None)) == math.ceil(0.4 * 6)


def test_single_group_keeps_the_closed_form_start_and_says_so(tiny, scans):
    with pytest.warns(UserWarning, match="none can be held out"):
        model = tiny(validation_fraction=0.4).fit(scans, groups=np.zeros(12))
    start = tiny(max_epochs=0).fit(scans)
    assert model.history_.empty
    np.testing.assert_array_equal(model.roi_embeddings_, start.roi_embeddings_)


def test_groups_of_another_length_raise(tiny, scans):
    with pytest.raises(ValueError, match=r"groups has shape \(11,\); there are 12 scans"):
        tiny().fit(scans, groups=np.zeros(11))


# --- progress and interruption ------------------------------------------------------------------


class Counts:
    """What a callback that searches pass down is told: tasks by name, and where they are from."""

    def __init__(self, callback):
        self.begun, self.ended, self.roots = Counter(), Counter(), set()
        self.miscounted = []
        self.callback = callback(self.begin, self.end)

    def begin(self, task):
        self.begun[task.task_name] += 1
        while task.parent is not None:
            task = task.parent
        self.roots.add(task.estimator_name)

    def end(self, task):
        self.ended[task.task_name] += 1
        subtasks = sum(child.parent is task for child in task)
        if task.estimator_name.startswith("BrainMAE") and subtasks != task.max_subtasks:
            self.miscounted.append(task)


def test_callbacks_see_every_epoch_of_a_search_on_the_transformer(tiny, scans, callback):
    counts = Counts(callback)
    search = GridSearchCV(tiny(max_epochs=3), {"lr": [0.01, 0.02]}, cv=2)
    search.set_callbacks(counts.callback).fit(scans)
    assert counts.roots == {"GridSearchCV"}
    assert counts.begun["epoch"] == 3 * (2 * 2 + 1), "epochs x (candidates x folds + refit)"
    assert counts.begun == counts.ended
    assert not counts.miscounted


@pytest.mark.parametrize("n_stages", [1, 2])
def test_callbacks_see_every_stage_and_epoch_of_a_search_on_the_classifier(
    tiny, scans, labels, encoder, callback, n_stages
):
    counts = Counts(callback)
    pretrained = encoder if n_stages == 1 else None
    model = tiny(BrainMAEClassifier, pretrained=pretrained, strategy="finetune")
    search = GridSearchCV(model, {"lr": [0.01]}, cv=2).set_callbacks(counts.callback)
    search.fit(scans, labels)
    assert counts.roots == {"GridSearchCV"}
    assert counts.begun["fine-tuning"] == 3
    assert counts.begun["pretraining"] == 3 * (n_stages - 1)
    assert counts.begun["epoch"] == 3 * n_stages
    assert counts.begun == counts.ended
    assert not counts.miscounted


@pytest.fixture
def wide_terminal():
    rich.reconfigure(width=120)
    yield
    rich.reconfigure()


def test_progress_bars_reach_down_to_the_stages(tiny, scans, labels, capsys, wide_terminal):
    model = tiny(BrainMAEClassifier, strategy="finetune")
    GridSearchCV(model, {"lr": [0.01]}, cv=2).set_callbacks(ProgressBar()).fit(scans, labels)
    shown = capsys.readouterr().out
    for stage in ("pretraining", "fine-tuning"):
        assert shown.count(f"BrainMAEClassifier - {stage}") == 3, "a bar for each fold and refit"
    bars = [line for line in shown.splitlines() if line.strip()]
    assert all("100%" in bar for bar in bars), shown


@pytest.mark.parametrize(
    ("kind", "params"),
    [(BrainMAETransformer, {}), (BrainMAEClassifier, {"strategy": "finetune"})],
    ids=["transformer", "classifier"],
)
def test_ctrl_c_in_the_middle_of_an_epoch_ends_fit(tiny, scans, labels, callback, kind, params):
    counts, steps = Counts(callback), []

    def press_ctrl_c(module, arguments):
        steps.append(module)
        if len(steps) == 60:  # each module's forward pass counts: a few batches
            raise KeyboardInterrupt

    model = tiny(kind, **params, max_epochs=5, batch_size=4)
    hook = torch.nn.modules.module.register_module_forward_pre_hook(press_ctrl_c)
    try:
        with pytest.raises(KeyboardInterrupt):
            model.set_callbacks(counts.callback).fit(scans, labels)
    finally:
        hook.remove()
    assert counts.begun["epoch"] == counts.ended["epoch"] + 1
    with pytest.raises(NotFittedError):
        check_is_fitted(model)
    check_is_fitted(model.set_callbacks().set_params(max_epochs=1).fit(scans, labels))


# --- threads ------------------------------------------------------------------------------------

THREADED = [
    (BrainMAETransformer, {}),
    (BrainMAETransformer, {"init": "random"}),
    (BrainMAEClassifier, {"strategy": "finetune"}),
]


def fit_and_hash(model, scans):
    """Fit a model, and return a hash of its weights and embeddings."""
    model.fit(scans, [0, 1] * 3)
    encoder = getattr(model, "encoder_", model)
    return joblib.hash((encoder.weights_, encoder.transform(scans)))


def test_threads_find_the_same_models_as_one_after_another(tiny, scans):
    def jobs():
        return [
            joblib.delayed(fit_and_hash)(tiny(kind, **params, random_state=seed), scans[:6])
            for seed in range(2)
            for kind, params in THREADED
        ]

    alone = [fit(*arguments, **options) for fit, arguments, options in jobs()]
    together = joblib.Parallel(n_jobs=6, backend="threading")(jobs())
    assert together == alone
    assert len(set(alone)) == len(alone)


@pytest.mark.parametrize(("kind", "params"), THREADED, ids=["spectral", "random", "fine-tuned"])
def test_no_thread_sees_another_global_state_while_a_model_is_fitted(
    tiny, scans, callback, kind, params
):
    before, same = torch.get_rng_state(), []

    def look(task):
        same.append(torch.equal(torch.get_rng_state(), before))

    tiny(kind, **params).set_callbacks(callback(on_end=look)).fit(scans[:6], [0, 1] * 3)
    assert same
    assert all(same)


def test_layers_draw_from_the_generator_what_the_seed_would_give():
    with seeded(3):
        expected = torch.nn.Linear(4, 2).weight
    before = torch.get_rng_state()
    with DrawFrom(torch.Generator().manual_seed(3)):
        layer = torch.nn.Linear(4, 2)
    assert torch.equal(layer.weight, expected)
    assert torch.equal(torch.get_rng_state(), before)


def test_seeded_threads_enter_one_after_another():
    def draw(seed):
        with seeded(seed):
            return [torch.rand(1).item() for _ in range(2000)]

    alone = [draw(seed) for seed in range(4)]
    found = [None] * 4

    def work(seed):
        found[seed] = draw(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(found, alone)
