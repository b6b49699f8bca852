"""How much a difference depends on who was tested: subjects drawn anew, models kept."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from sk_brainmae.evaluation.metrics import METRICS, Resample, find_metric
from sk_brainmae.evaluation.tables import PREDICTION_COLUMNS


def bootstrap_intervals(
    predictions: pd.DataFrame,
    ours: str,
    metrics: Sequence[str],
    units: ArrayLike,
    n_resamples: int = 2000,
) -> pd.DataFrame:
    r"""Return 95 % intervals of the differences from every opponent, by metric and estimator.

    Units (the subjects of the samples, (n_samples,)) are drawn with replacement, so that samples
    of one subject are not taken for independent [1]_. With :math:`w_i` the number of times the
    unit of sample i was drawn, a resample's difference over the J folds of all repeats is

    .. math::

        \Delta(w) = \frac{1}{J} \sum_j
        \left[ m(y_j, \hat y_j^{ours}; w) - m(y_j, \hat y_j^{opponent}; w) \right]

    The interval lies between the 2.5 and 97.5 % quantiles of :math:`\Delta`. Folds in which a
    difference is undefined (no sample of a class drawn, a correlation with a constant) are left
    out of the mean. An interval is NaN where no resample has a defined fold. The models are not
    fitted anew: the interval says nothing about other training subjects.

    References
    ----------
    .. [1] Davison & Hinkley (1997). Bootstrap Methods and Their Application, section 3.8.
       Cambridge University Press.
    """
    units = np.asarray(units)
    _check(predictions, ours, units, n_resamples)
    resamplings = [_resampling(name) for name in metrics]
    folds = _folds(predictions)
    weights, unit_of = _draw(predictions, units, n_resamples)
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
                for m, resample in enumerate(resamplings):
                    values[m, e] = resample(y_true, prediction, drawn)
        differences = values[:, :1] - values[:, 1:]
        defined = ~np.isnan(differences)
        totals[defined] += differences[defined]
        counts += defined

    means = np.divide(totals, counts, out=np.full_like(totals, np.nan), where=counts > 0)
    index = pd.MultiIndex.from_product([metrics, names[1:]], names=["metric", "estimator"])
    return pd.DataFrame(
        [_percentile_interval(row) for row in means.reshape(-1, n_resamples)],
        index=index,
        columns=["low", "high"],
    )


class _HeldOut(NamedTuple):
    """One estimator's predictions for the test part of one fold, in the order of the samples."""

    sample: NDArray  # (n,)
    y_true: NDArray  # (n,)
    prediction: dict[str, NDArray]  # column -> (n,)


def _folds(predictions: pd.DataFrame) -> list[dict[str, _HeldOut]]:
    """Return, for each fold of each repeat, every estimator's predictions for the same samples."""
    predictions = predictions.sort_values("sample", kind="stable")
    columns = {str(name): column.to_numpy() for name, column in predictions.items()}
    rows: dict[Any, Any] = predictions.groupby(["repeat", "fold", "estimator"]).indices
    folds: dict[tuple, dict[str, _HeldOut]] = {}
    for (repeat, fold, name), at in rows.items():
        prediction = {c: values[at] for c, values in columns.items()}
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


def _draw(predictions: pd.DataFrame, units: NDArray, n_resamples: int) -> tuple[NDArray, NDArray]:
    """Draw units with replacement: how often each, (B, n_units), and each sample's unit.

    The unit is an index into these columns, -1 of a sample that nobody was tested on.
    """
    tested = np.unique(predictions["sample"])
    unit_of = np.full(len(units), -1)
    found, unit_of[tested] = np.unique(units[tested], return_inverse=True)
    n = len(found)
    # One seed: the same predictions have the same intervals in every call.
    draws = np.random.RandomState(0).multinomial(n, np.full(n, 1 / n), size=n_resamples)
    return draws.astype(float), unit_of  # float: integer matrix products are slow


def _resampling(metric: str) -> Resample:
    found = find_metric(metric).resample
    if found is None:
        known = [name for name, of_table in METRICS.items() if of_table.resample is not None]
        raise ValueError(f"metric {metric!r} cannot be resampled; those that can are {known}")
    return found


def _check(predictions: pd.DataFrame, ours: str, units: NDArray, n_resamples: int) -> None:
    if missing := [name for name in PREDICTION_COLUMNS if name not in predictions]:
        raise ValueError(f"predictions lack the columns {missing}")
    if not (predictions["estimator"] == ours).any():
        found = list(predictions["estimator"].unique())
        raise ValueError(f"there are no predictions of {ours!r}, only of {found}")
    if units.ndim != 1 or not predictions["sample"].between(0, len(units) - 1).all():
        raise ValueError(
            f"units has shape {units.shape}, but must name a unit for every sample: samples"
            f" predicted are {predictions['sample'].min()} to {predictions['sample'].max()}"
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
