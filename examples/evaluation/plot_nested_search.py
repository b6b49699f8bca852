"""
Choose mask ratio and window size inside the folds
==================================================

If a setting is chosen by its score on all scans, the choice has used the test scans, and that score
is too good. Nested cross-validation avoids this: each outer training part chooses its own setting
by an inner cross-validation, and the outer test part scores the choice. This script compares the
nested score with the score of the best setting of a grid on all scans.
"""

import argparse
import tempfile
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_brainmae import BrainMAETransformer
from sk_brainmae.datasets import make_cohort

parser = argparse.ArgumentParser(description="Nested cross-validation, and the best of a grid")
parser.add_argument("--quick", action="store_true", help="a small cohort, half of the grid")
parser.add_argument("--output", default="nested_search.png", help="where the figure goes")
options = parser.parse_args()

N_SCANS, N_REGIONS, N_FOLDS, SIZES = 36, 20, 3, [16, 30]
if options.quick:
    N_SCANS, N_REGIONS, N_FOLDS, SIZES = 18, 10, 2, [30]
cohort = make_cohort(
    n_scans=N_SCANS,
    n_timepoints=120,
    n_regions=N_REGIONS,
    t_r=2.0,
    static_strength=2.0,
    random_state=0,
)
trait = cohort.traits["static"].to_numpy()

# One epoch does not converge, and every fit would warn of it.
warnings.simplefilter("ignore", ConvergenceWarning)

# %%
# The grid varies the encoder and the head. The encoder is the paper's network, whose embeddings
# depend on training. ``memory`` keeps each pretrained encoder, so each setting of the encoder
# pretrains once a fold, however many settings of the head are tried on top.

cache = tempfile.TemporaryDirectory()
encoder = BrainMAETransformer(
    t_r=cohort.t_r,
    crop_length=240,
    embedding_dim=16,
    max_epochs=1,
    init="random",
    memory=cache.name,
    random_state=0,
)
model = make_pipeline(encoder, StandardScaler(), Ridge())
grid = {
    "brainmaetransformer__mask_ratio": [0.3, (0.0, 0.8)],
    "brainmaetransformer__window_size": SIZES,
    "ridge__alpha": [10, 100],
}
inner = KFold(2, shuffle=True, random_state=1)
outer = KFold(N_FOLDS, shuffle=True, random_state=0)
search = GridSearchCV(model, grid, cv=inner, scoring="neg_mean_absolute_error")
nested = -cross_val_score(search, cohort.scans, trait, cv=outer, scoring="neg_mean_absolute_error")

# %%
# The same grid on all scans at once. The score of its best setting is partly luck.

search.fit(cohort.scans, trait)
settings = pd.DataFrame(search.cv_results_)
settings["error"] = -settings["mean_test_score"]
best = settings.loc[settings["error"].idxmin()]
chance = np.abs(trait - trait.mean()).mean()
print("mean absolute error of the predicted trait")
print(f"best setting of the grid, all scans: {best['error']:.3f}")
print(f"nested cross-validation:             {nested.mean():.3f} ± {nested.std():.3f}")
print(f"predicting the mean:                 {chance:.3f}")

# %%
# The distance between the blue and the red line shows by how much the best setting of the grid
# looks too good. One epoch of the paper's network keeps the script short; other models predict
# traits better.

fig, ax = plt.subplots(figsize=(8, 3.6), layout="constrained")
ranks = np.arange(1, len(settings) + 1)
ax.plot(ranks, np.sort(settings["error"]), "o", color="0.6", label="each setting, all scans")
ax.axhline(best["error"], color="C0", label="best setting of the grid: too good")
ax.axhline(nested.mean(), color="C3", label="nested cross-validation: honest")
ax.axhline(chance, color="0.3", linestyle=":", label="predicting the mean")
ax.set_xticks(ranks)
ax.set_xlabel("settings of the grid, best first")
ax.set_ylabel("mean absolute error of the trait")
ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
ax.spines[["top", "right"]].set_visible(False)
fig.savefig(options.output, dpi=110)
cache.cleanup()
plt.show()
