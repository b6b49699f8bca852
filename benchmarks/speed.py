"""Speed of training and embedding: ratios measured within one run, on one core.

Each table shows the goal beside the measured value. Timings that are compared alternate, and the
fastest of several is taken, because other processes only add time. The data are noise, which costs
as much as signal. Pretraining hides 0.4 of the regions, the mean of the paper's range; its cost is
linear in the share of visible regions.

    python benchmarks/speed.py [--quick]
"""

import argparse
import multiprocessing
import resource
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from ordinary import (
    MaskedCropDataset,
    OrdinaryBrainMAE,
    ReconstructionError,
    in_ordinary_form,
    ordinary_net,
)
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from sk_brainmae import BrainMAETransformer
from sk_brainmae.network import BrainMAE
from sk_brainmae.scans.cohort import Cohort
from sk_brainmae.timeseries import validate_scans
from sk_brainmae.training import Schedule, estimate_cost, pretrain
from sk_brainmae.training.loop import compose
from sk_brainmae.training.masking import MaskedCrops, ReconstructionLoss

WINDOW, N_WINDOWS, N_HEADS, N_LAYERS = 20, 20, 4, 2
BATCH_SIZE, RATIO = 8, 0.4
PEAK_SIZE = 1024


def noise_cohort(n_scans: int, n_timepoints: int, n_regions: int) -> Cohort:
    """Return scans of white noise."""
    shape = n_scans, n_timepoints, n_regions
    return validate_scans(np.random.default_rng(0).standard_normal(shape, dtype=np.float32))


def brainmae(n_regions: int, dim: int) -> BrainMAE:
    """Return a network with static attention."""
    torch.manual_seed(0)
    return BrainMAE(n_regions, WINDOW, dim, N_HEADS, N_LAYERS, "static")


def schedule(max_epochs: int = 1000, batch_size: int = BATCH_SIZE) -> Schedule:
    """Return a schedule with the estimator's defaults."""
    return Schedule(max_epochs, batch_size, 6e-3, 0.05, patience=10, verbose=0)


def fastest(runs: dict[Any, Callable[[], Any]], repeats: int) -> dict[Any, float]:
    """Run all in turn, several times; return the shortest seconds of each."""
    durations = dict.fromkeys(runs, float("inf"))
    for _ in range(repeats):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            durations[name] = min(durations[name], time.perf_counter() - start)
    return durations


# 1 and 2: pretraining, compared with an ordinary implementation and with the processor's peak


def equality(n_regions: int = 100, dim: int = 64) -> pd.DataFrame:
    """Compare loss and gradients of both implementations on one batch."""
    network, ordinary = brainmae(n_regions, dim), OrdinaryBrainMAE(n_regions, WINDOW, dim, N_LAYERS)
    theirs = dict(ordinary.named_parameters())
    with torch.no_grad():
        for name, weight in in_ordinary_form(network, lambda p: p).items():
            theirs[name].copy_(weight)
    cohort = noise_cohort(4, WINDOW * N_WINDOWS, n_regions)
    ((inputs, target),) = MaskedCrops(cohort, WINDOW, N_WINDOWS, (RATIO, RATIO), 4, 0, "cpu")
    loss = ReconstructionLoss()(network(**inputs), target)
    ordinary_loss = ReconstructionError()(ordinary(**inputs), target)
    loss.backward()
    ordinary_loss.backward()
    worst = 0.0
    for name, gradient in in_ordinary_form(network, lambda p: p.grad).items():
        other = theirs[name].grad
        if name.endswith("in_proj_bias") and not name.startswith("sequence"):
            gradient, other = gradient[-dim:], other[-dim:]  # the package has the value's alone
        worst = max(worst, ((gradient - other).abs().max() / other.abs().max()).item())
    rows = [
        ("loss", abs(loss.item() - ordinary_loss.item()) / ordinary_loss.item()),
        ("gradients, largest", worst),
    ]
    return pd.DataFrame(rows, columns=["relative difference of", "value"]).assign(goal="<= 1e-5")


class Setting(NamedTuple):
    """Size of a network, crops in an epoch, and goals."""

    n_regions: int
    dim: int
    n_crops: int
    ratio_goal: float | None
    peak_goal: float | None


SETTINGS = [
    Setting(100, 64, 16, 2.5, 0.45),
    Setting(400, 64, 8, 3.0, None),
    Setting(100, 128, 16, None, 0.55),
]


def throughput(settings: Sequence[Setting], repeats: int) -> pd.DataFrame:
    """Train both implementations in turn, epoch by epoch.

    torch counts the FLOPs of all matrix products in a step of the package's network, forward and
    backward. The peak is the speed of a 1024 x 1024 product, measured between the epochs.
    """
    rows = []
    square = torch.randn(PEAK_SIZE, PEAK_SIZE)
    for n_regions, dim, n_crops, ratio_goal, peak_goal in settings:
        cohort = noise_cohort(n_crops, WINDOW * N_WINDOWS + 50, n_regions)
        crops = MaskedCrops(cohort, WINDOW, N_WINDOWS, (RATIO, RATIO), BATCH_SIZE, 0, "cpu")
        ours = compose(
            brainmae(n_regions, dim), ReconstructionLoss(), crops, None, schedule(), "cpu"
        )
        network = OrdinaryBrainMAE(n_regions, WINDOW, dim, N_LAYERS)
        theirs = ordinary_net(network, BATCH_SIZE, schedule().lr)
        data = MaskedCropDataset(cohort, WINDOW, N_WINDOWS, RATIO)
        with FlopCounterMode(display=False) as counter:
            ours.fit_loop(crops, epochs=1)
        flops = counter.get_total_flops()
        seconds = fastest(
            {
                "ours": partial(ours.fit_loop, crops, epochs=1),
                "peak": lambda: square @ square,
                "ordinary": partial(theirs.partial_fit, data),
                "peak again": lambda: square @ square,
            },
            repeats,
        )
        peak = 2 * PEAK_SIZE**3 / min(seconds["peak"], seconds["peak again"])
        rows.append(
            {
                "regions": n_regions,
                "d": dim,
                "ours, crops/s": n_crops / seconds["ours"],
                "ordinary, crops/s": n_crops / seconds["ordinary"],
                "ratio": seconds["ordinary"] / seconds["ours"],
                "goal": f">= {ratio_goal}" if ratio_goal else "",
                "GFLOP/crop": flops / n_crops / 1e9,
                "share of peak": flops / seconds["ours"] / peak,
                "goal ": f">= {peak_goal}" if peak_goal else "",
            }
        )
    return pd.DataFrame(rows)


# 3: memory


def _peak_bytes() -> int:
    """Return the peak memory of this process in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _pretrain_for_memory(ratio: tuple[float, float], n_crops: int, batch_size: int) -> dict:
    """Pretrain for an epoch in a process of its own; return measured and estimated bytes."""
    torch.set_num_threads(1)

    def train(n_regions: int, n_crops: int) -> int:
        network = brainmae(n_regions, 64)
        cohort = noise_cohort(n_crops, WINDOW * N_WINDOWS + 50, n_regions)
        before = _peak_bytes()
        generator, observe = torch.Generator(), lambda epoch: epoch()
        pretrain(network, cohort, None, seed=0, generator=generator, observe=observe, **layout)
        weights = 4 * sum(p.nbytes for p in network.parameters())
        return _peak_bytes() - before - weights

    layout = {
        "window": WINDOW,
        "n_windows": N_WINDOWS,
        "mask_ratio": ratio,
        "schedule": schedule(1, batch_size),
        "device": "cpu",
    }
    train(4, 2)  # torch loads some modules only now
    measured = train(100, n_crops)
    cohort = noise_cohort(n_crops, WINDOW * N_WINDOWS + 50, 100)
    network = brainmae(100, 64)
    estimated = estimate_cost(network, cohort, **layout).memory - cohort.frames.nbytes
    estimated -= 4 * sum(p.nbytes for p in network.parameters())
    return {"measured": measured, "estimated": estimated}


def memory(quick: bool) -> pd.DataFrame:
    """Measure the peak memory per crop of a batch, without data, weights and optimiser."""
    cases = [((RATIO, RATIO), 8, 8), ((0.0, 0.8), 64, 8), ((0.0, 0.0), 8, 8)]
    rows = []
    for case in cases[:1] if quick else cases:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            result = pool.apply(_pretrain_for_memory, case)
        per_crop = {name: value / case[2] / 1e6 for name, value in result.items()}
        rows.append(
            {
                "mask ratio": f"{case[0][0]} to {case[0][1]}",
                "MB per crop": per_crop["measured"],
                "goal": "about 20",
                "by estimate_cost": per_crop["estimated"],
            }
        )
    return pd.DataFrame(rows)


# 4: growth


def _epoch(n_scans: int, n_regions: int, n_windows: int) -> Callable[[], Any]:
    """Return a function that pretrains for an epoch."""
    cohort = noise_cohort(n_scans, WINDOW * n_windows, n_regions)
    crops = MaskedCrops(cohort, WINDOW, n_windows, (RATIO, RATIO), BATCH_SIZE, 0, "cpu")
    net = compose(brainmae(n_regions, 64), ReconstructionLoss(), crops, None, schedule(), "cpu")
    net.fit_loop(crops, epochs=1)  # allocates memory and the optimiser's state
    return partial(net.fit_loop, crops, epochs=1)


def _straightness(x: Sequence[float], y: Sequence[float]) -> float:
    """Return the R^2 of a straight line through the points."""
    return float(np.corrcoef(x, y)[0, 1] ** 2)


def growth(repeats: int) -> pd.DataFrame:
    """Time an epoch of pretraining for growing numbers of scans, frames and regions."""
    n_scans, n_windows = [8, 16, 24, 32], [10, 20, 30, 40]
    by_scans = fastest({n: _epoch(n, 100, 20) for n in n_scans}, repeats)
    by_time = fastest({n: _epoch(8, 100, n) for n in n_windows}, repeats)
    by_regions = fastest({n: _epoch(8, n, 20) for n in (100, 400)}, repeats)
    thousand = fastest({1000: _epoch(2, 1000, 51)}, 1)[1000] * 20 / 51
    per_crop = {n: s / 8 for n, s in by_regions.items()} | {1000: thousand / 2}
    rows = [
        ("scans 8 to 32: R2 of a line", _straightness(n_scans, [*by_scans.values()]), ">= 0.99"),
        ("time 200 to 800 frames: R2", _straightness(n_windows, [*by_time.values()]), ">= 0.99"),
        ("regions 100 to 400: times per crop", per_crop[400] / per_crop[100], "<= 6"),
        ("1000 regions: crops/s", 1 / per_crop[1000], "works"),
    ]
    return pd.DataFrame(rows, columns=["growth", "value", "goal"])


# 5: transform


class Opponent(NamedTuple):
    """Published size of an encoder: frames of a clip and of a patch, width, heads, layers."""

    n_frames: int
    patch: int
    dim: int
    n_heads: int
    n_layers: int


OPPONENTS = {
    "BrainLM 5 M": Opponent(200, 20, 256, 4, 4),
    "BrainLM 111 M": Opponent(200, 20, 768, 12, 12),
    "Brain-JEPA, ViT-S": Opponent(160, 16, 384, 6, 12),
    "Brain-JEPA, ViT-B": Opponent(160, 16, 768, 12, 12),
}


class VisionTransformer(nn.Module):
    """Encoder in the size of another foundation model; a token is a patch of a region's frames."""

    def __init__(self, size: Opponent):
        super().__init__()
        self.patch = size.patch
        self.embed = nn.Linear(size.patch, size.dim)
        layer = nn.TransformerEncoderLayer(
            size.dim,
            size.n_heads,
            4 * size.dim,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.encoder = nn.TransformerEncoder(layer, size.n_layers, enable_nested_tensor=False)

    def forward(self, scans: torch.Tensor) -> torch.Tensor:
        """Encode all patches of scans (B, T, N)."""
        patches = scans.transpose(1, 2).unflatten(2, (-1, self.patch)).flatten(1, 2)
        return self.encoder(self.embed(patches))


@torch.inference_mode()
def transform(n_scans: int, names: Sequence[str], repeats: int) -> pd.DataFrame:
    """Embed scans of 400 frames and 100 regions.

    Each opponent embeds one clip of its published length. Its frames per second are assumed to be
    the same for all scans.
    """
    n_timepoints, n_regions = 400, 100
    shape = n_scans, n_timepoints, n_regions
    X = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    models = {
        ", ".join(views): BrainMAETransformer(
            window_size=WINDOW, crop_length=400, views=views, max_epochs=0, random_state=0
        ).fit(X[:20])
        for views in (("connectivity", "innovations", "tempo"), ("state_mean",))
    }
    clips = {
        name: partial(
            VisionTransformer(OPPONENTS[name]).eval(),
            torch.from_numpy(X[:1, : OPPONENTS[name].n_frames]),
        )
        for name in names
    }
    theirs = fastest(clips, repeats)
    ours = fastest({name: partial(model.transform, X) for name, model in models.items()}, repeats)
    rows = []
    for views, duration in ours.items():
        frames = n_scans * n_timepoints / duration
        for name, of_clip in theirs.items():
            other = OPPONENTS[name].n_frames / of_clip
            rows.append(
                {
                    "views": views,
                    "scans": n_scans,
                    "s": duration,
                    "frames/s": frames,
                    "opponent": name,
                    "its frames/s": other,
                    "ratio": frames / other,
                    "goal": ">= 50",
                }
            )
    return pd.DataFrame(rows)


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer repeats and cases, one minute")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    settings = SETTINGS[:1] if quick else SETTINGS
    opponents = ["BrainLM 5 M", "Brain-JEPA, ViT-S"] if quick else list(OPPONENTS)
    tables = {
        # Memory comes first: the peak of a child process starts at the memory of this process.
        "Peak memory of pretraining, 100 regions, d = 64": lambda: memory(quick),
        "Same function": equality,
        "Pretraining on one core": lambda: throughput(settings, 4 if quick else 6),
        "Growth": lambda: growth(2 if quick else 4),
        "Embedding scans": lambda: transform(100 if quick else 1000, opponents, 2),
    }
    for title, measure in tables.items():
        start = time.perf_counter()
        table = measure()
        print(f"\n{title} ({time.perf_counter() - start:.0f} s)")
        print(table.to_string(index=False, float_format="{:.3g}".format), flush=True)


if __name__ == "__main__":
    main()
