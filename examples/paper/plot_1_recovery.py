"""
1. Recover the generating networks
==================================

The paper trains on synthetic scans whose networks are known, and finds these networks in the ROI
embeddings. This script measures how well: it clusters the embeddings and compares the clusters
with the networks by the adjusted Rand index (ARI; 1: equal, 0: chance), at growing noise.
Functional connectivity (FC) is clustered in the same way. A spectral start computes the embeddings
from connectivity, so the two must agree. Only the paper's random start has to learn the networks.
"""

import argparse
import warnings

import matplotlib.pyplot as plt
import pandas as pd

from sk_brainmae import BrainMAETransformer
from sk_brainmae.datasets import make_cohort
from sk_brainmae.inspection import network_agreement, plot_roi_map

parser = argparse.ArgumentParser(description="Networks recovered from ROI embeddings")
parser.add_argument("--quick", action="store_true", help="a small cohort, hardly any training")
parser.add_argument("--output", default="1_recovery.png", help="where the figure goes")
options = parser.parse_args()
warnings.simplefilter("ignore")  # models that fall behind linear predictors warn of it

# %%
# The default cohort: 100 scans of 300 frames, 60 regions in 6 networks, 4 hidden states. The
# signal of a region has a standard deviation of 1, its noise of 0.7 and more.

SEEDS, NOISES = range(5), (0.7, 2, 4, 6, 8, 11, 16)
LEARNING_SEEDS = {0.7: SEEDS, 4: SEEDS[:1]}
N_EPOCHS = 10
SIZE = {}
if options.quick:
    SEEDS, NOISES, N_EPOCHS = range(1), (0.7, 8), 2
    LEARNING_SEEDS = {0.7: SEEDS}
    SIZE = {"n_scans": 20, "n_timepoints": 150}


def agreement(model, cohort):
    """Return the ARI of a model's ROI embeddings and of connectivity."""
    ari = network_agreement(model, cohort.networks, cohort.scans)["ari"]
    return {"noise": noise, "embeddings": ari["ROI embeddings"], "FC": ari["connectivity"]}


def summarise(rows, by):
    """Return the mean and the lowest ARI over cohorts."""
    table = pd.DataFrame(rows).groupby(by)
    return table[["embeddings", "FC"]].agg(["mean", "min", "count"]).round(2)


# %%
# The spectral start at growing noise. Connectivity recovers about as much.

rows = []
for noise in NOISES:
    for seed in SEEDS:
        cohort = make_cohort(noise=noise, random_state=seed, **SIZE)
        start = BrainMAETransformer(max_epochs=0, random_state=seed).fit(cohort.scans)
        rows.append(agreement(start, cohort))
spectral = summarise(rows, "noise")
print("Spectral start, ARI over cohorts", spectral.to_string(), sep="\n")

# %%
# The paper's random start, after ten epochs. How fast it learns depends on the size of the first
# embeddings, see the ablations.

rows, shown = [], None
for noise, seeds in LEARNING_SEEDS.items():
    for seed in seeds:
        cohort = make_cohort(noise=noise, random_state=seed, **SIZE)
        model = BrainMAETransformer(
            init="random",
            embedding_dim=32,
            max_epochs=N_EPOCHS,
            validation_fraction=0.0,
            random_state=seed,
        ).fit(cohort.scans)
        rows.append(agreement(model, cohort))
        shown = shown or model
learned = summarise(rows, "noise")
print("\nRandom start, ARI over cohorts", learned.to_string(), sep="\n")

# %%
# Left: recovery by noise. Right: a map of the embeddings learned from a random start.

fig, (left, right) = plt.subplots(1, 2, figsize=(10.5, 4.6), layout="constrained")
left.plot(spectral.index, spectral["embeddings", "mean"], "o-", label="BrainMAE, spectral start")
left.plot(spectral.index, spectral["FC", "mean"], "s--", label="connectivity")
label = f"BrainMAE, random start, {N_EPOCHS} epochs"
left.plot(learned.index, learned["embeddings", "mean"], "^:", label=label)
left.axhline(0.9, color="0.7", linewidth=0.8, zorder=0)
left.set_xscale("log", base=2)
left.set_xticks(spectral.index, [f"{noise:g}" for noise in spectral.index])
left.minorticks_off()
left.set_xlabel("standard deviation of a region's noise (signal: 1)")
left.set_ylabel("ARI of clusters and true networks")
left.set_title("Recovery of the generating networks", loc="left", fontsize="medium")
left.spines[["top", "right"]].set_visible(False)
left.legend(frameon=False, fontsize="small", loc="center left")
plot_roi_map(shown, make_cohort(random_state=0, **SIZE).networks, ax=right)
right.set_title("t-SNE of embeddings, random start", loc="left", fontsize="medium")
fig.savefig(options.output, dpi=110)
plt.show()
