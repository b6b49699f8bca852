"""BrainMAETransformer: containers of scans, embeddings, window states, reconstructions, errors."""

import math
import random
import tempfile

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.exceptions import NotFittedError

from sk_brainmae import BrainMAEClassifier, BrainMAETransformer
from sk_brainmae.datasets import make_cohort
from sk_brainmae.embedding import SHARES, VIEWS
from sk_brainmae.embedding.registry import MEAN_SQUARED_NORM, OF_MOMENTS, OF_SCANS
from sk_brainmae.timeseries import Window

OF_NETWORK = ("states", "state_mean", "dynamics", "cls")
METHODS = ("transform", "transform_windows", "reconstruct", "score")


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
    "writeable": np.copy,
    "read-only": read_only,
    "memory-mapped": as_memmap,
    "Fortran order": np.asfortranarray,
    "strided": lambda scans: np.repeat(scans, 2, axis=1)[:, ::2],
}


@pytest.mark.parametrize("container", CONTAINERS)
def test_every_container_gives_the_same_model_and_embeddings(tiny, scans, encoder, container):
    X = CONTAINERS[container](scans)
    model = tiny().fit(X)
    np.testing.assert_array_equal(model.roi_embeddings_, encoder.roi_embeddings_)
    np.testing.assert_array_equal(model.transform(X), encoder.transform(scans))


def test_input_is_never_changed(tiny, scans, encoder):
    X = [scan.copy() for scan in scans]
    tiny().fit(X)
    for method in METHODS:
        getattr(encoder, method)(X)
    np.testing.assert_array_equal(X, scans)


def test_ragged_scans_keep_their_lengths(tiny, ragged):
    model = tiny().fit(ragged)
    assert model.transform(ragged).shape == (12, len(model.get_feature_names_out()))
    assert [len(states) for states in model.transform_windows(ragged)] == [
        math.ceil(len(scan) / 10) for scan in ragged
    ]
    assert [scan.shape for scan in model.reconstruct(ragged)] == [scan.shape for scan in ragged]


def test_state_mean_is_the_mean_of_the_window_states_on_a_scale(scans, by_view):
    model = by_view["state_mean"]
    states = model.transform_windows(scans)
    means = np.stack([of_scan.mean(axis=0) for of_scan in states])
    centred = means - np.concatenate(states).mean(axis=0)
    expected = centred * np.sqrt(MEAN_SQUARED_NORM / np.square(centred).sum(axis=1).mean())
    np.testing.assert_allclose(model.transform(scans), expected, atol=1e-4)


@pytest.mark.parametrize("view", VIEWS)
def test_embedding_of_a_scan_does_not_depend_on_the_others(ragged, by_view, view):
    together = by_view[view].transform(ragged)[3]
    alone = by_view[view].transform(ragged[3:4])[0]
    # Networks work in batches, and the size of a matrix product decides its last digits.
    atol = 1e-3 if view in OF_NETWORK else 0
    np.testing.assert_allclose(together, alone, rtol=0, atol=atol)


@pytest.mark.parametrize("view", [view for view in VIEWS if view != "response"])
def test_embeddings_of_the_training_scans_have_mean_0_and_a_fixed_mean_squared_norm(
    scans, by_view, view
):
    embeddings = by_view[view].transform(scans)
    np.testing.assert_allclose(embeddings.mean(axis=0), 0, atol=1e-4)
    norm = np.square(embeddings).sum(axis=1).mean()
    assert norm == pytest.approx(MEAN_SQUARED_NORM, rel=1e-3)


def test_views_stand_side_by_side_with_their_shares(scans, by_view, tiny):
    names = ("tempo", "state_mean", "connectivity")
    model = tiny(views=names).fit(scans)
    assert model.views_ == names
    total = sum(SHARES[name] for name in names)
    expected = [np.sqrt(SHARES[name] / total) * by_view[name].transform(scans) for name in names]
    np.testing.assert_allclose(model.transform(scans), np.hstack(expected), atol=1e-4)


def test_features_are_named_by_view_and_region(scans, by_view, tiny):
    regions = [f"area {i}" for i in range(10)]
    frames = [pd.DataFrame(scan, columns=regions) for scan in scans]
    model = tiny(views=["tempo", "connectivity"], max_epochs=0).fit(frames)
    names = model.get_feature_names_out()
    assert names[:2].tolist() == ["tempo_component0", "tempo_component1"]
    assert names[10:12].tolist() == ["connectivity_area 0_area 0", "connectivity_area 0_area 1"]
    numbered = by_view["connectivity"].get_feature_names_out()
    assert numbered[:2].tolist() == ["connectivity_0_0", "connectivity_0_1"]
    assert numbered.dtype == object
    assert by_view["state_mean"].get_feature_names_out()[-1] == "state_mean_unit7"
    with pytest.raises(NotFittedError):
        tiny().get_feature_names_out()


def test_what_is_pretrained_changes_embeddings(tiny, scans):
    trained, start = (tiny(max_epochs=n, views="auto").fit(scans) for n in (3, 0))
    assert "dynamics" in trained.views_
    assert "dynamics" not in start.views_, "the start has one brain state"
    a, b = (
        {v: model._embed_views(model._read(scans), [v])[v] for v in start.views_}
        for model in (trained, start)
    )
    assert not np.allclose(a["states"], b["states"], atol=1e-3)
    for view in ("connectivity", "innovations", "tempo"):
        np.testing.assert_array_equal(a[view], b[view])


def test_dynamics_without_a_trained_prior_are_refused(tiny, scans, fail_in_first_epoch):
    with pytest.raises(ValueError, match=r"the view 'dynamics' is empty: .*max_epochs=0"):
        tiny(views="dynamics", max_epochs=0).fit(scans)
    model = tiny(views=("tempo", "dynamics"), init="random")
    model.set_callbacks(fail_in_first_epoch(AssertionError))
    with pytest.raises(ValueError, match="reads the brain states of the spectral prior"):
        model.fit(scans)
    assert "dynamics" not in tiny(init="random").fit(scans).views_


@pytest.mark.parametrize("attention", ["static", "adaptive", "vanilla"])
def test_every_attention_fits_and_embeds(tiny, scans, attention):
    embeddings = tiny(attention=attention, views="cls").fit_transform(scans)
    assert embeddings.shape == (12, 8)
    assert np.isfinite(embeddings).all()


def test_no_epochs_leave_an_untrained_network_that_still_embeds(tiny, scans, encoder):
    model = tiny(max_epochs=0).fit(scans)
    assert len(model.history_) == 0
    n_dynamics = sum(name.startswith("dynamics") for name in encoder.get_feature_names_out())
    assert n_dynamics > 0
    assert model.transform(scans).shape[1] == encoder.transform(scans).shape[1] - n_dynamics


# --- seeds --------------------------------------------------------------------------------------


def test_same_seed_gives_identical_models_and_another_seed_does_not(tiny, scans, validated):
    again = tiny(validation_fraction=0.25, random_state=np.random.RandomState(0)).fit(scans)
    other = tiny(random_state=1).fit(scans)
    for name, weight in validated.weights_.items():
        np.testing.assert_array_equal(weight, again.weights_[name], err_msg=name)
    pd.testing.assert_frame_equal(validated.history_, again.history_)
    assert validated.score(scans) == validated.score(scans) == again.score(scans)
    assert not np.allclose(validated.roi_embeddings_, other.roi_embeddings_, rtol=1e-3)


def test_global_random_states_are_left_alone(tiny, scans):
    def states():
        kind, keys, *position = np.random.get_state()  # noqa: NPY002
        return random.getstate(), (kind, keys.tolist(), position), torch.get_rng_state().tolist()

    before = states()
    model = tiny(validation_fraction=0.3).fit(scans)
    for method in METHODS:
        getattr(model, method)(scans)
    assert states() == before


# --- reconstruction -----------------------------------------------------------------------------


def test_reconstruction_is_in_the_units_of_the_scan(ragged, encoder):
    X = [scan.astype(float) for scan in ragged]
    other_units = encoder.reconstruct([1e3 * scan + 5e4 for scan in X])
    for scan, other in zip(encoder.reconstruct(X), other_units, strict=True):
        np.testing.assert_allclose(1e3 * scan + 5e4, other, rtol=1e-6)


def test_hidden_values_never_reach_the_reconstruction(ragged, encoder):
    rng = np.random.default_rng(0)
    mask = [rng.random(scan.shape) < 0.03 for scan in ragged]
    for hidden in mask:
        hidden[:, 4] = True
    changed = [np.where(hidden, 1e6, scan) for scan, hidden in zip(ragged, mask, strict=True)]
    before, after = encoder.reconstruct(ragged, mask), encoder.reconstruct(changed, mask)
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.allclose(before[0], encoder.reconstruct(ragged)[0])


@pytest.mark.parametrize(
    "mask", [np.zeros((60, 9), dtype=bool), np.zeros((60, 10))], ids=["shape", "dtype"]
)
def test_mask_that_does_not_fit_its_scan_raises(scans, encoder, mask):
    with pytest.raises(ValueError, match="mask 0 has dtype"):
        encoder.reconstruct(scans[:1], [mask])


# --- moments of scans ---------------------------------------------------------------------------


def test_moments_look_at_their_own_run_alone(tiny, scans):
    runs = list(scans)
    moments = [Window(run, start, start + 10) for run in runs for start in (0, 20, 40)]
    model = tiny().fit(moments)
    assert model.views_ == OF_MOMENTS
    embeddings = model.transform(moments)
    assert embeddings.shape == (36, len(model.get_feature_names_out()))

    other = [*moments[:3], *(Window(run[::-1], 20, 30) for run in runs[1:])]
    np.testing.assert_allclose(model.transform(other)[:3], embeddings[:3], atol=1e-4)

    outside = runs[0].copy()
    outside[30:] = outside[:29:-1]
    changed = model.transform([Window(outside, 20, 30)])[0]
    assert not np.allclose(changed, embeddings[1], atol=1e-3), "context was not used"


def test_moment_of_all_frames_is_the_scan(tiny, scans, encoder):
    moments = [Window(scan, 0, 60) for scan in scans]
    assert tiny().fit(moments).views_ == OF_SCANS
    np.testing.assert_array_equal(encoder.transform(moments), encoder.transform(scans))


# --- odd and bad scans --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ordinary():
    return make_cohort(n_scans=10, n_timepoints=120, n_regions=12, t_r=1.0, random_state=0).scans


@pytest.mark.filterwarnings("error")
def test_ordinary_scans_are_fitted_without_a_warning(tiny, ordinary):
    tiny(t_r=1.0, max_epochs=0).fit(ordinary)


@pytest.mark.filterwarnings("ignore:.*more regions than frames")
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda scans: [*scans, scans[3]], "twice|duplicate|same"),
        (lambda scans: np.swapaxes(scans[:, :100], 1, 2), "transposed"),
    ],
    ids=["duplicate", "transposed"],
)
def test_odd_scans_are_warned_of_in_fit(tiny, ordinary, spoil, message):
    with pytest.warns(UserWarning, match=rf"scans look odd[\s\S]*({message})"):
        tiny(t_r=1.0, max_epochs=0).fit(spoil(ordinary))


def test_value_of_a_constant_region_is_never_signal(tiny, scans):
    X, other = scans.copy(), scans.copy()
    X[:3, :, 2], other[:3, :, 2] = 0, 1e5
    with pytest.warns(UserWarning, match=r"treated as missing: scan 0: \[2\]; scan 1: \[2\]"):
        a, b = tiny().fit(X), tiny().fit(other)
    for name in ("transform", "transform_windows", "score"):
        with pytest.warns(UserWarning, match="treated as missing"):
            np.testing.assert_array_equal(getattr(a, name)(X), getattr(b, name)(other))


BAD_SCANS = {
    "one 2-D scan": (lambda scans: scans[0], ValueError, r"pass \[X\]"),
    "no scans": (lambda scans: [], ValueError, "no scans"),
    "one odd scan": (lambda s: [*s, s[0, :, :9]], ValueError, "scan 12 has 9 regions"),
    "NaN": (lambda s: [*s, np.full((60, 10), np.nan)], ValueError, "scan 12 lacks 100%"),
    "infinite": (lambda s: [*s, np.full((60, 10), np.inf)], ValueError, "scan 12 has inf"),
    "strings": (lambda scans: scans.astype(str), TypeError, "not numbers"),
    "complex": (lambda scans: scans.astype(complex), ValueError, "Complex"),
    "too short": (lambda s: [*s[:, :, :9], s[0, :9, :9]], ValueError, "scan 12 has 9 frames, few"),
}


@pytest.mark.parametrize("case", BAD_SCANS)
def test_bad_scans_raise_and_leave_the_model_unfitted(tiny, scans, case):
    spoil, kind, message = BAD_SCANS[case]
    model = tiny()
    with pytest.raises(kind, match=message):
        model.fit(spoil(scans))
    with pytest.raises(NotFittedError):
        model.transform(scans)


@pytest.mark.parametrize("method", METHODS)
def test_another_region_count_than_in_fit_raises(scans, encoder, method):
    with pytest.raises(ValueError, match="have 9 regions, but the model was fitted on 10"):
        getattr(encoder, method)(scans[:, :, :9])


@pytest.mark.parametrize("method", METHODS)
def test_unfitted_use_raises_before_the_scans_are_looked_at(method):
    with pytest.raises(NotFittedError):
        getattr(BrainMAETransformer(), method)(None)


@pytest.mark.parametrize("attribute", ["history_", "roi_embeddings_"])
def test_unfitted_attribute_raises(attribute):
    with pytest.raises(NotFittedError):
        getattr(BrainMAETransformer(), attribute)


# --- refits -------------------------------------------------------------------------------------


def test_refit_on_another_region_count_is_a_fresh_fit(tiny, scans):
    fewer = scans[:, :, :7]
    refitted, fresh = tiny().fit(scans).fit(fewer), tiny().fit(fewer)
    assert refitted.n_features_in_ == 7
    np.testing.assert_array_equal(refitted.roi_embeddings_, fresh.roi_embeddings_)
    np.testing.assert_array_equal(refitted.transform(fewer), fresh.transform(fewer))


FAILURES = {
    "bad scans": (lambda model, s: model.fit(np.full_like(s, np.inf)), ValueError),
    "bad groups": (lambda model, s: model.fit(s, groups=[0]), ValueError),
    "empty view": (lambda m, s: m.set_params(views="dynamics", max_epochs=0).fit(s), ValueError),
    "divergence": (
        lambda m, s: m.set_params(max_epochs=3, lr=1e30, init="random").fit(s),
        FloatingPointError,
    ),
    "Ctrl-C": (lambda m, s: m.fit(s), KeyboardInterrupt),
}


@pytest.mark.parametrize("case", FAILURES)
def test_refit_that_fails_leaves_no_mix_of_two_models(tiny, scans, fail_in_first_epoch, case):
    fail, kind = FAILURES[case]
    model = tiny().fit(scans)
    if kind is KeyboardInterrupt:
        model.set_callbacks(fail_in_first_epoch(KeyboardInterrupt))
    with pytest.raises(kind):
        fail(model, scans)
    with pytest.raises(NotFittedError):
        model.transform(scans)
    with pytest.raises(NotFittedError):
        BrainMAEClassifier(pretrained=model).fit(scans, [0, 1] * 6)
