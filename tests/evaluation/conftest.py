"""Trials of eight subjects, and a classifier that remembers what it was fitted on."""

from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import GroupKFold

from sk_brainmae.evaluation import compare
from sk_brainmae.timeseries import Window

N_SUBJECTS, N_TRIALS = 8, 4


@pytest.fixture(scope="session")
def trials():
    """Moments of runs, X, labels y and groups; "hot" lifts region 0 somewhat, region 1 less."""
    rng = np.random.default_rng(0)
    y = np.tile(["warm", "hot"], N_SUBJECTS * N_TRIALS // 2)
    X = []
    for labels in y.reshape(N_SUBJECTS, N_TRIALS):
        run = rng.normal(size=(10 * N_TRIALS, 3))
        run[:, :2] += np.repeat(labels == "hot", 10)[:, None] * [0.6, 0.2]
        X += [Window(run, 10 * i, 10 * i + 8) for i in range(N_TRIALS)]
    return SimpleNamespace(
        X=X, y=y, groups=np.repeat([f"s{i}" for i in range(N_SUBJECTS)], N_TRIALS)
    )


@pytest.fixture
def mean_signal():
    """The class of a classifier that tells "hot" by a region's mean signal."""

    class MeanSignal(ClassifierMixin, BaseEstimator):
        seen: list = []  # region, ids of scans and groups of every fit, in order  # noqa: RUF012

        def __init__(self, region=0):
            self.region = region

        def fit(self, X, y, groups=None):
            self.seen.append((self.region, [id(x) for x in X], groups))
            self.classes_ = np.unique(y)
            return self

        def decision_function(self, X):
            return -np.array([np.asarray(x)[:, self.region].mean() for x in X])

        def predict(self, X):
            return self.classes_[(self.decision_function(X) > 0).astype(int)]

    return MeanSignal


@pytest.fixture
def compare_two(trials, mean_signal):
    """Compares the mean signals of two regions, by group, unless told otherwise."""

    def compared(**kwargs):
        estimators = {"ours": mean_signal(region=0), "opponent": mean_signal(region=1)}
        kwargs = {"cv": GroupKFold(4), "groups": trials.groups, **kwargs}
        return compare(estimators, trials.X, trials.y, **kwargs)

    return compared
