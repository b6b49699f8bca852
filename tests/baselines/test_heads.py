import pickle
import warnings

import numpy as np
import pytest
from sklearn.kernel_ridge import KernelRidge
from sklearn.metrics import r2_score, roc_auc_score
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from sk_brainmae.baselines import (
    ConnectivityBaseline,
    ConnectivityFeatures,
    FeatureBaseline,
    heads,
)
from sk_brainmae.baselines.heads import (
    GAMMAS,
    HEADS,
    METHODS,
    STRENGTHS,
    SVM_COSTS,
    SVM_STRENGTHS,
    fit_head,
)
from sk_brainmae.datasets import make_cohort

ALL = [(task, head) for task in HEADS for head in HEADS[task]]
TRAIN, TEST = np.arange(60), np.arange(60, 90)


@pytest.fixture(scope="module")
def cohort():
    """Connectivity of 90 scans, and a trait that it tells."""
    cohort = make_cohort(
        n_scans=90, n_timepoints=200, n_regions=15, static_strength=2.0, random_state=0
    )
    features = ConnectivityFeatures("correlation").fit_transform(cohort.scans)
    return features, cohort.traits["static"].to_numpy()


def held_out_score(task, head, features, value):
    """R2, or AUC of the upper half, on the last 30 samples."""
    y = value if task == "regression" else np.where(value > np.median(value), "high", "low")
    model = fit_head(task, head, features[TRAIN], y[TRAIN], random_state=0)
    if task == "regression":
        return r2_score(y[TEST], model.predict(features[TEST]))
    if hasattr(model, "decision_function"):
        return roc_auc_score(y[TEST] == "low", model.decision_function(features[TEST]))
    return roc_auc_score(y[TEST] == "low", model.predict_proba(features[TEST])[:, 1])


@pytest.mark.usefixtures("coarse_heads")
@pytest.mark.parametrize(("task", "head"), ALL)
def test_every_head_finds_a_planted_effect_and_none_in_shuffled_targets(cohort, task, head):
    features, value = cohort
    rng = np.random.default_rng(0)
    shuffled = [held_out_score(task, head, features, value[rng.permutation(90)]) for _ in range(3)]
    found = held_out_score(task, head, features, value)
    if task == "classification":
        assert found > 0.75
        assert np.mean(shuffled) == pytest.approx(0.5, abs=0.15)
    else:
        assert found > 0.2
        assert np.mean(shuffled) < 0.05


@pytest.fixture(scope="module")
def wide():
    """60 samples of 200 features, and a value that few of them tell."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(60, 200))
    return features, 5 + 3 * (features[:, :8].sum(axis=1) + rng.normal(size=60))


def test_kernel_ridge_is_tuned_as_by_a_plain_loop_over_all_features(wide):
    features, y = wide
    scaled = StandardScaler().fit_transform(features)
    target = (y - y.mean()) / y.std()
    distances = np.square(scaled[:, None] - scaled[None]).sum(-1)
    folds = list(KFold(5, shuffle=True, random_state=3).split(scaled))
    errors = {}
    for alpha in STRENGTHS[::2]:
        for gamma in np.array(GAMMAS) / distances.mean():
            errors[alpha, gamma] = 0
            for a, b in folds:
                mean, scale = target[a].mean(), target[a].std()
                model = KernelRidge(alpha=alpha, kernel="rbf", gamma=gamma)
                model.fit(scaled[a], (target[a] - mean) / scale)
                errors[alpha, gamma] += np.mean(
                    (mean + scale * model.predict(scaled[b]) - target[b]) ** 2
                )
    head = fit_head("regression", "kernel ridge", features, y, random_state=3)[-1].regressor_
    assert (head.alpha, head.gamma) == pytest.approx(min(errors, key=errors.get))


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_support_vectors_are_tuned_as_by_a_plain_loop_over_all_features(wide, kernel):
    features, value = wide
    y = value > np.median(value)
    scaled = StandardScaler().fit_transform(features)
    mean_eigenvalue = np.trace(scaled @ scaled.T) / 60
    mean_distance = np.square(scaled[:, None] - scaled[None]).sum(-1).mean()
    linear = [(c, 1.0) for c in 1 / (mean_eigenvalue * SVM_STRENGTHS)]
    rbf = [(c, g) for c in SVM_COSTS for g in np.array(GAMMAS) / mean_distance]
    candidates = linear if kernel == "linear" else rbf
    folds = list(StratifiedKFold(5, shuffle=True, random_state=3).split(scaled, y))
    scores = [
        np.mean([SVC(C=c, gamma=g, kernel=kernel).fit(scaled[a], y[a]).score(scaled[b], y[b])
                 for a, b in folds])
        for c, g in candidates
    ]  # fmt: skip
    head = fit_head("classification", f"{kernel} svm", features, y, random_state=3)[-1]
    best = candidates[int(np.argmax(scores))]
    assert pytest.approx(best[0]) == head.C
    assert kernel == "linear" or head.gamma == pytest.approx(best[1])


@pytest.mark.parametrize(("task", "head"), [pair for pair in ALL if pair[1] != "forest"])
def test_scale_of_features_and_values_changes_no_prediction(wide, task, head):
    features, value = wide
    y = value if task == "regression" else value > np.median(value)
    first = fit_head(task, head, features, y, random_state=0).predict(features)
    scaled = 1000 * y if task == "regression" else y
    second = fit_head(task, head, 100 * features + 7, scaled, random_state=0)
    second = second.predict(100 * features + 7)
    np.testing.assert_allclose(second, 1000 * first if task == "regression" else first, rtol=1e-2)


@pytest.mark.usefixtures("coarse_heads")
@pytest.mark.parametrize("head", HEADS["classification"])
def test_classifiers_have_the_methods_of_their_head(wide, head):
    features, value = wide
    y = np.array(["a", "b", "c"])[np.digitize(value, [2, 8])]
    model = FeatureBaseline("passthrough", head=head)
    fitted = fit_head("classification", head, features, y, random_state=0)
    for name, offering in METHODS.items():
        assert hasattr(model, name) == (head in offering)
        if head in offering:
            assert getattr(fitted, name)(features).shape == (60, 3)
    assert set(fitted.predict(features)) <= {"a", "b", "c"}


@pytest.mark.parametrize(("task", "head"), [pair for pair in ALL if pair[1] != "linear"])
def test_groups_never_sit_on_both_sides_of_an_inner_split(monkeypatch, wide, task, head):
    seen = []

    def spy(scaler, model, grid, splits, *arguments, **options):
        seen.extend(splits)

    monkeypatch.setattr(heads, "fit_tuned", spy)
    features, value = wide
    y = value if task == "regression" else value > np.median(value)
    groups = np.repeat(np.arange(12), 5)
    fit_head(task, head, features, y, groups, 0)
    assert len(seen) == 5
    for train, test in seen:
        assert not set(groups[train]) & set(groups[test])


@pytest.mark.usefixtures("coarse_heads")
def test_estimator_with_a_head_clones_pickles_and_repeats():
    cohort = make_cohort(n_scans=20, n_timepoints=60, n_regions=6, random_state=0)
    y = cohort.traits["static"] > 0
    model = ConnectivityBaseline("correlation", head="forest", random_state=0)
    first, second = (model.fit(cohort.scans, y).predict_proba(cohort.scans) for _ in "ab")
    np.testing.assert_array_equal(first, second)
    loaded = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(loaded.predict_proba(cohort.scans), first)


def test_single_group_takes_a_moderate_model_and_warns(wide):
    features, value = wide
    for head in HEADS["regression"]:
        with pytest.warns(UserWarning, match="fixed, not tuned"):
            model = fit_head("regression", head, features, value, np.zeros(60), 0)
        assert np.isfinite(model.predict(features)).all()


@pytest.mark.usefixtures("coarse_heads")
def test_constant_features_give_a_constant_prediction():
    for head in HEADS["regression"]:
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            model = fit_head("regression", head, np.ones((20, 3)), np.arange(20.0), random_state=0)
        assert np.ptp(model.predict(np.ones((4, 3)))) == 0


def test_head_of_the_other_task_raises_and_lists_the_heads():
    with pytest.raises(ValueError, match="no head 'kernel ridge' for classification: it is one of"):
        ConnectivityBaseline(head="kernel ridge").fit(np.ones((4, 9, 3)), [0, 1, 0, 1])
    with pytest.raises(ValueError, match=r"no head 'ridge' for regression.*'linear'"):
        ConnectivityBaseline(task="regression", head="ridge").fit(np.ones((4, 9, 3)), np.arange(4))
