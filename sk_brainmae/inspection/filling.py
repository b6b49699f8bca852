"""Windows with hidden regions, filled in by the model and by simple predictors."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sk_brainmae.inspection.model import Encoder, assumed_t_r, tile, window_length
from sk_brainmae.network.prior import conditional_gaussian
from sk_brainmae.scans.cohort import Cohort
from sk_brainmae.scans.covariance import NOISE
from sk_brainmae.training.masking import masked_batch
from sk_brainmae.training.tensors import CohortTensors

BRAINMAE, LINEAR = "BrainMAE", "conditional Gaussian"
MEAN, INTERPOLATION = "region mean", "temporal interpolation"
PREDICTORS = (BRAINMAE, MEAN, INTERPOLATION, LINEAR)


def whole_windows(encoder: Encoder, scans: Any) -> Cohort:
    """Return one sample a run, cut to whole windows: windows that overlap would show hidden frames.

    A moment counts as its whole run.
    """
    cohort = encoder._read(scans, t_r=assumed_t_r(encoder)).as_runs()
    window = window_length(encoder)
    return replace(cohort, stop=cohort.run_length // window * window)


@torch.inference_mode()
def fill_batches(
    encoder: Encoder, cohort: Cohort, ratio: float, seed: int
) -> Iterator[tuple[NDArray, NDArray, dict[str, Tensor], dict[str, Tensor]]]:
    """Hide a share of the regions in each window, and fill them in, B crops at a time.

    Yields first frames of windows and which windows count, (B, n) each; targets "signal"
    (B, n, N, tau), "hidden" and "visible" (B, n, N); and a prediction (B, n, N, tau) by each of
    PREDICTORS.
    """
    layout, crops = encoder._layout(), tile(encoder, cohort)
    device, size = layout["device"], layout["batch_size"]
    network = encoder._network().to(device).eval()
    covariance = torch.as_tensor(encoder._training_covariance(), dtype=torch.float32).to(device)
    tensors = CohortTensors(cohort, layout["window"], device)
    generator = torch.Generator(device).manual_seed(seed)
    for start in range(0, len(crops.starts), size):
        rows = slice(start, start + size)
        inputs, target = masked_batch(tensors, crops, rows, ratio, generator)
        signal, visible = inputs["signal"], inputs["visible"]
        predictions = {
            BRAINMAE: network(signal, visible).cpu(),
            LINEAR: conditional_gaussian(signal, visible, covariance, NOISE).cpu(),
            MEAN: torch.zeros_like(signal).cpu(),
            INTERPOLATION: _interpolate(signal.cpu(), visible.cpu()),
        }
        target = {name: value.cpu() for name, value in target.items()}
        yield crops.starts[rows], crops.own[rows], target, predictions


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
