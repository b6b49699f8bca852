"""What training adds, on simulated scans whose regions couple differently in every brain state.

No single covariance describes such scans. The oracle is a conditional Gaussian that is told the
true brain state of each frame. Training can close the gap between the closed-form start and the
oracle.
"""

import argparse
import time
import warnings
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from reconstruction import RATIOS, in_standard_units
from sklearn.utils import Bunch

from sk_brainmae import BrainMAETransformer
from sk_brainmae.datasets import make_cohort
from sk_brainmae.timeseries import validate_scans

WINDOW, N_WINDOWS, N_REGIONS = 15, 20, 60
N_TEST = 40
SHARED = {"window_size": WINDOW, "crop_length": WINDOW * N_WINDOWS, "random_state": 0}
MODELS = {
    "BrainMAE, static attention": {},
    "adaptive attention": {"attention": "adaptive"},
    "one state": {"n_states": 1},
    "paper: random start, no prior": {"init": "random"},
}
START, ORACLE = "closed-form start", "oracle, told the states"


def masks(n_scans: int, ratio: float) -> list[NDArray]:
    """Hide different regions in every window; return the hidden cells (T, N) of each scan."""
    noise = np.random.default_rng(0).random((n_scans, N_WINDOWS, N_REGIONS))
    hidden = noise.argsort(axis=2).argsort(axis=2) < round(ratio * N_REGIONS)
    return list(np.repeat(hidden, WINDOW, axis=1))


def told_the_states(cohort: Bunch, first: int, scale: NDArray) -> Any:
    """Return the oracle for the scans from ``first`` on, z-scored by ``scale`` (n_scans, N)."""

    def predict(scans: list[NDArray], hidden: list[NDArray]) -> list[NDArray]:
        rebuilt = [np.zeros_like(scan) for scan in scans]
        for i, (scan, mask) in enumerate(zip(scans, hidden, strict=True)):
            units = np.outer(scale[first + i], scale[first + i])
            for start in range(0, len(scan), WINDOW):
                frames = slice(start, start + WINDOW)
                seen, states = ~mask[start], cohort.states[first + i, frames]
                for state in np.unique(states):
                    covariance = cohort.covariances[state] / units
                    gain = np.linalg.solve(covariance[np.ix_(seen, seen)], covariance[seen])
                    rows = np.arange(start, start + WINDOW)[states == state]
                    rebuilt[i][rows] = scan[rows][:, seen] @ gain
        return rebuilt

    return predict


def run(quick: bool) -> pd.DataFrame:
    """Return held-out masked errors by model and ratio, and the share of the gap that is closed."""
    n_train, n_epochs = (100, 2) if quick else (300, 5)
    cohort = make_cohort(n_scans=n_train + N_TEST, n_regions=N_REGIONS, random_state=0)
    valid = validate_scans(cohort.scans)
    scans = valid.frames.reshape(cohort.scans.shape).astype(float)
    models = dict(list(MODELS.items())[:1]) if quick else MODELS
    predictors, seconds = {}, {}
    for name, params in {START: {"max_epochs": 0}, **models}.items():
        started = time.perf_counter()
        model = BrainMAETransformer(**{**SHARED, "max_epochs": n_epochs, **params})
        predictors[name] = in_standard_units(model.fit(cohort.scans[:n_train]))
        seconds[name] = time.perf_counter() - started
    predictors[ORACLE] = told_the_states(cohort, n_train, valid.scale)
    errors = pd.DataFrame(index=list(predictors), columns=list(RATIOS), dtype=float)
    test = list(scans[n_train:])
    for ratio in RATIOS:
        hidden = masks(N_TEST, ratio)
        for name, predict in predictors.items():
            rebuilt = predict(test, hidden)
            squares = [np.square(r - s)[h] for r, s, h in zip(rebuilt, test, hidden, strict=True)]
            errors.loc[name, ratio] = np.concatenate(squares).mean()
    closed = (errors.loc[START] - errors) / (errors.loc[START] - errors.loc[ORACLE])
    table = pd.concat({"error": errors, "gap closed": closed}, axis=1).round(3)
    table["fit (s)"] = pd.Series(seconds).round(1)
    return table


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer scans, epochs and models")
    warnings.simplefilter("ignore")
    print(run(parser.parse_args().quick).to_string())
