"""The views of the trained network, beside window states that are written by hand."""

from types import SimpleNamespace

import numpy as np
import pytest

from sk_brainmae.embedding.states import Cls, StateMean, States
from sk_brainmae.timeseries import Window

DIM = 4
KINDS = [States, StateMean, Cls]


def encoded(states, cls=None):
    """Stand for a source whose network has encoded samples as these."""
    cls = np.zeros((len(states), DIM)) if cls is None else cls
    return SimpleNamespace(encoded=(states, cls), window_states=states)


@pytest.fixture(scope="module")
def by_hand():
    """Window states of nine samples, of 3 to 11 windows, around a common mean."""
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(9, DIM, DIM))
    return [3 + rng.normal(size=(3 + i, DIM)) @ mixing[i] for i in range(9)]


@pytest.mark.parametrize("kind", KINDS)
def test_training_mean_is_0_and_every_feature_is_finite(kind, by_hand):
    rng = np.random.default_rng(1)
    same_lengths = encoded([states[:3] for states in by_hand], rng.normal(size=(9, DIM)))
    view = kind.fit(same_lengths)
    embeddings = view.embed(same_lengths)
    assert embeddings.dtype == np.float32
    assert embeddings.shape == (9, len(view.feature_names(["a", "b"])))
    assert np.isfinite(embeddings).all()
    np.testing.assert_allclose(embeddings.mean(axis=0), 0, atol=1e-6)


def test_mean_of_the_window_states_is_taken_around_that_of_the_training_windows(by_hand):
    centre = np.concatenate(by_hand).mean(axis=0)
    expected = [states.mean(axis=0) - centre for states in by_hand]
    view = StateMean.fit(encoded(by_hand))
    np.testing.assert_allclose(view.embed(encoded(by_hand)), expected, atol=1e-6)
    assert view.feature_names([]) == ["unit0", "unit1", "unit2", "unit3"]


def test_cls_is_the_token_around_that_of_the_training_scans(by_hand):
    tokens = np.random.default_rng(2).normal(size=(9, DIM))
    embeddings = Cls.fit(encoded(by_hand, tokens)).embed(encoded(by_hand, tokens))
    np.testing.assert_allclose(embeddings, tokens - tokens.mean(axis=0), atol=1e-6)


def test_states_do_not_see_the_sign_of_the_signal_and_the_mean_does(by_hand):
    by_hand = [states[:3] for states in by_hand]  # as many windows each: one centre for both
    centre = np.concatenate(by_hand).mean(axis=0)
    turned = [2 * centre - states for states in by_hand]
    of_states, of_mean = (
        [view.embed(encoded(states)) for states in (by_hand, turned)]
        for view in (States.fit(encoded(by_hand)), StateMean.fit(encoded(by_hand)))
    )
    np.testing.assert_allclose(of_states[0], of_states[1], atol=1e-5)
    np.testing.assert_allclose(of_mean[0], -of_mean[1], atol=1e-5)
    assert np.abs(of_mean[0]).max() > 0.1


def test_states_tell_samples_whose_units_vary_together_from_others():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(20, 60, DIM))
    coupled = np.arange(20) % 2 == 0
    noise[coupled, :, 1] = noise[coupled, :, 0] + 0.3 * noise[coupled, :, 1]
    read = encoded(list(noise))
    embeddings = States.fit(read).embed(read)
    difference = embeddings[coupled].mean(axis=0) - embeddings[~coupled].mean(axis=0)
    within = np.stack([embeddings[coupled].std(axis=0), embeddings[~coupled].std(axis=0)])
    assert (np.abs(difference) > 3 * within.max(axis=0)).any()


@pytest.mark.parametrize("kind", KINDS)
def test_samples_of_one_window_and_units_that_never_vary_embed_finitely(kind, by_hand):
    flat = [np.where(np.arange(DIM) == 2, 1.0, states) for states in by_hand]
    view = kind.fit(encoded(flat))
    for samples in (flat, [states[:1] for states in by_hand], [np.ones((5, DIM))] * 2):
        assert np.isfinite(view.embed(encoded(samples))).all()


# --- of a real network --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_embedding_of_a_sample_does_not_depend_on_the_others(kind, scans, source, load_network):
    view = kind.fit(source(scans[:6], load_network=load_network))
    X = [*scans[6:], Window(scans[0], 8, 32), Window(scans[1], 30, 33)]
    together = view.embed(source(X, scans[:6], load_network=load_network))
    assert together.std(axis=0).max() > 1e-3
    for i, sample in enumerate(X):
        alone = view.embed(source([sample], scans[:6], load_network=load_network))
        # Networks work in batches, and the size of a matrix product decides its last digits.
        np.testing.assert_allclose(alone[0], together[i], atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_same_source_gives_the_same_view_and_embedding(kind, scans, source, load_network):
    a, b = (kind.fit(source(scans, load_network=load_network)) for _ in range(2))
    for field in kind.axes:
        np.testing.assert_array_equal(getattr(a, field), getattr(b, field))
    read = source(scans, load_network=load_network)
    np.testing.assert_array_equal(a.embed(read), b.embed(read))
