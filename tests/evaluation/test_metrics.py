import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import pearsonr
from sklearn import metrics as sk

from sk_brainmae.evaluation.metrics import METRICS, Metric, find_metric

N = 40
CLASSIFICATION = ["roc_auc", "balanced_accuracy", "sensitivity", "specificity", "f1"]
REGRESSION = ["neg_mean_absolute_error", "r2", "pearson_r"]
# Weights of one, and weights half of which are zero, as resamples have them.
WEIGHTS = np.vstack([np.ones(N), np.random.default_rng(0).poisson(0.8, size=(20, N))])  # (B, n)


def resample(metric, y, prediction, weights=WEIGHTS):
    return METRICS[metric].resample(y, prediction, weights)


def binary():
    rng = np.random.default_rng(0)
    y = np.tile(["hc", "mdd"], N // 2)
    score = np.round(rng.normal(size=N) + (y == "mdd"), 1)  # rounded: ties
    return y, {"score": score, "y_pred": np.where(score > 0.5, "mdd", "hc")}


def multiclass():
    rng = np.random.default_rng(0)
    y = np.arange(N) % 3
    probability = rng.dirichlet(np.ones(3), size=N).round(1) + np.eye(3)[y] * 0.3
    probability /= probability.sum(axis=1, keepdims=True)
    scores = {f"score_{c}": probability[:, c] for c in range(3)}
    return y, probability, {**scores, "y_pred": probability.argmax(axis=1)}


def regression():
    rng = np.random.default_rng(0)
    y = rng.normal(50, 10, size=N)
    return y, {"y_pred": y + rng.normal(0, 8, size=N), "y_train_mean": np.full(N, 52.0)}


BINARY_ORACLES = {
    "roc_auc": lambda y, p, w: sk.roc_auc_score(y == "mdd", p["score"], sample_weight=w),
    "balanced_accuracy": lambda y, p, w: sk.balanced_accuracy_score(
        y, p["y_pred"], sample_weight=w
    ),
    "sensitivity": lambda y, p, w: sk.recall_score(
        y, p["y_pred"], pos_label="mdd", sample_weight=w
    ),
    "specificity": lambda y, p, w: sk.recall_score(y, p["y_pred"], pos_label="hc", sample_weight=w),
    "f1": lambda y, p, w: sk.f1_score(y, p["y_pred"], pos_label="mdd", sample_weight=w),
}


@pytest.mark.parametrize("metric", CLASSIFICATION)
def test_binary_metric_equals_scikit_learn_at_any_weights(metric):
    y, prediction = binary()
    assert len(np.unique(prediction["score"])) < N  # ties are there
    expected = [BINARY_ORACLES[metric](y, prediction, w) for w in WEIGHTS]
    assert_allclose(resample(metric, y, prediction), expected, rtol=1e-12)


@pytest.mark.parametrize("metric", CLASSIFICATION)
def test_binary_metric_takes_integer_and_boolean_labels(metric):
    y, prediction = binary()
    expected = resample(metric, y, prediction)
    for labels in (np.array([0, 1]), np.array([False, True])):
        coded = {**prediction, "y_pred": labels[(prediction["y_pred"] == "mdd").astype(int)]}
        found = resample(metric, labels[(y == "mdd").astype(int)], coded)
        assert_allclose(found, expected)


def test_multiclass_metrics_equal_scikit_learn_at_any_weights():
    y, probability, prediction = multiclass()
    oracles = {
        "roc_auc": lambda w: sk.roc_auc_score(y, probability, multi_class="ovr", sample_weight=w),
        "balanced_accuracy": lambda w: sk.balanced_accuracy_score(
            y, prediction["y_pred"], sample_weight=w
        ),
        "f1": lambda w: sk.f1_score(y, prediction["y_pred"], average="macro", sample_weight=w),
    }
    for metric, oracle in oracles.items():
        found = resample(metric, y, prediction)
        assert_allclose(found, [oracle(w) for w in WEIGHTS], rtol=1e-12, err_msg=metric)


@pytest.mark.parametrize("metric", ["sensitivity", "specificity"])
def test_binary_metric_of_three_classes_raises(metric):
    y, _, prediction = multiclass()
    with pytest.raises(ValueError, match="two classes"):
        resample(metric, y, prediction)


def test_regression_metrics_equal_independent_ones_at_any_weights():
    y, prediction = regression()
    p = prediction["y_pred"]
    oracles = {
        "neg_mean_absolute_error": lambda w: -sk.mean_absolute_error(y, p, sample_weight=w),
        "r2": lambda w: (
            1
            - sk.mean_squared_error(y, p, sample_weight=w)
            / sk.mean_squared_error(y, np.full(N, 52.0), sample_weight=w)
        ),
        # An integer weight is that many copies.
        "pearson_r": lambda w: pearsonr(y.repeat(w.astype(int)), p.repeat(w.astype(int)))[0],
    }
    for metric, oracle in oracles.items():
        found = resample(metric, y, prediction)
        assert_allclose(found, [oracle(w) for w in WEIGHTS], rtol=1e-10, err_msg=metric)


def test_r2_of_the_training_mean_is_zero_whatever_the_test_mean():
    y, prediction = regression()
    prediction["y_pred"] = prediction["y_train_mean"]
    assert_allclose(resample("r2", y, prediction), 0)


@pytest.mark.parametrize("metric", CLASSIFICATION)
def test_metric_is_nan_where_its_class_was_not_drawn(metric, recwarn):
    y, prediction = binary()
    absent = "mdd" if metric != "specificity" else "hc"
    weights = np.array([np.where(y == absent, 0.0, 1), np.ones(N), np.zeros(N)])
    found = resample(metric, y, prediction, weights)
    assert np.isnan(found).tolist() == [True, False, True]
    assert not recwarn


@pytest.mark.parametrize("metric", REGRESSION)
def test_regression_metric_is_nan_where_nobody_was_drawn(metric, recwarn):
    y, prediction = regression()
    found = resample(metric, y, prediction, np.array([np.ones(N), np.zeros(N)]))
    assert np.isnan(found).tolist() == [False, True]
    assert not recwarn


def test_pearson_r_with_a_constant_is_nan():
    y, prediction = regression()
    prediction["y_pred"] = np.full(N, 0.1)  # its mean is not exactly 0.1
    assert np.isnan(resample("pearson_r", y, prediction)).all()
    one_drawn = np.eye(N) * 3
    assert np.isnan(resample("pearson_r", y, regression()[1], one_drawn)).all()


def test_roc_auc_of_infinite_scores_is_defined_and_of_nan_is_nan():
    y = np.array([0, 0, 1, 1])
    weights = np.ones((1, 4))
    infinite = {"score": np.array([-np.inf, 0, np.inf, np.inf])}
    assert resample("roc_auc", y, infinite, weights) == 1
    unknown = {"score": np.array([np.nan, 0, 1, 2])}
    assert np.isnan(resample("roc_auc", y, unknown, weights)).all()


class Known:
    """Answers what it is given, as a fitted estimator does."""

    def __init__(self, y_pred, scores=None):
        self.predict = lambda X: y_pred
        self.decision_function = lambda X: scores
        self.get_params = dict


@pytest.mark.parametrize("metric", CLASSIFICATION + REGRESSION)
def test_score_of_a_fold_is_the_resample_in_which_everyone_is_drawn_once(metric):
    if metric in REGRESSION:
        y, prediction = regression()
    else:
        y, prediction = binary()
    answers = Known(prediction["y_pred"], prediction.get("score"))
    found = METRICS[metric].score(answers, None, y, np.full(3, 52.0))
    assert_allclose(found, resample(metric, y, prediction)[0], rtol=1e-12)


def test_table_holds_both_computations_of_this_packages_metrics_and_none_of_others():
    ours = {name for name, metric in METRICS.items() if metric.task}
    assert ours == {*CLASSIFICATION, *REGRESSION}
    for name, metric in METRICS.items():
        assert (metric.score is not None) == (metric.resample is not None) == (name in ours)


def test_unknown_metric_is_known_by_its_name_alone():
    assert find_metric("accuracy") == Metric("accuracy")
