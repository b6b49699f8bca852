"""Segment-wise ROI masking: in every window, another random subset of regions is hidden."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sk_brainmae.scans.cohort import Cohort
from sk_brainmae.scans.crops import Crops, random_crops
from sk_brainmae.training.loop import Batches
from sk_brainmae.training.tensors import CohortTensors


def hide_regions(observed: Tensor, ratio: float, generator: torch.Generator) -> Tensor:
    """Draw which regions each window loses (arXiv 2406.17086, section 3.3).

    Parameters
    ----------
    observed : bool Tensor of shape (B, n, N)
        Regions with signal; only these can be hidden.
    ratio : float
        Share of a window's observed regions to hide. At least one region is hidden (unless the
        ratio is 0), and at least one stays visible.
    generator : torch.Generator
        Source of randomness, on the device of ``observed``.

    Returns
    -------
    bool Tensor of shape (B, n, N)
        True where hidden.
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
    """Gather crops and hide regions: a network's inputs, and what its loss needs.

    Parameters
    ----------
    tensors : CohortTensors
        Where windows are gathered from.
    crops : Crops
        Where windows lie.
    rows : index of B crops
        Which of them.
    ratio : float
        Share of the regions to hide in each window.
    generator : torch.Generator
        Draws the masks.

    Returns
    -------
    inputs : dict
        ``signal`` (B, n, N, tau) and ``visible`` (B, n, N).
    target : dict
        ``signal``, ``hidden`` and ``visible``; in cohorts with gaps also ``measured``, bool
        (B, n, N, tau).
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

    Parameters
    ----------
    cohort : Cohort
        Training runs.
    window, n_windows : int
        Frames in a window, and windows in a crop.
    mask_ratio : (float, float)
        Each batch draws one ratio uniformly between the two.
    batch_size : int
        Crops in a batch.
    seed : int
        Of crops, order, ratios and masks.
    device : str
        Where batches are made.
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

    def state(self) -> tuple[dict[str, Any], Tensor]:
        """Return the states of the generators of crops, as JSON, and of masks, as bytes."""
        return dict(self.rng.bit_generator.state), self.mask_rng.get_state()

    def set_state(self, state: dict[str, Any], bits: Tensor) -> None:
        """Draw next what would have been drawn after :meth:`state`."""
        self.rng.bit_generator.state = state
        self.mask_rng.set_state(bits)

    def __iter__(self) -> Iterator[tuple[dict[str, Tensor], dict[str, Tensor]]]:
        crops = random_crops(self.cohort, self.window, self.n_windows, self.rng)
        order = self.rng.permutation(len(self.cohort))
        for rows in np.array_split(order, len(self)):
            ratio = self.rng.uniform(*self.mask_ratio)
            yield masked_batch(self.tensors, crops, rows, ratio, self.mask_rng)
