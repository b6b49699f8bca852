import numpy as np
import pytest
from sklearn.base import clone
from sklearn.metrics import get_scorer
from sklearn.preprocessing import FunctionTransformer

from sk_brainmae import BrainMAETransformer
from sk_brainmae.baselines import (
    ConnectivityFeatures,
    FeatureBaseline,
    StackedBaseline,
    with_and_without,
)
from sk_brainmae.datasets import make_cohort
from sk_brainmae.evaluation import compare

pytestmark = pytest.mark.usefixtures("coarse_heads")

N = 80


def features_of(*signal):
    """Return a transformer to given columns, found by each scan's first value."""
    columns = np.column_stack(signal)

    def look_up(scans):
        return columns[np.asarray(scans)[:, 0, 0].astype(int)]

    return FunctionTransformer(look_up)


@pytest.fixture
def scans():
    scans = np.random.default_rng(0).normal(size=(N, 6, 3))
    scans[:, 0, 0] = np.arange(N)
    return scans


def two_halves(rng):
    """Two signals, each seen through noise by features of its own."""
    one, other = rng.normal(size=(2, N))
    noise = rng.normal(size=(N, 300))
    weak = features_of(one, *rng.normal(size=(2, N)))
    wide = features_of(*(other[:, None] * 0.4 + noise).T)
    return one, other, weak, wide


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_stack_of_two_kinds_of_features_beats_each_alone(scans, task):
    one, other, weak, wide = two_halves(np.random.default_rng(0))
    y = one + other if task == "regression" else np.where(one + other > 0, "patient", "control")
    train, test = np.arange(60), np.arange(60, N)
    scorer = get_scorer("r2" if task == "regression" else "roc_auc")
    scores = [
        scorer(model.fit(scans[train], y[train]), scans[test], y[test])
        for model in (
            StackedBaseline([("weak", weak), ("wide", wide)], task, random_state=0),
            FeatureBaseline(weak, task, random_state=0),
            FeatureBaseline(wide, task, random_state=0),
        )
    ]
    assert scores[0] > max(scores[1:]) + 0.05


def test_features_without_signal_do_no_harm(scans):
    rng = np.random.default_rng(0)
    y = rng.normal(size=N)
    good = features_of(y + 0.3 * rng.normal(size=N))
    useless = features_of(*rng.normal(size=(500, N)))
    model = StackedBaseline([("good", good), ("useless", useless)], "regression", random_state=0)
    model.fit(scans[:60], y[:60])
    assert model.score(scans[60:], y[60:]) > 0.8
    good_weight, useless_weight = model.stack_[-1].coef_
    assert useless_weight < 0.1 * good_weight


def test_fit_does_not_change_the_features_and_clones_are_equal(scans):
    fc = ConnectivityFeatures("correlation")
    model = StackedBaseline([("FC", fc), ("again", fc)], random_state=0).fit(scans, [0, 1] * 40)
    assert not hasattr(fc, "n_features_in_")
    again = clone(model).fit(scans, [0, 1] * 40)
    np.testing.assert_array_equal(again.predict_proba(scans), model.predict_proba(scans))
    assert set(model.classes_) == {0, 1}


def test_one_subject_a_class_cannot_be_stacked(scans):
    model = StackedBaseline([("FC", ConnectivityFeatures("correlation"))])
    with pytest.raises(ValueError, match="stacking needs at least two"):
        model.fit(scans, [0, 1] * 40, groups=np.tile([0, 1], 40))


def test_gain_over_connectivity_is_in_one_table(tmp_path):
    cohort = make_cohort(n_scans=40, n_timepoints=120, n_regions=10, random_state=0)
    ours = BrainMAETransformer(
        window_size=15, crop_length=120, max_epochs=0, memory=str(tmp_path), random_state=0
    )
    models = with_and_without(
        ("BrainMAE", ours), ("FC", ConnectivityFeatures("correlation")), "regression", 0
    )
    comparison = compare(models, cohort.scans, cohort.traits["dynamic"], cv=2, random_state=0)
    assert comparison.estimators == ["FC + BrainMAE", "FC", "BrainMAE"]
    gain = comparison.differences.loc[("pearson_r", "FC")]
    assert gain["difference"] > 0.2
    assert gain["low"] < gain["difference"] < gain["high"]
