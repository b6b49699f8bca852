"""
6. Measure what each part of the network adds
=============================================

This script compares the paper's network (static attention, SG, from its random start) with variants
of itself and with this package's spectral start, on the same five folds of simulated scans.
Variants that no parameter selects are patched in below. Each variant has three scores:

* *filling in*: R² in the hidden half of the regions of new scans.
* *states*: balanced accuracy of a linear probe that predicts the brain state, one of four, from the
  window states of new scans. The brain states differ in how regions couple and not in the level of
  the signal, and a window state holds little of the coupling.
* *ARI*: agreement of clustered ROI embeddings with the generating networks. The regions of a
  network have neighbouring indices, so positional embeddings agree with the networks without
  learning.

The training takes minutes here; the paper's took 1000 epochs on hundreds of subjects. What differs
here need not differ there, and the other way round.
"""

import argparse
import warnings
from contextlib import ExitStack
from unittest.mock import patch

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from sk_brainmae import BrainMAERegressor, BrainMAETransformer
from sk_brainmae.datasets import make_cohort
from sk_brainmae.estimators import transformer
from sk_brainmae.evaluation import compare
from sk_brainmae.inspection import network_agreement, window_states
from sk_brainmae.network import BrainMAE, positions
from sk_brainmae.network.attention import RegionGraphAttention
from sk_brainmae.training import pretraining

parser = argparse.ArgumentParser(description="What each part of the network adds")
parser.add_argument("--quick", action="store_true", help="one fold, hardly any training")
parser.add_argument("--output", default="6_ablation.png", help="where the figure goes")
options = parser.parse_args()
warnings.simplefilter("ignore")  # models that fall behind linear predictors warn of it

# %%
# Scans of 150 frames and 30 regions, windows of 15 frames. Brain states last 30 frames on average.

N_SCANS, N_EPOCHS = (20, 1) if options.quick else (60, 15)
cohort = make_cohort(n_scans=N_SCANS, n_timepoints=150, n_regions=30, dwell_time=30, random_state=0)
folds = list(KFold(5, shuffle=True, random_state=0).split(cohort.scans))
folds = folds[: 1 if options.quick else None]

# %%
# Variants of the network.


class LargeEmbeddings(BrainMAE):
    """Start ROI embeddings with a standard deviation of 1 instead of 0.1."""

    def __init__(self, **architecture):
        super().__init__(**architecture)
        self.roi.data.mul_(10)


class Positional(BrainMAE):
    """Fix ROI embeddings to sines of the region's index; they do not learn."""

    def __init__(self, **architecture):
        super().__init__(**architecture)
        self.roi.data.copy_(positions(*self.roi.shape))
        self.roi.requires_grad_(False)


class Perceptron(BrainMAE):
    """Use the paper's decoder: a perceptron on window state and ROI embedding, concatenated."""

    def __init__(self, **architecture):
        super().__init__(**architecture)
        dim = architecture["dim"]
        self.perceptron = nn.Sequential(
            nn.Linear(2 * dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, architecture["window"])
        )

    def decode(self, states):
        """Rebuild windows (B, n, N, tau) from window states (B, n, d)."""
        shape = (*states.shape[:2], *self.roi.shape)  # (B, n, N, d)
        pair = states[:, :, None].expand(shape), self.roi.expand(shape)
        return self.perceptron(torch.cat(pair, -1))


def with_self_loops(self, roi):
    """Return the scores of region-aware attention, with the diagonal kept."""
    query, key = self.queries_and_keys(roi)
    return query @ key.transpose(1, 2) / query.shape[-1] ** 0.5


BASE = "SG, random start"
VARIANTS = {
    BASE: ({}, BrainMAE),
    "AG": ({"attention": "adaptive"}, BrainMAE),
    "vanilla": ({"attention": "vanilla"}, BrainMAE),
    "no masking": ({"mask_ratio": 0.0}, BrainMAE),
    "positional embeddings": ({}, Positional),
    "self-loops": ({}, BrainMAE),
    "perceptron decoder": ({}, Perceptron),
    "embeddings drawn with SD 1": ({}, LargeEmbeddings),
    "spectral start, untrained": ({"init": "spectral", "max_epochs": 0}, BrainMAE),
    "spectral start, trained": (
        {"init": "spectral", "max_epochs": max(1, N_EPOCHS // 3)},
        BrainMAE,
    ),
}

# %%
# Fit and score. The label of a window is the brain state of most of its frames.


def label_windows(scans):
    """Return the most frequent brain state of each window."""
    states = cohort.states[scans].reshape(-1, 15)
    counts = np.stack([(states == k).sum(axis=1) for k in range(4)], axis=1)
    return counts.argmax(axis=1)


def measure(name, train, test):
    """Train a variant on one fold and score it."""
    params, network = VARIANTS[name]
    settings = {
        "window_size": 15,
        "crop_length": 150,
        "init": "random",
        "embedding_dim": 32,
        "batch_size": 4,
        "max_epochs": N_EPOCHS,
        "validation_fraction": 0.0,
        "random_state": 0,
    }
    model = BrainMAETransformer(**settings | params)
    with ExitStack() as patches:
        for module in (pretraining, transformer):
            patches.enter_context(patch.object(module, "BrainMAE", network))
        if name == "self-loops":
            patches.enter_context(patch.object(RegionGraphAttention, "scores", with_self_loops))
        model.fit(cohort.scans[train])
        filled = model.score(cohort.scans[test])
        known, new = (window_states(model, cohort.scans[part]).states for part in (train, test))
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
    predicted = probe.fit(known, label_windows(train)).predict(new)
    return {
        "filling in": filled,
        "states": balanced_accuracy_score(label_windows(test), predicted),
        "ARI": network_agreement(model, cohort.networks).loc["ROI embeddings", "ari"],
    }


found = pd.DataFrame(
    [
        {"variant": name, "fold": k, **measure(name, *fold)}
        for name in VARIANTS
        for k, fold in enumerate(folds)
    ]
).set_index(["variant", "fold"])

# %%
# Means over folds, and the difference of each variant to the first one, paired by fold.

paired = found - found.xs(BASE, level="variant")
summary = {"mean": found, "difference": paired}
table = pd.concat({key: rows.groupby("variant").mean() for key, rows in summary.items()}, axis=1)
spread = paired.groupby("variant").std(ddof=0)
table = table.join(pd.concat({"SD of difference": spread}, axis=1)).loc[list(VARIANTS)]
print(table.round(3).to_string())

# %%
# Views: how a scan becomes one vector, scored by the prediction of a trait that acts on the
# coupling of networks. Four models have a spectral start and a linear head. A mean of window
# states cannot hold a covariance. The last model follows the paper: random start and fine-tuning.

n_epochs = 1 if options.quick else 10
params = {"embedding_dim": 32, "crop_length": 150, "random_state": 0}
by_view = {
    view: BrainMAERegressor(**params, views=view, max_epochs=0)
    for view in ("connectivity", "states", "state_mean", "cls")
}
by_view["state_mean, fine-tuned"] = BrainMAERegressor(
    **params,
    views="state_mean",
    init="random",
    strategy="finetune",
    max_epochs=n_epochs,
    validation_fraction=0.0,
)
compared = compare(
    by_view, cohort.scans, cohort.traits["static"].to_numpy(), cv=folds, scoring="pearson_r"
)
columns = ["mean", "std", "difference", "difference_std"]
print("\nViews: correlation of predicted and true trait")
print(compared.table.droplevel("metric")[columns].astype(object).fillna("").to_string())

# %%
# Dots are folds and bars are means. The grey line is the mean of the first variant.

fig, axes = plt.subplots(1, 4, figsize=(15, 4.6), layout="constrained", width_ratios=[1, 1, 1, 1.2])
names = list(VARIANTS)
units = ("R² in hidden regions", "balanced accuracy (chance 0.25)", "ARI (chance 0)")
for k, (ax, measured, unit) in enumerate(zip(axes, found.columns, units, strict=False)):
    for row, name in enumerate(names):
        values = found.loc[name, measured]
        colour = "#0072B2" if name.startswith("spectral") else "#D55E00"
        ax.plot(values, np.full(len(values), row), "o", color=colour, alpha=0.4, markersize=5)
        ax.plot(values.mean(), row, "|", color=colour, markersize=16, markeredgewidth=2.5)
    ax.axvline(found.loc[BASE, measured].mean(), color="0.7", linewidth=0.8, zorder=0)
    ax.set_yticks(range(len(names)), names if k == 0 else [""] * len(names))
    ax.invert_yaxis()
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_xlabel(unit)
    ax.set_title(measured, loc="left", fontsize="medium")
compared.plot(ax=axes[3])
axes[3].set_title("view", loc="left", fontsize="medium")
axes[3].set_xlabel("correlation with the trait (r)")
fig.savefig(options.output, dpi=110)
plt.show()
