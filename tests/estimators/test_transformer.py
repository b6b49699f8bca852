"""BrainMAETransformer on scans as they are: containers, randomness, training, errors."""

import math
import random
import tempfile

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.exceptions import NotFittedError

from sk_brainmae import BrainMAETransformer
from sk_brainmae.datasets import make_cohort
from sk_brainmae.timeseries import Window

TINY = {
    "embedding_dim": 8,
    "n_heads": 2,
    "window_size": 10,
    "crop_length": 30,
    "max_epochs": 2,
    "random_state": 0,
}
METHODS = ("transform", "transform_windows", "reconstruct", "score")


def tiny(**params):
    return BrainMAETransformer(**{**TINY, **params})


class StopAfter:
    """A scikit-learn callback that ends training after an epoch."""

    def __init__(self, epoch):
        self.epoch = epoch

    def setup(self, estimator, context): ...

    def teardown(self, estimator, context): ...

    def on_fit_task_begin(self, estimator, context): ...

    def on_fit_task_end(self, estimator, context):
        return context.task_name == "epoch" and context.task_id + 1 == self.epoch


@pytest.fixture(scope="module")
def scans():
    return make_cohort(n_scans=12, n_timepoints=60, n_regions=10, random_state=0).scans


@pytest.fixture(scope="module")
def fitted(scans):
    return tiny().fit(scans)


def ragged(scans):
    return [scan[: 60 - 3 * i] for i, scan in enumerate(scans)]


def as_object_array(scans):
    array = np.empty(len(scans), dtype=object)
    array[:] = list(scans)
    return array


def as_memmap(scans):
    with tempfile.TemporaryFile() as file:
        mapped = np.memmap(file, scans.dtype, "w+", shape=scans.shape)
    mapped[:] = scans
    return mapped


def read_only(scans):
    frozen = scans.copy()
    frozen.flags.writeable = False
    return frozen


CONTAINERS = {
    "list": list,
    "tuple": tuple,
    "object array": as_object_array,
    "list of DataFrames": lambda scans: [pd.DataFrame(scan) for scan in scans],
    "float64": lambda scans: scans.astype(np.float64),
    "read-only": read_only,
    "memory-mapped": as_memmap,
    "Fortran order": np.asfortranarray,
    "strided": lambda scans: np.repeat(scans, 2, axis=1)[:, ::2],
}


@pytest.mark.parametrize("container", CONTAINERS)
def test_every_container_gives_the_same_embeddings(scans, fitted, container):
    X = CONTAINERS[container](scans)
    embeddings = tiny().fit(X).transform(X)
    np.testing.assert_array_equal(embeddings, fitted.transform(scans))


def test_input_is_never_changed(scans, fitted):
    X = [scan.copy() for scan in scans]
    tiny().fit(X)
    for method in METHODS:
        getattr(fitted, method)(X)
    np.testing.assert_array_equal(X, scans)


def test_ragged_scans_keep_their_lengths(scans):
    X = ragged(scans)
    model = tiny().fit(X)
    assert model.transform(X).shape == (12, 120)  # 10 regions, windows of 10 frames
    assert [len(states) for states in model.transform_windows(X)] == [
        math.ceil(len(scan) / 10) for scan in X
    ]
    assert [scan.shape for scan in model.reconstruct(X)] == [scan.shape for scan in X]


def test_mean_pooling_is_the_mean_of_the_window_states(scans):
    model = tiny(pooling="mean").fit(scans)
    means = [states.mean(axis=0) for states in model.transform_windows(scans)]
    np.testing.assert_array_equal(model.transform(scans), means)


@pytest.mark.parametrize("pooling", ["covariance", "state", "mean", "cls"])
def test_embedding_of_a_scan_does_not_depend_on_the_others(scans, pooling):
    model = tiny(pooling=pooling).fit(scans)
    together = model.transform(ragged(scans))[3]
    alone = model.transform(ragged(scans)[3:4])[0]
    # Networks work in batches, and the size of a matrix product decides its last digits.
    np.testing.assert_allclose(
        together, alone, rtol=0, atol=1e-5 if pooling in ("mean", "cls") else 0
    )


@pytest.mark.parametrize("attention", ["static", "adaptive", "vanilla"])
def test_every_attention_fits_and_embeds(scans, attention):
    model = tiny(attention=attention, pooling="cls").fit(scans)
    embeddings = model.transform(scans)
    assert embeddings.shape == (12, 8)
    assert np.isfinite(embeddings).all()


def test_durations_in_seconds_are_durations_in_frames_times_t_r(scans, fitted):
    model = tiny(t_r=2.5, window_size=25, crop_length=75).fit(scans)
    np.testing.assert_array_equal(model.transform(scans), fitted.transform(scans))


def test_one_mask_ratio_is_a_range_of_one_ratio(scans):
    a, b = (tiny(mask_ratio=ratio).fit(scans) for ratio in (0.4, (0.4, 0.4)))
    np.testing.assert_array_equal(a.roi_embeddings_, b.roi_embeddings_)


# --- randomness ---------------------------------------------------------------------------------


def test_same_seed_gives_identical_models_and_another_seed_does_not(scans, fitted):
    again = tiny(random_state=np.random.RandomState(0)).fit(scans)
    other = tiny(random_state=1, validation_fraction=0).fit(scans)
    for name, weight in fitted.weights_.items():
        np.testing.assert_array_equal(weight, again.weights_[name], err_msg=name)
    pd.testing.assert_frame_equal(fitted.history_, again.history_)
    assert not np.allclose(fitted.roi_embeddings_, other.roi_embeddings_, rtol=1e-3)


def test_cost_is_told_before_fit_and_changes_nothing(scans, fitted, capsys):
    model = tiny()
    cost = model.estimate_cost(scans)
    assert cost.n_crops == 2 * 12
    assert cost.seconds > 0
    assert cost.memory > scans.nbytes
    assert not hasattr(model, "n_features_in_")
    told = tiny(verbose=1).fit(scans)
    assert "crops" in capsys.readouterr().out
    np.testing.assert_array_equal(told.roi_embeddings_, fitted.roi_embeddings_)


def test_crops_longer_than_all_scans_are_as_long_as_they_are(scans):
    whole, longer = (tiny(crop_length=length).fit(scans) for length in (60, 60_000_000))
    np.testing.assert_array_equal(longer.transform(scans), whole.transform(scans))
    assert longer.score(scans) == whole.score(scans)


def test_global_random_states_are_left_alone(scans):
    def states():
        kind, keys, *position = np.random.get_state()  # noqa: NPY002
        return random.getstate(), (kind, keys.tolist(), position), torch.get_rng_state().tolist()

    before = states()
    model = tiny(validation_fraction=0.3).fit(scans)
    for method in METHODS:
        getattr(model, method)(scans)
    assert states() == before


def test_score_is_deterministic(scans, fitted):
    assert fitted.score(scans) == fitted.score(scans) == tiny().fit(scans).score(scans)


# --- training -----------------------------------------------------------------------------------


def test_history_has_one_row_an_epoch(fitted):
    assert isinstance(fitted.history_, pd.DataFrame)
    assert list(fitted.history_.columns) == ["epoch", "train_loss", "valid_loss", "lr"]
    assert fitted.history_["epoch"].tolist() == [0, 1, 2], "0 is the start"


def test_no_epochs_leave_a_random_network_that_still_embeds(scans, fitted):
    model = tiny(max_epochs=0).fit(scans)
    assert len(model.history_) == 0
    assert model.transform(scans).shape == fitted.transform(scans).shape


def test_two_short_scans_can_be_overfitted(scans):
    params = {"embedding_dim": 16, "max_epochs": 150, "batch_size": 2, "lr": 0.01}
    model = tiny(**params, init="random", mask_ratio=0.3, validation_fraction=0)
    model.fit(scans[:2, :30])
    loss = model.history_["train_loss"]
    assert loss.iloc[-5:].mean() < 0.15 * loss.iloc[0]
    assert model.score(scans[:2, :30]) > 0.8


def test_refit_on_another_region_count_is_a_fresh_fit(scans):
    fewer = scans[:, :, :7]
    refitted, fresh = tiny().fit(scans).fit(fewer), tiny().fit(fewer)
    assert refitted.n_features_in_ == 7
    np.testing.assert_array_equal(refitted.transform(fewer), fresh.transform(fewer))


def test_validation_restores_the_best_epoch(scans):
    params = {"max_epochs": 20, "lr": 0.03, "validation_fraction": 0.5, "patience": 20}
    params["init"] = "random"
    model = tiny(**params).fit(scans[:4])
    valid_loss = model.history_["valid_loss"]
    best = int(model.history_["epoch"][valid_loss.idxmin()])
    assert 0 < best < model.history_["epoch"].iloc[-1] == 20, "nothing to restore"
    stopped = tiny(**params).set_callbacks(StopAfter(best)).fit(scans[:4])
    assert stopped.history_["epoch"].iloc[-1] == best
    assert model.score(scans) == stopped.score(scans)
    np.testing.assert_array_equal(model.roi_embeddings_, stopped.roi_embeddings_)


def test_patience_stops_training_early(scans):
    model = tiny(max_epochs=40, lr=0.03, validation_fraction=0.5, patience=3).fit(scans[:4])
    valid_loss = model.history_["valid_loss"]
    assert len(valid_loss) == valid_loss.idxmin() + 1 + 3 < 40


def held_out_scans(scans, groups):
    """Return the scans whose signal changes no weight, and so cannot have been trained on."""
    model = tiny(max_epochs=1, validation_fraction=0.4, init="random")
    weights = model.fit(scans, groups=groups).roi_embeddings_
    out = []
    for i in range(len(scans)):
        changed = scans.copy()
        changed[i] = changed[i, ::-1]
        if np.array_equal(model.fit(changed, groups=groups).roi_embeddings_, weights):
            out.append(i)
    return out


def test_validation_takes_or_leaves_a_group_as_one(scans):
    groups = np.array(list("abcdabcdabcd"))
    out = held_out_scans(scans, groups)
    assert len(out) == 6, "0.4 of four groups are two of them"
    assert set(groups[out]).isdisjoint(np.delete(groups, out))


def test_validation_without_groups_takes_single_scans(scans):
    assert len(held_out_scans(scans, None)) == math.ceil(0.4 * 12)


def test_a_single_group_keeps_the_closed_form_start_and_says_so(scans):
    with pytest.warns(UserWarning, match="none can be held out"):
        model = tiny(validation_fraction=0.4).fit(scans, groups=np.zeros(12))
    start = tiny(max_epochs=0).fit(scans)
    assert model.history_.empty
    np.testing.assert_array_equal(model.roi_embeddings_, start.roi_embeddings_)


def test_groups_of_another_length_raise(scans):
    with pytest.raises(ValueError, match=r"groups has shape \(11,\); there are 12 scans"):
        tiny().fit(scans, groups=np.zeros(11))


def test_diverging_training_raises_and_names_the_epoch(scans):
    model = tiny(lr=1e30, batch_size=12, init="random", validation_fraction=0)
    with pytest.raises(FloatingPointError, match=r"nan in epoch 2: .*lr=1e\+30"):
        model.fit(scans)
    with pytest.raises(NotFittedError):
        model.transform(scans)


# --- reconstruction -----------------------------------------------------------------------------


def test_reconstruction_is_in_the_units_of_the_scan(scans, fitted):
    X = [scan.astype(float) for scan in ragged(scans)]
    other_units = fitted.reconstruct([1e3 * scan + 5e4 for scan in X])
    for scan, other in zip(fitted.reconstruct(X), other_units, strict=True):
        np.testing.assert_allclose(1e3 * scan + 5e4, other, rtol=1e-6)


def test_hidden_values_never_reach_the_reconstruction(scans, fitted):
    X = ragged(scans)
    rng = np.random.default_rng(0)
    mask = [rng.random(scan.shape) < 0.03 for scan in X]
    for hidden in mask:
        hidden[:, 4] = True
    changed = [np.where(hidden, 1e6, scan) for scan, hidden in zip(X, mask, strict=True)]
    before, after = fitted.reconstruct(X, mask), fitted.reconstruct(changed, mask)
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.allclose(before[0], fitted.reconstruct(X)[0])


@pytest.mark.parametrize(
    "mask", [np.zeros((60, 9), dtype=bool), np.zeros((60, 10))], ids=["shape", "dtype"]
)
def test_a_mask_that_does_not_fit_its_scan_raises(scans, fitted, mask):
    with pytest.raises(ValueError, match="mask 0 has dtype"):
        fitted.reconstruct(scans[:1], [mask])


# --- Windows ------------------------------------------------------------------------------------


def test_windows_look_at_their_own_run_alone(scans):
    runs = list(scans)
    trials = [Window(run, start, start + 10) for run in runs for start in (0, 20, 40)]
    model = tiny().fit(trials)
    assert model.pooling_ == "state"
    embeddings = model.transform(trials)
    assert embeddings.shape == (36, model._n_features_out)

    other = [*trials[:3], *(Window(run[::-1], 20, 30) for run in runs[1:])]
    np.testing.assert_allclose(model.transform(other)[:3], embeddings[:3], atol=1e-5)

    outside = runs[0].copy()
    outside[30:] = outside[:29:-1]
    changed = model.transform([Window(outside, 20, 30)])[0]
    assert not np.allclose(changed, embeddings[1], atol=1e-3), "context was not used"


def test_a_window_of_all_frames_is_the_scan(scans, fitted):
    windows = [Window(scan, 0, 60) for scan in scans]
    assert tiny().fit(windows).pooling_ == "covariance"
    np.testing.assert_array_equal(fitted.transform(windows), fitted.transform(scans))


def test_the_value_of_a_missing_region_is_never_signal(scans):
    X, other = scans.copy(), scans.copy()
    X[:3, :, 2], other[:3, :, 2] = 0, 1e5
    with pytest.warns(UserWarning, match=r"treated as missing: scan 0: \[2\]; scan 1: \[2\]"):
        a, b = tiny().fit(X), tiny().fit(other)
    for name in ("transform", "transform_windows", "score"):
        with pytest.warns(UserWarning, match="treated as missing"):
            np.testing.assert_array_equal(getattr(a, name)(X), getattr(b, name)(other))
