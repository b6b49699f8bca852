"""Tiny scans, targets, models and callbacks for the tests of this folder.

Fitted models are shared by all tests: a test that changes one copies it first.
"""

import joblib
import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_limits

from sk_brainmae import BrainMAEClassifier, BrainMAERegressor, BrainMAETransformer
from sk_brainmae.datasets import make_cohort
from sk_brainmae.embedding import VIEWS
from sk_brainmae.heads.linear import STRENGTHS

TINY = {
    "embedding_dim": 8,
    "n_heads": 2,
    "window_size": 10,
    "crop_length": 30,
    "max_epochs": 1,
    "validation_fraction": 0,  # train, whatever it brings
    "random_state": 0,
}
LABELS = np.array(["rest", "task"] * 6)
VALUES = np.random.default_rng(0).normal(size=12)
TARGETS = {BrainMAETransformer: None, BrainMAEClassifier: LABELS, BrainMAERegressor: VALUES}


@pytest.fixture(scope="module", autouse=True)
def _few_strengths():
    """Let heads choose among few strengths: most of the time of a fit goes there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sk_brainmae.heads.linear.STRENGTHS", STRENGTHS[::4])
        yield


def read_only(array):
    array.flags.writeable = False
    return array


@pytest.fixture(scope="session")
def tiny():
    """Return a function that makes a small unfitted estimator, by default a transformer."""
    return lambda kind=BrainMAETransformer, **params: kind(**{**TINY, **params})


@pytest.fixture(scope="session")
def scans():
    """Twelve scans, (12, 60, 10)."""
    return read_only(make_cohort(n_scans=12, n_timepoints=60, n_regions=10, random_state=0).scans)


@pytest.fixture(scope="session")
def ragged(scans):
    """The twelve scans, each 3 frames shorter than the one before."""
    return [scan[: 60 - 3 * i] for i, scan in enumerate(scans)]


@pytest.fixture(scope="session")
def labels():
    return read_only(LABELS)


@pytest.fixture(scope="session")
def values():
    return read_only(VALUES)


@pytest.fixture(scope="session")
def target():
    """Return a function that gives the targets of the twelve scans for a class of estimators."""
    return TARGETS.get


@pytest.fixture(scope="session")
def encoder(tiny, scans):
    """A fitted transformer."""
    return tiny().fit(scans)


@pytest.fixture(scope="session")
def validated(tiny, scans):
    """A fitted transformer that held out a share of its scans."""
    return tiny(validation_fraction=0.25).fit(scans)


@pytest.fixture(scope="session")
def by_view(tiny, scans):
    """A fitted transformer for each view."""
    return {name: tiny(views=name).fit(scans) for name in VIEWS}


@pytest.fixture(scope="session")
def n_features(by_view):
    """Size of the embedding of the twelve scans for each view: windows of 10, 10 regions."""
    n_components = by_view["response"]._views["response"].components.shape[1]
    return {
        "connectivity": 55,
        "innovations": 55,
        "tempo": 10,
        "response": 2 * 10 * n_components,
        "states": 36,
        "state_mean": TINY["embedding_dim"],
        "dynamics": int(by_view["dynamics"]._views["dynamics"].kept.sum()),
        "cls": TINY["embedding_dim"],
    }


class Callback:
    """A scikit-learn callback made of functions; an ``on_end`` that returns True ends training."""

    max_propagation_depth = None  # from searches and pipelines down to our estimators

    def __init__(self, on_begin=None, on_end=None):
        self.on_begin, self.on_end = on_begin, on_end

    def setup(self, estimator, context): ...

    def teardown(self, estimator, context): ...

    def on_fit_task_begin(self, estimator, context):
        if self.on_begin is not None:
            self.on_begin(context)

    def on_fit_task_end(self, estimator, context):
        return None if self.on_end is None else self.on_end(context)


@pytest.fixture(scope="session")
def callback():
    """Return the class of callbacks that are made of functions of the context."""
    return Callback


@pytest.fixture(scope="session")
def stop_after(callback):
    """Return a function that makes a callback which ends training after an epoch."""
    return lambda epoch: callback(
        on_end=lambda task: task.task_name == "epoch" and task.task_id + 1 == epoch
    )


@pytest.fixture(scope="session")
def fail_in_first_epoch(callback):
    """Return a function that makes a callback which raises; KeyboardInterrupt is Ctrl-C."""

    def make(error):
        def fail(task):
            if task.task_name == "epoch":
                raise error

        return callback(on_begin=fail)

    return make


@pytest.fixture
def one_thread(monkeypatch):
    """One thread here and in workers, and all strengths of heads, as in workers.

    Threads share out sums, so another number of them gives other last digits: scores then agree
    to about 1e-8 instead of bit by bit.
    """
    monkeypatch.setattr("sk_brainmae.heads.linear.STRENGTHS", STRENGTHS)
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpool_limits(1), joblib.parallel_config("loky", inner_max_num_threads=1):
        yield
    torch.set_num_threads(n_threads)


@pytest.fixture(scope="session")
def cosines():
    """Return a function that gives the cosine of every row of a with every row of b."""

    def compute(a, b):
        a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
        return a @ b.T

    return compute
