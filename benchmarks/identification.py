"""Identification of subjects across runs, from 32, 64 and 128 s of signal.

Runs 3 and 7 of the heat-pain data. Models are fitted on half of the subjects. From each run of a
held-out subject a piece is cut out and embedded alone. For each piece of one run, the most similar
embedding (cosine) among those of the other run is taken, in both directions. Accuracy is how often
it belongs to the same subject.

"in-band" uses every third frame. Its Nyquist frequency, 0.083 Hz, is where the band-pass filter of
these data ends, so signal above the pass-band cannot identify a subject. "complete" leaves out
subjects with missing regions, because the pattern of missing regions could identify them.
"""

import argparse
import warnings
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sk_brainmae import BrainMAETransformer
from sk_brainmae.baselines import ConnectivityFeatures, GroupPCAConnectivity
from sk_brainmae.datasets import fetch_pain

SECONDS = (32, 64, 128)
PLACES = (0.0, 0.5, 1.0)  # of the piece in its run: start, middle, end
N_REPEATS = 2  # of the random split into halves
GROUP_PCA = "group-PCA FC"
COMPONENTS = (16, 32, 64, 122)  # the table shows the best for each duration


def models(t_r: float) -> dict[str, Any]:
    """Return the transformers to compare, by name."""
    brainmae = {"t_r": t_r, "max_epochs": 0, "random_state": 0}
    return {
        "BrainMAE, not trained": BrainMAETransformer(**brainmae),
        # A closed form: training would not change it.
        "BrainMAE, innovations": BrainMAETransformer(**brainmae, views="innovations"),
        "correlation FC": ConnectivityFeatures("correlation"),
        "tangent FC": ConnectivityFeatures("tangent"),
        **{f"{GROUP_PCA} {k}": GroupPCAConnectivity(k) for k in COMPONENTS},
    }


def identification_accuracy(one: NDArray, other: NDArray) -> float:
    """Return how often the most similar row of the other side is the same subject's, both ways."""
    one, other = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in (one, other))
    similarity = one @ other.T  # (n_subjects, n_subjects)
    own = np.arange(len(one))
    hits = [similarity.argmax(axis=axis) == own for axis in (0, 1)]
    return float(np.mean(hits))


def cut_pieces(scans: list[NDArray], place: float, n_frames: int) -> list[NDArray]:
    """Cut a piece of ``n_frames`` out of every scan, at the same relative place."""
    starts = [round(place * (len(scan) - n_frames)) for scan in scans]
    return [scan[start : start + n_frames] for scan, start in zip(scans, starts, strict=True)]


def identify(
    scans: list[NDArray], complete: NDArray, t_r: float, n_splits: int, places: tuple[float, ...]
) -> list[dict[str, Any]]:
    """Return a row for each model, split, duration and place; the two runs alternate in scans."""
    rng = np.random.default_rng(0)
    n_subjects = len(scans) // 2
    rows = []
    for split in range(n_splits):
        if split % 2 == 0:
            order = rng.permutation(n_subjects)
            halves = order[: n_subjects // 2], order[n_subjects // 2 :]
        held_out, training = halves if split % 2 else halves[::-1]
        train = [scans[2 * subject + run] for subject in training for run in (0, 1)]
        test = [scans[2 * subject + run] for run in (0, 1) for subject in held_out]
        for name, model in models(t_r).items():
            centre = np.asarray(model.fit(train).transform(train)).mean(axis=0)
            for seconds in SECONDS:
                for place in places:
                    cut = cut_pieces(test, place, round(seconds / t_r))
                    one, other = np.split(np.asarray(model.transform(cut)) - centre, 2)
                    whole = complete[held_out]
                    rows.append(
                        {
                            "model": name,
                            "size": one.shape[1],
                            "seconds": seconds,
                            "all": identification_accuracy(one, other),
                            "complete": identification_accuracy(one[whole], other[whole]),
                        }
                    )
    return rows


def run(quick: bool) -> pd.DataFrame:
    """Return the mean accuracy by signal, subjects and model (rows) and seconds (columns).

    Chance is 1 over the number of held-out subjects: .06 for all, about .09 for complete. ``quick``
    takes one split and one place instead of four and three.
    """
    pain = fetch_pain(verbose=0)
    missing = np.array([(np.ptp(scan, axis=0) == 0).any() for scan in pain.scans])
    complete = ~missing.reshape(-1, 2).any(axis=1)  # (n_subjects,)
    n_splits, places = (1, PLACES[1:2]) if quick else (2 * N_REPEATS, PLACES)
    tables = {}
    with warnings.catch_warnings():
        # Regions are missing, and pieces have fewer frames than regions.
        warnings.filterwarnings("ignore", message="constant regions|.*more regions than frames")
        for signal, step in (("full", 1), ("in-band", 3)):
            scans = [scan[::step] for scan in pain.scans]
            rows = identify(scans, complete, step * pain.t_r, n_splits, places)
            tables[signal] = pd.DataFrame(rows)
    rows = pd.concat(tables, names=["signal"]).reset_index("signal")
    rows = rows.melt(["signal", "model", "size", "seconds"], ["all", "complete"], "subjects")
    keys = ["signal", "subjects", "model", "size"]
    table = rows.groupby([*keys, "seconds"], sort=False)["value"].mean().unstack()
    return _best_group_pca(table.reset_index("size"))


def _best_group_pca(table: pd.DataFrame) -> pd.DataFrame:
    """Replace the group-PCA rows by one with the best accuracy for each duration."""
    is_pca = table.index.get_level_values("model").str.startswith(GROUP_PCA)
    best = table[is_pca].groupby(["signal", "subjects"], sort=False).max()
    best["model"] = f"{GROUP_PCA}, best size"
    best = best.set_index("model", append=True)
    table = pd.concat([table[~is_pca], best])
    return table.sort_index(level=["signal", "subjects"], sort_remaining=False)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one split, one place")
    print(run(parser.parse_args().quick).round(3).to_string())
