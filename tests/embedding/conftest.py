"""Scans of ten regions, what views read of them, and formulas written independently."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.linalg import logm

from sk_brainmae.datasets import make_cohort
from sk_brainmae.embedding.signal import fit_signal
from sk_brainmae.embedding.source import Source
from sk_brainmae.network import BrainMAE
from sk_brainmae.timeseries import validate_scans

N_REGIONS, WINDOW, DIM = 10, 8, 4
LAYOUT = {"window": WINDOW, "n_windows": 5, "batch_size": 4, "device": "cpu"}


def no_network():
    """Stand for the network of a view that must not ask for one."""
    raise AssertionError("a view of the signal asked for the network")


@pytest.fixture(scope="session")
def scans():
    """Twelve scans of 80 frames."""
    cohort = make_cohort(n_scans=12, n_timepoints=80, n_regions=N_REGIONS, random_state=0)
    return cohort.scans


@pytest.fixture(scope="session")
def many():
    """Thirty scans of 120 frames."""
    cohort = make_cohort(n_scans=30, n_timepoints=120, n_regions=N_REGIONS, random_state=1)
    return cohort.scans


@pytest.fixture(scope="session")
def source():
    """Return a function that makes what views read of samples, after training scans."""

    def make(samples, training=None, window=WINDOW, load_network=no_network):
        runs = validate_scans(samples if training is None else training).as_runs()
        layout = {**LAYOUT, "window": window}
        return Source(validate_scans(samples), fit_signal(runs, window), load_network, layout)

    return make


@pytest.fixture(scope="session")
def embed(source):
    """Return a function that embeds samples by a kind of view, learned from training scans."""

    def learn_and_embed(kind, samples, training=None, **params):
        training = samples if training is None else training
        view = kind.fit(source(training, **params))
        return view.embed(source(samples, training, **params))

    return learn_and_embed


@pytest.fixture(scope="session")
def load_network():
    """Return a function that makes a network whose prior tells three brain states apart."""

    def load():
        with torch.random.fork_rng():
            torch.manual_seed(0)
            network = BrainMAE(N_REGIONS, WINDOW, DIM, 2, 1, "static", n_states=3)
            for parameter in network.parameters():
                if not parameter.any():  # silent until it is trained
                    torch.nn.init.normal_(parameter, std=0.3)
        return network

    return load


@pytest.fixture(scope="session")
def distances():
    """Return a function that gives the distances between embeddings."""
    return lambda embeddings: np.linalg.norm(embeddings[:, None] - embeddings, axis=-1)


def zscore(scan):
    return (scan - scan.mean(axis=0)) / scan.std(axis=0)


def frame_covariance(scans, n_frames):
    """Mean over all places and regions, as written."""
    places = [
        np.outer(z[t : t + n_frames, j], z[t : t + n_frames, j])
        for z in scans
        for t in range(len(z) - n_frames + 1)
        for j in range(z.shape[1])
    ]
    return np.mean(places, axis=0)


def log_vector(correlation, whitening, shrinkage):
    white = whitening.T @ correlation @ whitening
    white = white / np.trace(white) * len(white)
    log = logm((1 - shrinkage) * white + shrinkage * np.eye(len(white)))
    rows, columns = np.triu_indices(len(log))
    return log[rows, columns] * np.where(rows == columns, 1, np.sqrt(2))


@pytest.fixture(scope="session")
def written():
    """Formulas that several views share, written independently."""
    return SimpleNamespace(zscore=zscore, frame_covariance=frame_covariance, log_vector=log_vector)
