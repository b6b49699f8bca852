"""BrainMAEClassifier and BrainMAERegressor: pretrained encoders, heads, Windows, errors."""

import joblib
import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from sk_brainmae import BrainMAEClassifier, BrainMAERegressor, BrainMAETransformer
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
ESTIMATORS = [BrainMAEClassifier, BrainMAERegressor]
STRATEGIES = ["probe", "finetune"]
LABELS = np.array(["rest", "task"] * 6)
VALUES = np.random.default_rng(0).normal(size=12)


def target(estimator):
    return LABELS if estimator is BrainMAEClassifier else VALUES


@pytest.fixture(scope="module")
def scans():
    return make_cohort(n_scans=12, n_timepoints=60, n_regions=10, random_state=0).scans


@pytest.fixture(scope="module")
def pretrained(scans):
    return BrainMAETransformer(**TINY).fit(scans)


@pytest.fixture
def unchanged(pretrained):
    """Fail a test that changes the encoder it was given."""
    before = {name: weight.tobytes() for name, weight in pretrained.weights_.items()}
    embedding = joblib.hash(pretrained._spaces["latent_space"])
    params = pretrained.get_params()
    yield pretrained
    assert {name: weight.tobytes() for name, weight in pretrained.weights_.items()} == before
    assert joblib.hash(pretrained._spaces["latent_space"]) == embedding
    assert pretrained.get_params() == params


@pytest.fixture(scope="module")
def states():
    """Twelve moments of each of four runs, in which a third of the regions is up or down."""
    rng = np.random.default_rng(0)
    runs = rng.normal(size=(4, 240, 10))
    y = rng.permutation(np.tile([0, 1, 2], 16)).reshape(4, 12)
    for run, labels in zip(runs, y, strict=True):
        for k, label in enumerate(labels):
            run[20 * k : 20 * k + 10, 3 * label : 3 * label + 3] += 2
    X = [Window(run, 20 * k, 20 * k + 10) for run in runs for k in range(12)]
    return X, y.ravel(), np.repeat(np.arange(4), 12)


# --- the pretrained encoder ---------------------------------------------------------------------


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_fit_and_predict_leave_the_pretrained_encoder_as_it_is(
    scans, unchanged, estimator, strategy
):
    params = {"max_epochs": 2, "validation_fraction": 0, "random_state": 0}
    model = estimator(pretrained=unchanged, strategy=strategy, **params)
    model.fit(scans, target(estimator)).predict(scans)
    same = np.array_equal(model.encoder_.roi_embeddings_, unchanged.roi_embeddings_)
    assert same == (strategy == "probe")


def test_pretraining_inside_fit_is_that_of_the_transformer(scans):
    params, groups = {**TINY, "validation_fraction": 0.4}, np.repeat(np.arange(4), 3)
    model = BrainMAERegressor(**params).fit(scans, VALUES, groups=groups)
    seed = model.encoder_.random_state
    alone = BrainMAETransformer(**{**params, "random_state": seed}).fit(scans, groups=groups)
    np.testing.assert_array_equal(model.encoder_.transform(scans), alone.transform(scans))


def test_windows_are_as_long_as_the_pretrained_encoders(scans):
    short = scans[:, :12, :9]  # one window of the encoder, none of the default's 15 frames
    encoder = BrainMAETransformer(**TINY).fit(scans[:, :, :9])
    model = BrainMAERegressor(pretrained=encoder).fit(short, VALUES)
    assert model.predict(short).shape == (12,)
    with pytest.raises(ValueError, match="fewer than one window of 10"):
        model.predict(scans[:, :9, :9])


def test_unfitted_pretrained_encoder_raises(scans):
    with pytest.raises(NotFittedError, match="pretrained must be a fitted"):
        BrainMAERegressor(pretrained=BrainMAETransformer()).fit(scans, VALUES)


def test_pretrained_that_is_no_encoder_raises(scans):
    with pytest.raises(ValueError, match="'pretrained' parameter"):
        BrainMAERegressor(pretrained=3).fit(scans, VALUES)
    with pytest.raises(FileNotFoundError, match="no model folder 'nowhere'"):
        BrainMAERegressor(pretrained="nowhere").fit(scans, VALUES)


@pytest.mark.parametrize(
    "params", [{"window_size": 12}, {"embedding_dim": 16}, {"attention": "vanilla"}, {"t_r": 2}]
)
def test_parameter_that_the_pretrained_encoder_overrides_raises(scans, pretrained, params):
    name = next(iter(params))
    with pytest.raises(ValueError, match=f"{name}=.* would have no effect"):
        BrainMAERegressor(pretrained=pretrained, **params).fit(scans, VALUES)


def test_setting_a_parameter_of_the_pretrained_encoder_raises(unchanged):
    model = BrainMAERegressor(pretrained=unchanged)
    with pytest.raises(ValueError, match="fitted already"):
        model.set_params(pretrained__max_epochs=5)
    assert "pretrained__max_epochs" not in model.get_params(deep=True)


def test_scans_of_other_regions_than_the_pretrained_encoders_raise(scans, pretrained):
    with pytest.raises(ValueError, match="9 regions, but the pretrained encoder was fitted on 10"):
        BrainMAERegressor(pretrained=pretrained).fit(scans[:, :, :9], VALUES)


# --- heads and fine-tuning ----------------------------------------------------------------------


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_without_epochs_both_strategies_are_a_linear_head_on_a_random_encoder(scans, estimator):
    params = {**TINY, "max_epochs": 0}
    probe, finetune = (estimator(**params, strategy=s).fit(scans, target(estimator))
                       for s in STRATEGIES)  # fmt: skip
    assert len(probe.history_) == len(finetune.history_) == 0
    assert finetune.pooling_ == "covariance"
    np.testing.assert_array_equal(probe.predict(scans), finetune.predict(scans))


def test_finetuning_learns_an_easy_task_above_chance(states):
    X, y, runs = states
    model = BrainMAEClassifier(**{**TINY, "max_epochs": 10, "lr": 0.01}, strategy="finetune")
    assert model.fit(X, y, groups=runs).score(X, y) > 0.8
    probability = model.predict_proba(X)
    assert probability.shape == (48, 3)
    np.testing.assert_allclose(probability.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(model.classes_[probability.argmax(axis=1)], model.predict(X))
    assert model.history_["stage"].value_counts().to_dict() == {
        "pretraining": 10,
        "fine-tuning": 10,
    }
    assert model.history_["epoch"].tolist() == [*range(1, 11)] * 2


def test_probing_decodes_moments_of_unseen_runs(states):
    X, y, runs = states
    train = runs < 3
    model = BrainMAEClassifier(**{**TINY, "max_epochs": 5})
    model.fit([X[i] for i in np.flatnonzero(train)], y[train])
    assert model.score([X[i] for i in np.flatnonzero(~train)], y[~train]) > 0.6


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_labels_come_back_as_they_were_given(scans, strategy):
    model = BrainMAEClassifier(**TINY, strategy=strategy).fit(scans, LABELS)
    assert model.classes_.tolist() == ["rest", "task"]
    assert set(model.predict(scans)) <= {"rest", "task"}
    assert model.predict_proba(scans).shape == (12, 2)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_regressor_predicts_in_the_units_of_the_target(scans, pretrained, strategy):
    model = BrainMAERegressor(
        pretrained=pretrained, strategy=strategy, max_epochs=10, lr=0.01, random_state=0
    )
    plain = model.fit(scans, VALUES).predict(scans)
    other = model.fit(scans, 1000 + 50 * VALUES).predict(scans)
    np.testing.assert_allclose(other, 1000 + 50 * plain, rtol=1e-4)
    if strategy == "finetune":
        assert model.score(scans, 1000 + 50 * VALUES) > 0.1, "nothing learned: units untested"


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_same_seed_gives_identical_predictions_and_another_seed_does_not(
    scans, estimator, strategy
):
    def output(seed):
        model = estimator(**{**TINY, "random_state": seed}, strategy=strategy, pooling="mean")
        model.fit(scans, target(estimator))
        return getattr(model, "predict_proba", model.predict)(scans)

    np.testing.assert_array_equal(output(0), output(0))
    assert not np.array_equal(output(0), output(1))


@pytest.mark.parametrize("pooling", ["mean", "cls", "covariance", "state"])
def test_head_reads_the_pooling_that_was_asked_for(scans, pretrained, pooling):
    model = BrainMAERegressor(pretrained=pretrained, pooling=pooling).fit(scans, VALUES)
    spaces = {
        "covariance": pretrained._spaces["latent_space"],
        "state": pretrained._spaces["moment_space"],
    }
    n_features = spaces[pooling].n_features if pooling in spaces else 8
    assert model.head_.n_features_in_ == n_features


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_states_keep_their_scale_in_front_of_the_head(states, estimator):
    X, y, _ = states
    model = estimator(**{**TINY, "max_epochs": 0}).fit(X, y)
    assert model.pooling_ == "state"
    assert not model.head_[0].with_std
    assert model.set_params(pooling="mean").fit(X, y).head_[0].with_std


@pytest.mark.parametrize("pooling", ["covariance", "state"])
def test_finetuning_of_closed_form_pooling_raises(scans, pooling):
    model = BrainMAERegressor(**TINY, strategy="finetune", pooling=pooling)
    with pytest.raises(ValueError, match="cannot be fine-tuned"):
        model.fit(scans, VALUES)


# --- groups -------------------------------------------------------------------------------------


def held_out_scans(model, scans, y, groups):
    """Return the scans whose signal changes no training loss, and so were not trained on."""

    def training_loss(X):
        return model.fit(X, y, groups=groups).history_["train_loss"].iloc[-1]

    loss, out = training_loss(scans), []
    for i in range(len(scans)):
        changed = scans.copy()
        changed[i] = changed[i, ::-1]
        if training_loss(changed) == loss:
            out.append(i)
    return out


def test_validation_of_finetuning_takes_or_leaves_a_group_as_one(scans, pretrained):
    model = BrainMAERegressor(
        pretrained=pretrained,
        strategy="finetune",
        max_epochs=2,  # the head starts at zero: what the first epoch loses depends on y alone
        patience=2,
        validation_fraction=0.4,
        random_state=0,
    )
    groups = np.array(list("abcdabcdabcd"))
    out = held_out_scans(model, scans, VALUES, groups)
    assert len(out) == 6, "0.4 of four groups are two of them"
    assert set(groups[out]).isdisjoint(np.delete(groups, out))


def test_finetuning_when_a_class_is_held_out_whole_still_knows_it(scans, pretrained):
    y, groups = np.repeat([0, 1], 6), np.repeat([0, 1, 2], [3, 3, 6])
    for seed in range(4):  # in some of them group 2, the whole class 1, is the validation share
        model = BrainMAEClassifier(
            pretrained=pretrained,
            strategy="finetune",
            max_epochs=1,
            validation_fraction=0.3,
            random_state=seed,
        )
        assert model.fit(scans, y, groups=groups).predict_proba(scans).shape == (12, 2)


def overlapping_moments(scans):
    """Moments of a run that nearly tell which run it is, each run with its own random value."""
    X = [Window(scan, start, start + 50) for scan in scans for start in (0, 3, 6, 9)]
    runs = np.repeat(np.arange(12), 4)
    return X, np.random.default_rng(5).normal(size=12)[runs], runs


def test_moments_of_one_run_stay_together_in_the_inner_folds(scans, pretrained):
    X, y, runs = overlapping_moments(scans)
    model = BrainMAERegressor(pretrained=pretrained, pooling="covariance")
    without, by_run, apart = (
        model.fit(X, y, groups=groups).head_[-1].alpha for groups in (None, runs, np.arange(len(X)))
    )
    assert without == by_run > 10 * apart, "moments of a run on both sides: too weak a penalty"


# --- Windows ------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_prediction_of_a_moment_looks_at_its_own_run_alone(states, strategy):
    X, y, _ = states
    model = BrainMAEClassifier(**TINY, strategy=strategy).fit(X, y)
    assert model.pooling_ == ("state" if strategy == "probe" else "mean")
    expected = model.predict_proba(X)[:12]
    other_runs = [Window(window.scan[::-1], window.start, window.stop) for window in X[12:]]
    np.testing.assert_allclose(model.predict_proba(X[:12] + other_runs)[:12], expected, rtol=1e-4)

    outside = X[0].scan.copy()
    outside[10:] = outside[:9:-1]
    changed = model.predict_proba([Window(outside, 0, 10)])[0]
    assert not np.allclose(changed, expected[0], rtol=1e-4, atol=0), "context was not used"


# --- bad input ----------------------------------------------------------------------------------

BAD_TARGETS = [
    (BrainMAEClassifier, np.tile([0, 1], 5), "inconsistent numbers of samples"),
    (BrainMAEClassifier, np.zeros(12, dtype=int), "one class only"),
    (BrainMAEClassifier, None, "requires y to be passed"),
    (BrainMAEClassifier, np.r_[np.nan, np.tile([0.0, 1.0], 6)[1:]], "NaN"),
    (BrainMAEClassifier, VALUES, "Unknown label type"),
    (BrainMAERegressor, VALUES[:11], "inconsistent numbers of samples"),
    (BrainMAERegressor, None, "requires y to be passed"),
    (BrainMAERegressor, np.r_[np.inf, VALUES[1:]], "infinity"),
    (BrainMAERegressor, LABELS, "could not convert string to float"),
]


@pytest.mark.parametrize(("estimator", "y", "message"), BAD_TARGETS)
def test_bad_target_raises_and_leaves_the_model_unfitted(scans, estimator, y, message):
    model = estimator(**TINY)
    with pytest.raises(ValueError, match=message):
        model.fit(scans, y)
    with pytest.raises(NotFittedError):
        model.predict(scans)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"mask_ratio": 1.0}, "mask_ratio"),
        ({"attention": "sparse"}, "attention"),
        ({"strategy": "guess"}, "strategy"),
        ({"window_size": 40}, "longer than crop_length"),
        ({"device": "cuda:99"}, "cannot be used here"),
    ],
)
def test_bad_parameter_raises_before_the_scans_are_looked_at(estimator, params, message):
    with pytest.raises(ValueError, match=message):
        estimator(**{**TINY, **params}).fit(None, target(estimator))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_another_region_count_than_in_fit_raises(scans, strategy):
    model = BrainMAERegressor(**TINY, strategy=strategy).fit(scans, VALUES)
    with pytest.raises(ValueError, match="have 9 regions"):
        model.predict(scans[:, :, :9])


@pytest.mark.parametrize(
    ("estimator", "method"),
    [
        (BrainMAEClassifier, "predict"),
        (BrainMAEClassifier, "predict_proba"),
        (BrainMAERegressor, "predict"),
    ],
)
def test_unfitted_use_raises_before_the_scans_are_looked_at(estimator, method):
    with pytest.raises(NotFittedError):
        getattr(estimator(), method)(None)


def test_what_is_set_at_the_pretrained_encoder_later_changes_no_prediction(scans):
    encoder = BrainMAETransformer(**TINY, t_r=2.0).fit(scans)
    model = BrainMAERegressor(pretrained=encoder).fit(scans, VALUES)
    expected = model.predict(scans, t_r=2.0)
    encoder.set_params(t_r=1.0, window_size=4)
    np.testing.assert_array_equal(model.predict(scans, t_r=2.0), expected)


def test_unfitted_history_raises():
    with pytest.raises(NotFittedError):
        BrainMAERegressor().history_  # noqa: B018


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("stage", ["scans", "target", "groups", "components", "head"])
def test_a_fit_that_fails_leaves_no_mix_of_two_models(scans, monkeypatch, estimator, stage):
    y = target(estimator)
    model = estimator(**{**TINY, "max_epochs": 0}).fit(scans, y)
    bad = {
        "scans": (np.full_like(scans, np.inf), y, None),
        "target": (scans, y[:1], None),
        "groups": (scans, y, [np.nan] * 12),
    }
    if stage == "head":
        monkeypatch.setattr(estimator, "_fit_head", None)
    if stage == "components":
        model.set_params(n_components=99)
    X, y, groups = bad.get(stage, (scans, y, None))
    with pytest.raises((ValueError, TypeError)):
        model.fit(X, y, groups)
    with pytest.raises(NotFittedError):
        model.predict(scans)
