"""
Measure how many labelled scans a prediction needs
==================================================

Labels are expensive, scans are not. This script predicts two traits of unseen subjects from 10, 30
and 80 labelled scans, with three models:

* BrainMAE's closed-form start, learned from all training scans, labelled or not;
* BrainMAE's closed-form start, learned from the labelled scans alone;
* connectivity in tangent space, which cannot use unlabelled scans.

The cohort is simulated. One trait acts on the coupling of networks. The other acts on the duration
of brain states and leaves the expected connectivity unchanged.
"""

import argparse
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from sk_brainmae import BrainMAERegressor
from sk_brainmae.baselines import ConnectivityBaseline
from sk_brainmae.datasets import make_cohort

parser = argparse.ArgumentParser(description="Predicted traits by number of labelled scans")
parser.add_argument("--quick", action="store_true", help="a small cohort, labelled once")
parser.add_argument("--output", default="learning_curve.png", help="where the figure goes")
options = parser.parse_args()

# %%
# Scans of 4 minutes: 80 to train on and 60 to test on. Which training scans have labels is drawn
# twice, and the scores are averaged.

N_TRAIN, N_TEST, N_REGIONS = 80, 60, 30
N_LABELLED, N_DRAWS = [10, 30, 80], 2
if options.quick:
    N_TRAIN, N_TEST, N_REGIONS = 24, 12, 12
    N_LABELLED, N_DRAWS = [12, 24], 1
cohort = make_cohort(
    n_scans=N_TRAIN + N_TEST, n_timepoints=120, n_regions=N_REGIONS, t_r=2.0, random_state=0
)
train, test = np.arange(N_TRAIN), np.arange(N_TRAIN, N_TRAIN + N_TEST)

# %%
# A trait of NaN marks a scan as unlabelled: it takes part in pretraining alone. Pretraining on all
# scans does not depend on the labels, so ``memory`` runs it once. ``max_epochs=0`` is enough,
# because the embedding of a whole scan is a closed form.


def learning_curves(trait, draw, memory):
    """Correlate predicted and true traits of the test scans, for each number of labels."""
    order = np.random.default_rng(draw).permutation(train)
    brainmae = BrainMAERegressor(t_r=cohort.t_r, max_epochs=0, random_state=0, memory=memory)
    tangent = ConnectivityBaseline("tangent", "regression", random_state=0)
    for n in N_LABELLED:
        labelled = order[:n]
        partly = np.where(np.isin(train, labelled), trait[train], np.nan)
        fits = {
            "BrainMAE, not trained, all scans": (brainmae, train, partly),
            "BrainMAE, not trained, labelled scans": (brainmae, labelled, trait[labelled]),
            "FC (tangent)": (tangent, labelled, trait[labelled]),
        }
        for name, (model, scans, y) in fits.items():
            predicted = model.fit(cohort.scans[scans], y).predict(cohort.scans[test])
            yield {"model": name, "n": n, "r": np.corrcoef(predicted, trait[test])[0, 1]}


with TemporaryDirectory() as memory:
    curves = {
        name: pd.DataFrame(
            row
            for draw in range(N_DRAWS)
            for row in learning_curves(trait.to_numpy(), draw, memory)
        ).pivot_table(values="r", index="n", columns="model")
        for name, trait in cohort.traits.items()
    }
print(pd.concat(curves, names=["trait"]).round(2).to_string())

# %%
# Both methods predict the coupling of networks about equally well. BrainMAE also predicts the
# duration of brain states, which tangent space hardly shows. Unlabelled scans change little: ten
# scans are enough to learn the embedding, so only more labels help.

titles = {"static": "Trait: coupling of networks", "dynamic": "Trait: duration of brain states"}
fig, axes = plt.subplots(1, 2, figsize=(9, 4.2), sharey=True, layout="constrained")
for ax, (name, curve) in zip(axes, curves.items(), strict=True):
    ax.axhline(0, color="0.8", zorder=0)
    for model, style in zip(curve, ["o-", "o--", "s-"], strict=True):
        ax.plot(curve.index, curve[model], style, label=model)
    ax.set_xlabel("labelled scans")
    ax.set_xscale("log")
    ax.set_xticks(N_LABELLED, N_LABELLED)
    ax.minorticks_off()
    ax.set_title(titles[name], loc="left", fontsize="medium")
    ax.spines[["top", "right"]].set_visible(False)
axes[0].set_ylabel("correlation of predicted and true trait (r)")
fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
fig.savefig(options.output, dpi=110)
plt.show()
