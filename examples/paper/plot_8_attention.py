"""
8. Check attention over time against occlusion
==============================================

The paper reads from the attention of the CLS token at which times a subject's state mattered. But
attention shows where a network looks, not what its prediction depends on. Occlusion does: it hides
one window after another and measures by how much the prediction falls. This script compares the
two. The paper's network is fine-tuned to tell two kinds of trials apart, and sees the run
around each trial. If it has learned what matters, it looks at the trial. The first data are a
control: simulated scans in which only the trial matters. The second are hot and warm trials of the
pain runs.
"""

import argparse
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold

from sk_brainmae import BrainMAEClassifier
from sk_brainmae.datasets import fetch_pain, pain_trials
from sk_brainmae.inspection import (
    attention_agreement,
    cls_attention,
    occlusion,
    plot_over_time,
)
from sk_brainmae.timeseries import Window

parser = argparse.ArgumentParser(description="Attention over time, and occlusion as its check")
parser.add_argument("--quick", action="store_true", help="few subjects, hardly any training")
parser.add_argument("--output", default="8_attention.png", help="where the figure goes")
options = parser.parse_args()
warnings.simplefilter("ignore")  # constant regions; random starts fall behind linear predictors

# %%
# Planted trials: scans of noise, in which 6 of 20 regions rise or fall for eight frames of 2 s.

rng = np.random.default_rng(0)
onsets = (20, 60, 100, 132)
rises = rng.integers(2, size=(40, len(onsets)))  # (n_scans, n_trials)
scans = rng.standard_normal((40, 160, 20))
for scan, trials in zip(scans, rises, strict=True):
    for onset, rise in zip(onsets, trials, strict=True):
        scan[onset : onset + 8, :6] += 1 if rise else -1
planted = [Window(scan, onset, onset + 8) for scan in scans for onset in onsets]
pain = fetch_pain()
tasks = {
    "planted trials": (planted, rises.ravel(), np.repeat(np.arange(40), len(onsets))),
    "pain trials": pain_trials(pain),
}

# %%
# A trial of 16 s has two windows of 8 s, and the model sees six more around it. For 40 trials of
# unseen subjects, the tables hold the attention to each window, and by how much the probability of
# the true class falls when the window is hidden.

n_epochs = 1 if options.quick else 12
found, rows = {}, {}
for name, (X, y, groups) in tasks.items():
    train, test = next(GroupKFold(5, shuffle=True, random_state=0).split(X, y, groups))
    train = train[: 40 if options.quick else None]
    model = BrainMAEClassifier(
        t_r=pain.t_r,
        window_size=8,
        crop_length=64,
        init="random",
        strategy="finetune",
        views="cls",
        embedding_dim=32,
        lr=1e-3,
        max_epochs=n_epochs,
        validation_fraction=0.0,
        random_state=0,
    )
    model.fit([X[i] for i in train], y[train], groups=groups[train])
    probability = model.predict_proba([X[i] for i in test])[:, 1]
    shown = [X[i] for i in test[:40]]
    attention = cls_attention(model, shown)
    effect = occlusion(model, shown, y[test[:40]])
    found[name] = attention, effect
    attended, hidden = (table["time"].between(0, 16) for table in found[name])
    rows[name] = {
        "trials": len(test),
        "AUC": roc_auc_score(y[test], probability),
        "SD of probability": probability.std(),
        "attention, trial": attention.loc[attended, "attention"].mean(),
        "beside": attention.loc[~attended, "attention"].mean(),
        "occlusion, trial": effect.loc[hidden, "change"].mean(),
        "beside ": effect.loc[~hidden, "change"].mean(),
        "Spearman": attention_agreement(attention, effect).mean(),
    }
print(pd.DataFrame(rows).to_string(float_format="{:.4f}".format))

# %%
# Dotted lines mark the start and the end of the trial. If predictions hardly vary between trials,
# attention explains nothing, whatever its curve looks like.

fig, axes = plt.subplots(2, 2, figsize=(13, 7.5), layout="constrained", sharex=True)
for column, (name, tables) in zip(axes.T, found.items(), strict=True):
    for ax, table in zip(column, tables, strict=True):
        plot_over_time(table, events=[0, 16], ax=ax)
        ax.set_xlim(-24, 40)  # few trials have windows beyond
        ax.set_xlabel("time from the start of the trial (s)" if ax is column[1] else "")
    title = f"Attention of the CLS token, {name}"
    column[0].set_title(title, loc="left", fontsize="medium", pad=18)
fig.savefig(options.output, dpi=110)
plt.show()
