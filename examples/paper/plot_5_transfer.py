"""
5. Predict behaviour, mental states and age
===========================================

The paper transfers a pretrained encoder to behaviour, age, task performance and transient mental
states. This script compares BrainMAE with the strongest simple features on each, on the same five
folds of unseen subjects. All heads are tuned in the training part. Age is simulated here;
:func:`sk_brainmae.datasets.fetch_abide` and :func:`~sk_brainmae.datasets.fetch_development` fetch
real ages. BrainMAE keeps its closed-form start, because training does not improve it on these runs.
``benchmarks/decoding.py`` repeats the folds and also fine-tunes the paper's configuration.
"""

import argparse
import warnings
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.model_selection import GroupKFold

from sk_brainmae import BrainMAEClassifier, BrainMAERegressor
from sk_brainmae.baselines import (
    ConnectivityBaseline,
    FeatureBaseline,
    FlatWindow,
    MeanActivation,
)
from sk_brainmae.datasets import fetch_pain, make_cohort, pain_trials
from sk_brainmae.evaluation import compare
from sk_brainmae.timeseries import Window

parser = argparse.ArgumentParser(description="BrainMAE against the strongest simple features")
parser.add_argument("--quick", action="store_true", help="one fold of few subjects, one opponent")
parser.add_argument("--output", default="5_transfer.png", help="where the figure goes")
options = parser.parse_args()
warnings.filterwarnings("ignore", message="constant regions")

# %%
# Four targets:
#
# * the rating of pain, from the 16 s of a trial;
# * hot (at least 46 °C) or warm (at most 43.5 °C), from the 16 s of a trial;
# * during or before heat, from 10 s of a run;
# * a trait that acts on the coupling of networks, from 60 simulated scans.

pain = fetch_pain()
tasks = {
    "rating of pain, 16 s": pain_trials(pain, "rating"),
    "hot or warm, 16 s": pain_trials(pain, "hot"),
}
onset = np.rint(pain.events["onset"] / pain.t_r).astype(int)
moments = [
    Window(pain.scans[scan], first, first + 5)
    for scan, frame in zip(pain.events["scan"], onset, strict=True)
    for first in (frame - 5, frame + 3)  # 10 s before the onset of heat, and from 6 s after it
]
tasks["heat or before, 10 s"] = (
    moments,
    np.tile([0, 1], len(onset)),
    np.repeat(pain.events["subject"].to_numpy(str), 2),
)
simulated = make_cohort(n_scans=60, n_timepoints=150, n_regions=40, random_state=0)
tasks["simulated age, 150 s"] = (
    list(simulated.scans),
    simulated.traits["static"].to_numpy(),
    simulated.subjects,
)

# %%
# BrainMAE also reads half a window of the run after each trial. One opponent gets these frames too.


class LongerFlatWindow(FlatWindow):
    """The flat window, half a window longer."""

    def _learn(self, cohort):
        self.n_frames_ = int(1.5 * (cohort.stop[0] - cohort.start[0]))

    def _compute(self, cohort):
        stop = np.minimum(cohort.start + self.n_frames_, cohort.run_length[cohort.runs])
        return super()._compute(replace(cohort, start=stop - self.n_frames_, stop=stop))


def contestants(task, seconds):
    """Return BrainMAE and its opponents by name."""
    ours = BrainMAEClassifier if task == "classification" else BrainMAERegressor
    if seconds == 150:
        opponents = {
            f"FC ({kind})": ConnectivityBaseline(kind, task, random_state=0)
            for kind in ("tangent", "correlation")
        }
        return {"BrainMAE, not trained": ours(max_epochs=0, random_state=0)} | opponents
    features = {
        "flat window": FlatWindow(),
        "flat window and after": LongerFlatWindow(),
        "mean activation": MeanActivation(),
    }
    brainmae = ours(t_r=pain.t_r, window_size=seconds, max_epochs=0, random_state=0)
    return {"BrainMAE, not trained": brainmae} | {
        name: FeatureBaseline(feature, task, random_state=0) for name, feature in features.items()
    }


# %%
# The score of a fold is the correlation of predictions with the target, or the area under the ROC
# curve (AUC). "difference" is the score of BrainMAE minus that of the opponent, paired by fold.

comparisons, rows = {}, []
for name, (X, y, groups) in tasks.items():
    task = "regression" if y.dtype.kind == "f" else "classification"
    folds = list(GroupKFold(5, shuffle=True, random_state=0).split(X, y, groups))
    metric = "pearson_r" if task == "regression" else "roc_auc"
    models = contestants(task, seconds=int(name.split()[-2]))
    if options.quick:
        models = dict(list(models.items())[::2])
        train, test = folds[0]
        few = np.isin(groups[train], np.unique(groups[train])[:3])
        folds = [(train[few], test)]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*without groups")
        comparisons[name] = compare(models, X, y, cv=folds, groups=groups, scoring=metric)
    for estimator, row in comparisons[name].table.droplevel("metric").iterrows():
        rows.append({"target": name, "metric": metric, "estimator": estimator, **row})
table = pd.DataFrame(rows).set_index(["target", "metric", "estimator"])
columns = ["mean", "std", "difference", "difference_std", "fit_time"]
print(table[columns].astype(float).round(3).astype(object).fillna("").to_string())

# %%
# Grey lines join the scores of one fold.

fig, axes = plt.subplots(2, 2, figsize=(13, 7), layout="constrained")
for ax, (name, comparison) in zip(axes.flat, comparisons.items(), strict=True):
    comparison.plot(ax=ax)
    ax.set_title(name, loc="left", fontsize="medium")
fig.savefig(options.output, dpi=110)
plt.show()
