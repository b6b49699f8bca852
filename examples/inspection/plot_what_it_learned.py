"""
Test what a model has learned
=============================

Four questions to a fitted model, each answered by numbers beside a simpler method:

* Do its ROI embeddings tell the brain's networks apart?
* Does it fill in hidden regions better than a linear predictor?
* Do its embeddings tell brain states apart?
* Do its embeddings recognise a subject in another scan?

The cohort is simulated, so the true networks and states are known.
"""

import argparse
import warnings
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.exceptions import ConvergenceWarning

from sk_brainmae import BrainMAEClassifier, BrainMAETransformer
from sk_brainmae.baselines import ConnectivityFeatures
from sk_brainmae.datasets import make_cohort
from sk_brainmae.inspection import (
    effective_rank,
    group_connectivity,
    identify,
    network_agreement,
    occlusion,
    plot_identification,
    plot_reconstruction_scores,
    plot_states,
    reconstruction_scores,
    reliability,
    roi_similarity,
    separation,
    state_map,
    window_states,
)
from sk_brainmae.inspection.style import entitle, mark_networks, matrix
from sk_brainmae.timeseries import Window

parser = argparse.ArgumentParser(description="Networks, hidden regions, states and subjects")
parser.add_argument("--quick", action="store_true", help="a small cohort, hardly any training")
parser.add_argument("--output", default="what_it_learned.png", help="where the figure goes")
options = parser.parse_args()

# %%
# Forty-eight subjects with two scans of 8 minutes each; 36 regions in six networks; three brain
# states. A model may remember the scans that it was fitted on, so sixteen subjects are held out
# for the questions.

N_SUBJECTS, N_TEST, N_REGIONS, N_EPOCHS = 48, 16, 36, 6
if options.quick:
    N_SUBJECTS, N_TEST, N_REGIONS, N_EPOCHS = 12, 4, 18, 1
cohort = make_cohort(
    n_scans=2 * N_SUBJECTS,
    n_subjects=N_SUBJECTS,
    n_timepoints=240,
    n_regions=N_REGIONS,
    n_states=3,
    t_r=2.0,
    dwell_time=40,
    noise=0.4,
    static_strength=3.0,
    random_state=0,
)
names = np.array(["Vis", "SomMot", "DorsAttn", "SalVentAttn", "Cont", "Default"])
networks = names[cohort.networks]
everyone = np.arange(2 * N_SUBJECTS).reshape(2, N_SUBJECTS)  # the scans of each session
train = everyone[:, :-N_TEST].ravel()
first, second = everyone[:, -N_TEST:]  # scans of the same subjects
test = np.r_[first, second]
settings = {"t_r": cohort.t_r, "max_epochs": N_EPOCHS, "random_state": 0}
model = BrainMAETransformer(**settings)
model.fit(cohort.scans[train], groups=cohort.subjects[train])

# %%
# **Networks.** The adjusted Rand index (ARI) is 1 if clusters of regions are the networks, and 0 by
# chance. The kNN purity is the share of a region's most similar regions that belong to its network.
# A spectral start computes the ROI embeddings from connectivity, so the two must agree. The paper's
# random start has to learn them from the scans. After a few epochs it is far behind in all other
# scores.

warnings.simplefilter("ignore", ConvergenceWarning)
scratch = BrainMAETransformer(**settings, init="random", embedding_dim=32)
scratch.fit(cohort.scans[train], groups=cohort.subjects[train])
for start, fitted in {"spectral": model, "random": scratch}.items():
    agreement = network_agreement(fitted, networks, cohort.scans[train]).drop(columns="nmi")
    table = agreement.to_string(float_format="{:.2f}".format, na_rep="")
    print(f"{start} start\n{table}\n")

# %%
# **Hidden regions.** R² in hidden regions of new scans. The opponent is the conditional Gaussian, a
# linear prediction from the visible regions of the same frame. Interpolation draws a line across a
# hidden window, and is worse than the region's mean.

scores = reconstruction_scores(model, cohort.scans[test])
overall = scores[scores["scope"] == "all"]
print("R² in hidden regions, by share of hidden regions")
print(overall.pivot(index="predictor", columns="ratio", values="r2").round(2).to_string())

# %%
# **States.** A moment is a part of a scan, here between two changes of the brain state, as a block
# of a task would be. A classifier predicts the states of new subjects from embeddings of moments.
# These states differ in how regions couple. Embeddings and connectivity measure coupling; the
# window states of the network do not, and tell the states apart poorly.


def moments(rows):
    """Cut scans into moments of 20 s or more in one state; return their states and subjects."""
    windows, states, subjects = [], [], []
    for row in rows:
        scan, state = cohort.scans[row], cohort.states[row]
        edges = [0, *np.flatnonzero(np.diff(state)) + 1, len(state)]
        for start, stop in pairwise(edges):
            if stop - start >= 10:
                windows.append(Window(scan, start, stop))
                states.append("ABC"[state[start]])
                subjects.append(cohort.subjects[row])
    return windows, np.array(states), np.array(subjects)


X, y, _ = moments(train)
X_new, y_new, subjects_new = moments(test)
classifier = BrainMAEClassifier(pretrained=model, views="connectivity").fit(X, y)
accuracy = classifier.score(X_new, y_new)
print(f"\naccuracy of the classifier, {len(X_new)} moments of new subjects: {accuracy:.2f}")

state_points = state_map(model.transform(X_new))
fc_points = state_map(ConnectivityFeatures("correlation").fit(X).transform(X_new))
windows = window_states(model, cohort.scans[test])
frame = (windows.time / cohort.t_r).astype(int)
window_subjects = cohort.subjects[test][windows.scan]
of_window = cohort.states[test][windows.scan, frame]
probes = {
    "embeddings of moments, 2-D map": separation(state_points, y_new, subjects_new),
    "connectivity of moments, 2-D map": separation(fc_points, y_new, subjects_new),
    "window states of the network": separation(windows.states, of_window, window_subjects),
}
print(pd.DataFrame(probes).T[["balanced_accuracy", "chance"]].round(2).to_string())

# %%
# Which networks does the classifier need? Each network is hidden in turn. None is needed alone,
# because the others tell the states apart as well.

loss = occlusion(classifier, X_new[::4], y_new[::4], by="network", networks=networks)
worst = loss.groupby("network")["change"].mean().max()
print(f"hiding one network lowers the probability of the true state by at most {worst:.2%}")

# %%
# **Subjects.** For each embedding of a first scan, the most similar one among the second scans is
# taken, and the other way round: accuracy is how often it belongs to the same subject. Connectivity
# is scored in the same way. ICC(2,1) is the share of a dimension's variance that lies between
# subjects. A low effective rank would mean that embeddings use few dimensions.

found = identify(model, cohort.scans[first], cohort.scans[second], cohort.scans[train])
embeddings = [model.transform(cohort.scans[run]) for run in (first, second)]
icc = reliability(*embeddings)["icc_2_1"].median()
rank = effective_rank(np.concatenate(embeddings))
print(found[["accuracy", "chance", "margin"]].round(2).to_string())
print(f"ICC(2,1): median {icc:.2f} of {embeddings[0].shape[1]} dimensions")
print(f"effective rank: {rank:.1f} of at most {len(test) - 1}")

# %%
# One panel for each question. In the matrix, lines separate the networks; above the diagonal are
# the ROI embeddings of the random start, below it connectivity.

fig, axes = plt.subplots(2, 2, figsize=(11, 8.5), layout="constrained")
order = np.argsort(networks, kind="stable")
learned = roi_similarity(scratch)[np.ix_(order, order)]
connectivity = group_connectivity(cohort.scans[train])[np.ix_(order, order)]
both = np.triu(learned) + np.tril(connectivity, -1)
matrix(axes[0, 0], both, "cosine (above), correlation (below)")
mark_networks(axes[0, 0], networks[order], names=True)
entitle(axes[0, 0], "ROI embeddings, random start (above), connectivity (below)")
plot_reconstruction_scores(scores, ax=axes[0, 1])
axes[0, 1].legend(frameon=False, fontsize="small", loc=(0.05, 0.28))
by_state = np.argsort(y_new, kind="stable")
title = "Embeddings of moments, new subjects (PCA)"
plot_states(state_points[by_state], y_new[by_state], "state", title, ax=axes[1, 0])
plot_identification(found, ax=axes[1, 1])
fig.savefig(options.output, dpi=110)
plt.show()
