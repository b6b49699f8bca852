"""The estimators among scikit-learn's tools: cloning, pipelines, searches, workers, files."""

import pickle
import subprocess
import sys
from copy import deepcopy

import joblib
import numpy as np
import pytest
import skops.io
import torch
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
from threadpoolctl import threadpool_limits

from sk_brainmae import BrainMAEClassifier, BrainMAERegressor, BrainMAETransformer
from sk_brainmae.baselines import ConnectivityFeatures
from sk_brainmae.datasets import make_cohort
from sk_brainmae.timeseries import Window

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
SUBJECTS = np.repeat(np.arange(6), 2)

TRUSTED = [
    "sk_brainmae.embedding.moments.MomentSpace",
    "sk_brainmae.embedding.covariance.LatentSpace",
    "sk_brainmae.estimators.transformer.BrainMAETransformer",
]
MODELS = {
    "transformer": (BrainMAETransformer(**TINY), None),
    "classifier": (BrainMAEClassifier(**TINY), LABELS),
    "regressor": (BrainMAERegressor(**TINY), VALUES),
    "fine-tuned classifier": (BrainMAEClassifier(**TINY, strategy="finetune"), LABELS),
    "fine-tuned regressor": (BrainMAERegressor(**TINY, strategy="finetune"), VALUES),
}


def output(model, X):
    """Return what a fitted model makes of scans, in its finest detail."""
    for method in ("transform", "predict_proba", "predict"):
        if hasattr(model, method):
            return getattr(model, method)(X)
    raise TypeError(model)


@pytest.fixture(scope="module")
def scans():
    return make_cohort(n_scans=12, n_timepoints=60, n_regions=10, random_state=0).scans


@pytest.fixture(scope="module")
def ragged(scans):
    return [scan[: 60 - 3 * i] for i, scan in enumerate(scans)]


@pytest.fixture(scope="module")
def fitted(scans):
    return {name: clone(model).fit(scans, y) for name, (model, y) in MODELS.items()}


@pytest.fixture(scope="module")
def encoder(fitted):
    return fitted["transformer"]


# --- parameters, copies, files ------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_clone_is_unfitted_and_has_the_same_parameters(scans, fitted, name):
    copy = clone(fitted[name])
    assert copy.get_params() == fitted[name].get_params()
    with pytest.raises(NotFittedError):
        output(copy, scans)


@pytest.mark.parametrize("name", MODELS)
def test_set_params_sets_what_get_params_tells(name):
    model = clone(MODELS[name][0])
    model.set_params(mask_ratio=0.3, device="cpu")
    assert model.get_params() == {
        **MODELS[name][0].get_params(),
        "mask_ratio": 0.3,
        "device": "cpu",
    }
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
def test_a_copy_gives_identical_output(scans, fitted, name, copy):
    model = COPIES[copy](fitted[name])
    np.testing.assert_array_equal(output(model, scans), output(fitted[name], scans))


@pytest.mark.parametrize("name", MODELS)
def test_hash_survives_a_pickle_round_trip(fitted, name):
    assert joblib.hash(pickle.loads(pickle.dumps(fitted[name]))) == joblib.hash(fitted[name])


def test_skops_asks_to_trust_our_classes_alone(fitted):
    asked = skops.io.get_untrusted_types(data=skops.io.dumps(fitted["fine-tuned classifier"]))
    assert asked == sorted([*TRUSTED, "sk_brainmae.estimators.classifier.BrainMAEClassifier"])


def test_models_load_in_another_process_with_identical_output(scans, fitted, tmp_path):
    joblib.dump((fitted, scans), tmp_path / "models.joblib")
    script = (
        "import joblib, numpy as np, sys, torch\n"
        "torch.set_num_threads(int(sys.argv[2]))\n"
        "models, scans = joblib.load(sys.argv[1] + '/models.joblib')\n"
        "for name, model in models.items():\n"
        "    predict = getattr(model, 'transform', None) or model.predict\n"
        "    np.save(f'{sys.argv[1]}/{name}.npy', predict(scans))\n"
    )
    arguments = [str(tmp_path), str(torch.get_num_threads())]
    subprocess.run([sys.executable, "-c", script, *arguments], check=True)
    for name, model in fitted.items():
        here = getattr(model, "transform", None) or model.predict
        np.testing.assert_array_equal(np.load(tmp_path / f"{name}.npy"), here(scans), err_msg=name)


# --- the pretrained encoder is data -------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["probe", "finetune"])
def test_clones_share_the_pretrained_encoder_and_nothing_changes_it(scans, encoder, strategy):
    before = joblib.hash(encoder)
    model = BrainMAERegressor(pretrained=encoder, strategy=strategy, max_epochs=2, random_state=0)
    assert clone(model).pretrained is encoder
    assert clone(make_pipeline(model))[0].pretrained is encoder
    cross_val_score(model, scans, VALUES, cv=2, error_score="raise")
    grid = {"pooling": ["mean", "cls"], "lr": [0.01]}
    search = GridSearchCV(model, grid, cv=2, error_score="raise").fit(scans, VALUES)
    assert search.best_estimator_.pretrained is encoder
    assert joblib.hash(encoder) == before


# --- pipelines, unions, searches ----------------------------------------------------------------


@pytest.mark.parametrize("container", ["array", "ragged list"])
def test_cross_validated_pipeline_equals_fitting_each_fold_by_hand(scans, ragged, container):
    X = scans if container == "array" else ragged
    pipeline = make_pipeline(BrainMAETransformer(**TINY), StandardScaler(), Ridge())
    folds = [(np.arange(6), np.arange(6, 12)), (np.arange(6, 12), np.arange(6))]
    by_hand = []
    for train, test in folds:
        encoder = BrainMAETransformer(**TINY).fit([X[i] for i in train])
        embedded = [encoder.transform([X[i] for i in part]) for part in (train, test)]
        scaler = StandardScaler().fit(embedded[0])
        head = Ridge().fit(scaler.transform(embedded[0]), VALUES[train])
        by_hand.append(head.score(scaler.transform(embedded[1]), VALUES[test]))
    scores = cross_val_score(pipeline, X, VALUES, cv=folds, error_score="raise")
    np.testing.assert_allclose(scores, by_hand)


def cached_outputs(folder):
    return len(list(folder.rglob("output.pkl")))


def test_cached_pipeline_fits_once(scans, tmp_path):
    pipeline = Pipeline(
        [("embed", BrainMAETransformer(**TINY)), ("head", Ridge())], memory=str(tmp_path)
    )
    first = clone(pipeline).fit(scans, VALUES).predict(scans)
    assert cached_outputs(tmp_path) == 1
    second = pickle.loads(pickle.dumps(pipeline)).set_params(head__alpha=1.0).fit(scans, VALUES)
    assert cached_outputs(tmp_path) == 1, "the same fit was not found again"
    np.testing.assert_array_equal(second.predict(scans), first)
    clone(pipeline).set_params(embed__lr=0.01).fit(scans, VALUES)
    assert cached_outputs(tmp_path) == 2


def test_cached_pipeline_finds_a_pretrained_encoder_that_was_stored_and_loaded(
    scans, encoder, tmp_path
):
    for model in (encoder, pickle.loads(pickle.dumps(encoder))):
        steps = [("embed", FrozenEstimator(model)), ("head", Ridge())]
        Pipeline(steps, memory=str(tmp_path)).fit(scans, VALUES)
    assert cached_outputs(tmp_path) == 1


def test_feature_union_joins_embeddings_and_connectivity(scans):
    union = FeatureUnion(
        [
            ("mae", BrainMAETransformer(**TINY)),
            ("nilearn", ConnectivityMeasure(kind="correlation", vectorize=True)),
            ("ours", ConnectivityFeatures()),
        ]
    )
    features = union.fit_transform(scans)
    alone = [clone(part).fit(scans).transform(scans) for _, part in union.transformer_list]
    np.testing.assert_allclose(features, np.hstack(alone))
    assert features.shape[0] == 12


@pytest.mark.parametrize("container", ["array", "ragged list"])
def test_stacking_takes_scans(scans, ragged, container, encoder):
    X = scans if container == "array" else ragged
    stack = StackingClassifier(
        [
            ("mae", BrainMAEClassifier(pretrained=encoder, strategy="finetune", max_epochs=1)),
            ("fc", make_pipeline(ConnectivityFeatures(), LogisticRegression())),
        ],
        final_estimator=LogisticRegression(),
        cv=2,
    )
    assert stack.fit(X, LABELS).predict_proba(X).shape == (12, 2)
    assert stack.named_estimators_["mae"].encoder_ is not encoder


@pytest.mark.parametrize("name", ["transformer", "fine-tuned classifier"])
def test_grid_search_over_mask_ratio_and_window_size(ragged, name):
    grid = {"mask_ratio": [0.3, (0.0, 0.8)], "window_size": [5, 10]}
    model, y = MODELS[name]
    search = GridSearchCV(model, grid, cv=2, error_score="raise").fit(ragged, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    again = clone(model).set_params(**search.best_params_).fit(ragged, y)
    np.testing.assert_array_equal(output(search.best_estimator_, ragged), output(again, ragged))


def test_windows_are_samples_of_a_cross_validation(scans):
    X = [Window(scan, start, start + 10) for scan in scans for start in (0, 20, 40)]
    groups = np.repeat(np.arange(12), 3)
    model = BrainMAEClassifier(**TINY, strategy="finetune")
    y = np.tile([0, 1, 0, 1, 1, 0], 6)
    scores = cross_val_score(model, X, y, cv=GroupKFold(3), groups=groups, error_score="raise")
    assert scores.shape == (3,)


# --- metadata routing ---------------------------------------------------------------------------


def test_groups_reach_validation_share_and_all_folds_of_a_nested_search(scans):
    model = BrainMAEClassifier(
        **{**TINY, "max_epochs": 3, "validation_fraction": 0.5, "init": "random"},
        strategy="finetune",
    )
    with config_context(enable_metadata_routing=True):
        search = GridSearchCV(
            clone(model).set_fit_request(groups=True),
            {"lr": [0.003, 0.01]},
            cv=GroupKFold(3),
            error_score="raise",
        )
        result = cross_validate(
            search,
            scans,
            LABELS,
            cv=GroupKFold(2),
            params={"groups": SUBJECTS},
            return_estimator=True,
            return_indices=True,
            error_score="raise",
        )
    for found, train in zip(result["estimator"], result["indices"]["train"], strict=True):
        model.set_params(**found.best_params_)
        with_groups = model.fit(scans[train], LABELS[train], groups=SUBJECTS[train])
        expected = with_groups.predict_proba(scans)
        np.testing.assert_array_equal(found.predict_proba(scans), expected)
        without_groups = model.fit(scans[train], LABELS[train]).predict_proba(scans)
        assert not np.array_equal(without_groups, expected), "groups made no difference"


def test_groups_reach_the_transformer_through_a_pipeline(scans):
    model = BrainMAETransformer(**{**TINY, "validation_fraction": 0.5, "init": "random"})
    with config_context(enable_metadata_routing=True):
        pipeline = make_pipeline(clone(model).set_fit_request(groups=True), Ridge())
        pipeline.fit(scans, VALUES, groups=SUBJECTS)
    expected = clone(model).fit(scans, groups=SUBJECTS).roi_embeddings_
    np.testing.assert_array_equal(pipeline[0].roi_embeddings_, expected)
    assert not np.array_equal(clone(model).fit(scans).roi_embeddings_, expected)


# --- workers ------------------------------------------------------------------------------------


@pytest.fixture
def one_thread():
    """One thread here and in workers.

    Threads share out sums, so another number of them gives other last digits: scores then agree
    to about 1e-8 instead of bit by bit.
    """
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpool_limits(1), joblib.parallel_config("loky", inner_max_num_threads=1):
        yield
    torch.set_num_threads(n_threads)


@pytest.mark.parametrize("container", ["array", "ragged list"])
def test_two_workers_score_like_one(one_thread, scans, ragged, container):
    X = scans if container == "array" else ragged
    for model in (MODELS["regressor"][0], MODELS["fine-tuned regressor"][0]):
        serial, parallel = (
            cross_val_score(model, X, VALUES, cv=2, n_jobs=n_jobs, error_score="raise")
            for n_jobs in (1, 2)
        )
        np.testing.assert_array_equal(serial, parallel)


def test_two_workers_search_like_one(one_thread, scans):
    model, y = MODELS["transformer"]
    serial, parallel = (
        GridSearchCV(model, {"mask_ratio": [0.3, 0.6]}, cv=2, n_jobs=n_jobs, error_score="raise")
        .fit(scans, y)
        for n_jobs in (1, 2)
    )  # fmt: skip
    for key in ("split0_test_score", "split1_test_score"):
        np.testing.assert_array_equal(serial.cv_results_[key], parallel.cv_results_[key])
    np.testing.assert_array_equal(serial.transform(scans), parallel.transform(scans))


# --- output and display -------------------------------------------------------------------------


@pytest.mark.parametrize("pooling", ["covariance", "state", "mean", "cls"])
def test_pandas_output_has_the_names_of_the_features(scans, pooling):
    model = BrainMAETransformer(**TINY, pooling=pooling).set_output(transform="pandas")
    frame = model.fit_transform(scans)
    spaces = {"covariance": model._spaces["latent_space"], "state": model._spaces["moment_space"]}
    n_features = spaces[pooling].n_features if pooling in spaces else 8
    names = [f"brainmaetransformer{i}" for i in range(n_features)]
    assert model.get_feature_names_out().tolist() == frame.columns.tolist() == names
    assert frame.shape == (12, n_features)


@pytest.mark.parametrize("name", MODELS)
def test_html_shows_the_estimator(fitted, name):
    html = make_pipeline(fitted[name])._repr_html_()
    assert type(fitted[name]).__name__ in html
    assert "mask_ratio" in html
