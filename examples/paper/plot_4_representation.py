"""
4. Tell runs and subjects apart
===============================

The paper shows representations of scans that separate sessions and subjects. This script measures
it on two runs each of 33 subjects in a pain experiment, a third of them held out from the models.
There are two kinds of representation:

* the window states of the encoder, one for each 16 s;
* embeddings of stretches of 64 s, each cut out and embedded as a scan of its own.

A linear probe predicts run and subject from them, and is scored on groups that it has not seen.
Simple features of the same signal stand beside them.
"""

import argparse
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.model_selection import GroupKFold

from sk_brainmae import BrainMAETransformer
from sk_brainmae.baselines import ConnectivityFeatures, GroupPCAConnectivity
from sk_brainmae.datasets import fetch_pain
from sk_brainmae.inspection import plot_states, separation, state_map, window_states

parser = argparse.ArgumentParser(description="Runs and subjects told apart by representations")
parser.add_argument("--quick", action="store_true", help="fewer scans, no training")
parser.add_argument("--output", default="4_representation.png", help="where the figure goes")
options = parser.parse_args()
warnings.filterwarnings("ignore", message="constant regions|.*more regions than frames")

# %%
# A third of the subjects is held out, with both runs.

pain = fetch_pain()
folds = GroupKFold(3, shuffle=True, random_state=0)
train, test = next(folds.split(pain.scans, groups=pain.subjects))
if options.quick:
    train, test = train[:16], test[:8]
scans, held_out = ([pain.scans[i] for i in part] for part in (train, test))
model = BrainMAETransformer(
    t_r=pain.t_r, window_size=16, max_epochs=0 if options.quick else 2, random_state=0
)
model.fit(scans, groups=pain.subjects[train])

# %%
# Window states, beside principal components of the windows themselves. The probe predicts the run
# of subjects that it has not seen, and the subject in the run that it has not seen.

found = window_states(model, held_out)
subject, run = pain.subjects[test][found.scan], pain.runs[test][found.scan]
size = model.embedding_dim


def windows(scans):
    """Z-score scans and cut them into consecutive windows, (n_windows, 8 * n_regions)."""
    cut = []
    for scan in scans:
        spread = np.where(np.ptp(scan, axis=0) > 0, scan.std(axis=0), np.inf)
        z = (scan - scan.mean(axis=0)) / spread
        starts = np.minimum(8 * np.arange(-(-len(z) // 8)), len(z) - 8)
        cut += [z[start : start + 8].ravel() for start in starts]
    return np.array(cut)


of_windows = {
    "states": found.states,
    "PCA of windows": PCA(size, random_state=0).fit(windows(scans)).transform(windows(held_out)),
}
rows = {
    ("windows, 16 s", what, name): separation(features, labels, groups)
    for what, labels, groups in (("run", run, subject), ("subject", subject, run))
    for name, features in of_windows.items()
}

# %%
# Five stretches of 64 s from each run: embeddings (log-covariances) beside connectivity.
# ``benchmarks/identification.py`` recognises subjects without a probe.

n_frames = round(64 / pain.t_r)
pieces = [scan[start : start + n_frames] for scan in held_out for start in range(0, 160, n_frames)]
subject_of, run_of = np.repeat(pain.subjects[test], 5), np.repeat(pain.runs[test], 5)
of_pieces = {
    "BrainMAE": model,
    "tangent FC": ConnectivityFeatures("tangent").fit(scans),
    "group-PCA FC": GroupPCAConnectivity().fit(scans),
}
embedded = {}
for name, embedder in of_pieces.items():
    centre = np.asarray(embedder.transform(scans)).mean(axis=0)
    embedded[name] = np.asarray(embedder.transform(pieces)) - centre
# A probe on all dimensions would take long, so it gets 40 principal components.
compact = {name: PCA(40, random_state=0).fit_transform(x) for name, x in embedded.items()}
for what, labels, groups in (("run", run_of, subject_of), ("subject", subject_of, run_of)):
    for name, features in compact.items():
        rows["stretches, 64 s", what, name] = separation(features, labels, groups)
table = pd.DataFrame(rows).T.rename_axis(["signal", "predicted", "features"])
print(table.round(2).to_string())

# %%
# Without a probe, in all dimensions: how often does the most similar stretch of the other run (by
# cosine) belong to the same subject? The probe standardises its components, so weak ones count as
# much as strong ones. The two scores can therefore differ.

print("\nStretches whose most similar one in the other run belongs to their subject")
for name, x in embedded.items():
    directions = x / np.linalg.norm(x, axis=1, keepdims=True)
    similarity = np.where(run_of[:, None] == run_of, -np.inf, directions @ directions.T)
    nearest = subject_of[similarity.argmax(axis=1)]
    print(f"{name:14}{np.mean(nearest == subject_of):.2f}")

# %%
# Above: window states hardly separate runs or subjects. Below: embeddings of stretches separate
# subjects.

fig, axes = plt.subplots(2, 2, figsize=(12.5, 8.5), layout="constrained")
points = state_map(found.states)
plot_states(points, run.astype(str), "run", "Window states (PCA), by run", axes[0, 0])
plot_states(points, subject, "subject", "Window states (PCA), by subject", axes[0, 1])
for ax, (name, features) in zip(axes[1], compact.items(), strict=False):
    title = f"Stretches of 64 s (t-SNE), {name}"
    plot_states(state_map(features, "tsne"), subject_of, "subject", title, ax)
fig.savefig(options.output, dpi=110)
plt.show()
