"""What views read: the network runs once, and only where a view asks for it."""

import numpy as np
import pytest

from sk_brainmae.embedding.connectivity import Connectivity
from sk_brainmae.embedding.dynamics import Dynamics
from sk_brainmae.embedding.states import Cls, StateMean, States
from sk_brainmae.training.encoding import brain_states, encode


@pytest.fixture
def counted(load_network):
    """A function that loads the network, and the list of its calls."""
    calls = []

    def load():
        calls.append("load")
        return load_network()

    return load, calls


def test_the_network_is_loaded_and_encodes_once_for_all_views(scans, source, counted, monkeypatch):
    load, calls = counted

    def counting(*args, **layout):
        calls.append("encode")
        return encode(*args, **layout)

    monkeypatch.setattr("sk_brainmae.embedding.source.encode", counting)
    read = source(scans, load_network=load)
    Connectivity.fit(read)
    assert calls == []
    for kind in (States, StateMean, Cls, Dynamics):
        kind.fit(read).embed(read)
    assert calls == ["load", "encode"]


def test_source_gives_what_the_network_encodes(scans, source, load_network):
    read = source(scans, load_network=load_network)
    states, cls = encode(load_network(), read.cohort, **read.layout)
    for ours, theirs in zip(read.encoded[0], states, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(read.encoded[1], cls)


def test_brain_states_are_probabilities_of_every_frame(scans, source, load_network):
    ragged = [scan[: 80 - 5 * i] for i, scan in enumerate(scans)]
    read = source(ragged, load_network=load_network)
    assert [p.shape for p in read.brain_states] == [(len(scan), 3) for scan in ragged]
    expected = brain_states(load_network(), read.cohort, **read.layout)
    for ours, theirs in zip(read.brain_states, expected, strict=True):
        np.testing.assert_allclose(ours.sum(axis=1), 1, atol=1e-5)
        np.testing.assert_array_equal(ours, theirs)
    assert np.concatenate(read.brain_states).std(axis=0).min() > 1e-3, "frames differ"


@pytest.mark.filterwarnings("error")
def test_scans_of_the_models_own_repetition_time_are_not_warned_of(scans, source):
    source(scans).warn_of_stop_bands()
