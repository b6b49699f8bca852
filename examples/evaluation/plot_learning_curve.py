"""
How many labelled scans does it take?
=====================================

Labels are dear, scans are not. Two traits are predicted from more and more labelled scans, for
subjects that no model has seen: by BrainMAE pretrained on all training scans, labelled or not, by
BrainMAE pretrained on the labelled ones alone, and by connectivity in tangent space, which has no
use for the others. The cohort is simulated: one trait changes how networks couple, the other how
long brain states last, which leaves the expected connectivity as it is.
"""

from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from sk_brainmae import BrainMAERegressor
from sk_brainmae.baselines import ConnectivityBaseline
from sk_brainmae.datasets import make_cohort

# %%
# Scans of 4 minutes: 80 to train on, of which few or many are labelled, and 60 to test on.

cohort = make_cohort(n_scans=140, n_timepoints=120, n_regions=30, t_r=2.0, random_state=0)
train, test = np.arange(80), np.arange(80, 140)
n_labelled = [10, 30, 80]

# %%
# A trait of NaN marks a scan as unlabelled: it takes part in pretraining alone. That is the same
# whatever is labelled, so a memory keeps it. The embedding of whole scans is learned in closed
# form; it needs no epochs.


def learning_curves(trait, labelling, memory):
    """Correlate predicted and true traits, labelling the first scans of a random order."""
    order = np.random.default_rng(labelling).permutation(train)
    brainmae = BrainMAERegressor(t_r=cohort.t_r, max_epochs=0, random_state=0, memory=memory)
    tangent = ConnectivityBaseline("tangent", task="regression")
    for n in n_labelled:
        labelled = order[:n]
        partly = np.where(np.isin(train, labelled), trait[train], np.nan)
        fits = {
            "BrainMAE, all scans": (brainmae, train, partly),
            "BrainMAE, labelled scans": (brainmae, labelled, trait[labelled]),
            "FC (tangent)": (tangent, labelled, trait[labelled]),
        }
        for name, (model, scans, y) in fits.items():
            predicted = model.fit(cohort.scans[scans], y).predict(cohort.scans[test])
            yield {"model": name, "n": n, "r": np.corrcoef(predicted, trait[test])[0, 1]}


with TemporaryDirectory() as memory:
    curves = {
        name: pd.DataFrame(
            row
            for labelling in range(2)  # which scans are labelled is a matter of luck
            for row in learning_curves(trait.to_numpy(), labelling, memory)
        ).pivot_table(values="r", index="n", columns="model")
        for name, trait in cohort.traits.items()
    }
print(pd.concat(curves).round(2).to_string())

# %%
# In how networks couple, tangent space is about as good. How long states last it hardly sees, and
# BrainMAE does. Unlabelled scans change little in either: the embedding
# is learned from ten scans nearly as well as from eighty, and what is missing are labels.

titles = {"static": "how networks couple", "dynamic": "how long states last"}
figure, axes = plt.subplots(1, 2, figsize=(9, 3.8), sharey=True, layout="constrained")
for ax, (name, curve) in zip(axes, curves.items(), strict=True):
    ax.axhline(0, color="0.8", zorder=0)
    for model, style in zip(curve, ["o-", "o--", "s-"], strict=True):
        ax.plot(curve.index, curve[model], style, label=model)
    ax.set(title=titles[name], xlabel="labelled scans", xscale="log")
    ax.set_xticks(n_labelled, n_labelled)
    ax.minorticks_off()
    ax.spines[["top", "right"]].set_visible(False)
axes[0].set_ylabel("trait predicted (r)")
axes[1].legend(frameon=False)
plt.show()
