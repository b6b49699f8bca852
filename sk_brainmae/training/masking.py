"""Segment-wise ROI masking: in every window, another random subset of regions is hidden."""

import torch
from torch import Tensor


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
