"""Does training help? Masked error of held-out scans by epoch, relative to the start.

    python benchmarks/training.py FOLDER --t-r 2 --scans 150
    python benchmarks/training.py --pain

Scans come from a folder that ``load_derivatives`` reads, or are the heat-pain runs. A fifth of the
subjects is held out. Half of the regions of a window are hidden, by masks that stay the same.
"""

import argparse
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.model_selection import GroupShuffleSplit

from sk_brainmae.datasets import fetch_pain, load_derivatives
from sk_brainmae.network import BrainMAE
from sk_brainmae.scans.cohort import Cohort
from sk_brainmae.timeseries import validate_scans
from sk_brainmae.training import Schedule, pretrain
from sk_brainmae.training.spectral_start import spectral_start

WINDOW, CROP = 15.0, 300.0  # s
HELD_OUT = 0.2


def curve(
    training: Cohort, held_out: Cohort, window: int, n_windows: int, schedule: Schedule
) -> tuple[pd.DataFrame, dict[str, float]]:
    """Train from the closed-form start; return errors by epoch, and seconds by step."""
    layout: Any = {"window": window, "n_windows": n_windows, "device": "cpu"}
    torch.manual_seed(0)
    network = BrainMAE(training.n_regions, window, 64, 4, 2, "static", n_states=6)
    started = time.perf_counter()
    spectral_start(network, training, n_windows=n_windows, device="cpu")
    seconds = {"start": time.perf_counter() - started}

    def observe(run_epoch: Callable[[], None]) -> bool:
        run_epoch()
        return False

    history = pretrain(
        network,
        training,
        held_out,
        **layout,
        mask_ratio=(0.0, 0.8),
        schedule=schedule,
        seed=0,
        generator=torch.Generator().manual_seed(0),
        observe=observe,
    )
    seconds["training"] = time.perf_counter() - started - seconds["start"]
    table = pd.DataFrame(history)[["epoch", "valid_loss", "lr"]]
    table["relative"] = table["valid_loss"] / table["valid_loss"].iloc[0]
    return table, seconds


def read(folder: str | None, t_r: float | None, n_scans: int | None) -> tuple[Any, Any, float]:
    """Return scans, the subject of each, and the repetition time."""
    if folder is None:
        pain = fetch_pain()
        scans, subjects, t_r = pain.scans, pain.subjects, 2.0
    else:
        found = load_derivatives(folder, t_r=t_r)
        scans, subjects, t_r = found.scans, found.subjects, found.t_r
    order = np.random.default_rng(0).permutation(len(scans))[:n_scans]
    return [np.asarray(scans[i], np.float32) for i in order], np.asarray(subjects)[order], t_r


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", help="a folder of scans")
    parser.add_argument("--pain", action="store_true", help="the heat-pain runs")
    parser.add_argument("--t-r", type=float, help="repetition time in s, if no file tells it")
    parser.add_argument("--scans", type=int, help="so many scans, drawn at random")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--lr", type=float, default=0.006)
    parser.add_argument("--patience", type=int, default=10)
    args = parser.parse_args()
    if args.pain == (args.folder is not None):
        parser.error("give a folder of scans, or --pain")
    warnings.simplefilter("ignore")
    scans, subjects, t_r = read(args.folder, args.t_r, args.scans)
    if t_r is None:
        parser.error("no file tells the repetition time: give --t-r")
    cohort = validate_scans(scans)
    split = GroupShuffleSplit(1, test_size=HELD_OUT, random_state=0)
    train, test = next(split.split(scans, groups=subjects))
    schedule = Schedule(args.epochs, 8, args.lr, 0.05, args.patience, 0)
    layout = round(WINDOW / t_r), round(CROP / WINDOW)
    table, seconds = curve(cohort.take(train), cohort.take(test), *layout, schedule)
    print(table.round(4).to_string(index=False))
    print(", ".join(f"{name} {value:.1f} s" for name, value in seconds.items()))
