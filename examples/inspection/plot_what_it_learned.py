"""
What has the model learned?
===========================

Four questions to a fitted model, answered in numbers and, where there is something simpler, beside
it: do its regions fall into the brain's networks, what can it fill in, does it tell brain states
apart, and are its embeddings a subject's own? The cohort is simulated, so that the truth is known.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.exceptions import ConvergenceWarning

from sk_brainmae import BrainMAEClassifier, BrainMAETransformer
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
# Forty-eight subjects with two scans of 8 minutes each, 42 regions in six networks, three states. The
# last sixteen subjects are kept for the questions: a model may know by heart what it was fitted on.

cohort = make_cohort(
    n_scans=96,
    n_subjects=48,
    n_timepoints=240,
    n_regions=42,
    n_states=3,
    t_r=2.0,
    dwell_time=40,
    noise=0.4,
    static_strength=3.0,
    random_state=0,
)
networks = np.array(["Vis", "SomMot", "DorsAttn", "SalVentAttn", "Cont", "Default"])[cohort.networks]
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
agreement = network_agreement(model, networks, cohort.scans[train])
agreement = agreement.rename(index={"ROI embeddings": "ROI embeddings, spectral start"})
agreement.loc["ROI embeddings, random start"] = network_agreement(
    scratch, networks, cohort.scans[train]
).loc["ROI embeddings"]
agreement = agreement[["ari", "knn_purity", "correlation_with_connectivity"]].astype(object)
print(agreement.fillna("").to_string(float_format="{:.2f}".format))

# %%
# **Filling in.** R² in hidden regions of new scans. The one to beat is the conditional Gaussian, the
# best linear guess from the same frame; drawing a line through a hidden window is worse than
# its mean.

scores = reconstruction_scores(model, cohort.scans[test])
overall = scores[scores["scope"] == "all"]
print(overall.pivot(index="predictor", columns="ratio", values="r2").round(2).to_string())

# %%
# **States.** Scans are cut where the hidden state changes, as the blocks of a task would be. A
# classifier reads the states of new subjects off the embeddings of these moments. The network's own
# window states know little of them: these states differ in how regions go together, not in means.


def moments(rows):
    """Cut scans into stays of 20 s or more in a state, with their states and subjects."""
    windows, states, subjects = [], [], []
    for row in rows:
        scan, state = cohort.scans[row], cohort.states[row]
        edges = [0, *np.flatnonzero(np.diff(state)) + 1, len(state)]
        for start, stop in zip(edges[:-1], edges[1:], strict=True):
            if stop - start >= 10:
                windows.append(Window(scan, start, stop))
                states.append("ABC"[state[start]])
                subjects.append(cohort.subjects[row])
    return windows, np.array(states), np.array(subjects)


X, y, _ = moments(train)
X_new, y_new, subjects_new = moments(test)
classifier = BrainMAEClassifier(pretrained=model, pooling="covariance").fit(X, y)
print(f"states of {len(X_new)} moments: accuracy {classifier.score(X_new, y_new):.2f}")
import time; t0=time.time()
embedded = model.transform(X_new)
print(separation(embedded, y_new, subjects_new).round(2).to_string())
print(time.time()-t0); t0=time.time()
own = window_states(model, cohort.scans[test])
frame = (own.time / cohort.t_r).astype(int)
print(separation(own.states, cohort.states[test][own.scan, frame], cohort.subjects[test][own.scan]).round(2).to_string())
print(time.time()-t0); t0=time.time()

hidden = occlusion(classifier, X_new, y_new, by="network", networks=networks)
print(hidden.groupby("network")["change"].agg(["mean", "max"]).round(3).to_string())
print(time.time()-t0); t0=time.time()
found = identify(model, cohort.scans[first], cohort.scans[second], cohort.scans[train])
embeddings = [model.transform(cohort.scans[run]) for run in (first, second)]
icc = reliability(*embeddings)["icc_2_1"].median()
rank = effective_rank(np.concatenate(embeddings))
print(found[["accuracy", "chance", "margin"]].round(2).to_string())
print(f"ICC(2,1), median of {embeddings[0].shape[1]} dimensions: {icc:.2f}")
print(f"effective rank: {rank:.1f} of at most {len(test) - 1}")

fig, axes = plt.subplots(2, 2, figsize=(12, 9), layout="constrained")
similarity = roi_similarity(scratch)
both = np.triu(similarity) + np.tril(group_connectivity(cohort.scans[train]), -1)
order = np.argsort(networks, kind="stable")
