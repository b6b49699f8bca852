"""The view "dynamics": its statistics written out, and what is too little to tell."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

from sk_brainmae.embedding.dynamics import SMALLEST_VARIANCE, Dynamics
from sk_brainmae.network import BrainMAE
from sk_brainmae.timeseries import Window

WINDOW = 8


class Told:
    """A source whose network has told the brain states apart as these probabilities say."""

    def __init__(self, probabilities):
        self.brain_states = probabilities
        self.network = SimpleNamespace(prior=SimpleNamespace(modulation=np.ones(1)))


def draw(n_samples, n_frames=80, n_states=3, seed=0):
    """Probabilities that follow a smooth course, in each sample at another pace."""
    rng = np.random.default_rng(seed)
    samples = []
    for pace in np.linspace(0.2, 2, n_samples):
        time = pace * np.arange(n_frames)[:, None]
        course = np.exp(2 * np.sin(time + 6 * rng.random(n_states)) + rng.normal(size=n_states))
        samples.append(course / course.sum(axis=1, keepdims=True))
    return samples


def written_out(p, lags):
    """All statistics of one sample by name."""
    told = {}
    for k, course in enumerate(p.T):
        mean = sum(course) / len(course)
        variance = sum((x - mean) ** 2 for x in course) / len(course)
        told[f"share_state{k}"] = mean
        told[f"log_variance_state{k}"] = np.log(variance + 1e-4)
        for lag in lags:
            pairs = list(zip(course[:-lag], course[lag:], strict=True))
            covariance = sum((a - mean) * (b - mean) for a, b in pairs) / len(pairs)
            told[f"lag{lag}_state{k}"] = covariance / (variance + 1e-4)
        steps = [abs(b - a) for a, b in pairwise(course)]
        told[f"change_state{k}"] = sum(steps) / len(steps)
    told["certainty"] = np.mean([max(frame) for frame in p])
    path = [int(np.argmax(frame)) for frame in p]
    switches = sum(a != b for a, b in pairwise(path))
    told["switching_rate"] = np.log(switches / (len(path) - 1) + 1e-4)
    return told


def test_embedding_is_the_statistics_written_out_in_units_of_the_training_scans():
    samples = draw(9)
    view = Dynamics.fit(Told(samples))
    assert view.lags.tolist() == [1, 2, 4, 8, 16, 32]
    names = view.feature_names([])
    told = [written_out(p, (1, 2, 4, 8, 16, 32)) for p in samples]
    assert sorted(names) == sorted(told[0])
    table = np.array([[sample[name] for name in names] for sample in told])
    expected = (table - table.mean(axis=0)) / table.std(axis=0)
    embeddings = view.embed(Told(samples))
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(embeddings, expected, atol=1e-4)
    assert SMALLEST_VARIANCE == 1e-4, "as documented"


def test_a_hand_made_sequence_has_the_statistics_that_one_counts():
    """One state for two frames, the other for two: half the time each, one switch in three."""
    p = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    other = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]])
    view = Dynamics.fit(Told([p, other]))
    assert view.lags.tolist() == [1, 2], "half the shortest scan"
    units = view.embed(Told([p])) * view.scale + view.mean
    told = dict(zip(view.feature_names([]), units[0], strict=True))
    assert told["certainty"] == pytest.approx(1)
    assert told["switching_rate"] == pytest.approx(np.log(1 / 3 + 1e-4), rel=1e-5)
    assert told["change_state0"] == pytest.approx(1 / 3, rel=1e-5)
    assert told["log_variance_state1"] == pytest.approx(np.log(0.25 + 1e-4), rel=1e-5)
    assert told["lag1_state0"] == pytest.approx(0.25 / 3 / (0.25 + 1e-4), rel=1e-4)
    assert told["lag2_state0"] == pytest.approx(-0.25 / (0.25 + 1e-4), rel=1e-4)


def test_statistics_that_are_constant_in_training_are_left_out():
    samples = draw(6)
    for p in samples:
        p[:, 2] = 0.0  # never there: its share, variance, lags and change are the same in all
    view = Dynamics.fit(Told(samples))
    names = view.feature_names([])
    assert not [name for name in names if name.endswith("state2")]
    assert "share_state0" in names
    embeddings = view.embed(Told(samples))
    assert embeddings.shape == (6, len(names))
    np.testing.assert_allclose(embeddings.std(axis=0), 1, atol=1e-4)


def test_what_a_sample_is_too_short_to_tell_counts_as_average():
    samples = draw(6)
    view = Dynamics.fit(Told(samples))
    names = np.array(view.feature_names([]))
    embedding = view.embed(Told([samples[0][:5], samples[0][:1], samples[1]]))
    lags = np.char.startswith(names, "lag")
    long = lags & ~np.char.startswith(names, "lag1_") & ~np.char.startswith(names, "lag2_")
    long &= ~np.char.startswith(names, "lag4_")
    assert long.sum() == 9
    assert (embedding[0, long] == 0).all()
    assert (embedding[0, ~long] != 0).all()
    of_steps = lags | np.char.startswith(names, "change") | (names == "switching_rate")
    assert (embedding[1, of_steps] == 0).all()
    assert (embedding[1, ~of_steps] != 0).any()
    np.testing.assert_array_equal(embedding[2], view.embed(Told(samples[1:2]))[0])


def test_short_training_scans_have_short_lags():
    for n_frames, lags in ((80, [1, 2, 4, 8, 16, 32]), (20, [1, 2, 4, 8]), (3, [1]), (2, [1])):
        assert Dynamics.fit(Told(draw(5, n_frames))).lags.tolist() == lags


def test_scans_that_are_all_alike_have_nothing_to_read():
    assert Dynamics.fit(Told([draw(1)[0]] * 4)) is None
    assert Dynamics.fit(Told(draw(1))) is None


@pytest.mark.parametrize(
    "change", [{"lags": np.array([0.0, 2.0])}, {"lags": np.array([1.5])}, {"scale": np.zeros(3)}]
)
def test_arrays_that_make_no_statistics_are_refused(change):
    arrays = {"lags": np.ones(1), "kept": np.ones(3), "mean": np.zeros(3), "scale": np.ones(3)}
    Dynamics(**arrays)
    with pytest.raises(ValueError, match="whole numbers of frames, and scales are above 0"):
        Dynamics(**arrays | change)


# --- of a real network --------------------------------------------------------------------------


def test_an_untrained_prior_has_nothing_to_read(scans, source):
    def untrained():
        return BrainMAE(10, WINDOW, 4, 2, 1, "static", n_states=3)

    def without_prior():
        return BrainMAE(10, WINDOW, 4, 2, 1, "static")

    for load in (untrained, without_prior):
        assert Dynamics.fit(source(scans, load_network=load)) is None


def test_embedding_of_a_sample_does_not_depend_on_the_others(scans, source, load_network):
    view = Dynamics.fit(source(scans[:6], load_network=load_network))
    assert view.mean.shape == view.scale.shape == (len(view.feature_names([])),)
    X = [*scans[6:], Window(scans[0], 8, 32), Window(scans[1], 30, 31)]
    together = view.embed(source(X, scans[:6], load_network=load_network))
    assert np.isfinite(together).all()
    assert together[:6].std(axis=0).max() > 0.1
    for i, sample in enumerate(X):
        alone = view.embed(source([sample], scans[:6], load_network=load_network))
        np.testing.assert_allclose(alone[0], together[i], atol=0.01)


def test_training_scans_have_mean_0_and_variance_1(scans, source, load_network):
    read = source(scans, load_network=load_network)
    embeddings = Dynamics.fit(read).embed(read)
    np.testing.assert_allclose(embeddings.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(embeddings.std(axis=0), 1, atol=1e-4)
