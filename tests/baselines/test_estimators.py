import pickle

import numpy as np
import pytest
import sklearn
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, cross_val_score
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import SVC
from sklearn.utils import get_tags

from sk_brainmae.baselines import (
    ConnectivityBaseline,
    ConnectivityFeatures,
    FeatureBaseline,
    FlatWindow,
    MeanActivation,
    StackedBaseline,
    estimators,
)
from sk_brainmae.baselines.heads import fit_head
from sk_brainmae.timeseries import Window

pytestmark = pytest.mark.usefixtures("coarse_heads")


@pytest.fixture
def scans():
    """40 scans whose regions 0 and 1 go together the more, the higher the value."""
    rng = np.random.default_rng(0)
    value = np.r_[np.linspace(-1.5, -0.5, 20), np.linspace(0.5, 1.5, 20)]
    X = rng.normal(size=(40, 80, 5))
    X[:, :, 1] += value[:, None] * X[:, :, 0]
    return X, (value > 0).astype(int), value


@pytest.fixture
def trials():
    """64 trials in 8 runs of 4 subjects; region 2 is active in class "hot"."""
    rng = np.random.default_rng(0)
    runs = [rng.normal(size=(100, 4)) for _ in range(8)]
    X = [Window(run, start, start + 6) for run in runs for start in range(5, 93, 12)]
    y = np.tile(["hot", "warm"], 32)
    for window, label in zip(X, y, strict=True):
        window.scan[window.start : window.stop, 2] += 2 * (label == "hot")
    return X, y, np.repeat(np.arange(4), 16)


@pytest.mark.parametrize("kind", ["correlation", "partial correlation", "tangent"])
def test_connectivity_baseline_finds_connectivity_in_both_tasks(kind, scans):
    X, y, value = scans
    classifier = ConnectivityBaseline(kind, random_state=0)
    regressor = ConnectivityBaseline(kind, task="regression", random_state=0)
    folds = KFold(3, shuffle=True, random_state=0)
    assert cross_val_score(classifier, X, y, cv=folds).mean() > 0.8
    assert cross_val_score(regressor, X, value, cv=folds).mean() > 0.6


def test_trials_are_decoded_by_mean_activation_and_flat_window(trials):
    X, y, subjects = trials
    for features in (MeanActivation(), FlatWindow()):
        model = FeatureBaseline(features, random_state=0)
        assert cross_val_score(model, X, y, groups=subjects, cv=GroupKFold(2)).mean() > 0.8


def test_probabilities_follow_classes_and_predictions(trials):
    X, y, _ = trials
    model = FeatureBaseline(MeanActivation(), random_state=0).fit(X, y)
    probability = model.predict_proba(X)
    np.testing.assert_allclose(probability.sum(axis=1), 1)
    np.testing.assert_array_equal(model.classes_, ["hot", "warm"])
    np.testing.assert_array_equal(model.classes_[probability.argmax(axis=1)], model.predict(X))
    np.testing.assert_array_equal(model.decision_function(X) > 0, probability[:, 1] > 0.5)
    assert model.score(X, y) == np.mean(model.predict(X) == y)


def test_regression_offers_no_probabilities(scans):
    model = ConnectivityBaseline(task="regression")
    assert not hasattr(model, "predict_proba")
    assert not hasattr(model, "decision_function")


@pytest.mark.parametrize(
    ("task", "is_it"), [("classification", is_classifier), ("regression", is_regressor)]
)
def test_tags_say_the_task_and_ask_for_scans(task, is_it):
    for model in (ConnectivityBaseline(task=task), FeatureBaseline(FlatWindow(), task=task)):
        tags = get_tags(model)
        assert is_it(model)
        assert is_classifier(model) != is_regressor(model)
        assert tags.input_tags.three_d_array
        assert not tags.input_tags.two_d_array
        assert tags.target_tags.required


def groups_given_to_the_head(monkeypatch, fit):
    """Call ``fit`` and return the groups that the inner cross-validation gets to see."""
    seen = []

    def spy(task, head, features, y, groups, random_state):
        seen.append(groups)
        return fit_head(task, head, features, y, groups, random_state)

    monkeypatch.setattr(estimators, "fit_head", spy)
    fit()
    return seen[0]


def test_windows_of_a_run_are_one_inner_group_by_default(monkeypatch, trials):
    X, y, _ = trials
    model = FeatureBaseline(FlatWindow(), random_state=0)
    groups = groups_given_to_the_head(monkeypatch, lambda: model.fit(X, y))
    np.testing.assert_array_equal(groups, np.repeat(np.arange(8), 8))


def test_given_groups_are_the_inner_groups(monkeypatch, trials):
    X, y, subjects = trials
    model = FeatureBaseline(FlatWindow(), random_state=0)
    groups = groups_given_to_the_head(monkeypatch, lambda: model.fit(X, y, groups=subjects))
    np.testing.assert_array_equal(groups, subjects)


def test_whole_scans_are_no_groups(monkeypatch, scans):
    X, y, _ = scans
    model = ConnectivityBaseline("correlation", random_state=0)
    assert groups_given_to_the_head(monkeypatch, lambda: model.fit(X, y)) is None


def test_tuning_does_not_trust_features_that_only_name_the_run(trials):
    """Features that name the run, classes that go with it: only ungrouped tuning trusts them."""
    X, _, _ = trials
    y = np.repeat([0, 1, 1, 0, 1, 0, 0, 1], 8)
    fingerprints = np.random.default_rng(0).normal(size=(8, 200))
    names = FunctionTransformer(lambda X: fingerprints[[_run_of(w, trials[0]) for w in X]])
    grouped = FeatureBaseline(names, random_state=0).fit(X, y).head_[-1].C
    ungrouped = FeatureBaseline(names, random_state=0).fit(X, y, groups=np.arange(64)).head_[-1].C
    assert grouped < ungrouped / 100


def _run_of(window, X):
    return next(i // 8 for i, other in enumerate(X) if other.scan is window.scan)


def test_groups_are_routed_to_fit_through_cross_validation(trials):
    X, y, subjects = trials
    with sklearn.config_context(enable_metadata_routing=True):
        model = FeatureBaseline(MeanActivation(), random_state=0).set_fit_request(groups=True)
        params = {"groups": np.where(subjects < 3, subjects, 7)}
        assert cross_val_score(model, X, y, cv=GroupKFold(4), params=params).mean() > 0.8
        with pytest.raises(ValueError, match="inconsistent numbers of samples"):
            model.fit(X, y, groups=subjects[1:])


def test_grid_search_reaches_features_and_kind(scans, trials):
    X, y, _ = scans
    grid = {"kind": ["correlation", "tangent"]}
    search = GridSearchCV(ConnectivityBaseline(random_state=0), grid, cv=2, error_score="raise")
    assert search.fit(X, y).score(X, y) > 0.8
    X, y, _ = trials
    nested = {"features__kind": ["correlation", "partial correlation"]}
    model = FeatureBaseline(ConnectivityFeatures(), random_state=0)
    search = GridSearchCV(model, nested, cv=2, error_score="raise").fit(X, y)
    assert search.best_estimator_.features_.kind in nested["features__kind"]


def test_pipeline_union_and_another_head_take_scans(scans):
    X, y, _ = scans
    union = FeatureUnion([("flat", FlatWindow()), ("fc", ConnectivityFeatures("correlation"))])
    assert FeatureBaseline(union, random_state=0).fit(X, y).head_[0].n_features_in_ == 5 * 80 + 10
    assert make_pipeline(ConnectivityBaseline(random_state=0)).fit(X, y).score(X, y) > 0.8
    svm = make_pipeline(ConnectivityFeatures("correlation"), SVC())
    assert cross_val_score(svm, X, y, cv=3).mean() > 0.7


def test_pandas_output_changes_no_prediction(scans):
    X, y, _ = scans
    expected = ConnectivityBaseline(random_state=0).fit(X, y).predict_proba(X)
    with sklearn.config_context(transform_output="pandas"):
        frames = ConnectivityBaseline(random_state=0).fit(X, y).predict_proba(X)
    np.testing.assert_array_equal(frames, expected)


def test_clone_and_pickle_keep_parameters_and_predictions(scans):
    X, y, _ = scans
    model = FeatureBaseline(ConnectivityFeatures("correlation"), random_state=0).fit(X, y)
    loaded = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
    again = clone(model)
    assert again.get_params()["features__kind"] == "correlation"
    np.testing.assert_array_equal(again.fit(X, y).predict_proba(X), model.predict_proba(X))
    assert not hasattr(model.features, "n_features_in_")


def test_list_array_and_ragged_scans_are_taken(scans):
    X, y, _ = scans
    model = ConnectivityBaseline(random_state=0).fit(list(X), y)
    np.testing.assert_array_equal(model.predict_proba(X), model.predict_proba(list(X)))
    assert model.predict([scan[: 50 + i] for i, scan in enumerate(X[:5])]).shape == (5,)
    assert model.n_features_in_ == 5


def test_constant_region_is_warned_of_once_at_fit(scans):
    X, y, _ = scans
    X[3, :, 4] = 1
    with pytest.warns(UserWarning, match="constant regions") as record:
        ConnectivityBaseline(random_state=0).fit(X, y)
    assert len(record) == 1


def test_bad_scans_raise(scans):
    X, y, _ = scans
    with pytest.raises(NotFittedError):
        ConnectivityBaseline().predict(X)
    model = ConnectivityBaseline(random_state=0).fit(X, y)
    with pytest.raises(ValueError, match="4 regions, but the model was fitted on 5"):
        model.predict(X[:, :, :4])
    X[2, 7, 1] = np.inf
    with pytest.raises(ValueError, match="scan 2 has inf at frame 7, region 1"):
        model.predict(X)


def test_bad_targets_raise(scans):
    X, y, value = scans
    with pytest.raises(ValueError, match="one class only"):
        ConnectivityBaseline().fit(X, np.ones(40))
    with pytest.raises(ValueError, match="continuous"):
        ConnectivityBaseline().fit(X, value)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        ConnectivityBaseline().fit(X, y[:-1])
    value[0] = np.inf
    with pytest.raises(ValueError, match="infinity"):
        ConnectivityBaseline(task="regression").fit(X, value)


def test_unknown_task_raises(scans):
    with pytest.raises(ValueError, match="unknown task 'ranking'"):
        ConnectivityBaseline(task="ranking").fit(*scans[:2])


LABELS = {
    "classification": (np.resize([0, 1, 2, -1], 40), lambda y: y >= 0),
    "regression": (np.where(np.arange(40) % 4, np.linspace(0, 1, 40), np.nan), np.isfinite),
}
MODELS = {
    "connectivity": ConnectivityBaseline("correlation", random_state=0),
    "stacked": StackedBaseline([("FC", ConnectivityFeatures())], random_state=0),
}


@pytest.mark.parametrize("task", LABELS)
@pytest.mark.parametrize("name", MODELS)
def test_unlabelled_scans_are_left_out_of_fit_and_score_with_their_count(scans, task, name):
    X, y, known = scans[0], *LABELS[task]
    model = clone(MODELS[name]).set_params(task=task)
    with pytest.warns(UserWarning, match="10 of 40 scans are unlabelled.* are left out: an oppon"):
        model.fit(X, y)
    alone = clone(model).fit(X[known(y)], y[known(y)])
    np.testing.assert_array_equal(model.predict(X), alone.predict(X))
    with pytest.warns(UserWarning, match="10 of 40 scans are unlabelled.* left out of the score"):
        score = model.score(X, y)
    assert score == alone.score(X[known(y)], y[known(y)])


def test_likert_scale_with_minus_one_is_refused_as_by_the_model(scans):
    with pytest.raises(ValueError, match="y is -1 for 8 scans, beside other negative labels"):
        ConnectivityBaseline().fit(scans[0], np.tile(np.arange(-2, 3), 8))


def test_integers_of_type_object_can_be_scored(scans):
    X, y, _ = scans
    model = ConnectivityBaseline("correlation", random_state=0).fit(X, y.astype(object))
    assert model.score(X, y.astype(object)) == model.score(X, y)


def test_group_that_is_a_text_for_a_missing_one_raises(scans):
    with pytest.raises(ValueError, match="the group of scan 1 is the text 'n/a'"):
        ConnectivityBaseline().fit(*scans[:2], groups=["a", "n/a"] * 20)
