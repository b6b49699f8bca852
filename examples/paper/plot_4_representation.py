"""
4. What representations tell apart
==================================

The paper shows representations of scans that separate sessions and subjects. Here are two runs of
33 subjects who were scanned in pain. Two things are represented: windows, by the states that the
encoder makes of them; and stretches of 64 s, cut out and embedded alone. A linear probe scores
them on groups it has not seen, beside simple features of the same signal. The models have never
seen these subjects.
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

parser = argparse.ArgumentParser(description="Do representations separate runs and subjects?")
parser.add_argument("--quick", action="store_true", help="fewer scans, no training")
parser.add_argument("--output", default="4_representation.png", help="where the figure goes")
options = parser.parse_args()
warnings.filterwarnings("ignore", message="constant regions|.*more regions than frames")

# %%
# A third of the subjects is held out, both runs of each.

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
# Windows of 16 s. Their states are held against principal components of the windows themselves.
# Runs are told apart in subjects the probe has not seen, subjects in the run it has not seen.

found = window_states(model, held_out)
subject, run = pain.subjects[test][found.scan], pain.runs[test][found.scan]
size = model.embedding_dim


def windows(scans):
    """Windows of z-scored scans that follow one another, (n_windows, 8 * n_regions)."""
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
# Stretches of 64 s, five a run, as scans of their own: the embedding (log-covariances) beside
# connectivity. ``benchmarks/identification.py`` finds subjects again without a probe.

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
# A probe of all dimensions would take long: it gets 40 principal components of the stretches.
compact = {name: PCA(40, random_state=0).fit_transform(x) for name, x in embedded.items()}
for what, labels, groups in (("run", run_of, subject_of), ("subject", subject_of, run_of)):
    for name, features in compact.items():
        rows["stretches, 64 s", what, name] = separation(features, labels, groups)
table = pd.DataFrame(rows).T.rename_axis(["of", "told apart", "features"])
print(table.round(2).to_string())

# %%
# Without a probe, and in all dimensions: how often is the nearest stretch of the other run (by the
# cosine) one of the same subject? Standardised components, as the probe has them, weigh the
# weakest like the strongest, so that the two need not agree.

print("\nStretches whose nearest one of the other run is of their subject")
for name, x in embedded.items():
    directions = x / np.linalg.norm(x, axis=1, keepdims=True)
    similarity = np.where(run_of[:, None] == run_of, -np.inf, directions @ directions.T)
    nearest = subject_of[similarity.argmax(axis=1)]
    print(f"{name:14}{np.mean(nearest == subject_of):.2f}")

# %%
# Windows hardly know their run; stretches know their subject.

fig, axes = plt.subplots(2, 2, figsize=(12.5, 8.5), layout="constrained")
points = state_map(found.states)
plot_states(points, run.astype(str), "run", "States of windows (PCA), by run", axes[0, 0])
plot_states(points, subject, "subject", "The same, by subject", axes[0, 1])
for ax, (name, features) in zip(axes[1], compact.items(), strict=False):
    title = f"Stretches of 64 s (t-SNE), {name}"
    plot_states(state_map(features, "tsne"), subject_of, "subject", title, ax)
fig.savefig(options.output, dpi=110)
plt.show()
