"""
What has the model learned?
===========================

Four questions to a fitted model, each answered in numbers and beside something simpler: do its
regions fall into the brain's networks, what does it fill in, what do its states tell apart, and are
its embeddings a subject's own? The cohort is simulated, so that networks and states are known.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

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

# %%
# Forty-eight subjects, two scans each of 4 minutes. Sixteen subjects are kept for the questions:
# what a model says of scans it was fitted on means little.

cohort = make_cohort(
    n_scans=96, n_subjects=48, n_timepoints=240, n_regions=42, dwell_time=30, random_state=0
)
names = np.array(["Visual", "Motor", "Dorsal", "Ventral", "Control", "Default"])
networks = names[cohort.networks]
subject = np.arange(96) % 48
train, first, second = subject < 32, np.arange(32, 48), np.arange(80, 96)
test = np.concatenate([first, second])
training_scans, new_scans = cohort.scans[train], cohort.scans[test]
settings = {"t_r": cohort.t_r, "random_state": 0}
model = BrainMAETransformer(**settings, max_epochs=8)
model.fit(training_scans, groups=cohort.subjects[train])


import time
t0=time.time()
def lap(x):
    global t0
    print("---",x,round(time.time()-t0,1)); t0=time.time()
scratch = BrainMAETransformer(**settings, init="random", embedding_dim=32, max_epochs=8)
scratch.fit(training_scans, groups=cohort.subjects[train])
lap("scratch")
agreement = network_agreement(model, networks, training_scans)
print(agreement.drop(columns="nmi").round(2).to_string())
print(network_agreement(scratch, networks, training_scans).drop(columns="nmi").round(2).to_string())
lap("agree")
scores = reconstruction_scores(model, new_scans, networks=networks)
print(scores[scores.scope=="all"].pivot(index="predictor",columns="ratio",values="r2").round(3))
lap("recon")
windows = window_states(model, new_scans)
middle = np.clip(windows.time.astype(int), 0, 239)
state = cohort.states[test][windows.scan, middle]
print(separation(windows.states, state, test[windows.scan]%48).round(2))
print(separation(windows.states, test[windows.scan]%48, windows.scan//16).round(2))
w2 = window_states(scratch, new_scans)
print(separation(w2.states, state, test[windows.scan]%48).round(2))
lap("states")
found = identify(model, cohort.scans[first], cohort.scans[second], training_scans)
print(found.round(2).to_string())
e1,e2=(model.transform(cohort.scans[i]) for i in (first,second))
print(effective_rank(np.concatenate([e1,e2])), reliability(e1,e2).median())
lap("ident")
y = np.where(cohort.traits["static"]>0,"high","low")
clf = BrainMAEClassifier(pretrained=model).fit(training_scans, y[train], groups=cohort.subjects[train])
print(clf.score(new_scans,y[test]))
lap("clf")
o=occlusion(clf,new_scans,y[test],by="network",networks=networks)
print(o.groupby("network")["change"].agg(["mean","std"]).round(3))
lap("occ")
from sk_brainmae.timeseries import Window
def moments(scans, states):
    out, lab = [], []
    for scan, st in zip(scans, states):
        edges=np.flatnonzero(np.diff(st))+1
        for a,b in zip(np.r_[0,edges],np.r_[edges,len(st)]):
            if b-a>=15: out.append(Window(scan,a,b)); lab.append(st[a])
    return out, np.array(lab)
a,b=moments(list(training_scans),cohort.states[train]); c,d=moments(list(new_scans),cohort.states[test])
print(len(a),len(c))
clf=BrainMAEClassifier(pretrained=model).fit(a,b)
print("moments", clf.score(c,d))
lap("moments")
