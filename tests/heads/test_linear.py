"""Tuned linear heads: against plain loops over all features, and on odd data."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.preprocessing import StandardScaler

from sk_brainmae.heads.linear import (
    STRENGTHS,
    classification_splits,
    fit_classification_head,
    fit_regression_head,
    regression_splits,
)

pytestmark = pytest.mark.filterwarnings("error::sklearn.exceptions.ConvergenceWarning")


def relative_strength(head, features):
    model = head[-1]
    return (model.alpha if hasattr(model, "alpha") else 1 / model.C) / max(features.shape)


@pytest.fixture
def wide():
    """80 samples of 300 features on unequal scales, of which few tell the class and the value."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(80, 300))
    value = features[:, :10].sum(axis=1) + rng.normal(size=80)
    return features * rng.uniform(0.1, 10, size=300), value


@pytest.mark.parametrize("n_features", [300, 12])
def test_a_plain_loop_over_all_features_chooses_the_same_classification_strength(wide, n_features):
    features, value = wide[0][:, :n_features], wide[1]
    y = np.digitize(value, [-2, 2])
    scaled = StandardScaler().fit_transform(features)
    folds = list(StratifiedKFold(5, shuffle=True, random_state=3).split(features, y))
    losses = []
    for strength in STRENGTHS * max(features.shape):
        model = LogisticRegression(C=1 / strength, max_iter=10_000)
        fitted = [(model.fit(scaled[a], y[a]).predict_proba(scaled[b]), y[b]) for a, b in folds]
        losses.append(np.mean([log_loss(truth, p, labels=[0, 1, 2]) for p, truth in fitted]))
    head = fit_classification_head(features, y, random_state=3)
    assert relative_strength(head, features) == pytest.approx(STRENGTHS[np.argmin(losses)])


@pytest.mark.parametrize("n_features", [300, 12])
def test_a_plain_loop_over_all_features_chooses_the_same_regression_strength(wide, n_features):
    features, y = wide[0][:, :n_features], wide[1]
    scaled = StandardScaler().fit_transform(features)
    folds = list(KFold(5, shuffle=True, random_state=3).split(features))
    errors = [
        np.mean([np.mean((Ridge(s).fit(scaled[a], y[a]).predict(scaled[b]) - y[b]) ** 2)
                 for a, b in folds])
        for s in STRENGTHS * max(features.shape)
    ]  # fmt: skip
    head = fit_regression_head(features, y, random_state=3)
    assert relative_strength(head, features) == pytest.approx(STRENGTHS[np.argmin(errors)])


@pytest.mark.parametrize("n_features", [1000, 20])
def test_noise_gets_a_strong_penalty_and_costs_next_to_nothing(n_features):
    strengths, losses = [], []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        features, unseen = rng.normal(size=(2, 100, n_features))
        value, truth = rng.normal(size=(2, 100))
        regression = fit_regression_head(features, value, random_state=0)
        strengths.append(relative_strength(regression, features))
        head = fit_classification_head(features, value > 0, random_state=0)
        losses.append(log_loss(truth > 0, head.predict_proba(unseen)[:, 1]))
    assert np.median(strengths) >= 10
    assert np.mean(losses) < np.log(2) + 0.03


def test_noise_free_signal_gets_a_weak_penalty():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(200, 10))
    y = features @ rng.normal(size=10)
    assert relative_strength(fit_regression_head(features, y, random_state=0), features) <= 1e-4
    head = fit_classification_head(features, y > 0, random_state=0)
    assert relative_strength(head, features) <= 1e-3


def test_multiclass_string_labels_come_back_as_they_went_in(wide):
    features, value = wide
    y = np.array(["low", "mid", "high"])[np.digitize(value, [-1, 1])]
    head = fit_classification_head(features, y, random_state=0)
    assert set(head.predict(features)) <= {"low", "mid", "high"}
    assert head.predict_proba(features).shape == (80, 3)


def test_separable_wide_features_converge():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(60, 3000))
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        head = fit_classification_head(features, features[:, 0] > 0, random_state=0)
    assert head.score(features, features[:, 0] > 0) == 1


def test_groups_never_sit_on_both_sides_of_an_inner_split():
    groups = np.repeat(np.arange(12), 5)
    y = np.tile([0, 1, 1, 0, 1], 12)
    for splits in (classification_splits(y, groups, 0), regression_splits(y, groups, 0)):
        assert len(splits) == 5
        for train, test in splits:
            assert not set(groups[train]) & set(groups[test])


def test_every_inner_training_part_holds_every_class():
    rng = np.random.default_rng(0)
    for seed in range(60):
        groups, y = rng.integers(4, size=12), rng.integers(3, size=12)
        for train, test in classification_splits(y, groups, seed):
            assert set(y[train]) == set(y)
            assert len(test)


def test_classes_missing_from_an_inner_test_part_do_not_fail(wide):
    features = wide[0][:12]
    groups = np.repeat([0, 1, 2, 3], [1, 3, 3, 5])
    y = np.array([1, 2, 1, 0, 2, 2, 0, 1, 1, 2, 0, 1])
    splits = classification_splits(y, groups, 0)
    assert any(set(y[test]) != set(y) for _, test in splits)
    assert fit_classification_head(features, y, groups, 0).predict_proba(features).shape == (12, 3)


@pytest.mark.parametrize(("members", "n_folds"), [(1, 0), (2, 2), (4, 4), (9, 5)])
def test_inner_folds_follow_the_smallest_class(members, n_folds):
    y = np.array([0] * 20 + [1] * members)
    assert len(classification_splits(y, None, 0)) == n_folds


def test_inner_folds_follow_the_class_with_fewest_groups():
    y, groups = np.repeat([0, 1], 20), np.repeat([0, 1, 2, 3, 4, 5, 6, 6], 5)
    assert len(classification_splits(y, groups, 0)) == 3
    assert len(classification_splits(y, y, 0)) == 0


def test_class_with_one_member_takes_a_fixed_strength_and_warns(wide):
    features, _ = wide
    y = np.arange(80) == 7
    with pytest.warns(UserWarning, match="fixed, not tuned") as record:
        head = fit_classification_head(features, y)
    assert relative_strength(head, features) == pytest.approx(1)
    assert record[0].filename == __file__


def test_single_group_takes_a_fixed_strength_and_warns(wide):
    features, y = wide
    with pytest.warns(UserWarning, match="fixed, not tuned"):
        head = fit_regression_head(features, y, groups=np.zeros(80))
    assert relative_strength(head, features) == pytest.approx(1)


def test_same_seed_gives_same_head_and_leaves_the_global_rng_alone(wide):
    features, y = wide
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    a, b = (fit_regression_head(features, y, random_state=1) for _ in range(2))
    np.testing.assert_array_equal(a[-1].coef_, b[-1].coef_)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_one_class_raises(wide):
    with pytest.raises(ValueError, match="one class only"):
        fit_classification_head(wide[0], np.ones(80))


def test_continuous_classes_raise(wide):
    with pytest.raises(ValueError, match="continuous"):
        fit_classification_head(*wide)


@pytest.mark.parametrize("fit", [fit_classification_head, fit_regression_head])
def test_missing_target_values_raise(wide, fit):
    y = np.tile([0.0, 1.0], 40)
    y[3] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        fit(wide[0], y)
    with pytest.raises(ValueError, match="y is masked for 1 samples"):
        fit(wide[0], np.ma.masked_invalid(y))


@pytest.mark.parametrize("fit", [fit_classification_head, fit_regression_head])
def test_no_target_raises(wide, fit):
    with pytest.raises(ValueError, match="requires y to be passed"):
        fit(wide[0], None)


@pytest.mark.parametrize("fit", [fit_classification_head, fit_regression_head])
@pytest.mark.parametrize("short", ["y", "groups"])
def test_other_length_raises(wide, fit, short):
    y, groups = np.tile([0, 1], 40), np.arange(80)
    lengths = {"y": y, "groups": groups} | {short: np.tile([0, 1], 20)}
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        fit(wide[0], **lengths)


# --- features on a scale of their own -----------------------------------------------------------


@pytest.mark.parametrize("n_features", [300, 12])
def test_a_plain_loop_over_centred_features_chooses_the_same_unstandardised_strength(
    wide, n_features
):
    features, y = wide[0][:, :n_features], wide[1]
    centred = features - features.mean(axis=0)
    folds = list(KFold(5, shuffle=True, random_state=3).split(features))
    scale = np.square(centred).sum() / min(features.shape)
    errors = [
        np.mean([np.mean((Ridge(s).fit(centred[a], y[a]).predict(centred[b]) - y[b]) ** 2)
                 for a, b in folds])
        for s in STRENGTHS * scale
    ]  # fmt: skip
    scaler = StandardScaler(with_std=False).fit(features)
    head = fit_regression_head(features, y, random_state=3, scaler=scaler)
    assert head[-1].alpha == pytest.approx(STRENGTHS[np.argmin(errors)] * scale)


def test_unstandardised_heads_trust_large_features_more(wide):
    features, value = wide
    for fit, y in ((fit_classification_head, value > 0), (fit_regression_head, value)):
        small, large = features.std(axis=0) < 1, features.std(axis=0) > 5
        ratios = []
        for standardise in (True, False):
            scaler = StandardScaler(with_std=standardise).fit(features)
            head = fit(features, y, random_state=0, scaler=scaler)
            effect = np.abs(head[-1].coef_.ravel()) * (1 if standardise else features.std(axis=0))
            ratios.append(effect[large].mean() / effect[small].mean())
        assert ratios[1] > 3 * ratios[0]


@pytest.mark.parametrize("standardise", [True, False])
def test_constant_features_give_a_constant_prediction(standardise):
    features = np.ones((20, 3))
    scaler = StandardScaler(with_std=standardise).fit(features)
    head = fit_regression_head(features, np.arange(20.0), scaler=scaler)
    np.testing.assert_allclose(head.predict(np.ones((4, 3))), 9.5)
