"""
Predict a trait from resting-state scans
========================================

A trait that changes how regions couple is predicted for subjects the models have never seen:
BrainMAE, pretrained without labels inside each training fold, against functional connectivity.
The cohort is simulated, so that the truth is known; put your own scans and scores in its place.
"""

import matplotlib.pyplot as plt
from sklearn.model_selection import KFold

from sk_brainmae import BrainMAERegressor
from sk_brainmae.baselines import ConnectivityBaseline
from sk_brainmae.datasets import make_cohort
from sk_brainmae.evaluation import compare

# %%
# Sixty scans of 5 minutes, 40 regions, one frame every 2 s.

cohort = make_cohort(n_scans=60, n_timepoints=150, n_regions=40, t_r=2.0, random_state=0)
score = cohort.traits["static"].to_numpy()

# %%
# Every estimator sees the same folds; the strength of each linear head is tuned inside them.
# The first-named estimator is the one the others are held against. The embedding of whole scans is
# learned in closed form: three epochs would take five times as long, and find the same.

comparison = compare(
    {
        "BrainMAE": BrainMAERegressor(t_r=cohort.t_r, max_epochs=0, random_state=0),
        "FC (correlation)": ConnectivityBaseline("correlation", task="regression"),
        "FC (tangent)": ConnectivityBaseline("tangent", task="regression"),
    },
    cohort.scans,
    score,
    cv=KFold(5, shuffle=True, random_state=0),
    scoring="r2",
)
print(comparison.table.droplevel("metric")[["mean", "std", "difference", "fit_time"]].round(3))

# %%
# Grey lines join the estimators within a fold: what counts is whether they all lean one way.

comparison.plot()
plt.show()
