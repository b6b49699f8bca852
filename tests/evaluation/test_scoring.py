import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import SVC

from sk_brainmae.evaluation import ComparisonError, compare
from sk_brainmae.evaluation.folds import make_folds

MEAN = FunctionTransformer(np.mean, kw_args={"axis": 1})


def test_scores_are_those_of_scikit_learn(trials, mean_signal, compare_two):
    scores = compare_two().scores
    columns = ["estimator", "repeat", "fold", "metric", "value", "fit_time", "n_train", "n_test"]
    assert list(scores.columns) == [*columns, "views"]
    scores = scores[scores["metric"] == "roc_auc"]
    kwargs = {"cv": GroupKFold(4), "groups": trials.groups, "scoring": "roc_auc"}
    for region, name in enumerate(["ours", "opponent"]):
        expected = cross_val_score(mean_signal(region), trials.X, trials.y, **kwargs)
        assert_allclose(scores.loc[scores["estimator"] == name, "value"], expected)


def test_several_metrics_are_rows_of_one_table(compare_two):
    comparison = compare_two(scoring=["roc_auc", "balanced_accuracy"])
    assert list(comparison.table.index) == [
        (metric, name)
        for metric in ("roc_auc", "balanced_accuracy")
        for name in ("ours", "opponent")
    ]
    assert len(comparison.scores) == 2 * 2 * 4


def compare_values(model, y, **kwargs):
    """Compare one regressor on scans that say nothing of y."""
    X = np.random.default_rng(0).normal(size=(len(y), 12, 3))
    return compare({"model": model}, X, y, cv=KFold(4), **kwargs)


def test_regressors_have_r2_against_the_training_mean():
    comparison = compare_values(DummyRegressor(), np.arange(32.0))
    assert comparison.metrics == ["r2", "pearson_r", "neg_mean_absolute_error"]
    # The training mean itself reaches 0, however far the test part is from it.
    assert_allclose(comparison.table.loc["r2", "mean"], 0, atol=1e-12)
    assert_allclose(comparison.table.loc["pearson_r", "mean"], 0)
    assert comparison.table.loc["neg_mean_absolute_error", "mean"].item() < -8


def test_predictions_that_differ_by_rounding_alone_correlate_with_nothing():
    class Rounds(DummyRegressor):
        def predict(self, X):
            return super().predict(X) + 1e-14 * np.arange(len(X))

    comparison = compare_values(Rounds(), 100 + np.arange(32.0))
    assert (comparison.scores.query("metric == 'pearson_r'")["value"] == 0).all()


def test_two_classes_have_sensitivity_and_specificity(compare_two):
    comparison = compare_two()
    assert comparison.metrics[-2:] == ["sensitivity", "specificity"]
    table = comparison.table["mean"].unstack("metric").loc["ours"]
    predicted = comparison.predictions.query("estimator == 'ours'")
    hit = (predicted["y_pred"] == predicted["y_true"]).groupby(predicted["y_true"]).mean()
    # Classes in sorted order: "hot" is negative, "warm" positive. Folds are of equal make.
    assert table["specificity"] == pytest.approx(hit["hot"])
    assert table["sensitivity"] == pytest.approx(hit["warm"])
    assert table["balanced_accuracy"] == pytest.approx(hit.mean())


def test_several_classes_have_the_mean_auc_of_each_against_the_others():
    y = np.tile([0, 1, 2], 20)
    X = np.random.default_rng(0).normal(size=(60, 12, 3)) + 0.5 * np.eye(3)[y][:, None]
    flat = make_pipeline(MEAN, LogisticRegression())
    comparison = compare({"flat": flat}, X, y, cv=3, random_state=0)
    assert comparison.metrics == ["roc_auc", "balanced_accuracy", "f1"]
    assert {"score_0", "score_1", "score_2"} <= set(comparison.predictions)
    folds = [(f.train, f.test) for f in make_folds(3, y, None, classification=True, random_state=0)]
    expected = cross_val_score(flat, X, y, cv=folds, scoring="f1_macro")
    assert_allclose(comparison.scores.query("metric == 'f1'")["value"], expected)
    expected = [
        np.mean([roc_auc_score(fold["y_true"] == c, fold[f"score_{c}"]) for c in range(3)])
        for _, fold in comparison.predictions.groupby("fold")
    ]
    assert_allclose(comparison.scores.query("metric == 'roc_auc'")["value"], expected)
    assert np.mean(expected) > 0.8


@pytest.mark.filterwarnings("ignore:estimator 'svm' failed")
def test_scores_of_pairs_of_classes_are_not_taken_for_those_of_classes():
    X, y = np.random.default_rng(0).normal(size=(30, 12, 3)), np.tile([0, 1, 2], 10)
    svm = make_pipeline(MEAN, SVC(decision_function_shape="ovo"))
    with pytest.raises(ComparisonError, match="set it to 'ovr'"):
        compare({"svm": svm}, X, y, cv=2, random_state=0)


def test_metrics_mean_the_same_whatever_else_is_measured(compare_two):
    alone = compare_two(scoring="f1").table.loc["f1", "mean"]
    mixed = compare_two(scoring=["accuracy", "f1"])
    assert mixed.metrics == ["accuracy", "f1"]
    assert_allclose(mixed.table.loc["f1", "mean"], alone)
    scoring = {"R2": "r2", "max": "neg_max_error"}
    table = compare_values(DummyRegressor(), np.arange(32.0), scoring=scoring).table
    assert_allclose(table.loc["R2", "mean"], 0, atol=1e-12)  # against the training mean
