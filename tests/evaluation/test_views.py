import json

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.dummy import DummyRegressor
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sk_brainmae import BrainMAERegressor
from sk_brainmae.datasets import make_cohort
from sk_brainmae.evaluation import Comparison, compare
from sk_brainmae.evaluation.views import in_words, mean_weights, views_of

X = np.random.default_rng(0).normal(size=(12, 20, 3))
Y = np.arange(12.0)
WEIGHTS = {"connectivity": 0.8, "states": 0.2, "tempo": 0.0}


class Weighing(RegressorMixin, BaseEstimator):
    """Reads other views where the first target is small; can be interrupted."""

    fits = 0
    interrupt_at = None

    def __init__(self, shift=0):
        self.shift = shift

    def fit(self, X, y):
        if Weighing.fits == Weighing.interrupt_at:
            raise KeyboardInterrupt
        Weighing.fits += 1
        self.view_weights_ = WEIGHTS if y[0] == 0 else {"states": 1.0}
        return self

    def predict(self, X):
        return np.full(len(X), float(self.shift))


@pytest.fixture(autouse=True)
def count_anew(monkeypatch):
    monkeypatch.setattr(Weighing, "fits", 0)
    monkeypatch.setattr(Weighing, "interrupt_at", None)


def compared(**kwargs):
    models = {"ours": Weighing(), "mean": DummyRegressor()}
    return compare(models, X, Y, cv=ordered(4), scoring=["r2", "pearson_r"], **kwargs)


def ordered(n_folds):
    """The first fold tests the first samples, so that its first target is not 0."""
    parts = np.array_split(np.arange(12), n_folds)
    return [(np.setdiff1d(np.arange(12), test), test) for test in parts]


KEEP = FunctionTransformer()
MODELS = {
    "alone": Weighing(),
    "pipeline": make_pipeline(KEEP, Weighing()),
    "search": GridSearchCV(Weighing(), {"shift": [0, 1]}, cv=ordered(2)),
    "search in a pipeline": make_pipeline(
        KEEP, GridSearchCV(Weighing(), {"shift": [0, 1]}, cv=ordered(2))
    ),
    "pipeline in a search": GridSearchCV(
        make_pipeline(KEEP, Weighing()), {"weighing__shift": [0, 1]}, cv=ordered(2)
    ),
}


@pytest.mark.parametrize("where", MODELS)
def test_weights_are_found_wherever_the_model_is(where):
    assert views_of(MODELS[where].fit(X, Y)) == WEIGHTS


@pytest.mark.parametrize(
    "model", [DummyRegressor(), GridSearchCV(DummyRegressor(), {"strategy": ["mean"]}, refit=False)]
)
def test_model_without_views_has_no_weights(model):
    assert views_of(model.fit(X, Y)) == {}


def test_view_that_a_fold_lacks_has_no_weight_in_it():
    found = mean_weights([{"a": 1.0}, {"a": 0.5, "b": 0.5}])
    assert found == {"a": 0.75, "b": 0.25}


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ({"a": 0.1, "b": 0.9, "c": 0.0}, "b 90%, a 10%"),
        ({"a": 0.997, "b": 0.003}, "a 100%, b <1%"),
        ({}, ""),
    ],
)
def test_words_name_what_is_read_the_strongest_first(weights, words):
    assert in_words(weights) == words


def test_table_says_mean_weights_of_models_with_views_and_nothing_of_others():
    table = compared().table
    # Three of four folds train on the sample whose target is 0.
    assert list(table.loc["r2", "views"]) == ["connectivity 60%, states 40%", ""]
    assert list(table.loc["pearson_r", "views"]) == list(table.loc["r2", "views"])


def test_table_of_models_without_views_has_no_such_column(from_values):
    assert "views" not in compare({"mean": DummyRegressor()}, X, Y, cv=2).table
    assert "views" not in from_values({"mean": [0.1, 0.2]}).table


def test_weights_of_each_fold_survive_the_folder_and_an_interruption(tmp_path):
    Weighing.interrupt_at = 2
    with pytest.raises(KeyboardInterrupt):
        compared(folder=tmp_path)
    Weighing.interrupt_at = None
    resumed = compared(folder=tmp_path)
    assert Weighing.fits == 4
    ours = resumed.scores.query("estimator == 'ours' and metric == 'r2'")
    assert [json.loads(text) for text in ours["views"]] == [{"states": 1.0}, *[WEIGHTS] * 3]
    pd.testing.assert_frame_equal(resumed.scores, Comparison.from_csv(tmp_path).scores)


def test_folder_that_was_written_without_views_is_read_and_resumed(tmp_path):
    Weighing.interrupt_at = 2
    with pytest.raises(KeyboardInterrupt):
        compared(folder=tmp_path)
    Weighing.interrupt_at = None
    path = tmp_path / "scores.csv"
    pd.read_csv(path).drop(columns="views").to_csv(path, index=False)
    assert "views" not in Comparison.from_csv(tmp_path).table
    resumed = compared(folder=tmp_path)
    assert Weighing.fits == 4
    told = "connectivity 80%, states 20%"  # by the two folds that say so
    assert list(resumed.table.loc["r2", "views"]) == [told, ""]
    assert list(Comparison.from_csv(tmp_path).table.loc["r2", "views"]) == [told, ""]


def test_brainmae_says_what_it_reads():
    cohort = make_cohort(n_scans=12, n_timepoints=60, n_regions=8, random_state=0)
    ours = BrainMAERegressor(
        window_size=10, crop_length=60, embedding_dim=8, max_epochs=0, views="connectivity"
    )
    found = compare({"ours": ours}, cohort.scans, cohort.traits["static"], cv=2, random_state=0)
    assert list(found.table["views"].unique()) == ["connectivity 100%"]
