"""How much a difference depends on who was tested: subjects drawn anew, models kept."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.random import RandomState
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state

Prediction = Mapping[str, NDArray] | pd.DataFrame  # column -> (n,)
Metric = Callable[[NDArray, Prediction, NDArray], NDArray]

KEYS = ["estimator", "repeat", "fold", "sample", "y_true"]


def bootstrap_intervals(
    predictions: pd.DataFrame,
    ours: str,
    metrics: Sequence[str],
    units: ArrayLike,
    n_resamples: int = 2000,
    random_state: int | RandomState | None = 0,
) -> pd.DataFrame:
    r"""Give 95 % bootstrap intervals of differences from every opponent.

    Units (subjects) are drawn with replacement, so that all samples of a subject come together
    and samples of one subject are not taken for independent [1]_. With :math:`w_i` the number of
    times the unit of sample i was drawn, a resample's difference is

    .. math::

        \Delta(w) = \frac{1}{J} \sum_j
        \left[ m(y_j, \hat y_j^{ours}; w) - m(y_j, \hat y_j^{opponent}; w) \right]

    over the J folds of all repeats, each metric m weighted by w. The interval lies between the 2.5
    and 97.5 % quantiles of :math:`\Delta`. All estimators, metrics and folds share the drawn
    weights. Folds in which a difference is undefined (none of a class drawn, or a correlation with
    a constant) are left out of the mean, and resamples of no other folds out of the quantiles.

    The models are not fitted anew: the interval tells how the difference depends on the subjects
    tested, not on the subjects trained on.

    Parameters
    ----------
    predictions : DataFrame
        One row per estimator, repeat, fold and held-out sample, with the columns

        * ``estimator``, ``repeat``, ``fold``,
        * ``sample``: index into ``units``,
        * ``y_true``, ``y_pred``,
        * ``score``: decision value or probability of the second class; for more than two
          classes one column ``score_<class>`` for each,
        * ``y_train_mean``: of regressors, the mean target of the fold's training samples.
    ours : str
        The estimator the others are held against.
    metrics : list of str
        Keys of ``METRICS``.
    units : array-like of shape (n_samples,)
        Whom each sample is from; ``range(n_samples)`` where every sample is a subject.
    n_resamples : int
        How many resamples; the ends of an interval are noisy below about 1000.
    random_state : int, RandomState instance or None
        The default gives the same intervals in every call.

    Returns
    -------
    DataFrame
        Indexed by ``(metric, estimator)``, opponents in the order of ``predictions``, with the
        columns ``low`` and ``high``. NaN where a difference is undefined in every resample.

    Raises
    ------
    ValueError
        If a column, ``ours`` or a metric is missing, if a sample has no unit, if two estimators
        were tested on different samples of a fold, or a metric does not suit the labels.

    References
    ----------
    .. [1] Davison & Hinkley (1997). Bootstrap Methods and Their Application, section 3.8.
       Cambridge University Press.
    """
    units = np.asarray(units)
    _check(predictions, ours, metrics, units, n_resamples)
    folds = _folds(predictions)
    weights, unit_of = _draw(predictions, units, n_resamples, random_state)
    names = [ours, *(name for name in predictions["estimator"].unique() if name != ours)]

    totals = np.zeros((len(metrics), len(names) - 1, n_resamples))
    counts = np.zeros_like(totals)
    for held_out in folds:
        samples = next(iter(held_out.values())).sample
        drawn = weights[:, unit_of[samples]]  # (B, n)
        values = np.full((len(metrics), len(names), n_resamples), np.nan)
        for e, name in enumerate(names):
            if name in held_out:
                y_true, prediction = held_out[name].y_true, held_out[name].prediction
                for m, metric in enumerate(metrics):
                    values[m, e] = METRICS[metric](y_true, prediction, drawn)
        differences = values[:, :1] - values[:, 1:]
        defined = ~np.isnan(differences)
        totals[defined] += differences[defined]
        counts += defined

    means = _ratio(totals, counts).reshape(-1, n_resamples)
    index = pd.MultiIndex.from_product([metrics, names[1:]], names=["metric", "estimator"])
    return pd.DataFrame(
        [_percentile_interval(row) for row in means], index=index, columns=["low", "high"]
    )


class _HeldOut(NamedTuple):
    """What one estimator said of the test part of one fold, in the order of the samples."""

    sample: NDArray  # (n,)
    y_true: NDArray  # (n,)
    prediction: dict[str, NDArray]  # column -> (n,)


def _folds(predictions: pd.DataFrame) -> list[dict[str, _HeldOut]]:
    """Return for each fold of each repeat what every estimator said of the same samples."""
    predictions = predictions.sort_values("sample", kind="stable")
    columns = {str(name): column.to_numpy() for name, column in predictions.items()}
    rows: dict[Any, Any] = predictions.groupby(["repeat", "fold", "estimator"]).indices
    folds: dict[tuple, dict[str, _HeldOut]] = {}
    for (repeat, fold, name), at in rows.items():
        prediction = {c: values[at] for c, values in columns.items() if c not in KEYS}
        held_out = _HeldOut(columns["sample"][at], columns["y_true"][at], prediction)
        paired = folds.setdefault((repeat, fold), {name: held_out})
        first, of_first = next(iter(paired.items()))
        if not np.array_equal(held_out.sample, of_first.sample):
            raise ValueError(
                f"{first!r} and {name!r} were tested on different samples in repeat {repeat},"
                f" fold {fold}; differences must be paired"
            )
        paired[name] = held_out
    return list(folds.values())


def _draw(
    predictions: pd.DataFrame,
    units: NDArray,
    n_resamples: int,
    random_state: int | RandomState | None,
) -> tuple[NDArray, NDArray]:
    """Draw units with replacement.

    Returns how often each was drawn, (n_resamples, n_units), and each sample's unit as an index
    into these, -1 where nobody was tested on it.
    """
    tested = np.unique(predictions["sample"])
    unit_of = np.full(len(units), -1)
    found, unit_of[tested] = np.unique(units[tested], return_inverse=True)
    n = len(found)
    draws = check_random_state(random_state).multinomial(n, np.full(n, 1 / n), size=n_resamples)
    return draws.astype(float), unit_of  # float: integer matrix products are slow


def _check(
    predictions: pd.DataFrame, ours: str, metrics: Sequence[str], units: NDArray, n_resamples: int
) -> None:
    missing = [name for name in [*KEYS, "y_pred"] if name not in predictions]
    if missing:
        raise ValueError(f"predictions lack the columns {missing}")
    if not (predictions["estimator"] == ours).any():
        raise ValueError(f"no predictions of {ours!r}; of {predictions['estimator'].unique()}")
    unknown = [name for name in metrics if name not in METRICS]
    if unknown:
        raise ValueError(f"unknown metrics {unknown}; known are {list(METRICS)}")
    if units.ndim != 1 or not predictions["sample"].between(0, len(units) - 1).all():
        raise ValueError(
            f"units has shape {units.shape}, but must name a unit for every sample: those"
            f" predicted go from {predictions['sample'].min()} to {predictions['sample'].max()}"
        )
    if n_resamples < 1:
        raise ValueError(f"n_resamples must be at least 1; got {n_resamples}")


def _percentile_interval(values: NDArray) -> tuple[float, float]:
    """Return the 2.5 and 97.5 % quantiles of the values that are defined."""
    values = values[~np.isnan(values)]
    if not len(values):
        return np.nan, np.nan
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


# The metrics. Shapes: y_true and prediction[column] (n,), weights (B, n), values (B,).


def _ratio(numerator: NDArray, denominator: NDArray) -> NDArray:
    """Divide, NaN where the denominator is zero."""
    out = np.full(np.broadcast(numerator, denominator).shape, np.nan)
    return np.divide(numerator, denominator, out=out, where=denominator > 0)


def _column(prediction: Prediction, name: str) -> NDArray:
    if name not in prediction:
        raise ValueError(f"this metric needs the column {name!r}; there are {list(prediction)}")
    return np.asarray(prediction[name])


def _positive(y_true: NDArray) -> object:
    """Return the second of two classes in sorted order, as in scikit-learn."""
    classes = np.unique(y_true)
    if len(classes) != 2:
        raise ValueError(f"this metric needs two classes in every fold; found {list(classes)}")
    return classes[1]


def _auc(positive: NDArray, score: NDArray, weights: NDArray) -> NDArray:
    """Weighted share of pairs in which the positive has the larger score; a tie counts half.

    One sort serves all B: in rising order of the score, each positive beats the negatives
    before it.
    """
    if np.isnan(score).any():
        return np.full(len(weights), np.nan)
    order = np.argsort(score)
    score, positive, weights = score[order], positive[order], weights[:, order]
    starts = np.flatnonzero(np.r_[True, score[1:] != score[:-1]])  # of runs of equal scores
    wins = np.add.reduceat(weights * positive, starts, axis=1)  # (B, n_runs)
    losses = np.add.reduceat(weights * ~positive, starts, axis=1)  # (B, n_runs)
    beaten = losses.cumsum(axis=1)
    pairs = wins.sum(axis=1) * beaten[:, -1]
    return _ratio((wins * (beaten - losses / 2)).sum(axis=1), pairs)


def _roc_auc(y_true: NDArray, prediction: Prediction, weights: NDArray) -> NDArray:
    """Two classes: AUC of ``score``; more: unweighted mean of one-vs-rest."""
    classes = np.unique(y_true)
    if len(classes) <= 2:
        return _auc(y_true == _positive(y_true), _column(prediction, "score"), weights)
    return np.mean(
        [_auc(y_true == c, _column(prediction, f"score_{c}"), weights) for c in classes], axis=0
    )


def _recall(true: NDArray, y_true: NDArray, prediction: Prediction, weights: NDArray) -> NDArray:
    hit = true & (_column(prediction, "y_pred") == y_true)
    return _ratio(weights @ hit, weights @ true)


def _balanced_accuracy(y_true: NDArray, prediction: Prediction, weights: NDArray) -> NDArray:
    recalls = [_recall(y_true == c, y_true, prediction, weights) for c in np.unique(y_true)]
    return np.mean(recalls, axis=0)


def _sensitivity(y_true: NDArray, prediction: Prediction, weights: NDArray) -> NDArray:
    return _recall(y_true == _positive(y_true), y_true, prediction, weights)


def _specificity(y_true: NDArray, prediction: Prediction, weights: NDArray) -> NDArray:
    return _recall(y_true != _positive(y_true), y_true, prediction, weights)


def _f1(y_true: NDArray, prediction: Prediction, weights: NDArray) -> NDArray:
    """2 TP / (true + said to be), of the positive class; of more than two, their mean."""
    classes = np.unique(y_true)
    y_pred = _column(prediction, "y_pred")
    values = []
    for c in classes if len(classes) > 2 else [_positive(y_true)]:
        true, said = y_true == c, y_pred == c
        drawn = weights @ true
        value = 2 * _ratio(weights @ (true & said), drawn + weights @ said)
        values.append(np.where(drawn > 0, value, np.nan))  # as all metrics: no class, no value
    return np.mean(values, axis=0)


def _neg_mean_absolute_error(y_true: NDArray, prediction: Prediction, weights: NDArray) -> NDArray:
    error = np.abs(y_true - _column(prediction, "y_pred"))
    return -_ratio(weights @ error, weights.sum(axis=1))


def _r2(y_true: NDArray, prediction: Prediction, weights: NDArray) -> NDArray:
    """Out of fold: against the mean of the training targets, which knows no test sample."""
    left = weights @ (y_true - _column(prediction, "y_pred")) ** 2
    return 1 - _ratio(left, weights @ (y_true - _column(prediction, "y_train_mean")) ** 2)


def _pearson_r(y_true: NDArray, prediction: Prediction, weights: NDArray) -> NDArray:
    total = weights.sum(axis=1)

    def centre(x: NDArray) -> tuple[NDArray, NDArray]:
        deviation = x - _ratio(weights @ x, total)[:, None]  # (B, n)
        norm = np.sqrt((weights * deviation**2).sum(axis=1))
        constant = norm <= 1e-13 * np.sqrt(weights @ x**2)  # but for rounding
        return deviation, np.where(constant, np.nan, norm)

    deviation, norm = centre(y_true)
    other, other_norm = centre(_column(prediction, "y_pred"))
    return (weights * deviation * other).sum(axis=1) / (norm * other_norm)


#: Weighted metrics, larger is better: ``METRICS[name](y_true, prediction, weights)`` takes labels
#: or targets (n,), a mapping or DataFrame of prediction columns (n,), and weights (B, n), and
#: gives B values; NaN where a class has no weight or a variance is zero. The positive class is
#: the second in sorted order. With weights of one they are scikit-learn's, but for "r2", which
#: compares with the mean of the training targets.
METRICS: dict[str, Metric] = {
    "roc_auc": _roc_auc,
    "balanced_accuracy": _balanced_accuracy,
    "sensitivity": _sensitivity,
    "specificity": _specificity,
    "f1": _f1,
    "neg_mean_absolute_error": _neg_mean_absolute_error,
    "r2": _r2,
    "pearson_r": _pearson_r,
}
