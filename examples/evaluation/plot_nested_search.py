"""
Choose mask ratio and window size inside the folds
==================================================

A setting that was chosen by its score on all scans has seen the test scans. Here every outer
training part chooses for itself, by an inner cross-validation, and the outer test part judges the
choice: nested cross-validation. Beside it, what users report who pick the best cell of the grid.
"""

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

cohort = make_cohort(
    n_scans=36, n_timepoints=120, n_regions=20, t_r=2.0, static_strength=2.0, random_state=0
)
score = cohort.traits["static"].to_numpy()

# One epoch does not converge, and every fit would say so.
warnings.simplefilter("ignore", ConvergenceWarning)

# %%
# The grid goes over the encoder, here the paper's network: its embeddings depend on what training
# found. With ``memory`` each of its settings pretrains once a fold,
# however many settings of the head are tried on top.

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
    "brainmaetransformer__window_size": [16, 30],
    "ridge__alpha": [10, 100],
}
inner, outer = KFold(2, shuffle=True, random_state=1), KFold(3, shuffle=True, random_state=0)
search = GridSearchCV(model, grid, cv=inner, scoring="neg_mean_absolute_error")
nested = -cross_val_score(search, cohort.scans, score, cv=outer, scoring="neg_mean_absolute_error")

# %%
# The same grid on all scans at once: the best cell is the luckiest, too.

search.fit(cohort.scans, score)
cells = pd.DataFrame(search.cv_results_)
cells["error"] = -cells["mean_test_score"]
best = cells.loc[cells["error"].idxmin()]
chance = np.abs(score - score.mean()).mean()
print(f"mean absolute error, best cell of the grid: {best['error']:.3f}")
print(f"mean absolute error, nested:                {nested.mean():.3f} ± {nested.std():.3f}")
print(f"mean absolute error, predicting the mean:   {chance:.3f}")

# %%
# One epoch of the paper's network keeps the script short; it is not what predicts traits best. What
# counts is the distance between the two lines.

_, ax = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
ax.plot(np.sort(cells["error"]), "o", color="0.6", label="cells of the grid, all scans")
ax.axhline(best["error"], color="C0", label="best cell: optimistic")
ax.axhline(nested.mean(), color="C3", label="nested: honest")
ax.axhline(chance, color="0.3", linestyle=":", label="predicting the mean")
ax.set_xlabel("cells, best first")
ax.set_ylabel("mean absolute error")
ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
ax.spines[["top", "right"]].set_visible(False)
cache.cleanup()
plt.show()
