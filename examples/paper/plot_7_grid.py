"""
7. Compare mask ratios and window sizes
=======================================

The paper compares mask ratios. Mask ratio and window size are ordinary parameters, so
scikit-learn's ``GridSearchCV`` can vary both. This script does so with the paper's random start, on
simulated scans. The spectral start would not show the effect: before training, no mask ratio
changes it.
"""

import argparse
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.model_selection import GridSearchCV, KFold

from sk_brainmae import BrainMAERegressor
from sk_brainmae.datasets import make_cohort

parser = argparse.ArgumentParser(description="A grid over mask ratio and window size")
parser.add_argument("--quick", action="store_true", help="two by two, few scans and epochs")
parser.add_argument("--output", default="7_grid.png", help="where the figure goes")
options = parser.parse_args()
warnings.simplefilter("ignore")  # models that fall behind linear predictors warn of it

RATIOS, SIZES = [0.0, 0.3, 0.7, (0.0, 0.8)], [5, 10, 15, 30]
N_SCANS, N_EPOCHS, N_FOLDS = 60, 10, 3
if options.quick:
    RATIOS, SIZES, N_SCANS, N_EPOCHS, N_FOLDS = RATIOS[::3], SIZES[1:3], 15, 1, 2

# %%
# Each model is asked twice about unseen scans. Does its encoder fill in half of the regions? And
# does a linear head on the states of its windows predict a trait of the subjects? Other views of a
# scan would not do here: most read the signal, which no mask ratio changes.


def filling(model, scans, trait):
    """Return R² in the hidden half of the regions, for every mask ratio in training."""
    return model.encoder_.score(scans)


def pearson_r(model, scans, trait):
    """Return the correlation of predicted and true trait."""
    return np.corrcoef(model.predict(scans), trait)[0, 1]


SCORES = {
    "filling": (filling, "Filling in half of the regions of new scans", "R² in hidden regions"),
    "trait": (pearson_r, "Predicting a trait of new scans", "Pearson r"),
}

# %%
# One pretraining serves both scores. Longer windows are harder to fill in, because more signal is
# hidden at once. So compare mask ratios within a column, not window sizes within a row.

cohort = make_cohort(n_scans=N_SCANS, n_timepoints=150, n_regions=30, dwell_time=30, random_state=0)
brainmae = BrainMAERegressor(
    views="states",
    crop_length=150,
    init="random",
    embedding_dim=32,
    batch_size=4,
    max_epochs=N_EPOCHS,
    validation_fraction=0.0,
    random_state=0,
)
search = GridSearchCV(
    brainmae,
    {"mask_ratio": RATIOS, "window_size": SIZES},
    scoring={name: score for name, (score, *_) in SCORES.items()},
    cv=KFold(N_FOLDS, shuffle=True, random_state=0),
    refit=False,
)
search.fit(cohort.scans, cohort.traits["static"])

# %%
# Mean and standard deviation over folds.


def named(ratio):
    """Name a mask ratio, or the range from which each batch draws one."""
    return "0 to 0.8" if isinstance(ratio, tuple) else f"{ratio:g}"


found = pd.DataFrame(search.cv_results_)
found["mask_ratio"] = found["param_mask_ratio"].map(named)


def grid_of(column):
    """Return a column of the results, (mask ratios, window sizes)."""
    wide = found.pivot(index="mask_ratio", columns="param_window_size", values=column)
    return wide.loc[[named(ratio) for ratio in RATIOS]]


grids = {name: (grid_of(f"mean_test_{name}"), grid_of(f"std_test_{name}")) for name in SCORES}
for name, (mean, std) in grids.items():
    _, title, label = SCORES[name]
    print(f"{title}, {label}")
    print((mean.map("{:.3f}".format) + " ± " + std.map("{:.3f}".format)).to_string(), end="\n\n")

# %%
# The same numbers as heat maps. Where the two differ, a model that fills in well is not the one
# that predicts well.

fig, axes = plt.subplots(1, 2, figsize=(13, 4.8), sharey=True, layout="constrained")
for ax, (name, (mean, std)) in zip(axes, grids.items(), strict=True):
    _, title, label = SCORES[name]
    image = ax.imshow(mean, cmap="cividis", aspect="auto")
    middle = (mean.to_numpy().min() + mean.to_numpy().max()) / 2
    for (i, j), value in np.ndenumerate(mean):
        colour = "white" if value < middle else "black"
        text = f"{value:.2f}\n± {std.iloc[i, j]:.2f}"
        ax.text(j, i, text, ha="center", va="center", color=colour)
    ax.set_xticks(range(len(mean.columns)), mean.columns)
    ax.set_yticks(range(len(mean)), mean.index)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_xlabel("window size (frames)")
    fig.colorbar(image, ax=ax, label=label)
    ax.set_title(title, loc="left", fontsize="medium")
axes[0].set_ylabel("mask ratio in training")
fig.savefig(options.output, dpi=110)
plt.show()
