"""BrainMAEClassifier and BrainMAERegressor: heads, fine-tuning, groups, moments, labels, errors."""

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from sk_brainmae import BrainMAEClassifier, BrainMAERegressor
from sk_brainmae.embedding import SHARES
from sk_brainmae.embedding.registry import OF_MOMENTS, OF_SCANS
from sk_brainmae.estimators import supervised
from sk_brainmae.estimators.supervised import HEAD_SEED
from sk_brainmae.heads.views import fit_weighing_head
from sk_brainmae.timeseries import Window

KINDS = [BrainMAEClassifier, BrainMAERegressor]
STRATEGIES = ["probe", "finetune"]


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


# --- heads and fine-tuning ----------------------------------------------------------------------


def test_pretraining_inside_fit_is_that_of_the_transformer(tiny, scans, values):
    groups = np.repeat(np.arange(4), 3)
    model = tiny(BrainMAERegressor, validation_fraction=0.4).fit(scans, values, groups=groups)
    seed = model.encoder_.random_state
    alone = tiny(validation_fraction=0.4, random_state=seed).fit(scans, groups=groups)
    np.testing.assert_array_equal(model.encoder_.roi_embeddings_, alone.roi_embeddings_)
    np.testing.assert_array_equal(model.encoder_.transform(scans), alone.transform(scans))


@pytest.mark.parametrize("kind", KINDS)
def test_without_epochs_both_strategies_are_a_linear_head_on_an_untrained_encoder(
    tiny, scans, target, kind
):
    probe, finetune = (
        tiny(kind, max_epochs=0, strategy=s).fit(scans, target(kind)) for s in STRATEGIES
    )
    assert len(probe.history_) == len(finetune.history_) == 0
    assert tuple(finetune.view_weights_) == tuple(v for v in OF_SCANS if v != "dynamics")
    np.testing.assert_array_equal(probe.predict(scans), finetune.predict(scans))


def test_finetuning_learns_an_easy_task_above_chance(tiny, states):
    X, y, runs = states
    model = tiny(BrainMAEClassifier, max_epochs=10, lr=0.01, strategy="finetune")
    assert model.fit(X, y, groups=runs).score(X, y) > 0.8
    probability = model.predict_proba(X)
    assert probability.shape == (48, 3)
    np.testing.assert_allclose(probability.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(model.classes_[probability.argmax(axis=1)], model.predict(X))
    stages = model.history_["stage"].value_counts().to_dict()
    assert stages == {"pretraining": 10, "fine-tuning": 10}
    assert model.history_["epoch"].tolist() == [*range(1, 11)] * 2


def test_probing_decodes_moments_of_unseen_runs(tiny, states):
    X, y, runs = states
    train, test = np.flatnonzero(runs < 3), np.flatnonzero(runs == 3)
    model = tiny(BrainMAEClassifier).fit([X[i] for i in train], y[train])
    assert model.score([X[i] for i in test], y[test]) > 0.6


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_labels_come_back_as_they_were_given(tiny, scans, labels, strategy):
    model = tiny(BrainMAEClassifier, strategy=strategy).fit(scans, labels)
    assert model.classes_.tolist() == ["rest", "task"]
    assert set(model.predict(scans)) <= {"rest", "task"}
    assert model.predict_proba(scans).shape == (12, 2)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_regressor_predicts_in_the_units_of_the_target(scans, values, encoder, strategy):
    model = BrainMAERegressor(
        pretrained=encoder, strategy=strategy, max_epochs=10, lr=0.01, random_state=0
    )
    plain = model.fit(scans, values).predict(scans)
    other = model.fit(scans, 1000 + 50 * values).predict(scans)
    np.testing.assert_allclose(other, 1000 + 50 * plain, rtol=1e-4)
    if strategy == "finetune":
        assert model.score(scans, 1000 + 50 * values) > 0.1, "nothing learned: units untested"


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("kind", KINDS)
def test_same_seed_gives_identical_predictions_and_another_seed_does_not(
    tiny, scans, target, kind, strategy
):
    def output(seed):
        model = tiny(kind, random_state=seed, strategy=strategy, views="state_mean")
        model.fit(scans, target(kind))
        return getattr(model, "predict_proba", model.predict)(scans)

    first = output(0)
    np.testing.assert_array_equal(output(0), first)
    assert not np.array_equal(output(1), first)


@pytest.mark.parametrize("kind", KINDS)
def test_head_reads_the_views_with_a_weight_alone(tiny, scans, target, kind):
    model = tiny(kind).fit(scans, target(kind))
    assert tuple(model.view_weights_) == OF_SCANS
    assert sum(model.view_weights_.values()) == pytest.approx(1)
    assert model.views_ == tuple(name for name, share in model.view_weights_.items() if share)
    embedded = model.encoder_._embed_views(model._read(scans), model.views_)
    np.testing.assert_array_equal(
        model.head_.predict(np.hstack(list(embedded.values()))), model.predict(scans)
    )


@pytest.mark.parametrize("views", ["connectivity", "states", ("state_mean", "cls"), ["response"]])
def test_finetuning_of_what_training_does_not_change_raises(tiny, values, views):
    model = tiny(BrainMAERegressor, strategy="finetune", views=views)
    with pytest.raises(ValueError, match="cannot be fine-tuned: use 'state_mean' or 'cls'"):
        model.fit(None, values)


@pytest.mark.parametrize("views", ["state_mean", "cls"])
def test_fine_tuned_model_predicts_what_the_trained_network_says(
    tiny, scans, values, monkeypatch, views
):
    """With the weights and the bias that fine-tuning found, on window states or CLS tokens."""
    found, finetune = [], supervised.finetune

    def keep(*args, **kwargs):
        found.append(finetune(*args, **kwargs))
        return found[0]

    monkeypatch.setattr(supervised, "finetune", keep)
    model = tiny(BrainMAERegressor, strategy="finetune", views=views, max_epochs=3)
    predicted = model.fit(scans, values).predict(scans)
    (weight, bias, _), states = found[0], model.encoder_._encode(model._read(scans))
    read = states[1] if views == "cls" else [of_scan.mean(axis=0) for of_scan in states[0]]
    outputs = np.stack(list(read)) @ weight[0] + bias[0]
    np.testing.assert_allclose(predicted, outputs * values.std() + values.mean(), atol=1e-4)


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


def test_validation_of_finetuning_takes_or_leaves_a_group_as_one(scans, values, encoder):
    model = BrainMAERegressor(
        pretrained=encoder,
        strategy="finetune",
        max_epochs=2,  # the head starts at zero: what the first epoch loses depends on y alone
        patience=2,
        validation_fraction=0.4,
        random_state=0,
    )
    groups = np.array(list("abcdabcd"))
    out = held_out_scans(model, scans[:8], values[:8], groups)
    assert len(out) == 4, "0.4 of four groups are two of them"
    assert set(groups[out]).isdisjoint(np.delete(groups, out))


def test_finetuning_when_a_class_is_held_out_whole_still_knows_it(scans, encoder):
    y, groups = np.repeat([0, 1], 6), np.repeat([0, 1, 2], [3, 3, 6])
    for seed in range(4):  # in some of them group 2, the whole class 1, is the validation share
        model = BrainMAEClassifier(
            pretrained=encoder,
            strategy="finetune",
            max_epochs=1,
            validation_fraction=0.3,
            random_state=seed,
        )
        assert model.fit(scans, y, groups=groups).predict_proba(scans).shape == (12, 2)


def test_moments_of_one_run_stay_together_in_the_inner_folds(scans, encoder):
    """Moments nearly tell which run they are from, and each run has its own random value."""
    X = [Window(scan, start, start + 50) for scan in scans for start in (0, 3, 6, 9)]
    runs = np.repeat(np.arange(12), 4)
    y = np.random.default_rng(5).normal(size=12)[runs]
    model = BrainMAERegressor(pretrained=encoder, views="connectivity")
    without, by_run, apart = (
        model.fit(X, y, groups=groups).head_[-1].alpha for groups in (None, runs, np.arange(len(X)))
    )
    assert without == by_run > 10 * apart, "moments of a run on both sides: too weak a penalty"


# --- moments of scans ---------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_prediction_of_a_moment_looks_at_its_own_run_alone(tiny, states, strategy):
    X, y, _ = states
    views = {"probe": "response", "finetune": "auto"}[strategy]
    model = tiny(BrainMAEClassifier, strategy=strategy, views=views).fit(X, y)
    expected = model.predict_proba(X)[:12]
    other_runs = [Window(moment.scan[::-1], moment.start, moment.stop) for moment in X[12:]]
    np.testing.assert_allclose(model.predict_proba(X[:12] + other_runs)[:12], expected, rtol=1e-4)

    outside = X[0].scan.copy()
    outside[10:] = outside[:9:-1]
    changed = model.predict_proba([Window(outside, 0, 10)])[0]
    assert not np.allclose(changed, expected[0], rtol=1e-4, atol=0), "context was not used"


# --- unlabelled scans take part in pretraining, and in nothing else -----------------------------

LABELLED = np.arange(12) % 4 > 0
PARTLY = {
    BrainMAEClassifier: np.where(LABELLED, np.arange(12) % 2, -1),
    BrainMAERegressor: np.where(LABELLED, np.random.default_rng(0).normal(size=12), np.nan),
}
TASKS = {BrainMAEClassifier: "classification", BrainMAERegressor: "regression"}


def fit_head(encoder, X, y, groups, kind, views):
    """Fit the head of a predictor on an encoder's views."""
    embedded = encoder._embed_views(encoder._read(X), views)
    return fit_weighing_head(embedded, y, groups, HEAD_SEED, task=TASKS[kind], shares=SHARES)


@pytest.mark.parametrize("groups", [None, np.repeat(np.arange(6), 2)], ids=["alone", "groups"])
@pytest.mark.parametrize("kind", KINDS)
def test_encoder_sees_all_scans_and_the_head_the_labelled_ones(tiny, scans, kind, groups):
    y = PARTLY[kind]
    model = tiny(kind).fit(scans, y, groups=groups)
    seed = model.encoder_.random_state
    encoder = tiny(random_state=seed).fit(scans, groups=groups)
    without = tiny(random_state=seed).fit(scans[LABELLED])
    np.testing.assert_array_equal(model.encoder_.roi_embeddings_, encoder.roi_embeddings_)
    assert not np.allclose(model.encoder_.roi_embeddings_, without.roi_embeddings_)

    some = None if groups is None else groups[LABELLED]
    head, weights = fit_head(encoder, scans[LABELLED], y[LABELLED], some, kind, OF_SCANS)
    assert model.view_weights_ == weights
    np.testing.assert_array_equal(model.head_[-1].coef_, head[-1].coef_)


@pytest.mark.parametrize("kind", KINDS)
def test_finetuning_equals_that_of_the_labelled_scans_alone(tiny, scans, kind):
    y = PARTLY[kind]
    model = tiny(kind, strategy="finetune").fit(scans, y)
    encoder = tiny(random_state=model.encoder_.random_state).fit(scans)
    alone = tiny(kind, strategy="finetune", pretrained=encoder)
    alone.fit(scans[LABELLED], y[LABELLED])
    np.testing.assert_array_equal(model.predict(scans), alone.predict(scans))


@pytest.mark.parametrize(
    ("y", "classes"),
    [
        (PARTLY[BrainMAEClassifier], [0, 1]),
        (np.where(LABELLED, np.where(np.arange(12) % 2, "task", "rest"), None), ["rest", "task"]),
    ],
    ids=["numbers", "strings"],
)
def test_classes_are_those_of_the_labelled_scans(scans, encoder, y, classes):
    with pytest.warns(UserWarning, match="3 of 12 scans are unlabelled and have no effect"):
        model = BrainMAEClassifier(pretrained=encoder).fit(scans, y)
    assert model.classes_.tolist() == classes
    assert model.predict_proba(scans).shape == (12, 2)
    assert 0 <= model.score(scans[LABELLED], y[LABELLED]) <= 1


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_moments_of_unlabelled_runs_are_pretrained_on(tiny, scans, strategy):
    X = [Window(run, start, start + 10) for run in list(scans) for start in (0, 20, 40)]
    y = np.where(np.repeat(LABELLED, 3), np.arange(36) % 2, -1)
    model = tiny(BrainMAEClassifier, strategy=strategy).fit(X, y)
    seen = [moment for moment, label in zip(X, y, strict=True) if label >= 0]
    without = tiny(BrainMAEClassifier, strategy=strategy).fit(seen, y[y >= 0])
    views = {"probe": OF_MOMENTS, "finetune": ("state_mean",)}[strategy]
    assert tuple(model.view_weights_) == tuple(without.view_weights_) == views
    assert not np.allclose(model.encoder_.roi_embeddings_, without.encoder_.roi_embeddings_)
    if strategy == "probe":
        runs = np.repeat(np.arange(12), 3)[y >= 0]
        head, _ = fit_head(model.encoder_, seen, y[y >= 0], runs, BrainMAEClassifier, OF_MOMENTS)
        np.testing.assert_array_equal(model.head_[-1].coef_, head[-1].coef_)


def test_whole_unlabelled_scans_beside_labelled_moments_leave_the_views_to_the_moments(tiny, scans):
    X = [Window(scan, 20, 30) for scan in scans[:8]] + list(scans[8:])
    y = np.r_[np.arange(8) % 2, np.full(4, -1)]
    model = tiny(BrainMAEClassifier, max_epochs=0).fit(X, y)
    assert tuple(model.view_weights_) == tuple(v for v in OF_MOMENTS if v != "dynamics")


# --- bad input ----------------------------------------------------------------------------------

BAD_TARGETS = [
    (BrainMAEClassifier, np.tile([0, 1], 5), "inconsistent numbers of samples"),
    (BrainMAEClassifier, np.zeros(12, dtype=int), "one class only"),
    (BrainMAEClassifier, None, "requires y to be passed"),
    (BrainMAEClassifier, np.linspace(0, 1, 12), "Unknown label type"),
    (BrainMAERegressor, np.arange(11.0), "inconsistent numbers of samples"),
    (BrainMAERegressor, None, "requires y to be passed"),
    (BrainMAERegressor, np.r_[np.inf, np.arange(11.0)], "infinity"),
    (BrainMAERegressor, np.array(["rest", "task"] * 6), "could not convert string to float"),
]


@pytest.mark.parametrize(("kind", "y", "message"), BAD_TARGETS)
def test_bad_target_raises_and_leaves_the_model_unfitted(tiny, scans, kind, y, message):
    model = tiny(kind)
    with pytest.raises(ValueError, match=message):
        model.fit(scans, y)
    with pytest.raises(NotFittedError):
        model.predict(scans)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_another_region_count_than_in_fit_raises(scans, values, encoder, strategy):
    model = BrainMAERegressor(pretrained=encoder, strategy=strategy, max_epochs=1, random_state=0)
    model.fit(scans, values)
    with pytest.raises(ValueError, match="have 9 regions, but the model was fitted on 10"):
        model.predict(scans[:, :, :9])


@pytest.mark.parametrize(
    ("kind", "method", "arguments"),
    [
        (BrainMAEClassifier, "predict", [None]),
        (BrainMAEClassifier, "predict_proba", [None]),
        (BrainMAEClassifier, "score", [None, [0, 1]]),
        (BrainMAERegressor, "predict", [None]),
        (BrainMAERegressor, "score", [None, [0.0, 1.0]]),
    ],
)
def test_unfitted_use_raises_before_the_scans_are_looked_at(kind, method, arguments):
    with pytest.raises(NotFittedError):
        getattr(kind(), method)(*arguments)


@pytest.mark.parametrize("kind", KINDS)
def test_unfitted_history_raises(kind):
    with pytest.raises(NotFittedError):
        kind().history_  # noqa: B018


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stage", ["scans", "target", "groups", "views", "head"])
def test_fit_that_fails_leaves_no_mix_of_two_models(tiny, scans, target, monkeypatch, kind, stage):
    y = target(kind)
    model = tiny(kind, max_epochs=0).fit(scans, y)
    bad = {
        "scans": (np.full_like(scans, np.inf), y, None),
        "target": (scans, y[:1], None),
        "groups": (scans, y, [np.nan] * 12),
    }
    if stage == "head":
        monkeypatch.setattr(supervised, "fit_weighing_head", None)
    if stage == "views":
        model.set_params(views="dynamics")
    X, y, groups = bad.get(stage, (scans, y, None))
    with pytest.raises((ValueError, TypeError)):
        model.fit(X, y, groups)
    with pytest.raises(NotFittedError):
        model.predict(scans)


def test_odd_scans_are_warned_of_once(tiny, scans):
    X, y = [*scans, scans[3]], [0, 1] * 6 + [1]
    with pytest.warns(UserWarning, match="scans look odd") as told:
        tiny(BrainMAEClassifier, max_epochs=0).fit(X, y)
    assert sum("look odd" in str(warning.message) for warning in told) == 1
