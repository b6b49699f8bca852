"""Unlabelled scans take part in pretraining, and in nothing else."""

import numpy as np
import pytest

from sk_brainmae import BrainMAEClassifier, BrainMAERegressor, BrainMAETransformer
from sk_brainmae.datasets import make_cohort
from sk_brainmae.estimators.classifier import HEAD_SEED
from sk_brainmae.heads.linear import fit_classification_head, fit_regression_head
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
LABELLED = np.arange(16) % 4 > 0
GROUPS = np.repeat(np.arange(8), 2)
CLASSES = np.where(LABELLED, np.arange(16) % 2, -1)
VALUES = np.where(LABELLED, np.random.default_rng(0).normal(size=16), np.nan)
ESTIMATORS = {
    "classifier": (BrainMAEClassifier, CLASSES, fit_classification_head),
    "regressor": (BrainMAERegressor, VALUES, fit_regression_head),
}


@pytest.fixture(scope="module")
def scans():
    return make_cohort(n_scans=16, n_timepoints=60, n_regions=10, random_state=0).scans


@pytest.mark.parametrize("groups", [None, GROUPS])
@pytest.mark.parametrize("name", ESTIMATORS)
def test_encoder_sees_all_scans_and_the_head_the_labelled_ones(scans, name, groups):
    estimator, y, fit_head = ESTIMATORS[name]
    model = estimator(**TINY).fit(scans, y, groups=groups)
    seed = model.encoder_.random_state
    encoder = BrainMAETransformer(**{**TINY, "random_state": seed}).fit(scans, groups=groups)
    without = BrainMAETransformer(**{**TINY, "random_state": seed}).fit(scans[LABELLED])
    np.testing.assert_array_equal(model.encoder_.roi_embeddings_, encoder.roi_embeddings_)
    assert not np.allclose(model.encoder_.roi_embeddings_, without.roi_embeddings_)

    some = None if groups is None else groups[LABELLED]
    head = fit_head(encoder.transform(scans[LABELLED]), y[LABELLED], some, HEAD_SEED)
    np.testing.assert_array_equal(model.head_[-1].coef_, head[-1].coef_)
    np.testing.assert_array_equal(
        model.predict(scans), head.predict(encoder.transform(scans)).astype(y.dtype)
    )


@pytest.mark.parametrize("name", ESTIMATORS)
def test_finetuning_equals_that_of_the_labelled_scans_alone(scans, name):
    estimator, y, _ = ESTIMATORS[name]
    model = estimator(**TINY, strategy="finetune").fit(scans, y)
    seed = model.encoder_.random_state
    encoder = BrainMAETransformer(**{**TINY, "random_state": seed}).fit(scans)
    alone = estimator(**TINY, strategy="finetune", pretrained=encoder)
    alone.fit(scans[LABELLED], y[LABELLED])
    np.testing.assert_array_equal(model.predict(scans), alone.predict(scans))


def test_classes_are_those_of_the_labelled_scans(scans):
    names = np.where(LABELLED, np.where(np.arange(16) % 2, "task", "rest"), None)
    for y, expected in ((CLASSES, [0, 1]), (names, ["rest", "task"])):
        model = BrainMAEClassifier(**TINY).fit(scans, y)
        assert model.classes_.tolist() == expected
        assert model.predict_proba(scans).shape == (16, 2)
        assert 0 <= model.score(scans[LABELLED], y[LABELLED]) <= 1


@pytest.mark.parametrize("strategy", ["probe", "finetune"])
def test_moments_of_unlabelled_runs_are_pretrained_on(scans, strategy):
    runs = list(scans)
    X = [Window(run, start, start + 10) for run in runs for start in (0, 20, 40)]
    y = np.where(np.repeat(LABELLED, 3), np.arange(48) % 2, -1)
    model = BrainMAEClassifier(**TINY, strategy=strategy).fit(X, y)
    seen = [window for window, label in zip(X, y, strict=True) if label >= 0]
    without = BrainMAEClassifier(**TINY, strategy=strategy).fit(seen, y[y >= 0])
    assert model.pooling_ == without.pooling_ == ("state" if strategy == "probe" else "mean")
    assert not np.allclose(model.encoder_.roi_embeddings_, without.encoder_.roi_embeddings_)
    if strategy == "probe":
        encoder = model.encoder_
        runs = np.repeat(np.arange(16), 3)[y >= 0]
        head = fit_classification_head(
            encoder.transform(seen), y[y >= 0], runs, HEAD_SEED, standardise=False
        )
        np.testing.assert_array_equal(model.head_[-1].coef_, head[-1].coef_)


def test_whole_unlabelled_scans_beside_labelled_moments_leave_the_pooling_to_the_moments(scans):
    X = [Window(scan, 20, 30) for scan in scans[:8]] + list(scans[8:])
    y = np.r_[np.arange(8) % 2, np.full(8, -1)]
    assert BrainMAEClassifier(**TINY).fit(X, y).pooling_ == "state"


@pytest.mark.parametrize("name", ESTIMATORS)
def test_unlabelled_scans_beside_a_pretrained_encoder_warn_with_their_count(scans, name):
    estimator, y, _ = ESTIMATORS[name]
    encoder = BrainMAETransformer(**TINY).fit(scans)
    with pytest.warns(UserWarning, match="4 of 16 scans are unlabelled and have no effect"):
        model = estimator(pretrained=encoder).fit(scans, y)
    alone = estimator(pretrained=encoder).fit(scans[LABELLED], y[LABELLED])
    np.testing.assert_array_equal(model.predict(scans), alone.predict(scans))
