"""Decoding of heat pain: BrainMAE against strong simple opponents, on held-out subjects.

From trials of the pain runs, the models predict hot or warm, and the rating of pain. All models see
the same five folds of subjects, drawn several times. Run it as

    python benchmarks/decoding.py [--quick]
"""

import argparse
import time
import warnings
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone, is_classifier
from sklearn.model_selection import GroupKFold

from sk_brainmae import BrainMAEClassifier, BrainMAERegressor
from sk_brainmae.baselines import FeatureBaseline, FlatWindow, MeanActivation
from sk_brainmae.datasets import fetch_pain, pain_trials
from sk_brainmae.scans.cohort import Cohort
from sk_brainmae.timeseries import Window

N_REPEATS, N_FOLDS = 3, 5
N_BOOTSTRAPS = 10_000
N_EPOCHS = 0  # of pretraining; 0 keeps the closed-form start
N_EPOCHS_PAPER = 4  # of pretraining, and of fine-tuning: more would take hours
OURS, PAPER = "BrainMAE, not trained", "paper: fine-tuned"

ENCODER = {"t_r": 2.0, "max_epochs": N_EPOCHS, "random_state": 0}
PAPERS = {
    "t_r": 2.0,
    "crop_length": 48,  # s: a trial and the run around it
    "init": "random",
    "strategy": "finetune",
    "views": "state_mean",
    "validation_fraction": 0.0,  # every epoch counts
    "max_epochs": N_EPOCHS_PAPER,
    "random_state": 0,
}


class CentredFlatWindow(FlatWindow):
    """Subtract the mean over the trials of a run from its flat windows.

    This opponent has an advantage: it needs all trials of a run at once, also of test runs. The
    estimators of the package never look at other samples.
    """

    def _compute(self, cohort: Cohort) -> NDArray:
        features = super()._compute(cohort)
        _, run = np.unique(cohort.runs, return_inverse=True)
        total = np.zeros((run.max() + 1, features.shape[1]))
        np.add.at(total, run, features)
        return features - (total / np.bincount(run)[:, None])[run]


def models(task: str) -> dict[str, Any]:
    """Return BrainMAE and its opponents by name."""
    ours = BrainMAEClassifier if task == "classification" else BrainMAERegressor
    return {
        OURS: ours(**ENCODER),
        PAPER: ours(**PAPERS),
        "flat window": FeatureBaseline(FlatWindow(), task, random_state=0),
        "flat window, centred per run": FeatureBaseline(CentredFlatWindow(), task, random_state=0),
        "mean activation": FeatureBaseline(MeanActivation(), task, random_state=0),
    }


def predict_held_out(
    model: Any, X: list[Window], y: NDArray, groups: NDArray, n_repeats: int
) -> tuple[NDArray, float]:
    """Return predictions of held-out subjects, (n_repeats, n_trials), and the seconds of a fit."""
    predictions, seconds = np.empty((n_repeats, len(y))), []
    for repeat in range(n_repeats):
        for train, test in folds(groups, repeat):
            started = time.perf_counter()
            fitted = clone(model).fit([X[i] for i in train], y[train], groups=groups[train])
            seconds.append(time.perf_counter() - started)
            held_out = [X[i] for i in test]
            predictions[repeat, test] = (
                fitted.predict_proba(held_out)[:, 1]
                if is_classifier(model)
                else fitted.predict(held_out)
            )
    return predictions, float(np.mean(seconds))


def folds(groups: NDArray, repeat: int) -> list[tuple[NDArray, NDArray]]:
    """Split the trials by subject."""
    splitter = GroupKFold(N_FOLDS, shuffle=True, random_state=repeat)
    return list(splitter.split(groups, groups=groups))


def auc(predictions: NDArray, y: NDArray, groups: NDArray, weights: NDArray) -> NDArray:
    """Return the AUC, mean over folds and repeats, for every bootstrap of the subjects, (n_draws,).

    ``predictions`` (n_repeats, n_trials) are larger where class 1 is more probable; ``y`` and
    ``groups`` (n_trials,) hold classes and subjects; ``weights`` (n_draws, n_subjects) say how
    often each subject was drawn, in sorted order. A fold without a drawn pair of trials is left
    out.
    """
    who = np.unique(groups, return_inverse=True)[1]
    n_subjects = weights.shape[1]
    values = []
    for repeat, scores in enumerate(predictions):
        for _, test in folds(groups, repeat):
            hot, warm = test[y[test] == 1], test[y[test] == 0]
            above = scores[hot][:, None] - scores[warm]  # (n_hot, n_warm)
            pairs = np.ix_(who[hot], who[warm])
            right, all_pairs = np.zeros((2, n_subjects, n_subjects))
            np.add.at(right, pairs, (above > 0) + 0.5 * (above == 0))
            np.add.at(all_pairs, pairs, 1)
            n_pairs = np.einsum("ds,st,dt->d", weights, all_pairs, weights, optimize=True)
            n_right = np.einsum("ds,st,dt->d", weights, right, weights, optimize=True)
            values.append(np.where(n_pairs > 0, n_right / np.maximum(n_pairs, 1), np.nan))
    return np.nanmean(values, axis=0)


def within_subject_r(
    predictions: NDArray, y: NDArray, groups: NDArray, weights: NDArray
) -> NDArray:
    """Return the mean correlation within subjects; arguments as in :func:`auc`."""
    return _mean_over_subjects(
        lambda scores, mine: np.corrcoef(scores[mine], y[mine])[0, 1], predictions, groups, weights
    )


def mean_absolute_error(
    predictions: NDArray, y: NDArray, groups: NDArray, weights: NDArray
) -> NDArray:
    """Return the mean absolute error within subjects; arguments as in :func:`auc`."""
    return _mean_over_subjects(
        lambda scores, mine: np.abs(scores[mine] - y[mine]).mean(), predictions, groups, weights
    )


def _mean_over_subjects(
    measure: Any, predictions: NDArray, groups: NDArray, weights: NDArray
) -> NDArray:
    by_subject = [
        np.mean([measure(scores, groups == subject) for scores in predictions])
        for subject in np.unique(groups)
    ]
    return weights @ np.array(by_subject) / weights.sum(axis=1)


def tabulate(
    predictions: dict[str, NDArray], seconds: dict[str, float], score: Any, *data: NDArray
) -> pd.DataFrame:
    """Compare the scores of models by a bootstrap over subjects.

    ``predictions`` (n_repeats, n_trials) and ``seconds`` belong to each model, ``data`` are target
    and subjects, and ``score(predictions, *data, weights)`` is a function like :func:`auc`. The
    table has one row a model: its score; the difference, BrainMAE minus this model on the same
    folds, with its 95 % interval over subjects (low, high); repeats of the folds; seconds of a fit.
    """
    n_subjects = len(np.unique(data[-1]))
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(n_subjects, np.full(n_subjects, 1 / n_subjects), N_BOOTSTRAPS)
    weights = np.vstack([np.ones(n_subjects), drawn])  # each subject once, then the bootstraps
    rows = {}
    for name, values in predictions.items():
        scores = score(values, *data, weights)
        row = {score.__name__: scores[0], "n_repeats": len(values), "fit_seconds": seconds[name]}
        if name != OURS:
            difference = score(predictions[OURS][: len(values)], *data, weights) - scores
            low, high = np.quantile(difference[1:], [0.025, 0.975])
            row |= {"difference": difference[0], "low": low, "high": high}
        rows[name] = row
    columns = [score.__name__, "difference", "low", "high", "n_repeats", "fit_seconds"]
    return pd.DataFrame.from_dict(rows, orient="index")[columns]


def run(quick: bool) -> dict[str, pd.DataFrame]:
    """Return the tables of :func:`tabulate` for heat and for ratings, by title.

    ``quick`` draws the folds once and leaves out the paper's configuration. Otherwise that
    configuration decodes heat, on one draw of the folds.
    """
    pain = fetch_pain(verbose=0)
    results = {}
    for target, task in (("hot", "classification"), ("rating", "regression")):
        X, y, groups = pain_trials(pain, target)
        predictions, seconds = {}, {}
        for name, model in models(task).items():
            if name == PAPER and (quick or target == "rating"):
                continue  # it takes as long as all others together
            n_repeats = 1 if quick or name == PAPER else N_REPEATS
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="constant regions")
                predictions[name], seconds[name] = predict_held_out(model, X, y, groups, n_repeats)
        results[target] = predictions, seconds, y, groups
    hot, rating = results["hot"], results["rating"]
    return {
        "hot or warm: AUC": tabulate(hot[0], hot[1], auc, *hot[2:]),
        "rating: within-subject r": tabulate(rating[0], rating[1], within_subject_r, *rating[2:]),
        "rating: mean absolute error": tabulate(
            rating[0], rating[1], mean_absolute_error, *rating[2:]
        ),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one draw of the folds, fewer models")
    for title, table in run(parser.parse_args().quick).items():
        print(f"\n{title}\n{table.round(3).to_string()}")
