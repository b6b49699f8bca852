"""
What has the model learned?
===========================

Four questions to a fitted model, each answered in numbers and beside something simpler: do its
regions fall into the brain's networks, what can it fill in, does it tell brain states apart, and
are its embeddings a subject's own? The cohort is simulated, so that the truth is known.
"""

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

# %%
# Forty-eight subjects with two scans of 8 minutes each, 36 regions in six networks, three states.
# Sixteen subjects are kept for the questions: a model may know by heart what it was fitted on.

cohort = make_cohort(
    n_scans=96,
    n_subjects=48,
    n_timepoints=240,
    n_regions=36,
    n_states=3,
    t_r=2.0,
    dwell_time=40,
    noise=0.4,
    static_strength=3.0,
    random_state=0,
)
names = np.array(["Vis", "SomMot", "DorsAttn", "SalVentAttn", "Cont", "Default"])
networks = names[cohort.networks]
train = np.r_[0:32, 48:80]
first, second = np.r_[32:48], np.r_[80:96]  # scans of the same subjects
test = np.r_[first, second]
settings = {"t_r": cohort.t_r, "max_epochs": 6, "random_state": 0}
model = BrainMAETransformer(**settings)
model.fit(cohort.scans[train], groups=cohort.subjects[train])

# %%
# **Networks.** ARI is 1 where clusters of regions are the networks, and 0 by chance; kNN purity is
# the share of a region's nearest ones that are of its network. The ROI embeddings of a spectral
# start are made out of connectivity, so that they agree with it is no discovery. What the paper's
# random start learns is one; that it is far behind in all else after a few epochs is known.

warnings.simplefilter("ignore", ConvergenceWarning)
scratch = BrainMAETransformer(**settings, init="random", embedding_dim=32)
scratch.fit(cohort.scans[train], groups=cohort.subjects[train])
for start, fitted in {"spectral": model, "random": scratch}.items():
    agreement = network_agreement(fitted, networks, cohort.scans[train]).drop(columns="nmi")
    table = agreement.to_string(float_format="{:.2f}".format, na_rep="")
    print(f"{start} start\n{table}\n")

# %%
# **Filling in.** R² in hidden regions of new scans. The one to beat is the conditional Gaussian, a
# linear guess from the same frame. A line across a hidden window is worse than the region's mean.

scores = reconstruction_scores(model, cohort.scans[test])
overall = scores[scores["scope"] == "all"]
print(overall.pivot(index="predictor", columns="ratio", values="r2").round(2).to_string())

# %%
# **States.** Scans are cut where the hidden state changes, as the blocks of a task would be. A
# classifier reads the states of new subjects off the embeddings of these moments. The network's own
# window states know little of them: these states differ in how regions go together, which
# embeddings and connectivity measure and window states do not.


def moments(rows):
    """Cut scans into stays of 20 s or more in a state, with their states and subjects."""
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
classifier = BrainMAEClassifier(pretrained=model, pooling="covariance").fit(X, y)
accuracy = classifier.score(X_new, y_new)
print(f"\nclassifier, states of {len(X_new)} moments of new subjects: accuracy {accuracy:.2f}")

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
# Which networks does the classifier need? Each is hidden in turn. No single one: the others tell
# the state as well.

loss = occlusion(classifier, X_new[::4], y_new[::4], by="network", networks=networks)
worst = loss.groupby("network")["change"].mean().max()
print(f"hiding a network takes at most {worst:.2%} from the probability of the state")

# %%
# **Subjects.** Each embedding of a first scan looks for its nearest among those of the second
# scans, and the other way round; so does connectivity. ICC(2,1) is the share of a dimension's
# variance that is the subject's; the effective rank tells whether embeddings have collapsed.

found = identify(model, cohort.scans[first], cohort.scans[second], cohort.scans[train])
embeddings = [model.transform(cohort.scans[run]) for run in (first, second)]
icc = reliability(*embeddings)["icc_2_1"].median()
rank = effective_rank(np.concatenate(embeddings))
print(found[["accuracy", "chance", "margin"]].round(2).to_string())
print(f"ICC(2,1): median {icc:.2f} of {embeddings[0].shape[1]} dimensions")
print(f"effective rank: {rank:.1f} of at most {len(test) - 1}")

# %%
# The four answers. Networks part the matrix; above its diagonal is what the random start learned,
# below it connectivity.

fig, axes = plt.subplots(2, 2, figsize=(11, 8.5), layout="constrained")
order = np.argsort(networks, kind="stable")
learned = roi_similarity(scratch)[np.ix_(order, order)]
connectivity = group_connectivity(cohort.scans[train])[np.ix_(order, order)]
matrix(axes[0, 0], np.triu(learned) + np.tril(connectivity, -1), "cosine, correlation")
mark_networks(axes[0, 0], networks[order], names=True)
entitle(axes[0, 0], "ROI embeddings, random start (above), connectivity (below)")
plot_reconstruction_scores(scores, ax=axes[0, 1])
axes[0, 1].legend(frameon=False, fontsize="small", loc=(0.05, 0.28))
by_state = np.argsort(y_new, kind="stable")
title = "Embeddings of moments, new subjects (PCA)"
plot_states(state_points[by_state], y_new[by_state], "state", title, ax=axes[1, 0])
plot_identification(found, ax=axes[1, 1])
plt.show()
