import time

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from sklearn import metrics as sk
from sklearn.model_selection import KFold

from sk_brainmae.evaluation.bootstrap import bootstrap_intervals

N = 40
CLASSIFICATION = ["roc_auc", "balanced_accuracy", "sensitivity", "specificity", "f1"]
REGRESSION = ["neg_mean_absolute_error", "r2", "pearson_r"]


def bootstrap_differences(table, ours, opponent, metric, units, *args, **kwargs):
    """The interval of one metric's difference from one opponent."""
    pair = table[table["estimator"].isin([ours, opponent])]
    (interval,) = bootstrap_intervals(pair, ours, [metric], units, *args, **kwargs).to_numpy()
    return tuple(interval)


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
    y = rng.normal(50, 10, size=N)
    y_pred = y + rng.normal(0, 8, size=N)
    rows = []
    for k, (train, test) in enumerate(KFold(4).split(y)):
        fold = {"repeat": 0, "fold": k, "sample": test, "y_true": y[test]}
        fold["y_train_mean"] = y[train].mean()
        rows.append(pd.DataFrame({"estimator": "ours", "y_pred": y_pred[test], **fold}))
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


def test_same_predictions_have_the_same_interval_and_touch_no_global_state():
    predictions, subjects = study(np.random.default_rng(0))
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first, again = (
        bootstrap_differences(predictions, "ours", "theirs", "f1", subjects, 100) for _ in range(2)
    )
    assert first == again
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
