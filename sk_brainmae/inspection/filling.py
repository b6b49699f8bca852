"""Windows with hidden regions, and what every predictor makes of them."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sk_brainmae.estimators.transformer import BrainMAETransformer
from sk_brainmae.inspection.checks import assumed_t_r
from sk_brainmae.network.prior import conditional_gaussian
from sk_brainmae.scans.cohort import Cohort
from sk_brainmae.scans.covariance import NOISE
from sk_brainmae.scans.crops import Crops, tile_crops
from sk_brainmae.training.masking import masked_batch
from sk_brainmae.training.tensors import CohortTensors

BRAINMAE, MEAN, INTERPOLATION, LINEAR = (
    "BrainMAE",
    "region mean",
    "temporal interpolation",
    "conditional Gaussian",
)
PREDICTORS = (BRAINMAE, MEAN, INTERPOLATION, LINEAR)


def whole_windows(encoder: BrainMAETransformer, scans: Any) -> Cohort:
    """Cut runs to whole windows: overlapping ones would show what is hidden in each other.

    Parameters
    ----------
    encoder : BrainMAETransformer
        Fitted.
    scans : list of scans, or ndarray of shape (n_scans, n_timepoints, n_regions)
        Windows count as their whole runs.

    Returns
    -------
    Cohort
        One sample a run.
    """
    cohort = encoder._read(scans, t_r=assumed_t_r(encoder)).as_runs()
    window = encoder._settings().window
    return replace(cohort, stop=cohort.run_length // window * window)


def tile(encoder: BrainMAETransformer, cohort: Cohort) -> Crops:
    """Return the crops of a cohort, as long as those the encoder was trained on."""
    settings = encoder._settings()
    return tile_crops(cohort, settings.window, settings.n_windows)


@torch.inference_mode()
def fill_batches(
    encoder: BrainMAETransformer, cohort: Cohort, crops: Crops, ratio: float, seed: int
) -> Iterator[tuple[slice, dict[str, Tensor], dict[str, Tensor]]]:
    """Hide regions, and fill them in.

    Parameters
    ----------
    encoder : BrainMAETransformer
        Fitted.
    cohort : Cohort
        Runs of whole windows.
    crops : Crops
        Where the windows lie.
    ratio : float
        Share of the regions to hide in each window.
    seed : int
        Of the masks.

    Yields
    ------
    rows : slice
        Which of the crops, B of them.
    target : dict
        ``signal`` (B, n, N, tau), and ``hidden`` and ``visible``, bool (B, n, N), on the CPU.
    predictions : dict
        What each of the ``PREDICTORS`` makes of what is visible, (B, n, N, tau), on the CPU.
    """
    device = encoder.device_
    network = encoder._network().to(device).eval()
    covariance = torch.as_tensor(encoder._latent_space.covariance, dtype=torch.float32).to(device)
    tensors = CohortTensors(cohort, encoder._settings().window, device)
    generator = torch.Generator(device).manual_seed(seed)
    for start in range(0, len(crops.starts), encoder.batch_size):
        rows = slice(start, start + encoder.batch_size)
        inputs, target = masked_batch(tensors, crops, rows, ratio, generator)
        signal, visible = inputs["signal"], inputs["visible"]
        predictions = {
            BRAINMAE: network(signal, visible).cpu(),
            LINEAR: conditional_gaussian(signal, visible, covariance, NOISE).cpu(),
            MEAN: torch.zeros_like(signal).cpu(),
            INTERPOLATION: _interpolate(signal.cpu(), visible.cpu()),
        }
        yield rows, {name: value.cpu() for name, value in target.items()}, predictions


def _interpolate(signal: Tensor, visible: Tensor) -> Tensor:
    """Draw a line between the visible frames of a region before and after, (B, n, N, tau)."""
    n_crops, n_windows, n_regions, window = signal.shape
    frames = np.arange(n_windows * window)
    x = signal.transpose(1, 2).reshape(n_crops, n_regions, -1).numpy()  # (B, N, n tau)
    seen = visible.transpose(1, 2).numpy().repeat(window, axis=2)
    filled = np.zeros_like(x)
    for place in zip(*np.nonzero(seen.any(axis=2)), strict=True):
        known = seen[place]
        filled[place] = np.interp(frames, frames[known], x[place][known])
    return torch.from_numpy(filled.reshape(n_crops, n_regions, n_windows, window)).transpose(1, 2)
