"""The head that weighs views: what speaks gets the weight, and the model is scikit-learn's."""

import warnings

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GroupKFold

from sk_brainmae.heads.linear import mean_eigenvalue
from sk_brainmae.heads.views import fit_weighing_head

N = 80
FEW_STRENGTHS = np.logspace(2, -4, 4)
SIZES = {"connectivity": 200, "innovations": 150, "tempo": 10, "states": 60}
SHARES = {"connectivity": 0.7, "innovations": 0.2, "tempo": 0.05, "states": 0.05}
TASKS = ["classification", "regression"]


@pytest.fixture(autouse=True)
def _coarse_grid(monkeypatch):
    """Let heads choose among few strengths: most of the time of a fit goes there."""
    monkeypatch.setattr("sk_brainmae.heads.linear.STRENGTHS", FEW_STRENGTHS)


def simulate(speaks=None, seed=0, n=N, strength=1.0):
    """Return views of noise on unequal scales, of which one tells a value, and nearly the value."""
    rng = np.random.default_rng(seed)
    value = rng.normal(size=n)
    y = value + 0.5 * rng.normal(size=n)
    views = {}
    for scale, (name, size) in enumerate(SIZES.items()):
        views[name] = rng.normal(size=(n, size))
        if name == speaks:
            views[name] += strength * value[:, None] * rng.choice([-1, 1], size=size)
        views[name] = (10.0**scale * (views[name] + 3)).astype(np.float32)
    return views, y


def target(value, task):
    return value if task == "regression" else (value > 0).astype(int)


def fit(views, y, task, groups=None, seed=0, shares=SHARES):
    return fit_weighing_head(views, y, groups, seed, task=task, shares=shares)


def side_by_side(views, weights):
    return np.concatenate([views[name] for name, weight in weights.items() if weight], axis=1)


# --- which views count --------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("speaks", SIZES)
def test_the_view_that_speaks_gets_the_weight(speaks, task):
    views, value = simulate(speaks)
    _, weights = fit(views, target(value, task), task)
    assert weights[speaks] >= 0.1 - 1e-9  # at least beside the reference
    noise = [weights[name] for name in views if name not in ("connectivity", speaks)]
    assert max(noise) <= weights[speaks]
    assert list(weights) == list(views)


@pytest.mark.parametrize("task", TASKS)
def test_views_of_noise_leave_the_reference_alone(task):
    alone = 0
    for seed in range(3):
        views, value = simulate("connectivity", seed=seed, strength=0.3)
        _, weights = fit(views, target(value, task), task)
        alone += weights["connectivity"] == 1
    assert alone >= 2


def test_two_views_that_each_tell_a_part_are_both_read():
    rng = np.random.default_rng(0)
    parts = rng.normal(size=(2, N))
    views, _ = simulate()
    for part, name in zip(parts, ("connectivity", "innovations"), strict=True):
        signs = rng.choice([-1, 1], size=SIZES[name])
        views[name] = rng.normal(size=(N, SIZES[name])) + part[:, None] * signs
    _, weights = fit(views, parts.sum(axis=0), "regression")
    assert weights["connectivity"] > 0.1
    assert weights["innovations"] > 0.1


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("speaks", ["connectivity", "tempo", None])
def test_weights_are_shares_that_sum_to_1(speaks, task):
    views, value = simulate(speaks)
    _, weights = fit(views, target(value, task), task)
    assert set(weights) == set(views)
    assert sum(weights.values()) == pytest.approx(1)
    assert min(weights.values()) >= 0


def test_the_better_of_two_references_is_the_one_to_beat():
    for speaks in ("connectivity", "response"):
        views, value = simulate("connectivity" if speaks == "connectivity" else None)
        rng = np.random.default_rng(1)
        views["response"] = rng.normal(size=(N, 90))
        if speaks == "response":
            views["response"] += value[:, None]
        _, weights = fit(views, value, "regression", shares={**SHARES, "response": 0.7})
        assert weights[speaks] == max(weights.values())


@pytest.mark.parametrize("task", TASKS)
def test_a_single_view_has_all_the_weight(task):
    views, value = simulate("tempo")
    head, weights = fit({"tempo": views["tempo"]}, target(value, task), task)
    assert weights == {"tempo": 1.0}
    assert head.score(views["tempo"], target(value, task)) > 0.6


@pytest.mark.parametrize("task", TASKS)
def test_scales_of_views_do_not_matter(task):
    views, value = simulate("innovations")
    other = {name: 1e3 * x - 7 if name == "tempo" else x / 50 for name, x in views.items()}
    (head, weights), (again, others) = (fit(v, target(value, task), task) for v in (views, other))
    assert weights == others
    ours, theirs = (
        model.predict(side_by_side(v, weights)) for model, v in ((head, views), (again, other))
    )
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-3)


# --- the model is scikit-learn's ----------------------------------------------------------------


def explicitly(views, weights):
    """Concatenate centred views, each with its share as mean squared norm."""
    scaled = []
    for name, weight in weights.items():
        if weight:
            centred = views[name].astype(float) - views[name].mean(axis=0, dtype=float)
            norm = np.square(centred).sum(axis=1).mean()
            scaled.append(centred * np.sqrt(weight / norm))
    return np.concatenate(scaled, axis=1)


@pytest.mark.parametrize("speaks", ["connectivity", "tempo", None])
def test_regression_is_ridge_on_views_that_have_their_shares(speaks):
    views, value = simulate(speaks)
    head, weights = fit(views, value, "regression")
    features = explicitly(views, weights)
    model = Ridge(alpha=head[-1].alpha).fit(features, value)
    ours = head.predict(side_by_side(views, weights))
    np.testing.assert_allclose(ours, model.predict(features), atol=1e-4)
    np.testing.assert_allclose(head[-1].coef_, model.coef_, rtol=1e-3, atol=1e-4)
    assert head[-1].coef_.shape == model.coef_.shape


@pytest.mark.parametrize("edges", [[0], [-0.5, 0.5]], ids=["two classes", "three classes"])
@pytest.mark.parametrize("speaks", ["connectivity", "states"])
def test_classification_is_logistic_regression_on_views_that_have_their_shares(speaks, edges):
    views, value = simulate(speaks)
    y = np.array(["low", "mid", "high"])[np.digitize(value, edges)]
    head, weights = fit(views, y, "classification")
    features = explicitly(views, weights)
    model = LogisticRegression(C=head[-1].C, max_iter=10_000, tol=1e-8).fit(features, y)
    ours = head.predict_proba(side_by_side(views, weights))
    np.testing.assert_allclose(ours, model.predict_proba(features), atol=0.01)
    assert head.classes_.tolist() == sorted(set(y))
    assert head[-1].coef_.shape == model.coef_.shape
    assert head.score(side_by_side(views, weights), y) > 0.7


@pytest.mark.parametrize("task", TASKS)
def test_unseen_samples_are_predicted_like_by_the_explicit_model(task):
    views, value = simulate("connectivity", n=2 * N)
    y = target(value, task)
    seen = {name: x[:N] for name, x in views.items()}
    head, weights = fit(seen, y[:N], task)
    unseen = head.score(side_by_side({name: x[N:] for name, x in views.items()}, weights), y[N:])
    assert unseen > 0.6


def test_strength_is_the_one_that_a_plain_loop_over_the_folds_chooses():
    views, value = simulate("tempo", strength=0.3)
    groups = np.repeat(np.arange(N // 4), 4)
    only = {"tempo": views["tempo"]}
    head, _ = fit(only, value, "regression", groups=groups, seed=3)
    features = explicitly(only, {"tempo": 1.0})
    folds = list(GroupKFold(5, shuffle=True, random_state=3).split(features, value, groups))
    strengths = FEW_STRENGTHS * mean_eigenvalue(features)
    errors = [
        np.mean([np.mean((Ridge(s).fit(features[a], value[a]).predict(features[b]) - value[b]) ** 2)
                 for a, b in folds])
        for s in strengths
    ]  # fmt: skip
    assert head[-1].alpha == pytest.approx(strengths[np.argmin(errors)], rel=1e-4)


def test_scaler_gives_each_view_one_scale():
    views, value = simulate()
    _, value = simulate()
    with pytest.warns(UserWarning, match="fixed, not tuned"):
        head, weights = fit(views, value, "regression", groups=np.zeros(N))
    ends = np.cumsum(list(SIZES.values()))
    for scales, name in zip(np.split(head[0].scale_, ends[:-1]), weights, strict=True):
        assert len(scales) == SIZES[name]
        assert len(set(scales)) == 1
    scaled = head[0].transform(side_by_side(views, weights))
    for part, weight in zip(np.split(scaled, ends[:-1], axis=1), weights.values(), strict=True):
        assert np.square(part).sum(axis=1).mean() == pytest.approx(weight, rel=1e-3)


# --- groups, seeds ------------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASKS)
def test_a_view_that_tells_groups_alone_gets_no_credit_where_groups_stay_together(task):
    """Each group has its own random target, and one view tells which group a sample is of."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(16), 5)
    of_group = rng.permutation(np.repeat([-1.0, 1.0], 8))[groups]
    value = of_group + 0.1 * rng.normal(size=N)
    views, _ = simulate()
    views["states"] = rng.normal(size=(16, 60))[groups] + 0.1 * rng.normal(size=(N, 60))
    y = target(value, task)
    _, together = fit(views, y, task, groups=groups)
    _, apart = fit(views, y, task)
    assert apart["states"] > 0.9
    assert together["states"] < 0.5


@pytest.mark.parametrize("task", TASKS)
def test_same_seed_gives_the_same_head_and_leaves_the_global_rng_alone(task):
    views, value = simulate("innovations", strength=0.2)
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    (a, weights), (b, again) = (fit(views, target(value, task), task, seed=1) for _ in range(2))
    assert weights == again
    np.testing.assert_array_equal(a[-1].coef_, b[-1].coef_)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


# --- odd input ----------------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("constant", ["tempo", "connectivity"])
def test_a_constant_view_gets_no_weight_and_warns(constant, task):
    views, value = simulate("innovations")
    views[constant] = np.full_like(views[constant], 0.1)
    with pytest.warns(UserWarning, match=f"same for all 80 .* get no weight: {constant}"):
        head, weights = fit(views, target(value, task), task)
    assert weights[constant] == 0
    assert weights["innovations"] > 0
    assert np.isfinite(head[-1].coef_).all()
    assert np.isfinite(head.predict(side_by_side(views, weights))).all()


@pytest.mark.parametrize("task", TASKS)
def test_views_that_are_all_constant_predict_the_same_for_all(task):
    views = {name: np.ones((20, size)) for name, size in SIZES.items()}
    y = np.arange(20.0) if task == "regression" else np.arange(20) % 2
    with pytest.warns(UserWarning, match="are the same for all 20"):
        head, weights = fit(views, y, task)
    assert sum(weights.values()) == pytest.approx(1)
    assert len(set(head.predict(side_by_side(views, weights)))) == 1


@pytest.mark.parametrize("task", TASKS)
def test_a_single_group_keeps_the_fixed_shares_and_warns(task):
    views, value = simulate("tempo")
    views = {name: views[name] for name in ("connectivity", "tempo")}
    with pytest.warns(UserWarning, match="fixed, not tuned"):
        head, weights = fit(views, target(value, task), task, groups=np.zeros(N))
    assert weights == pytest.approx({"connectivity": 0.7 / 0.75, "tempo": 0.05 / 0.75})
    scale = mean_eigenvalue(explicitly(views, weights))
    strength = head[-1].alpha if task == "regression" else 1 / head[-1].C
    assert strength == pytest.approx(scale, rel=0.02)


def test_a_class_of_one_sample_keeps_the_fixed_shares_and_warns():
    views, _ = simulate()
    with pytest.warns(UserWarning, match="fixed, not tuned"):
        _, weights = fit(views, np.arange(N) == 7, "classification")
    assert weights == pytest.approx(SHARES)


@pytest.mark.parametrize("task", TASKS)
def test_fewer_samples_than_folds_are_weighed(task):
    views, value = simulate("tempo", n=4)
    y = value if task == "regression" else np.array([0, 1, 0, 1])
    head, weights = fit(views, y, task)
    assert sum(weights.values()) == pytest.approx(1)
    assert np.isfinite(head.predict(side_by_side(views, weights))).all()


@pytest.mark.filterwarnings("error::sklearn.exceptions.ConvergenceWarning")
def test_separable_wide_views_converge():
    views, _ = simulate()
    value = views["connectivity"][:, 0] - 3
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        head, weights = fit(views, value > 0, "classification")
    assert head.score(side_by_side(views, weights), value > 0) > 0.95


def test_one_class_raises():
    with pytest.raises(ValueError, match="one class only"):
        fit(simulate()[0], np.ones(N), "classification")


@pytest.mark.parametrize("task", TASKS)
def test_missing_target_values_raise(task):
    y = np.tile([0.0, 1.0], N // 2)
    y[3] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        fit(simulate()[0], y, task)
