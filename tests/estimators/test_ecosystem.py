"""The estimators among scikit-learn's tools: cloning, pipelines, searches, workers, files."""

import pickle
from copy import deepcopy

import joblib
import numpy as np
import pytest
import skops.io
from nilearn.connectome import ConnectivityMeasure
from sklearn import config_context
from sklearn.base import clone
from sklearn.ensemble import StackingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score, cross_validate
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_brainmae import BrainMAEClassifier, BrainMAERegressor, BrainMAETransformer
from sk_brainmae.baselines import ConnectivityFeatures
from sk_brainmae.embedding import VIEWS
from sk_brainmae.timeseries import Window

SUBJECTS = np.repeat(np.arange(6), 2)
MODELS = {
    "transformer": (BrainMAETransformer, {}),
    "classifier": (BrainMAEClassifier, {}),
    "regressor": (BrainMAERegressor, {}),
    "fine-tuned classifier": (BrainMAEClassifier, {"strategy": "finetune"}),
    "fine-tuned regressor": (BrainMAERegressor, {"strategy": "finetune"}),
}
TRUSTED = [
    "sk_brainmae.embedding.connectivity.Connectivity",
    "sk_brainmae.embedding.dynamics.Dynamics",
    "sk_brainmae.embedding.innovations.Innovations",
    "sk_brainmae.embedding.response.Response",
    "sk_brainmae.embedding.signal.Signal",
    "sk_brainmae.embedding.states.StateMean",
    "sk_brainmae.embedding.states.States",
    "sk_brainmae.embedding.tempo.Tempo",
    "sk_brainmae.estimators.transformer.BrainMAETransformer",
    "sk_brainmae.scans.record.ScanRecord",
]


def finest_output(model):
    """Return the method by which a model tells most of scans."""
    return next(
        getattr(model, name)
        for name in ("transform", "predict_proba", "predict")
        if hasattr(model, name)
    )


@pytest.fixture(scope="session")
def models(tiny, target):
    """Unfitted models, each with its target."""
    return {name: (tiny(kind, **params), target(kind)) for name, (kind, params) in MODELS.items()}


@pytest.fixture(scope="session")
def fitted(models, scans):
    return {name: clone(model).fit(scans, y) for name, (model, y) in models.items()}


@pytest.fixture(params=["array", "ragged list"])
def container(request, scans, ragged):
    """The scans as an array, and as a list of unequal lengths."""
    return scans if request.param == "array" else ragged


# --- parameters, copies, files ------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_clone_is_unfitted_and_has_the_same_parameters(scans, fitted, name):
    copy = clone(fitted[name])
    assert copy.get_params() == fitted[name].get_params()
    with pytest.raises(NotFittedError):
        finest_output(copy)(scans)


@pytest.mark.parametrize("name", MODELS)
def test_set_params_sets_what_get_params_tells(models, name):
    before = models[name][0].get_params()
    model = clone(models[name][0]).set_params(mask_ratio=0.3, device="cpu")
    assert model.get_params() == {**before, "mask_ratio": 0.3, "device": "cpu"}
    with pytest.raises(ValueError, match="Invalid parameter 'depth'"):
        model.set_params(depth=3)


COPIES = {
    "deepcopy": deepcopy,
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "skops": lambda model: skops.io.loads(
        skops.io.dumps(model),
        trusted=[*TRUSTED, f"{type(model).__module__}.{type(model).__name__}"],
    ),
}


@pytest.mark.parametrize("copy", COPIES)
@pytest.mark.parametrize("name", MODELS)
def test_copy_gives_identical_output(scans, fitted, name, copy):
    model = COPIES[copy](fitted[name])
    np.testing.assert_array_equal(finest_output(model)(scans), finest_output(fitted[name])(scans))


@pytest.mark.parametrize("name", MODELS)
def test_hash_survives_a_pickle_round_trip(fitted, name):
    assert joblib.hash(pickle.loads(pickle.dumps(fitted[name]))) == joblib.hash(fitted[name])


def test_skops_asks_to_trust_our_classes_alone(fitted):
    asked = skops.io.get_untrusted_types(data=skops.io.dumps(fitted["fine-tuned classifier"]))
    assert asked == sorted([*TRUSTED, "sk_brainmae.estimators.classifier.BrainMAEClassifier"])


# --- pipelines, unions, searches ----------------------------------------------------------------


def test_cross_validated_pipeline_equals_fitting_each_fold_by_hand(tiny, container, values):
    pipeline = make_pipeline(tiny(), StandardScaler(), Ridge())
    folds = [(np.arange(6), np.arange(6, 12)), (np.arange(6, 12), np.arange(6))]
    by_hand = []
    for train, test in folds:
        encoder = tiny().fit([container[i] for i in train])
        embedded = [encoder.transform([container[i] for i in part]) for part in (train, test)]
        scaler = StandardScaler().fit(embedded[0])
        head = Ridge().fit(scaler.transform(embedded[0]), values[train])
        by_hand.append(head.score(scaler.transform(embedded[1]), values[test]))
    scores = cross_val_score(pipeline, container, values, cv=folds, error_score="raise")
    np.testing.assert_allclose(scores, by_hand)


def cached_outputs(folder):
    return len(list(folder.rglob("output.pkl")))


def test_cached_pipeline_fits_once(tiny, scans, values, tmp_path):
    pipeline = Pipeline([("embed", tiny()), ("head", Ridge())], memory=str(tmp_path))
    first = clone(pipeline).fit(scans, values).predict(scans)
    assert cached_outputs(tmp_path) == 1
    second = pickle.loads(pickle.dumps(pipeline)).set_params(head__alpha=1.0).fit(scans, values)
    assert cached_outputs(tmp_path) == 1, "the same fit was not found again"
    np.testing.assert_array_equal(second.predict(scans), first)
    clone(pipeline).set_params(embed__lr=0.01).fit(scans, values)
    assert cached_outputs(tmp_path) == 2


def test_cached_pipeline_finds_a_pretrained_encoder_that_was_stored_and_loaded(
    scans, values, encoder, tmp_path
):
    for model in (encoder, pickle.loads(pickle.dumps(encoder))):
        steps = [("embed", FrozenEstimator(model)), ("head", Ridge())]
        Pipeline(steps, memory=str(tmp_path)).fit(scans, values)
    assert cached_outputs(tmp_path) == 1


def test_feature_union_joins_embeddings_and_connectivity(tiny, scans):
    union = FeatureUnion(
        [
            ("mae", tiny()),
            ("nilearn", ConnectivityMeasure(kind="correlation", vectorize=True)),
            ("ours", ConnectivityFeatures()),
        ]
    )
    features = union.fit_transform(scans)
    alone = [clone(part).fit(scans).transform(scans) for _, part in union.transformer_list]
    np.testing.assert_allclose(features, np.hstack(alone))
    assert features.shape[0] == 12


def test_stacking_takes_scans(container, labels, encoder):
    finetuned = BrainMAEClassifier(
        pretrained=encoder, strategy="finetune", max_epochs=1, random_state=0
    )
    stack = StackingClassifier(
        [("mae", finetuned), ("fc", make_pipeline(ConnectivityFeatures(), LogisticRegression()))],
        final_estimator=LogisticRegression(),
        cv=2,
    )
    assert stack.fit(container, labels).predict_proba(container).shape == (12, 2)
    assert stack.named_estimators_["mae"].encoder_ is not encoder


@pytest.mark.parametrize("name", ["transformer", "fine-tuned classifier"])
def test_grid_search_over_mask_ratio_and_window_size(models, ragged, name):
    grid = [{"mask_ratio": [0.3, (0.0, 0.8)]}, {"window_size": [5]}]
    model, y = models[name]
    search = GridSearchCV(model, grid, cv=2, error_score="raise").fit(ragged, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    again = clone(model).set_params(**search.best_params_).fit(ragged, y)
    np.testing.assert_array_equal(
        finest_output(search.best_estimator_)(ragged), finest_output(again)(ragged)
    )


def test_moments_are_samples_of_a_cross_validation(tiny, scans):
    X = [Window(scan, start, start + 10) for scan in scans for start in (0, 20, 40)]
    groups = np.repeat(np.arange(12), 3)
    model = tiny(BrainMAEClassifier, strategy="finetune")
    y = np.tile([0, 1, 0, 1, 1, 0], 6)
    scores = cross_val_score(model, X, y, cv=GroupKFold(3), groups=groups, error_score="raise")
    assert scores.shape == (3,)


def test_what_is_pretrained_reaches_the_scores_of_a_search(tiny, scans, values):
    """A grid over a parameter of pretraining would be idle if heads read closed forms alone."""
    model = tiny(BrainMAERegressor, views=("states", "dynamics"), max_epochs=3)
    search = GridSearchCV(model, {"mask_ratio": [0.1, 0.7]}, cv=2, error_score="raise")
    scores = search.fit(scans, values).cv_results_["mean_test_score"]
    assert abs(scores[0] - scores[1]) > 1e-6


# --- metadata routing ---------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:on held-out scans the network")
def test_groups_reach_validation_share_and_all_folds_of_a_nested_search(tiny, scans, labels):
    model = tiny(
        BrainMAEClassifier,
        max_epochs=3,
        validation_fraction=0.5,
        init="random",
        strategy="finetune",
    )
    with config_context(enable_metadata_routing=True):
        search = GridSearchCV(
            clone(model).set_fit_request(groups=True),
            {"lr": [0.01]},
            cv=GroupKFold(3),
            error_score="raise",
        )
        result = cross_validate(
            search,
            scans,
            labels,
            cv=GroupKFold(2),
            params={"groups": SUBJECTS},
            return_estimator=True,
            return_indices=True,
            error_score="raise",
        )
    for found, train in zip(result["estimator"], result["indices"]["train"], strict=True):
        model.set_params(**found.best_params_)
        with_groups = model.fit(scans[train], labels[train], groups=SUBJECTS[train])
        expected = with_groups.predict_proba(scans)
        np.testing.assert_array_equal(found.predict_proba(scans), expected)
        without_groups = model.fit(scans[train], labels[train]).predict_proba(scans)
        assert not np.array_equal(without_groups, expected), "groups made no difference"


@pytest.mark.filterwarnings("ignore:on held-out scans the network")
def test_groups_reach_the_transformer_through_a_pipeline(tiny, scans, values):
    model = tiny(validation_fraction=0.5, init="random")
    with config_context(enable_metadata_routing=True):
        pipeline = make_pipeline(clone(model).set_fit_request(groups=True), Ridge())
        pipeline.fit(scans, values, groups=SUBJECTS)
    expected = clone(model).fit(scans, groups=SUBJECTS).roi_embeddings_
    np.testing.assert_array_equal(pipeline[0].roi_embeddings_, expected)
    assert not np.array_equal(clone(model).fit(scans).roi_embeddings_, expected)


# --- workers ------------------------------------------------------------------------------------


def test_fitted_models_give_identical_output_in_other_processes(one_thread, scans, fitted):
    there = joblib.Parallel(n_jobs=2)(
        joblib.delayed(finest_output(model))(scans) for model in fitted.values()
    )
    for (name, model), found in zip(fitted.items(), there, strict=True):
        np.testing.assert_array_equal(found, finest_output(model)(scans), err_msg=name)


@pytest.mark.parametrize("name", ["regressor", "fine-tuned regressor"])
def test_two_workers_score_like_one(one_thread, models, container, values, name):
    serial, parallel = (
        cross_val_score(models[name][0], container, values, cv=2, n_jobs=n, error_score="raise")
        for n in (1, 2)
    )
    np.testing.assert_array_equal(serial, parallel)


def test_two_workers_search_like_one(one_thread, tiny, scans):
    serial, parallel = (
        GridSearchCV(tiny(), {"mask_ratio": [0.3, 0.6]}, cv=2, n_jobs=n, error_score="raise").fit(
            scans
        )
        for n in (1, 2)
    )
    for key in ("split0_test_score", "split1_test_score"):
        np.testing.assert_array_equal(serial.cv_results_[key], parallel.cv_results_[key])
    np.testing.assert_array_equal(serial.transform(scans), parallel.transform(scans))


# --- output and display -------------------------------------------------------------------------


@pytest.mark.parametrize("view", VIEWS)
def test_pandas_output_has_the_names_of_the_features(scans, by_view, n_features, view):
    model = deepcopy(by_view[view]).set_output(transform="pandas")
    frame = model.transform(scans)
    assert model.get_feature_names_out().tolist() == frame.columns.tolist()
    assert all(name.startswith(f"{view}_") for name in frame.columns)
    assert frame.columns.is_unique
    assert frame.shape == (12, n_features[view])


@pytest.mark.parametrize("name", MODELS)
def test_html_shows_the_estimator(fitted, name):
    html = make_pipeline(fitted[name])._repr_html_()
    assert type(fitted[name]).__name__ in html
    assert "mask_ratio" in html
