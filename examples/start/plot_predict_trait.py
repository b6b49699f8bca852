"""
Predict a trait from resting-state scans
========================================

This script predicts a trait of unseen subjects from their scans, and compares BrainMAE with
functional connectivity (FC) on the same folds. BrainMAE pretrains without labels inside each
training fold. The cohort is simulated, and the trait acts on the coupling of networks. Put your own
scans and labels in its place.
"""

import argparse

import matplotlib.pyplot as plt
from sklearn.model_selection import KFold

from sk_brainmae import BrainMAERegressor
from sk_brainmae.baselines import ConnectivityBaseline
from sk_brainmae.datasets import make_cohort
from sk_brainmae.evaluation import compare

parser = argparse.ArgumentParser(description="A trait predicted by BrainMAE and by connectivity")
parser.add_argument("--quick", action="store_true", help="a small cohort")
parser.add_argument("--output", default="predict_trait.png", help="where the figure goes")
options = parser.parse_args()

# %%
# Sixty scans of 5 minutes, 40 regions, one frame every 2 s.

N_SCANS, N_REGIONS = (20, 12) if options.quick else (60, 40)
cohort = make_cohort(
    n_scans=N_SCANS, n_timepoints=150, n_regions=N_REGIONS, t_r=2.0, random_state=0
)
trait = cohort.traits["static"].to_numpy()

# %%
# Every estimator sees the same folds and tunes its linear head inside them. ``compare`` compares
# the first-named estimator with each other one. ``max_epochs=0`` is enough, because the embedding
# of a whole scan is a closed form: three epochs take five times as long and give the same scores.

comparison = compare(
    {
        "BrainMAE, not trained": BrainMAERegressor(t_r=cohort.t_r, max_epochs=0, random_state=0),
        "FC (correlation)": ConnectivityBaseline("correlation", "regression", random_state=0),
        "FC (tangent)": ConnectivityBaseline("tangent", "regression", random_state=0),
    },
    cohort.scans,
    trait,
    cv=KFold(5, shuffle=True, random_state=0),
    scoring="r2",
)
columns = ["mean", "std", "difference", "fit_time"]
print(comparison.table.droplevel("metric")[columns].round(3).to_string(na_rep=""))

# %%
# Grey lines join the scores of one fold. A difference counts if it has the same sign in most folds.

comparison.plot().figure.savefig(options.output, dpi=110)
plt.show()
