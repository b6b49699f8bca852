"""Attention of the CLS token to each window.

Attention tells where a network looks, not what its prediction depends on; the two may differ
(Jain and Wallace 2019, Attention is not Explanation). Occlusion measures the latter.
"""

from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from numpy.typing import NDArray
from scipy.stats import spearmanr
from torch import Tensor

from sk_brainmae.inspection.model import (
    Encoder,
    assumed_t_r,
    fitted_predictor,
    predicts_from_cls,
    tile,
    window_times,
)
from sk_brainmae.inspection.style import MODEL, PLAIN, entitle, new_axes
from sk_brainmae.scans.cohort import Cohort
from sk_brainmae.scans.crops import Crops
from sk_brainmae.training.tensors import CohortTensors

MAX_LINES = 40  # of single samples; more make a grey area


def cls_attention(model: Any, X: Any) -> pd.DataFrame:
    """Return how much the CLS token attends to each window.

    Parameters
    ----------
    model : BrainMAEClassifier or BrainMAERegressor
        Fitted with ``strategy="finetune", views="cls"``: only then does a prediction come
        from the CLS token, and only fine-tuning trains it.
    X : list of scans, or ndarray of shape (n_scans, n_timepoints, n_regions)
        Scans or Windows.

    Returns
    -------
    DataFrame
        One row for each sample and window of its crops, with columns ``sample``, ``time`` (the
        middle of the window from the sample's start, in seconds, or in frames without ``t_r``;
        windows of context lie outside the sample) and ``attention``: mean over heads and blocks,
        without the token's attention to itself; it sums to 1 over a sample.

    Raises
    ------
    ValueError
        If the CLS token has no part in the prediction, or there are no blocks (``n_layers=0``).
    """
    model = fitted_predictor(model)
    if not predicts_from_cls(model):
        raise ValueError(
            "the CLS token has no part in this model's prediction"
            f" (strategy={model.strategy!r}, views={model.views_!r}): fit with"
            " strategy='finetune', views='cls' and max_epochs of at least 1; occlusion works"
            " with any model"
        )
    encoder = model.encoder_
    if not encoder.n_layers:
        raise ValueError("with n_layers=0 there is no attention between windows")
    cohort = model._read(X, t_r=assumed_t_r(encoder))
    crops = tile(encoder, cohort)
    attention = _attention_of_cls(encoder, cohort, crops)  # (n_crops, n)
    crop, place = np.nonzero(crops.starts >= 0)
    sample = crops.sample[crop]
    n_crops = np.bincount(crops.sample)
    return pd.DataFrame(
        {
            "sample": sample,
            "time": window_times(encoder, cohort, crops)[crop, place],
            "attention": attention[crop, place] / n_crops[sample],
        }
    )


def attention_agreement(attention: pd.DataFrame, occlusion: pd.DataFrame) -> pd.Series:
    """Correlate attention with the size of the effect of occlusion, over the windows of a sample.

    Parameters
    ----------
    attention : DataFrame
        As :func:`cls_attention` returns it.
    occlusion : DataFrame
        As :func:`~sk_brainmae.inspection.occlusion` returns it, by window, of the same samples.

    Returns
    -------
    Series
        Spearman correlation, by sample; missing where fewer than three windows are in both or
        nothing varies.
    """
    both = attention.merge(occlusion, on=["sample", "time"])

    def correlate(windows: pd.DataFrame) -> float:
        change = windows["change"].abs()
        if len(windows) < 3 or windows["attention"].nunique() < 2 or change.nunique() < 2:
            return np.nan
        return float(spearmanr(windows["attention"], change).statistic)

    samples = attention["sample"].unique()
    rho = {sample: correlate(windows) for sample, windows in both.groupby("sample")}
    return pd.Series(rho, name="spearman", dtype=float).reindex(samples)


def average_over_time(table: pd.DataFrame, by: str = "time") -> pd.DataFrame:
    """Average attention, or the effect of occlusion, over samples.

    Parameters
    ----------
    table : DataFrame
        As :func:`cls_attention` or :func:`~sk_brainmae.inspection.occlusion` returns it.
    by : {"time", "network"}, default="time"
        Which column to keep apart.

    Returns
    -------
    DataFrame
        Indexed by time or network: ``mean``, ``std`` over the samples that have it, and their
        number ``n``.
    """
    value = table.columns[-1]
    by_value = table.groupby(by)[value]
    return pd.DataFrame({"mean": by_value.mean(), "std": by_value.std(), "n": by_value.count()})


def plot_over_time(table: pd.DataFrame, events: Any = None, ax: Axes | None = None) -> Axes:
    """Draw mean and SD of attention or occlusion over time, with ``events`` (same unit) marked."""
    value = table.columns[-1]
    ax = new_axes(ax, 7.4, 3.6)
    samples = table["sample"].unique()
    for _, rows in table[table["sample"].isin(samples[:MAX_LINES])].groupby("sample"):
        ax.plot(rows["time"], rows[value], color=PLAIN, linewidth=0.5, alpha=0.5, zorder=1)
    mean = average_over_time(table)
    std = mean["std"].fillna(0)
    low, high = mean["mean"] - std, mean["mean"] + std
    ax.fill_between(mean.index, low, high, color=MODEL, alpha=0.2, linewidth=0)
    ax.plot(mean.index, mean["mean"], "o-", color=MODEL, markersize=3.5)
    if value == "attention":
        reference, title = 1 / table.groupby("sample").size().mean(), "Attention of the CLS token"
        note = f"mean ± SD over {len(samples)} samples; dashed: all windows alike"
    else:
        reference, title = 0.0, "Change of the prediction when a window is hidden"
        note = f"mean ± SD over {len(samples)} samples"
    ax.axhline(reference, color="0.3", linewidth=0.8, linestyle="--", zorder=0)
    for event in [] if events is None else events:
        ax.axvline(event, color="0.3", linewidth=0.8, linestyle=":", zorder=0)
    ax.yaxis.set_major_formatter("{x:g}")  # a common factor would be written over the note
    ax.set_xlabel("time from the start of the sample (s; frames without t_r)")
    ax.set_ylabel(value if value == "attention" else "change of the prediction")
    entitle(ax, title, note)
    return ax


@torch.inference_mode()
def _attention_of_cls(encoder: Encoder, cohort: Cohort, crops: Crops) -> NDArray:
    """Return the attention of the CLS token to each window, (n_crops, n), rows sum to 1."""
    layout = encoder._layout()
    network = encoder._network().to(layout["device"]).eval()
    tensors = CohortTensors(cohort, layout["window"], layout["device"])
    recorded: list[Tensor] = []

    def record(attention: Any, inputs: tuple[Tensor, ...]) -> None:
        x, visible = inputs[:2]
        query, key, _ = attention.heads(x)  # (B, H, 1 + n, d/H)
        scores = query[:, :, :1] @ key.transpose(2, 3) / key.shape[-1] ** 0.5
        scores = scores.masked_fill(~visible[:, None, None], -torch.inf)
        recorded.append(scores.softmax(-1)[:, :, 0, 1:].mean(1))  # (B, n)

    for block in network.sequence_blocks:
        block.get_submodule("attention").register_forward_pre_hook(record)
    rows = []
    for start in range(0, len(crops.starts), layout["batch_size"]):
        recorded.clear()
        network.encode(*tensors.gather(crops, slice(start, start + layout["batch_size"])))
        rows.append(torch.stack(recorded).mean(0))
    attention = torch.cat(rows).cpu().numpy().astype(float)
    return attention / attention.sum(axis=1, keepdims=True)
