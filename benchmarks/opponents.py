"""BrainMAE against every opponent of the package, on real trials and simulated traits.

The targets are heat and its rating in the pain runs (folds of subjects), and a simulated trait that
acts on static connectivity alone, on dynamics alone, or on nothing. The folder keeps the result of
each finished fit, and an interrupted call resumes there. Run it as

    python benchmarks/opponents.py [--quick] [--peers NAMES] [--folder FOLDER] [TABLE ...]

The published networks (``--peers all``, or ``--peers BNT,FBNetGen``) take most of the time. They
can be added to a folder that already holds the other results.
"""

import argparse
import time
import warnings
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pandas as pd
from sklearn.pipeline import Pipeline

from sk_brainmae import BrainMAEClassifier, BrainMAERegressor
from sk_brainmae.baselines import (
    PEERS,
    ConnectivityBaseline,
    ConnectivityFeatures,
    FeatureBaseline,
    PeerBaseline,
    make_opponents,
)
from sk_brainmae.datasets import fetch_pain, make_cohort, pain_trials
from sk_brainmae.evaluation import Comparison, compare, repeated_folds

OURS = {"classification": BrainMAEClassifier, "regression": BrainMAERegressor}
PAIN_TASKS = {"hot": "classification", "rating": "regression"}
STRENGTHS = {  # effect of the trait on static connectivity, and on dynamics
    "static": (1.0, 0.0),
    "dynamic": (0.0, 1.0),
    "none": (0.0, 0.0),
}
SCANS = {"n_scans": 200, "n_timepoints": 300, "n_regions": 60, "t_r": 1.0}
QUICK_SCANS = {"n_scans": 40, "n_timepoints": 120, "n_regions": 20, "t_r": 1.0}
N_REPEATS = 2
PEER_EPOCHS = 20  # of the published networks, at most: more would take hours

Peers = Collection[str]


def pain(target: str, folder: Path, quick: bool, peers: Peers) -> Comparison:
    """Predict heat ("hot") or its rating ("rating") from trials of unseen subjects."""
    data = fetch_pain()
    X, y, groups = pain_trials(data, target)
    task = PAIN_TASKS[target]
    ours = OURS[task](t_r=data.t_r, window_size=16, max_epochs=0, random_state=0)
    opponents = make_opponents(task, trials=True, peers=True, t_r=data.t_r, random_state=0)
    return contest(ours, without_peers(opponents, peers), X, y, groups, task, folder, quick)


def cohort(effect: str, folder: Path, quick: bool, peers: Peers) -> Comparison:
    """Predict a simulated trait that acts on what ``effect`` names, a key of ``STRENGTHS``."""
    static, dynamic = STRENGTHS[effect]
    scans = make_cohort(
        **(QUICK_SCANS if quick else SCANS),
        static_strength=static,
        dynamic_strength=dynamic,
        random_state=0,
    )
    y = scans.traits["dynamic" if effect == "dynamic" else "static"].to_numpy()
    ours = BrainMAERegressor(t_r=scans.t_r, max_epochs=0, random_state=0)
    opponents = make_opponents("regression", peers=True, t_r=scans.t_r, random_state=0)
    opponents = without_peers(opponents, peers)
    return contest(ours, opponents, scans.scans, y, None, "regression", folder, quick)


def without_peers(opponents: dict[str, Any], wanted: Peers) -> dict[str, Any]:
    """Leave out the published networks that are not in ``wanted``."""
    unwanted = set(PEERS) - set(wanted)
    return {name: model for name, model in opponents.items() if name not in unwanted}


def contest(
    ours: Any,
    opponents: dict[str, Any],
    X: Any,
    y: Any,
    groups: Any,
    task: str,
    folder: Path,
    quick: bool,
) -> Comparison:
    """Compare BrainMAE with opponents on the same folds; results are kept in ``folder``.

    ``quick`` takes one fold and every sixth opponent.
    """
    if quick:
        names = [*list(opponents)[::6], "chance"]
        opponents = {name: opponents[name] for name in dict.fromkeys(names)}
    # Opponents are many and folds ten, so it is not trained; benchmarks/views.py trains it.
    models = {"BrainMAE, not trained": ours}
    models |= {name: make_affordable(model, folder / "cache") for name, model in opponents.items()}
    folds = repeated_folds(
        y, groups, n_repeats=N_REPEATS, classification=task == "classification", random_state=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return compare(models, X, y, cv=folds[:1] if quick else folds, groups=groups, folder=folder)


def make_affordable(model: Any, cache: Path) -> Any:
    """Cache the connectivity of a fold for all heads on it; limit the epochs of networks."""
    if isinstance(model, PeerBaseline):
        return model.set_params(max_epochs=PEER_EPOCHS)
    if not isinstance(model, ConnectivityBaseline):
        return model
    steps = [("FC", ConnectivityFeatures(model.kind)), ("unchanged", "passthrough")]
    features = Pipeline(steps, memory=str(cache))
    return FeatureBaseline(features, model.task, model.head, model.random_state)


def summarise(comparison: Comparison) -> pd.DataFrame:
    """Return the main metric with one row for each estimator, best first."""
    metric = comparison.metrics[0] if "roc_auc" in comparison.metrics else "pearson_r"
    table = comparison.table.loc[metric][["mean", "std", "n_folds", "fit_time"]]
    differences = comparison.differences.loc[metric]
    shown = ["difference", "low", "high", "p_holm", "p_better", "boot_low", "boot_high"]
    summary = table.join(differences[shown]).sort_values("mean", ascending=False)
    return summary.rename_axis(metric).round(3)


TABLES = {
    "hot": lambda *given: pain("hot", *given),
    "rating": lambda *given: pain("rating", *given),
    "static": lambda *given: cohort("static", *given),
    "dynamic": lambda *given: cohort("dynamic", *given),
    "none": lambda *given: cohort("none", *given),
}


def main() -> None:
    """Print the tables, and the seconds that each took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", nargs="*", help=f"{', '.join(TABLES)}; all by default")
    parser.add_argument("--quick", action="store_true", help="small versions of all tables")
    parser.add_argument("--peers", default="", help="published networks: all, or names")
    parser.add_argument(
        "--folder", type=Path, default=Path("brainmae-opponents"), help="keeps the results"
    )
    given = parser.parse_args()
    peers = PEERS if given.peers == "all" else given.peers.split(",")
    for name in given.tables or TABLES:
        started = time.perf_counter()
        comparison = TABLES[name](given.folder / name, given.quick, peers)
        print(f"\n== {name} ({time.perf_counter() - started:.0f} s)")
        print(summarise(comparison).to_string(), flush=True)


if __name__ == "__main__":
    main()
