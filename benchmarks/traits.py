"""Traits of subjects in small cohorts, by ridge on embeddings or functional connectivity.

Simulated cohorts of 60 scans with two traits. "static" acts on the coupling of networks. "dynamic"
acts on the duration of brain states and leaves the expected connectivity unchanged. The score is
the correlation of the trait with its out-of-fold predictions, in five folds. Features, weights of
views and the strength of the ridge are learned inside each fold.
"""

import argparse
import warnings
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.model_selection import KFold

from sk_brainmae import BrainMAERegressor
from sk_brainmae.baselines import ConnectivityBaseline
from sk_brainmae.datasets import make_cohort

COHORT = {"n_scans": 60, "n_timepoints": 150, "n_regions": 40}
N_FOLDS = 5
TRAITS = ("static", "dynamic")
OURS = "BrainMAE, not trained"
MODELS = {
    OURS: BrainMAERegressor(t_r=1.0, max_epochs=0, random_state=0),
    "tangent FC": ConnectivityBaseline("tangent", "regression"),
    "correlation FC": ConnectivityBaseline("correlation", "regression"),
    "partial correlation FC": ConnectivityBaseline("partial correlation", "regression"),
}


def out_of_fold_r(model: Any, scans: Any, traits: pd.DataFrame, seed: int) -> pd.Series:
    """Correlate each trait with its out-of-fold predictions."""
    predicted = pd.DataFrame(0.0, traits.index, TRAITS)
    for train, test in KFold(N_FOLDS, shuffle=True, random_state=seed).split(scans):
        for trait in TRAITS:
            fitted = clone(model).fit(scans[train], traits[trait].iloc[train])
            predicted.loc[test, trait] = fitted.predict(scans[test])
    return predicted.corrwith(traits)


def one_cohort(seed: int) -> pd.DataFrame:
    """Return the out-of-fold r in one cohort, (model, trait)."""
    cohort = make_cohort(**COHORT, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pd.DataFrame(
            {
                name: out_of_fold_r(model, cohort.scans, cohort.traits, seed)
                for name, model in MODELS.items()
            }
        ).T


def run(quick: bool) -> pd.DataFrame:
    """Return, for each trait and model, the mean r over cohorts and the difference to BrainMAE.

    The difference is r of BrainMAE minus r of the model, paired by cohort: its mean, and the 95 %
    interval of that mean. ``quick`` takes 2 cohorts instead of 20.
    """
    seeds = range(2 if quick else 20)
    cohorts = Parallel(n_jobs=-1)(delayed(one_cohort)(seed) for seed in seeds)
    r = pd.concat(dict(zip(seeds, cohorts, strict=True)), names=["cohort", "model"])
    rows = {}
    for trait in TRAITS:
        by_model = r[trait].unstack("model")[list(MODELS)]
        for name in MODELS:
            difference = by_model[OURS] - by_model[name]
            margin = 1.96 * difference.std() / np.sqrt(len(difference))
            rows[trait, name] = {
                "r": by_model[name].mean(),
                "difference": difference.mean(),
                "low": difference.mean() - margin,
                "high": difference.mean() + margin,
            }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["trait", "model"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="2 cohorts")
    print(run(parser.parse_args().quick).round(3).to_string())
