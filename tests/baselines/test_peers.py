import builtins
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.utils import get_tags

from sk_brainmae.baselines import PEERS, PeerBaseline, peers
from sk_brainmae.baselines.peer_training import Samples, peer_loss, predict_peer
from sk_brainmae.baselines.peers import MAX_FRAMES, MIN_FRAMES, MIN_REGIONS
from sk_brainmae.datasets import make_cohort
from sk_brainmae.timeseries import Window

models = pytest.importorskip("ml4fmri.models")
TINY = {"max_epochs": 2, "random_state": 0, "device": "cpu"}


@pytest.fixture(scope="module")
def cohort():
    return make_cohort(n_scans=12, n_timepoints=24, n_regions=6, random_state=0)


@pytest.fixture(scope="module")
def labels(cohort):
    static = cohort.traits["static"]
    return np.where(static > static.median(), "high", "low")


@pytest.mark.parametrize("name", PEERS)
def test_every_network_classifies_and_repeats_itself(name, cohort, labels):
    first, second = (PeerBaseline(name, **TINY).fit(cohort.scans, labels) for _ in "ab")
    probability = first.predict_proba(cohort.scans)
    np.testing.assert_allclose(probability.sum(axis=1), 1)
    np.testing.assert_array_equal(
        first.classes_[probability.argmax(axis=1)], first.predict(cohort.scans)
    )
    np.testing.assert_array_equal(second.predict_proba(cohort.scans), probability)
    alone = np.concatenate([first.predict_proba([scan]) for scan in cohort.scans])
    np.testing.assert_allclose(alone, probability, atol=1e-5)
    assert np.ptp(probability) > 0


def test_named_regions_are_brought_into_order(cohort, labels):
    frames = [pd.DataFrame(scan).add_prefix("region ") for scan in cohort.scans]
    other = [frames[0], *(frame.iloc[:, ::-1] for frame in frames[1:])]
    named, mixed = (PeerBaseline("meanMLP", **TINY).fit(X, labels) for X in (frames, other))
    expected = named.predict_proba(frames)
    np.testing.assert_array_equal(mixed.predict_proba(other[::-1])[::-1], expected)


@pytest.mark.parametrize("name", PEERS)
def test_every_network_predicts_values_on_their_own_scale(name, cohort):
    value = cohort.traits["static"].to_numpy()
    predicted = [
        PeerBaseline(name, "regression", **TINY).fit(cohort.scans, y).predict(cohort.scans)
        for y in (value, 40 + 10 * value)
    ]
    assert np.ptp(predicted[0]) > 0
    np.testing.assert_allclose(predicted[1], 40 + 10 * predicted[0], rtol=1e-3)


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_network_learns_from_connectivity_and_not_from_shuffled_targets(task):
    rng = np.random.default_rng(0)
    value = np.linspace(-1, 1, 48)
    X = rng.normal(size=(48, 60, 6))
    X[:, :, :3] += 3 * np.maximum(value, 0)[:, None, None] * rng.normal(size=(48, 60, 1))
    y = value > 0 if task == "classification" else np.maximum(value, 0)
    model = PeerBaseline("BrainNetCNN", task, max_epochs=70, device="cpu", random_state=0)
    test = np.arange(48) % 4 == 0
    shuffled = rng.permutation(y[~test])
    assert model.fit(X[~test], y[~test]).score(X[test], y[test]) > 0.6
    assert model.fit(X[~test], shuffled).score(X[test], y[test]) < 0.6


def test_several_classes_are_told_apart(cohort):
    y = np.repeat(["a", "b", "c"], 4)
    model = PeerBaseline("meanMLP", **TINY).fit(cohort.scans, y)
    assert model.predict_proba(cohort.scans).shape == (12, 3)


def seen_in_training(monkeypatch, fit):
    """Call ``fit`` and return the training and the held-out samples."""
    seen = []
    train_peer = peers.train_peer

    def spy(network, training, held_out, **settings):
        seen.append((training, held_out))
        return train_peer(network, training, held_out, **settings)

    monkeypatch.setattr(peers, "train_peer", spy)
    fit()
    return seen[0]


def rows(samples, cohort):
    """Indices of the scans among samples, by their correlations."""
    everyone = [np.corrcoef(scan.T) for scan in cohort.scans]
    return [
        int(np.argmin([np.abs(sample.numpy() - other).max() for other in everyone]))
        for sample in samples.inputs[0]
    ]


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_groups_stay_together_in_the_validation_share(monkeypatch, cohort, task):
    groups = np.repeat(np.arange(6), 2)
    y = groups % 2 if task == "classification" else cohort.traits["static"]
    model = PeerBaseline("BrainNetCNN", task, validation_fraction=1 / 3, **TINY)
    training, held_out = seen_in_training(
        monkeypatch, lambda: model.fit(cohort.scans, y, groups=groups)
    )
    train, test = rows(training, cohort), rows(held_out, cohort)
    assert sorted(train + test) == list(range(12))
    assert len(test) == 4
    assert not set(groups[train]) & set(groups[test])


def test_windows_of_a_run_stay_together_by_default(monkeypatch, cohort):
    X = [Window(scan, start, start + 8) for scan in cohort.scans for start in (0, 8, 16)]
    model = PeerBaseline("meanMLP", **TINY)
    training, held_out = seen_in_training(monkeypatch, lambda: model.fit(X, [0, 1, 0] * 12))
    assert len(training.target) % 3 == 0
    assert len(held_out.target) % 3 == 0


def test_best_epoch_is_kept_and_training_stops(cohort, labels):
    settings = {**TINY, "max_epochs": 100, "patience": 3}
    model = PeerBaseline("meanMLP", **settings).fit(cohort.scans, labels)
    best = int(model.history_["validation_loss"].argmin())
    assert len(model.history_) == best + 1 + 3 < 100
    short = PeerBaseline("meanMLP", **{**settings, "max_epochs": best + 1})
    short.fit(cohort.scans, labels)
    np.testing.assert_array_equal(
        short.predict_proba(cohort.scans), model.predict_proba(cohort.scans)
    )


def test_nothing_held_out_trains_on_all_scans_for_all_epochs(monkeypatch, cohort, labels):
    model = PeerBaseline("BrainNetCNN", validation_fraction=0, **TINY)
    training, held_out = seen_in_training(monkeypatch, lambda: model.fit(cohort.scans, labels))
    assert held_out is None
    assert len(training.target) == 12
    assert list(model.history_) == ["epoch", "loss"]


def test_predictions_switch_off_functional_dropout():
    torch.manual_seed(0)
    network = models.BrainNetCNN(6, 2)
    inputs = torch.randn(4, 6, 6)
    network.eval()
    assert not torch.equal(network(inputs)[0], network(inputs)[0])
    first, second = (predict_peer(network, (inputs,), 4, "cpu") for _ in "ab")
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("name", ["meanMLP", "BolT", "DICE"])
def test_regression_loss_is_squared_error_and_the_penalties_alone(name):
    torch.manual_seed(0)
    network = getattr(models, name)(6, 1).eval()
    batch = Samples((torch.randn(5, 24, 6),), torch.randn(5))
    output, details = network(*batch.inputs)
    penalty = 0.0
    if name == "BolT":
        penalty = (details["cls"] - details["cls"].mean(dim=1, keepdim=True)).square().mean()
    elif name == "DICE":
        parts = [*network.gta_embed.named_parameters(), *network.gta_attend.named_parameters()]
        penalty = 1e-6 * sum(p.abs().sum() for part, p in parts if "bias" not in part)
    expected = (output[:, 0] - batch.target).square().mean() + penalty
    torch.testing.assert_close(peer_loss(network, batch), expected)


def test_global_random_states_are_untouched(cohort, labels):
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    model = PeerBaseline("BNT", **{**TINY, "max_epochs": 1}).fit(cohort.scans, labels)
    model.predict(cohort.scans)
    assert torch.equal(torch.get_rng_state(), torch_state)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002


def test_clone_pickle_tags_and_grid_search(cohort, labels):
    model = PeerBaseline("meanMLP", **TINY)
    fitted = clone(model).fit(cohort.scans, labels)
    loaded = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(
        loaded.predict_proba(cohort.scans), fitted.predict_proba(cohort.scans)
    )
    grid = {"model": ["meanMLP", "LSTM"], "max_epochs": [1, 2]}
    search = GridSearchCV(model, grid, cv=2, error_score="raise").fit(cohort.scans, labels)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert is_classifier(model)
    assert is_regressor(PeerBaseline(task="regression"))
    assert not hasattr(PeerBaseline(task="regression"), "predict_proba")
    assert get_tags(model).input_tags.three_d_array


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "BrainMAE"}, "unknown model 'BrainMAE': it is one of"),
        ({"task": "ranking"}, "unknown task 'ranking'"),
        ({"max_epochs": 0}, "max_epochs must be at least 1, got 0"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"patience": 0}, "patience must be at least 1, got 0"),
        ({"validation_fraction": 0.7}, r"from 0 to 0\.5, got 0\.7"),
        ({"device": "abacus"}, "device='abacus' cannot be used here"),
    ],
)
def test_bad_parameters_raise_before_any_work(settings, message):
    with pytest.raises(ValueError, match=message):
        PeerBaseline(**settings).fit("no scans", [0, 1])


@pytest.mark.filterwarnings("ignore:.*more regions than frames")
@pytest.mark.parametrize("name", MIN_FRAMES)
def test_too_few_frames_raise(name, cohort, labels):
    n_frames = MIN_FRAMES[name]
    PeerBaseline(name, **{**TINY, "max_epochs": 1}).fit(cohort.scans[:, :n_frames], labels)
    with pytest.raises(ValueError, match=f"{name} needs at least {n_frames} frames; scan 0 has"):
        PeerBaseline(name).fit(cohort.scans[:, : n_frames - 1], labels)


@pytest.mark.parametrize("name", MIN_REGIONS)
def test_too_few_regions_raise(name, cohort, labels):
    PeerBaseline(name, **{**TINY, "max_epochs": 1}).fit(cohort.scans[:, :, :4], labels)
    with pytest.raises(ValueError, match=f"{name} needs at least 4 regions; the scans have 3"):
        PeerBaseline(name).fit(cohort.scans[:, :, :3], labels)


def test_too_many_frames_raise():
    X = np.random.default_rng(0).normal(size=(4, MAX_FRAMES["Transformer"] + 1, 2))
    with pytest.raises(ValueError, match="Transformer needs at most 2048 frames; scan 0 has 2049"):
        PeerBaseline("Transformer").fit(X, [0, 1, 0, 1])


def test_bad_scans_raise(cohort, labels):
    with pytest.raises(NotFittedError):
        PeerBaseline().predict(cohort.scans)
    ragged = [scan[: 24 - (i == 3)] for i, scan in enumerate(cohort.scans)]
    with pytest.raises(ValueError, match="scan 3 has 23 frames, where 24 are expected"):
        PeerBaseline(**TINY).fit(ragged, labels)
    model = PeerBaseline("meanMLP", **TINY).fit(cohort.scans, labels)
    with pytest.raises(ValueError, match="scan 0 has 20 frames, where 24 are expected"):
        model.predict(cohort.scans[:, :20])
    with pytest.raises(ValueError, match="5 regions, but the model was fitted on 6"):
        model.predict(cohort.scans[:, :, :5])


def test_single_group_cannot_be_held_out_and_raises(cohort, labels):
    with pytest.raises(ValueError, match="set validation_fraction=0"):
        PeerBaseline().fit(cohort.scans, labels, groups=np.zeros(12))


def test_missing_package_raises_and_tells_how_to_install_it(monkeypatch, cohort, labels):
    real_import = builtins.__import__

    def without_ml4fmri(name, *arguments):
        if name.startswith("ml4fmri"):
            raise ImportError(name)
        return real_import(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without_ml4fmri)
    with pytest.raises(ImportError, match=r"pip install sk_brainmae\[peers\]"):
        PeerBaseline().fit(cohort.scans, labels)


def test_regression_leaves_out_the_loss_that_compares_two_classes(monkeypatch, cohort):
    networks = []
    train_peer = peers.train_peer

    def spy(network, *samples, **settings):
        networks.append(network)
        return train_peer(network, *samples, **settings)

    monkeypatch.setattr(peers, "train_peer", spy)
    PeerBaseline("FBNetGen", "regression", **TINY).fit(cohort.scans, np.arange(12.0))
    matrix = torch.randn(5, 6, 6)  # varies between samples, which the group loss would punish
    details = {"logits": torch.zeros(5, 1), "learned_matrix": matrix}
    penalty, _ = networks[0].compute_loss(details, torch.zeros(5, dtype=torch.int64))
    torch.testing.assert_close(penalty, 0.1 * matrix.abs().mean())
