"""Segment-wise ROI masking: what each window hides, and the loss of filling it in."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sk_brainmae.scans.cohort import Cohort
from sk_brainmae.scans.crops import Crops, random_crops
from sk_brainmae.training.loop import Batches
from sk_brainmae.training.tensors import CohortTensors


def hide_regions(observed: Tensor, ratio: float, generator: torch.Generator) -> Tensor:
    """Draw which ``observed`` regions (B, n, N) each window hides (arXiv 2406.17086, section 3.3).

    ``ratio`` is the share of a window's observed regions. At least one region is hidden (unless
    the ratio is 0), and at least one stays visible.
    """
    noise = torch.rand(observed.shape, generator=generator, device=observed.device)
    order = noise.masked_fill_(~observed, torch.inf).argsort(-1)  # observed regions come first
    n_observed = observed.sum(-1, keepdim=True)
    n_hidden = (ratio * n_observed).round().clamp_min(1 if ratio else 0)
    first = torch.arange(observed.shape[-1], device=observed.device)
    first = first < torch.minimum(n_hidden, n_observed - 1)  # (B, n, N)
    return torch.empty_like(observed).scatter_(-1, order, first)


def masked_batch(
    tensors: CohortTensors, crops: Crops, rows: Any, ratio: float, generator: torch.Generator
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Gather some rows of the crops and hide regions: the network's inputs, and the loss's target.

    Shapes are (B, n, N), and (B, n, N, tau) for ``signal`` and ``measured``; the latter is there
    only for cohorts with gaps.
    """
    signal, observed = tensors.gather(crops, rows)
    hidden = hide_regions(observed, ratio, generator)
    visible = observed & ~hidden
    target = {"signal": signal, "hidden": hidden, "visible": visible}
    if (measured := tensors.measured(crops, rows)) is not None:
        target["measured"] = measured
    return {"signal": signal, "visible": visible}, target


class MaskedCrops(Batches):
    """Batches of masked crops: one random crop of every sample in an epoch, in random order.

    Each batch draws one mask ratio uniformly from its range.
    """

    def __init__(
        self,
        cohort: Cohort,
        window: int,
        n_windows: int,
        mask_ratio: tuple[float, float],
        batch_size: int,
        seed: int,
        device: str,
    ):
        self.cohort, self.window, self.n_windows = cohort, window, n_windows
        self.mask_ratio, self.batch_size = mask_ratio, batch_size
        self.tensors = CohortTensors(cohort, window, device)
        self.rng = np.random.default_rng(seed)
        self.mask_rng = torch.Generator(device).manual_seed(seed)

    def __len__(self) -> int:
        return -(-len(self.cohort) // self.batch_size)

    def generator_state(self) -> tuple[dict[str, Any], Tensor]:
        """Return the generator states of crops, as JSON, and of masks, as bytes."""
        return dict(self.rng.bit_generator.state), self.mask_rng.get_state()

    def set_generator_state(self, crops: dict[str, Any], masks: Tensor) -> None:
        """Draw next what would have been drawn after :meth:`generator_state`."""
        self.rng.bit_generator.state = crops
        self.mask_rng.set_state(masks)

    def __iter__(self) -> Iterator[tuple[dict[str, Tensor], dict[str, Tensor]]]:
        crops = random_crops(self.cohort, self.window, self.n_windows, self.rng)
        order = self.rng.permutation(len(self.cohort))
        for rows in np.array_split(order, len(self)):
            ratio = self.rng.uniform(*self.mask_ratio)
            yield masked_batch(self.tensors, crops, rows, ratio, self.mask_rng)


class ReconstructionLoss(nn.Module):
    """lambda * MSE(hidden) + (1 - lambda) * MSE(visible) (arXiv 2406.17086, section 3.3).

    Without hidden regions it is MSE(visible). In evaluation mode it is MSE(hidden), by which epochs
    are compared.
    """

    def __init__(self, hidden_weight: float = 0.75):
        super().__init__()
        self.hidden_weight = hidden_weight

    def forward(self, reconstruction: Tensor, target: dict[str, Tensor]) -> Tensor:
        """Compare a reconstruction (B, n, N, tau) with ``masked_batch``'s target.

        Regions that are neither hidden nor visible are missing and do not count; nor do frames
        that were not measured.
        """
        error = (reconstruction - target["signal"]).square()  # (B, n, N, tau)
        if "measured" in target:
            measured = target["measured"]
            error = (error * measured).sum(-1) / measured.sum(-1).clamp_min(1)  # (B, n, N)
        else:
            error = error.mean(-1)
        hidden, visible = target["hidden"], target["visible"]
        share = self.hidden_weight if self.training else 1.0
        weight = share * hidden.any()  # stays a tensor, so nothing waits for a GPU
        return weight * _mean(error, hidden) + (1 - weight) * _mean(error, visible)


def _mean(error: Tensor, where: Tensor) -> Tensor:
    """Return the mean of ``error`` over ``where``; 0 if that is empty."""
    return (error * where).sum() / where.sum().clamp_min(1)
