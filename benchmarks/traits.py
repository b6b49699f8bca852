"""Traits of subjects from small cohorts: embeddings against functional connectivity, with ridge.

Simulated cohorts of 60 scans, in which one trait changes how networks couple (static) and
another how long brain states last (dynamic), which leaves the expected connectivity as it is.
Out-of-fold correlation of prediction and trait in five folds; features and the strength of the
ridge are learned inside each fold.
"""

import argparse
import warnings
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.model_selection import KFold

from sk_brainmae import BrainMAETransformer
from sk_brainmae.baselines import ConnectivityFeatures
from sk_brainmae.datasets import make_cohort
from sk_brainmae.heads.linear import fit_regression_head

COHORT = {"n_scans": 60, "n_timepoints": 150, "n_regions": 40}
N_FOLDS = 5
TRAITS = ("static", "dynamic")
OURS = "BrainMAE"
MODELS = {
    OURS: BrainMAETransformer(t_r=1.0, max_epochs=0, random_state=0),
    "tangent FC": ConnectivityFeatures("tangent"),
    "correlation FC": ConnectivityFeatures("correlation"),
    "partial correlation FC": ConnectivityFeatures("partial correlation"),
}


def out_of_fold_r(features: Any, scans: Any, traits: pd.DataFrame, seed: int) -> pd.Series:
    """Correlation of each trait with its out-of-fold predictions."""
    predicted = pd.DataFrame(0.0, traits.index, TRAITS)
    for train, test in KFold(N_FOLDS, shuffle=True, random_state=seed).split(scans):
        model = clone(features).fit(scans[train])
        known, new = model.transform(scans[train]), model.transform(scans[test])
        for trait in TRAITS:
            head = fit_regression_head(known, traits[trait].iloc[train], random_state=seed)
            predicted.loc[test, trait] = head.predict(new)
    return predicted.corrwith(traits)


def one_cohort(seed: int) -> pd.DataFrame:
    """Out-of-fold r in one cohort, (model, trait)."""
    cohort = make_cohort(**COHORT, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pd.DataFrame(
            {
                name: out_of_fold_r(features, cohort.scans, cohort.traits, seed)
                for name, features in MODELS.items()
            }
        ).T


def run(quick: bool) -> pd.DataFrame:
    """Measure how well traits are predicted.

    Parameters
    ----------
    quick : bool
        2 cohorts instead of 20.

    Returns
    -------
    DataFrame
        For each trait and model (rows): the mean r over cohorts, and what BrainMAE has more,
        paired by cohort, with the 95 % interval of that mean difference.
    """
    seeds = range(2 if quick else 20)
    cohorts = Parallel(n_jobs=-1)(delayed(one_cohort)(seed) for seed in seeds)
    r = pd.concat(dict(zip(seeds, cohorts, strict=True)), names=["cohort", "model"])
    rows = {}
    for trait in TRAITS:
        by_model = r[trait].unstack("model")[list(MODELS)]
        for name in MODELS:
            more = by_model[OURS] - by_model[name]
            margin = 1.96 * more.std() / np.sqrt(len(more))
            rows[trait, name] = {
                "r": by_model[name].mean(),
                "BrainMAE more": more.mean(),
                "from": more.mean() - margin,
                "to": more.mean() + margin,
            }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["trait", "model"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="2 cohorts")
    print(run(parser.parse_args().quick).round(3).to_string())
