"""What does a prediction depend on? Windows or networks are hidden, one at a time."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray
from sklearn.base import is_classifier

from sk_brainmae.inspection.attention import average_over_time, plot_over_time
from sk_brainmae.inspection.model import (
    Predictor,
    assumed_t_r,
    fitted_predictor,
    one_each,
    tile,
    window_length,
    window_times,
)
from sk_brainmae.inspection.style import MODEL, entitle, new_axes, plain
from sk_brainmae.scans.cohort import Cohort
from sk_brainmae.scans.crops import Crops


def occlusion(
    model: Any,
    X: Any,
    y: ArrayLike | None = None,
    by: str = "window",
    networks: ArrayLike | None = None,
) -> pd.DataFrame:
    """Measure how the prediction changes when a window, or a network, is hidden [1]_.

    A *window* is masked as in pretraining: the model does not attend to it. Poolings in closed
    form ("covariance", "state") know no masks, and see the run's mean, which is 0, in its place.
    The regions of a *network* are missing from the whole run, like constant regions: the model
    does not attend to them, and closed forms expect them from the other regions. Mean and
    variance of the run stay as they were.

    Parameters
    ----------
    model : BrainMAEClassifier or BrainMAERegressor
        Fitted; any strategy and views.
    X : list of scans, or ndarray of shape (n_scans, n_timepoints, n_regions)
        Scans or Windows, better not those it was fitted on.
    y : array-like of shape (n_scans,), default=None
        Labels or target. None: what the model predicts when nothing is hidden.
    by : {"window", "network"}, default="window"
        What to hide.
    networks : array-like of shape (n_regions,), default=None
        The network of each region, for ``by="network"``.

    Returns
    -------
    DataFrame
        One row for each sample and window (columns ``sample``, ``time``, as in
        :func:`~sk_brainmae.inspection.cls_attention`, and ``change``) or network (``sample``,
        ``network``, ``change``). ``change`` is, for classifiers, by how much the probability of
        the class falls; for regressors, by how much the absolute error grows, or, without ``y``,
        by how much the prediction falls. Windows that overlap a hidden one are hidden, too.

    Raises
    ------
    ValueError
        If ``by`` is neither, network labels do not fit, or ``y`` holds a class the model has not
        seen.

    References
    ----------
    .. [1] Zeiler and Fergus (2014). Visualizing and understanding convolutional networks. ECCV,
       818-833.
    """
    model = fitted_predictor(model)
    encoder = model.encoder_
    cohort = model._read(X, t_r=assumed_t_r(encoder))
    target = None if y is None else one_each(y, len(cohort), "y", "sample")
    if target is not None and is_classifier(model):
        if (unseen := np.setdiff1d(target, model.classes_)).size:
            raise ValueError(f"y holds the class {unseen[0]}, which the model has not seen")
        target = np.searchsorted(model.classes_, target)
    if by == "network":
        networks = _check_networks(networks, cohort.n_regions)
        hide, keys = _hide_networks(cohort, networks), "network"
    elif by == "window":
        crops = tile(encoder, cohort)
        times = window_times(encoder, cohort, crops)
        hide, keys = _hide_windows(cohort, crops, times, window_length(encoder)), "time"
    else:
        raise ValueError(f"by must be 'window' or 'network', got {by!r}")
    parts = []
    for i, (variants, what) in enumerate(hide):
        features = model._embed(variants)
        change = _change(model, features, None if target is None else target[i])
        parts.append(pd.DataFrame({"sample": i, keys: what, "change": change}))
    return pd.concat(parts, ignore_index=True)


def plot_occlusion(table: pd.DataFrame, events: Any = None, ax: Axes | None = None) -> Axes:
    """Draw :func:`occlusion` over time, with ``events`` (in its unit) marked, or by network."""
    if "time" in table:
        return plot_over_time(table, events, ax)
    mean = average_over_time(table, "network").sort_values("mean", ascending=False)
    rows = np.arange(len(mean))
    ax = new_axes(ax, 6.4, 1.4 + 0.36 * len(mean))
    ax.errorbar(mean["mean"], rows, xerr=mean["std"].fillna(0), fmt="o", color=MODEL, ecolor="0.7")
    ax.axvline(0, color="0.3", linewidth=0.8, linestyle="--", zorder=0)
    ax.set_yticks(rows, plain(mean.index))
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.xaxis.set_major_formatter("{x:g}")
    ax.set_xlabel("change of the prediction")
    note = f"mean ± SD over {table['sample'].nunique()} samples"
    entitle(ax, "Change of the prediction when a network is hidden", note)
    return ax


def _check_networks(networks: ArrayLike | None, n_regions: int) -> NDArray:
    if networks is None:
        raise ValueError("by='network' needs networks, one label a region")
    networks = one_each(networks, n_regions, "networks", "region")
    if len(np.unique(networks)) < 2:
        raise ValueError("all regions have the same network label: hiding it leaves nothing")
    return networks


def _hide_windows(
    cohort: Cohort, crops: Crops, times: NDArray, window: int
) -> Iterator[tuple[Cohort, NDArray]]:
    """Yield each sample, first whole, then without each of its windows; and their times."""
    for i, run in enumerate(cohort.runs):
        here = np.nonzero((crops.sample == i)[:, None] & (crops.starts >= 0))
        starts = crops.starts[here] - cohort.run_start[run]
        variants = _copies(cohort, i, 1 + len(starts))
        hidden = np.zeros(variants.frames.shape, dtype=bool)
        for first, start in zip(variants.run_start[1:], starts, strict=True):
            hidden[first + start : first + start + window] = True
        variants.frames[hidden] = 0
        yield replace(variants, hidden=hidden), times[here]


def _hide_networks(cohort: Cohort, networks: NDArray) -> Iterator[tuple[Cohort, NDArray]]:
    """Yield each sample, first whole, then without each network; and the networks' labels."""
    labels = np.unique(networks)
    for i in range(len(cohort)):
        variants = _copies(cohort, i, 1 + len(labels))
        for k, label in enumerate(labels, start=1):
            rows = slice(variants.run_start[k], variants.run_start[k] + variants.run_length[k])
            variants.frames[rows, networks == label] = 0
            variants.observed[k, networks == label] = False
        yield variants, labels


def _copies(cohort: Cohort, i: int, n: int) -> Cohort:
    """Return n copies of sample i, each in a run of its own."""
    run = cohort.runs[i]
    length = cohort.run_length[run]
    rows = slice(cohort.run_start[run], cohort.run_start[run] + length)
    return Cohort(
        frames=np.tile(cohort.frames[rows], (n, 1)),
        run_start=length * np.arange(n),
        run_length=np.full(n, length),
        observed=np.tile(cohort.observed[run], (n, 1)),
        mean=np.tile(cohort.mean[run], (n, 1)),
        scale=np.tile(cohort.scale[run], (n, 1)),
        runs=np.arange(n),
        start=np.full(n, cohort.start[i]),
        stop=np.full(n, cohort.stop[i]),
        resampled=np.full(n, cohort.resampled[run]),
        missing=None if cohort.missing is None else np.tile(cohort.missing[rows], (n, 1)),
    )


def _change(model: Predictor, features: NDArray, target: Any) -> NDArray:
    """Return the change of the prediction from the first row to each other row, (n - 1,)."""
    if is_classifier(model):
        probability = model.head_.predict_proba(features)
        own = probability[0].argmax() if target is None else target
        return probability[0, own] - probability[1:, own]
    prediction = model.head_.predict(features)
    if target is None:
        return prediction[0] - prediction[1:]
    error = np.abs(prediction - target)
    return error[1:] - error[0]
