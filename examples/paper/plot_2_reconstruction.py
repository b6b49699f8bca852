"""
2. Fill in hidden regions
=========================

The paper shows hidden regions beside their reconstruction by BrainMAE. Such a figure alone proves
little: neighbouring regions are alike, so a linear predictor also fills in much of them. This
script draws and scores both, on subjects that neither has seen. ``benchmarks/reconstruction.py``
has stronger opponents, and the paper's own configuration.
"""

import argparse
import warnings

import matplotlib.pyplot as plt
from sklearn.model_selection import GroupKFold

from sk_brainmae import BrainMAETransformer
from sk_brainmae.datasets import fetch_pain
from sk_brainmae.inspection import (
    fill_in,
    plot_reconstruction,
    plot_reconstruction_scores,
    plot_region_scores,
    reconstruction_scores,
)

parser = argparse.ArgumentParser(description="Hidden regions, filled in by BrainMAE and by others")
parser.add_argument("--quick", action="store_true", help="fewer scans, no training")
parser.add_argument("--output", default="2_reconstruction.png", help="where the figure goes")
options = parser.parse_args()
warnings.filterwarnings("ignore", message="constant regions")

# %%
# A third of the 33 subjects is held out. The model starts in closed form and trains for three
# epochs. It keeps the start if the epochs do not improve it on held-out training subjects.

pain = fetch_pain()
train, test = next(
    GroupKFold(3, shuffle=True, random_state=0).split(pain.scans, groups=pain.subjects)
)
if options.quick:
    train, test = train[:16], test[:4]
model = BrainMAETransformer(
    t_r=pain.t_r, window_size=16, max_epochs=0 if options.quick else 3, random_state=0
)
model.fit([pain.scans[i] for i in train], groups=pain.subjects[train])

# %%
# Mean squared error and R² in hidden regions. Regions are z-scored; predicting the mean has R² 0.

held_out = [pain.scans[i] for i in test]
scores = reconstruction_scores(model, held_out, networks=pain.networks, names=pain.region_names)
of_all = scores[scores["scope"] == "all"].pivot(
    index="predictor", columns="ratio", values=["mse", "r2"]
)
print(of_all.round(3).to_string())

# %%
# Above: five regions of one scan, with half of the regions hidden in each window. Below: scores by
# predictor and by network.

fig = plt.figure(figsize=(13, 10.5), layout="constrained")
upper, lower = fig.subfigures(2, 1, height_ratios=[1.5, 1])
filled = fill_in(model, held_out[0], ratio=0.5)
plot_reconstruction(filled, names=pain.region_names, ax=upper.subplots())
left, right = lower.subplots(1, 2)
plot_reconstruction_scores(scores, ax=left)
plot_region_scores(scores, ax=right)
fig.savefig(options.output, dpi=110)
plt.show()
