"""Did training find anything? Checks against a linear predictor and against collapse."""

import warnings
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from sk_brainmae.network import BrainMAE
from sk_brainmae.network.prior import conditional_gaussian
from sk_brainmae.scans.cohort import Cohort
from sk_brainmae.scans.covariance import NOISE, region_covariance
from sk_brainmae.training.scoring import masked_r2

# Embeddings of this many scans or more should vary in two directions at least.
FEW_SCANS = 8
SMALLEST_RANK = 2.0


def compare_with_linear(
    network: BrainMAE,
    training: Cohort,
    held_out: Cohort,
    *,
    window: int,
    n_windows: int,
    batch_size: int,
    device: str,
) -> dict[str, float]:
    """Score the network on held-out scans beside the conditional Gaussian of the training scans.

    Parameters
    ----------
    network : BrainMAE
        Trained weights.
    training, held_out : Cohort
        Runs that the covariance is learned from, and runs to score.
    window, n_windows : int
        Frames in a window, and windows in a crop.
    batch_size : int
        Crops at once.
    device : str
        Where to compute.

    Returns
    -------
    dict of str to float
        Masked R^2 of "network" and "conditional_gaussian"; 0 is what each region's mean reaches.
    """
    covariance = torch.as_tensor(region_covariance(training), dtype=torch.float32, device=device)

    def linear(signal: Tensor, visible: Tensor) -> Tensor:
        return conditional_gaussian(signal, visible, covariance, NOISE)

    def score(predict: Callable[..., Tensor]) -> float:
        return masked_r2(
            predict,
            held_out,
            window=window,
            n_windows=n_windows,
            batch_size=batch_size,
            device=device,
        )

    return {"network": score(network.to(device).eval()), "conditional_gaussian": score(linear)}


def warn_if_worse_than_linear(scores: dict[str, float]) -> None:
    """Warn where training has not even found what a linear predictor knows.

    Parameters
    ----------
    scores : dict of str to float
        As :func:`compare_with_linear` returns them.

    Warns
    -----
    ConvergenceWarning
        If the network is worse than the conditional Gaussian.
    """
    if scores["network"] < scores["conditional_gaussian"]:
        warnings.warn(
            "on held-out scans the network fills in hidden regions with R2"
            f" {scores['network']:.3f}, worse than a linear predictor, the conditional Gaussian,"
            f" with {scores['conditional_gaussian']:.3f}: train longer, or use init='spectral'",
            ConvergenceWarning,
            stacklevel=2,
        )


def effective_rank(embeddings: NDArray) -> float:
    """Return in how many directions embeddings vary: exp of the entropy of their spectrum.

    Parameters
    ----------
    embeddings : ndarray of shape (n_scans, n_features)
        One embedding a scan.

    Returns
    -------
    float
        Between 1 (all on a line) and the number of scans; 0 where all are the same
        (Roy and Vetterli 2007, of the squared singular values).

    Warns
    -----
    ConvergenceWarning
        If many scans vary in fewer than two directions: the embeddings have collapsed.
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
            " they have collapsed and tell scans hardly apart",
            ConvergenceWarning,
            stacklevel=2,
        )
    return rank
