import time

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy.stats import pearsonr
from sklearn import metrics as sk
from sklearn.model_selection import KFold

from sk_brainmae.evaluation.bootstrap import bootstrap_intervals
from sk_brainmae.evaluation.metrics import METRICS

N = 40
CLASSIFICATION = ["roc_auc", "balanced_accuracy", "sensitivity", "specificity", "f1"]
REGRESSION = ["neg_mean_absolute_error", "r2", "pearson_r"]
# With half the weights zero, as resamples have them; and ones.
WEIGHTS = np.vstack([np.ones(N), np.random.default_rng(0).poisson(0.8, size=(20, N))])  # (B, n)


def bootstrap_differences(table, ours, opponent, metric, units, *args, **kwargs):
    """The interval of one metric's difference from one opponent."""
    pair = table[table["estimator"].isin([ours, opponent])]
    (interval,) = bootstrap_intervals(pair, ours, [metric], units, *args, **kwargs).to_numpy()
    return tuple(interval)


def binary(seed=0):
    rng = np.random.default_rng(seed)
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
    assert_allclose(METRICS[metric].resample(y, prediction, WEIGHTS), expected, rtol=1e-12)


@pytest.mark.parametrize("metric", CLASSIFICATION)
def test_binary_metric_takes_a_data_frame_of_integer_or_boolean_labels(metric):
    y, prediction = binary()
    expected = METRICS[metric].resample(y, prediction, WEIGHTS)
    for labels in (np.array([0, 1]), np.array([False, True])):
        coded = {**prediction, "y_pred": labels[(prediction["y_pred"] == "mdd").astype(int)]}
        found = METRICS[metric].resample(labels[(y == "mdd").astype(int)], pd.DataFrame(coded), WEIGHTS)
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
        found = METRICS[metric].resample(y, prediction, WEIGHTS)
        assert_allclose(found, [oracle(w) for w in WEIGHTS], rtol=1e-12, err_msg=metric)


@pytest.mark.parametrize("metric", ["sensitivity", "specificity"])
def test_binary_metric_of_three_classes_raises(metric):
    y, _, prediction = multiclass()
    with pytest.raises(ValueError, match="two classes"):
        METRICS[metric].resample(y, prediction, WEIGHTS)


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
        found = METRICS[metric].resample(y, prediction, WEIGHTS)
        assert_allclose(found, [oracle(w) for w in WEIGHTS], rtol=1e-10, err_msg=metric)


def test_r2_of_the_training_mean_is_zero_whatever_the_test_mean():
    y, prediction = regression()
    prediction["y_pred"] = prediction["y_train_mean"]
    assert_allclose(METRICS["r2"].resample(y, prediction, WEIGHTS), 0)


@pytest.mark.parametrize("metric", CLASSIFICATION)
def test_metric_is_nan_where_its_class_was_not_drawn(metric, recwarn):
    y, prediction = binary()
    absent = "mdd" if metric != "specificity" else "hc"
    weights = np.array([np.where(y == absent, 0.0, 1), np.ones(N), np.zeros(N)])
    found = METRICS[metric].resample(y, prediction, weights)
    assert np.isnan(found).tolist() == [True, False, True]
    assert not recwarn


@pytest.mark.parametrize("metric", REGRESSION)
def test_regression_metric_is_nan_where_nobody_was_drawn(metric, recwarn):
    y, prediction = regression()
    found = METRICS[metric].resample(y, prediction, np.array([np.ones(N), np.zeros(N)]))
    assert np.isnan(found).tolist() == [False, True]
    assert not recwarn


def test_pearson_r_with_a_constant_is_nan():
    y, prediction = regression()
    prediction["y_pred"] = np.full(N, 0.1)  # its mean is not exactly 0.1
    assert np.isnan(METRICS["pearson_r"].resample(y, prediction, WEIGHTS)).all()
    one_drawn = np.eye(N) * 3
    assert np.isnan(METRICS["pearson_r"].resample(y, regression()[1], one_drawn)).all()


def test_roc_auc_of_infinite_scores_is_defined_and_of_nan_is_nan():
    y = np.array([0, 0, 1, 1])
    weights = np.ones((1, 4))
    infinite = {"score": np.array([-np.inf, 0, np.inf, np.inf])}
    assert METRICS["roc_auc"].resample(y, infinite, weights) == 1
    unknown = {"score": np.array([np.nan, 0, 1, 2])}
    assert np.isnan(METRICS["roc_auc"].resample(y, unknown, weights)).all()


def held_out(y, scores, folds, repeat=0):
    """Return the long table of several estimators' scores (n,) on the folds' test parts."""
    rows = [
        pd.DataFrame(
            {
                "estimator": name,
                "repeat": repeat,
                "fold": k,
                "sample": test,
                "y_true": y[test],
                "y_pred": (score[test] > 0.5).astype(int),
                "score": score[test],
            }
        )
        for k, (_, test) in enumerate(folds)
        for name, score in scores.items()
    ]
    return pd.concat(rows, ignore_index=True)


def study(rng, n_subjects=60, n_rows=1, gain=0.0):
    """Return the predictions of two estimators, alike but for a gain of the first, and subjects."""
    subjects = np.repeat(np.arange(n_subjects), n_rows)
    y = subjects % 2
    scores = {}
    for name, separation in {"ours": 1 + gain, "theirs": 1.0}.items():
        of_subject = rng.normal(size=n_subjects)[subjects]
        scores[name] = separation * y + of_subject + 0.3 * rng.normal(size=len(y))
    folds = [(None, np.flatnonzero(subjects // 2 % 5 == k)) for k in range(5)]  # both classes
    return held_out(y, scores, folds), subjects


def test_interval_of_no_difference_covers_zero_at_about_the_nominal_rate():
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(200):
        predictions, subjects = study(rng)
        intervals = bootstrap_intervals(
            predictions, "ours", ["roc_auc", "balanced_accuracy"], subjects, 200
        )
        covered.append((intervals["low"] <= 0) & (intervals["high"] >= 0))
    rates = pd.DataFrame(covered).mean()
    # Three standard errors of a rate of .95 in 200 are .046.
    assert rates.between(0.904, 0.996).all(), rates


def test_interval_of_a_large_gain_lies_above_zero_and_of_a_loss_below():
    predictions, subjects = study(np.random.default_rng(0), gain=3.0)
    low, high = bootstrap_differences(predictions, "ours", "theirs", "roc_auc", subjects)
    assert 0 < low < high
    swapped = bootstrap_differences(predictions, "theirs", "ours", "roc_auc", subjects)
    assert_allclose(swapped, (-high, -low))


def test_interval_by_subject_is_wider_than_by_row():
    predictions, subjects = study(np.random.default_rng(0), n_rows=6)
    by_subject, by_row = (
        bootstrap_intervals(predictions, "ours", ["roc_auc", "f1"], units)
        for units in (subjects, np.arange(len(subjects)))
    )
    widths = [table["high"] - table["low"] for table in (by_subject, by_row)]
    assert (widths[0] > 1.5 * widths[1]).all()


def test_interval_equals_a_slow_resampling_of_rows():
    predictions, subjects = study(np.random.default_rng(0), n_subjects=30, n_rows=2)
    found = bootstrap_differences(predictions, "ours", "theirs", "roc_auc", subjects, 25)

    draws = np.random.RandomState(0).multinomial(30, np.full(30, 1 / 30), size=25)
    means = []
    for drawn in draws:
        times = drawn[subjects[predictions["sample"]]]
        copies = predictions.loc[predictions.index.repeat(times)]
        differences = []
        for _, rows in copies.groupby("fold"):
            if rows["y_true"].nunique() == 2:
                ours, theirs = (
                    sk.roc_auc_score(of["y_true"], of["score"])
                    for of in (rows[rows["estimator"] == name] for name in ("ours", "theirs"))
                )
                differences.append(ours - theirs)
        means.append(np.mean(differences))
    assert_allclose(found, np.quantile(means, [0.025, 0.975]), rtol=1e-10)


def test_a_pair_alone_gets_the_interval_it_has_among_many():
    predictions, subjects = study(np.random.default_rng(0))
    noise = predictions[predictions["estimator"] == "theirs"].assign(estimator="noise")
    noise["score"] = np.random.default_rng(1).normal(size=len(noise))
    predictions = pd.concat([noise, predictions]).sample(frac=1, random_state=0)
    table = bootstrap_intervals(predictions, "ours", CLASSIFICATION, subjects, 100)
    assert set(table.index) == {(m, o) for m in CLASSIFICATION for o in ("noise", "theirs")}
    for metric, opponent in table.index:
        alone = bootstrap_differences(predictions, "ours", opponent, metric, subjects, 100)
        assert tuple(table.loc[(metric, opponent)]) == alone


def test_estimators_of_equal_predictions_differ_by_nothing():
    predictions, subjects = study(np.random.default_rng(0))
    twin = predictions[predictions["estimator"] == "ours"].assign(estimator="twin")
    table = bootstrap_intervals(
        pd.concat([predictions, twin]), "ours", CLASSIFICATION, subjects, 100
    )
    assert (table.xs("twin", level="estimator") == 0).all(axis=None)


def test_differences_from_a_constant_prediction_are_nan_for_pearson_r_alone(recwarn):
    rng = np.random.default_rng(0)
    y, prediction = regression()
    rows = []
    for k, (train, test) in enumerate(KFold(4).split(y)):
        fold = {"repeat": 0, "fold": k, "sample": test, "y_true": y[test]}
        fold["y_train_mean"] = y[train].mean()
        rows.append(
            pd.DataFrame({"estimator": "ours", "y_pred": prediction["y_pred"][test], **fold})
        )
        rows.append(pd.DataFrame({"estimator": "mean", "y_pred": y[train].mean(), **fold}))
        rows.append(
            pd.DataFrame({"estimator": "noise", "y_pred": rng.normal(size=len(test)), **fold})
        )
    table = bootstrap_intervals(pd.concat(rows), "ours", REGRESSION, np.arange(N), 200)
    assert table.index[table.isna().any(axis=1)].tolist() == [("pearson_r", "mean")]
    assert (table.xs("noise", level="estimator")["low"].drop("pearson_r") > 0).all()
    assert not recwarn


def test_fold_that_one_of_two_lacks_is_left_out_like_an_undefined_one():
    predictions, subjects = study(np.random.default_rng(0))
    of_theirs_in_last = (predictions["estimator"] == "theirs") & (predictions["fold"] == 4)
    unknown = predictions.assign(score=predictions["score"].mask(of_theirs_in_last))
    whole, lacking, undefined = (
        bootstrap_differences(table, "ours", "theirs", "roc_auc", subjects, 100)
        for table in (predictions, predictions[~of_theirs_in_last], unknown)
    )
    assert lacking == undefined != whole


def test_same_random_state_gives_the_same_interval_and_touches_no_global_state():
    predictions, subjects = study(np.random.default_rng(0))
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first, again, other = (
        bootstrap_differences(predictions, "ours", "theirs", "f1", subjects, 100, seed)
        for seed in (0, 0, 1)
    )
    assert first == again != other
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ours": "nobody"}, "no predictions of 'nobody'"),
        ({"metric": "precision"}, "cannot be resampled"),
        ({"metric": "r2"}, "y_train_mean"),
        ({"units": np.arange(5)}, "are 0 to 59"),
        ({"n_resamples": 0}, "at least 1"),
    ],
)
def test_bad_argument_raises_and_says_which(change, message):
    predictions, subjects = study(np.random.default_rng(0))
    given = {"ours": "ours", "opponent": "theirs", "metric": "f1", "units": subjects}
    with pytest.raises(ValueError, match=message):
        bootstrap_differences(predictions, **{"n_resamples": 10, **given, **change})


def test_predictions_that_lack_a_column_or_are_not_paired_raise():
    predictions, subjects = study(np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"lack the columns \['y_pred'\]"):
        bootstrap_intervals(predictions.drop(columns="y_pred"), "ours", ["f1"], subjects)
    with pytest.raises(ValueError, match="different samples in repeat 0, fold 0"):
        bootstrap_intervals(predictions.iloc[1:], "ours", ["f1"], subjects)


def test_intervals_of_many_opponents_take_seconds():
    rng = np.random.default_rng(0)
    y = np.arange(300) % 2
    tables = [
        held_out(y, {f"e{i}": rng.normal(size=300) + y for i in range(20)}, folds, repeat)
        for repeat in range(5)
        for folds in [KFold(5, shuffle=True, random_state=repeat).split(y)]
    ]
    start = time.process_time()
    bootstrap_intervals(pd.concat(tables), "e0", CLASSIFICATION, np.arange(300), 500)
    assert time.process_time() - start < 10  # 1 s where measured
