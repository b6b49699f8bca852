"""Did training work? Scores on fixed crops with fixed masks, and a check for collapse."""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from sk_brainmae.network import BrainMAE
from sk_brainmae.network.prior import conditional_gaussian
from sk_brainmae.scans.cohort import Cohort
from sk_brainmae.scans.covariance import NOISE, region_covariance
from sk_brainmae.training.masking import masked_batch
from sk_brainmae.training.tensors import TiledCrops

# Mask ratio and seed of validation and scores.
SCORE_RATIO = 0.5
SCORE_SEED = 0
# From this many scans on, embeddings should vary in at least two directions.
FEW_SCANS = 8
SMALLEST_RANK = 2.0


class ScoringCrops(TiledCrops):
    """Batches of crops that cover every run, with the same masks in every epoch."""

    def __iter__(self) -> Iterator[tuple[dict[str, Tensor], dict[str, Tensor]]]:
        mask_rng = torch.Generator(self.tensors.device).manual_seed(SCORE_SEED)
        for rows in np.array_split(np.arange(len(self.crops.starts)), len(self)):
            yield masked_batch(self.tensors, self.crops, rows, SCORE_RATIO, mask_rng)


@torch.inference_mode()
def masked_r2(
    predict: Callable[..., Tensor],
    cohort: Cohort,
    *,
    window: int,
    n_windows: int,
    batch_size: int,
    device: str,
) -> float:
    """Return the R^2 of reconstructing hidden regions: half of them, with fixed masks.

    Parameters
    ----------
    predict : callable
        A network on ``device``, or another function of ``signal`` (B, n, N, tau) and ``visible``
        (B, n, N) that returns windows (B, n, N, tau).
    cohort : Cohort
        Samples to score.
    window, n_windows : int
        Frames in a window, and windows in a crop.
    batch_size : int
        Number of crops at once.
    device : str
        Where to compute.

    Returns
    -------
    float
        One minus the squared error over the sum of squares of the z-scored signal, in hidden
        regions. The mean of each region over its scan has the score 0; so has a cohort in which
        nothing can be hidden.
    """
    error = variance = 0.0
    for inputs, target in ScoringCrops(cohort, window, n_windows, batch_size, device):
        hidden = target["hidden"][..., None]
        if "measured" in target:
            hidden = hidden & target["measured"]
        difference = (predict(**inputs) - target["signal"]) * hidden
        error += difference.square().sum().item()
        variance += (target["signal"] * hidden).square().sum().item()
    return 1 - error / variance if variance else 0.0


def compare_with_linear(
    network: BrainMAE, training: Cohort, held_out: Cohort, *, device: str, **layout: Any
) -> dict[str, float]:
    """Score the network and the conditional Gaussian of the training scans on held-out scans.

    ``layout`` is ``window``, ``n_windows`` and ``batch_size``, as in :func:`masked_r2`.
    """
    covariance = torch.as_tensor(region_covariance(training), dtype=torch.float32, device=device)

    def linear(signal: Tensor, visible: Tensor) -> Tensor:
        return conditional_gaussian(signal, visible, covariance, NOISE)

    network.to(device).eval()
    return {
        "network": masked_r2(network, held_out, device=device, **layout),
        "conditional_gaussian": masked_r2(linear, held_out, device=device, **layout),
    }


def warn_if_worse_than_linear(scores: dict[str, float]) -> None:
    """Warn (ConvergenceWarning) if the network reconstructs worse than the linear predictor."""
    if scores["network"] < scores["conditional_gaussian"]:
        warnings.warn(
            "on held-out scans the network reconstructs hidden regions with R2"
            f" {scores['network']:.3f}, worse than a linear predictor (the conditional Gaussian)"
            f" with {scores['conditional_gaussian']:.3f}: train longer, or use init='spectral'",
            ConvergenceWarning,
            stacklevel=2,
        )


def effective_rank(embeddings: NDArray) -> float:
    """Return the number of directions in which embeddings vary: exp(entropy of their spectrum).

    Parameters
    ----------
    embeddings : ndarray of shape (n_scans, n_features)
        One embedding per scan.

    Returns
    -------
    float
        Effective rank (Roy and Vetterli 2007) of the squared singular values: between 1, where all
        embeddings lie on a line, and the number of scans; 0 where all are the same.

    Warns
    -----
    ConvergenceWarning
        If the embeddings of 8 scans or more have an effective rank below 2: they have collapsed.
    """
    centred = embeddings - embeddings.mean(axis=0, dtype=float)
    energy = np.linalg.svd(centred, compute_uv=False) ** 2
    rank = 0.0
    if energy.sum() > 0:
        share = energy[energy > 0] / energy.sum()
        rank = float(np.exp(-(share * np.log(share)).sum()))
    if len(embeddings) >= FEW_SCANS and rank < SMALLEST_RANK:
        warnings.warn(
            f"the embeddings of {len(embeddings)} scans have an effective rank of {rank:.1f}:"
            " they have collapsed, and hardly tell scans apart",
            ConvergenceWarning,
            stacklevel=2,
        )
    return rank
