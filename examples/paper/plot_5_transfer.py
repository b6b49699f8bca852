"""
5. Transfer
===========

The paper transfers a pretrained encoder to behaviour, age, task performance and transient mental
states. Each is held here against the strongest simple features, on the same five folds of unseen
subjects, with all heads tuned in the training part. Age has to be simulated: with a network,
:func:`sk_brainmae.datasets.fetch_abide` and :func:`~sk_brainmae.datasets.fetch_development` have
real ones. BrainMAE stays at its closed-form start, which training does not improve on these runs
(``benchmarks/decoding.py`` repeats the folds, and fine-tunes the paper's configuration as well).
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
parser.add_argument("--quick", action="store_true", help="one fold of few subjects")
parser.add_argument("--output", default="5_transfer.png", help="where the figure goes")
options = parser.parse_args()
warnings.filterwarnings("ignore", message="constant regions")

# %%
# Four targets. Rating, and hot (at least 46 °C) against warm (at most 43.5 °C), from 16 s of a
# trial; heat against the moment before it, from 10 s; and a trait that changes how networks couple,
# in 60 simulated subjects.

pain = fetch_pain()
tasks = {
    "rating of pain, 16 s": pain_trials(pain, "rating"),
    "hot or warm, 16 s": pain_trials(pain, "hot"),
}
onset = np.rint(pain.events["onset"] / pain.t_r).astype(int)
moments = [
    Window(pain.scans[scan], first, first + 5)
    for scan, frame in zip(pain.events["scan"], onset, strict=True)
    for first in (frame - 5, frame + 3)  # before it, and from 6 s after its onset
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
# Before a trial is read, BrainMAE also looks at the half window that follows it. One opponent is
# given these frames, too.


class LongerFlatWindow(FlatWindow):
    """The flat window, half a window longer."""

    def _learn(self, cohort):
        self.n_frames_ = int(1.5 * (cohort.stop[0] - cohort.start[0]))

    def _compute(self, cohort):
        stop = np.minimum(cohort.start + self.n_frames_, cohort.run_length[cohort.runs])
        return super()._compute(replace(cohort, start=stop - self.n_frames_, stop=stop))


def contestants(task, seconds):
    """BrainMAE, and what it has to beat."""
    ours = BrainMAEClassifier if task == "classification" else BrainMAERegressor
    if seconds == 150:
        opponents = {
            f"FC ({kind})": ConnectivityBaseline(kind, task, random_state=0)
            for kind in ("tangent", "correlation")
        }
        return {"BrainMAE": ours(max_epochs=0, random_state=0)} | opponents
    features = {
        "flat window": FlatWindow(),
        "flat window and after": LongerFlatWindow(),
        "mean activation": MeanActivation(),
    }
    brainmae = ours(t_r=pain.t_r, window_size=seconds, max_epochs=0, random_state=0)
    return {"BrainMAE": brainmae} | {
        name: FeatureBaseline(feature, task, random_state=0) for name, feature in features.items()
    }


# %%
# Correlation of predictions with the target in each fold, or area under the ROC curve (AUC); and
# what BrainMAE has more than each opponent, paired by fold.

comparisons, rows = {}, []
for name, (X, y, groups) in tasks.items():
    task = "regression" if y.dtype.kind == "f" else "classification"
    folds = list(GroupKFold(5, shuffle=True, random_state=0).split(X, y, groups))
    if options.quick:
        few = np.isin(groups, np.unique(groups)[:15])
        folds = [(train[few[train]], test) for train, test in folds[:1]]
    metric = "pearson_r" if task == "regression" else "roc_auc"
    seconds = int(name.split()[-2])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*without groups")
        comparisons[name] = compare(
            contestants(task, seconds), X, y, cv=folds, groups=groups, scoring=metric
        )
    for estimator, row in comparisons[name].table.droplevel("metric").iterrows():
        rows.append({"target": name, "metric": metric, "estimator": estimator, **row})
table = pd.DataFrame(rows).set_index(["target", "metric", "estimator"])
columns = ["mean", "std", "difference", "difference_std", "fit_time"]
print(table[columns].astype(float).round(3).astype(object).fillna("").to_string())

# %%
# Grey lines join the estimators within a fold.

fig, axes = plt.subplots(2, 2, figsize=(13, 7), layout="constrained")
for ax, (name, comparison) in zip(axes.flat, comparisons.items(), strict=True):
    comparison.plot(ax=ax)
    ax.set_title(name, loc="left", fontsize="medium")
fig.savefig(options.output, dpi=110)
plt.show()
