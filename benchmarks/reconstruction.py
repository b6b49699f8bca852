"""Reconstruction of hidden regions, on held-out subjects: BrainMAE against linear predictors.

Heat-pain runs, z-scored, in windows of 16 s; folds of subjects. The error is the mean square over
hidden cells; predicting a region's mean has an error of about 1. "independent" masks hide different
regions in every window. "constant" masks hide the same regions in all windows of a run.
"""

import argparse
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold

from sk_brainmae import BrainMAETransformer
from sk_brainmae.datasets import fetch_pain
from sk_brainmae.timeseries import validate_scans
from sk_brainmae.training import reconstruct

WINDOW, N_WINDOWS = 8, 23  # frames of 2 s; windows of a whole run
RATIOS = (0.2, 0.4, 0.7)
NOISE = 0.05
BRAINMAE = {
    "t_r": 2.0,
    "window_size": 16,
    "crop_length": 16 * N_WINDOWS,
    "max_epochs": 3,
    "random_state": 0,
}
MODELS = {
    "BrainMAE": BRAINMAE,
    "closed-form start alone": {**BRAINMAE, "max_epochs": 0},
    "paper: random start, no prior": {**BRAINMAE, "init": "random", "max_epochs": 30},
}
LINEAR = "conditional Gaussian"

Predictor = Callable[[NDArray, NDArray], NDArray]  # (scan, hidden), each (T, N) -> (T, N)


def covariance(scans: NDArray, present: NDArray) -> NDArray:
    """Return the covariance of regions (N, N); ``present`` (n, N): the regions that a scan has."""
    together = scans.shape[1] * present.T.astype(float) @ present
    return np.einsum("stn,stm->nm", scans, scans, optimize=True) / np.maximum(together, 1)


def region_mean(scans: NDArray, present: NDArray) -> Predictor:
    """Predict the mean, which is 0."""
    return lambda scan, hidden: np.zeros_like(scan)


def interpolation(scans: NDArray, present: NDArray) -> Predictor:
    """Interpolate linearly between the visible frames before and after."""

    def predict(scan: NDArray, hidden: NDArray) -> NDArray:
        frames, filled = np.arange(len(scan)), np.zeros_like(scan)
        for region in np.flatnonzero(~hidden.all(axis=0)):
            seen = ~hidden[:, region]
            filled[:, region] = np.interp(frames, frames[seen], scan[seen, region])
        return filled

    return predict


def conditional(covariance: NDArray, window: NDArray, hidden: NDArray) -> NDArray:
    """Return the conditional expectation of a window (tau, N) from its visible regions."""
    seen = ~hidden[0]
    known = covariance[np.ix_(seen, seen)] + NOISE * np.eye(seen.sum())
    return window[:, seen] @ np.linalg.solve(known, covariance[seen])


def by_window(predict: Predictor) -> Predictor:
    """Predict one window after another."""

    def predict_scan(scan: NDArray, hidden: NDArray) -> NDArray:
        windows, masks = (np.split(x, N_WINDOWS) for x in (scan, hidden))
        return np.concatenate([predict(*pair) for pair in zip(windows, masks, strict=True)])

    return predict_scan


def conditional_gaussian(scans: NDArray, present: NDArray) -> Predictor:
    """Predict a frame from its visible regions by the training covariance."""
    of_cohort = covariance(scans, present)
    return by_window(lambda window, hidden: conditional(of_cohort, window, hidden))


def window_gaussian(scans: NDArray, present: NDArray) -> Predictor:
    """Predict a window from its visible cells by the shrunk training covariance of all cells."""
    flat = scans.reshape(-1, WINDOW * scans.shape[2])
    sample = flat.T @ flat / len(flat)
    joint = 0.9 * sample + 0.1 * np.diag(np.diag(sample))

    def predict(window: NDArray, hidden: NDArray) -> NDArray:
        seen = ~hidden.ravel()
        known = joint[np.ix_(seen, seen)] + NOISE * np.eye(seen.sum())
        return (joint[:, seen] @ np.linalg.solve(known, window.ravel()[seen])).reshape(window.shape)

    return by_window(predict)


def adapted_gaussian(scans: NDArray, present: NDArray) -> Predictor:
    """Adapt the covariance to the scan by EM; add a ridge on residuals of the adjacent windows."""
    of_cohort = covariance(scans, present)
    wide = np.lib.stride_tricks.sliding_window_view(scans, 3 * WINDOW, axis=1)[:, ::WINDOW]
    wide = wide.reshape(-1, 3 * WINDOW)
    temporal = wide.T @ wide / len(wide)
    middle = np.arange(WINDOW, 2 * WINDOW)
    around = np.setdiff1d(np.arange(3 * WINDOW), middle)
    known = temporal[np.ix_(around, around)] + 0.1 * np.eye(len(around))
    kernel = np.linalg.solve(known, temporal[np.ix_(around, middle)])

    def predict(scan: NDArray, hidden: NDArray) -> NDArray:
        windows, masks = scan.reshape(N_WINDOWS, WINDOW, -1), hidden.reshape(N_WINDOWS, WINDOW, -1)
        own = of_cohort
        for _ in range(4):
            second_moment = np.zeros_like(own)
            for window, mask in zip(windows, masks, strict=True):
                seen = ~mask[0]
                gain = np.linalg.solve(
                    own[np.ix_(seen, seen)] + NOISE * np.eye(seen.sum()), own[seen]
                )
                expected = window[:, seen] @ gain
                second_moment += expected.T @ expected / WINDOW + own - own[:, seen] @ gain
            own = 0.25 * of_cohort + 0.75 * second_moment / N_WINDOWS
        filled = np.stack([conditional(own, *pair) for pair in zip(windows, masks, strict=True)])
        residual = np.where(masks, 0, windows - filled)
        padded = np.pad(residual, ((1, 1), (0, 0), (0, 0)))
        nearby = np.concatenate([padded[:-2], padded[2:]], axis=1)  # (n, 2 tau, N)
        return (filled + np.einsum("kan,ab->kbn", nearby, kernel)).reshape(scan.shape)

    return predict


OPPONENTS = {
    "region mean": region_mean,
    "temporal interpolation": interpolation,
    LINEAR: conditional_gaussian,
    "whole-window Gaussian, shrunk": window_gaussian,
    "scan-adapted Gaussian + neighbours": adapted_gaussian,
}


def hide(present: NDArray, ratio: float, constant: bool, seed: int) -> NDArray:
    """Draw the hidden cells (T, N) of a run, among its ``present`` regions (N,)."""
    rng = np.random.default_rng(seed)
    noise = rng.random((1 if constant else N_WINDOWS, len(present)))
    noise[:, ~present] = np.inf
    rank = noise.argsort(axis=1).argsort(axis=1)
    hidden = rank < round(ratio * present.sum())
    return np.repeat(np.broadcast_to(hidden, (N_WINDOWS, len(present))), WINDOW, axis=0)


def in_standard_units(model: BrainMAETransformer) -> Any:
    """Return a predictor for scans that are z-scored over all frames, as opponents get them."""

    def predict(scans: list[NDArray], hidden: list[NDArray]) -> list[NDArray]:
        cohort = replace(validate_scans(scans), hidden=np.concatenate(hidden))
        return reconstruct(model._network(), cohort, **model._layout())

    return predict


def predictors(
    scans: NDArray, present: NDArray, groups: NDArray
) -> list[tuple[str, Callable[[list[NDArray], list[NDArray]], list[NDArray]], float]]:
    """Fit all models on training scans; return their names, predictors and seconds of fitting."""
    fitted: list[Any] = []
    for name, params in MODELS.items():
        started = time.perf_counter()
        model = BrainMAETransformer(**params).fit(list(scans), groups=groups)
        fitted.append((name, in_standard_units(model), time.perf_counter() - started))
    for name, fit in OPPONENTS.items():
        started = time.perf_counter()
        predict = fit(scans.astype(float), present)
        seconds = time.perf_counter() - started
        fitted.append(
            (name, lambda X, M, p=predict: [p(*x) for x in zip(X, M, strict=True)], seconds)
        )
    return fitted


def run(quick: bool) -> pd.DataFrame:
    """Return mean squared errors by masks, predictor and ratio, absolute and relative.

    Relative errors are divided by those of the conditional Gaussian.
    """
    pain = fetch_pain()
    cohort = validate_scans([scan[: WINDOW * N_WINDOWS] for scan in pain.scans])
    scans = cohort.frames.reshape(len(pain.scans), WINDOW * N_WINDOWS, -1)
    folds = list(GroupKFold(3, shuffle=True, random_state=0).split(scans, groups=pain.subjects))
    rows = []
    for train, test in folds[: 1 if quick else None]:
        for name, predict, seconds in predictors(
            scans[train], cohort.observed[train], pain.subjects[train]
        ):
            for masks in ("independent", "constant"):
                for ratio in RATIOS:
                    hidden = [hide(cohort.observed[i], ratio, masks == "constant", i) for i in test]
                    rebuilt = predict(list(scans[test].astype(float)), hidden)
                    errors = [
                        np.square(r - scans[i])[h]
                        for r, i, h in zip(rebuilt, test, hidden, strict=True)
                    ]
                    row = {
                        "masks": masks,
                        "predictor": name,
                        "ratio": ratio,
                        "fit_seconds": seconds,
                    }
                    rows.append({**row, "error": np.concatenate(errors).mean()})
    table = pd.DataFrame(rows)
    order = [*MODELS, *OPPONENTS]
    error = table.pivot_table(index=["masks", "predictor"], columns="ratio", values="error")
    linear = error.xs(LINEAR, level="predictor")
    relative = error.div(linear, level="masks", axis=0)
    seconds = table.groupby(["masks", "predictor"])["fit_seconds"].mean()
    result = pd.concat({"error": error, "relative to Gaussian": relative}, axis=1).round(3)
    result["fit (s)"] = seconds.round(1)
    return result.reindex(pd.MultiIndex.from_product([["independent", "constant"], order]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one fold of three")
    warnings.simplefilter("ignore")
    print(run(parser.parse_args().quick).to_string())
