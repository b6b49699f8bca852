"""Faster ways on a CPU: what the modules of this room define, with less work or less memory.

A GPU takes the plain ways: it has a fused kernel for attention, and it would have to wait wherever
a shape depends on the data.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Below this, the sum that all windows share has lost a row's digits to a hidden region's weight.
SMALLEST_TOTAL = 1e-20
# Numbers in the widest layer (2 MB) that a CPU's cache holds: tokens are taken in slices.
SLICE = 2**19


def send_through_one_graph(
    scores: Tensor, value: Tensor, visible: Tensor, region: Tensor
) -> Tensor | None:
    """Return the messages (M, K, H, d/H) of region-aware graph attention in all windows at once.

    The scores A (H, N, N) are the same in every window; only the visible regions differ. So exp(A)
    is computed once, and the softmax of each window is a quotient of two products with it. Returns
    None where a hidden region leaves the quotient no digits.
    """
    n_windows, (n_heads, n_regions, _) = len(region), scores.shape
    window = torch.arange(n_windows)[:, None]  # (M, 1)
    head = torch.arange(n_heads)
    row = (head * n_regions + region[..., None]) * n_windows + window[..., None]  # (M, K, H)
    row = row.flatten()  # where tokens and heads lie in (H, N, M)
    # A shift by the row's largest score cancels in the quotient and keeps exp() in range.
    largest = scores.amax(-1, keepdim=True).clamp_min(torch.finfo(scores.dtype).min)
    strength = (scores - largest).exp()  # (H, N, N)
    seen = value.new_zeros(n_regions, n_windows)
    seen[region, window] = visible.to(value.dtype)  # (N, M)
    total = (strength @ seen).flatten()[row].unflatten(0, value.shape[:3])  # (M, K, H)
    n_others = visible.sum(-1, keepdim=True) - visible.long()  # (M, K)
    if ((total < SMALLEST_TOTAL) & (n_others > 0)[..., None]).any():
        return None
    if not visible.all():
        value = value * visible[..., None, None]
    value = value.flatten(0, 2)  # (M * K * H, d/H)
    spread = value.new_zeros(n_heads * n_regions * n_windows, value.shape[1])
    spread = spread.index_copy_(0, row, value).view(n_heads, n_regions, -1)
    message = (strength @ spread).view(-1, value.shape[1])  # (H * N * M, d/H)
    message = message.index_select(0, row).unflatten(0, total.shape)  # (M, K, H, d/H)
    return message * total.masked_fill(total == 0, 1).reciprocal()[..., None]


def visible_regions(visible: Tensor) -> Tensor | None:
    """Return the visible regions (M, K) of each window (M, N): only they need tokens.

    K is the largest count of a window; other windows are filled up with regions that are not
    visible. None stands for all regions: where a window sees them all, and on a GPU.
    """
    if visible.device.type != "cpu":
        return None
    n_tokens = max(1, int(visible.sum(-1).max()))
    if n_tokens == visible.shape[1]:
        return None
    return visible.byte().argsort(dim=-1, descending=True, stable=True)[:, :n_tokens]


def mlp_in_slices(norm: nn.Module, mlp: nn.Sequential, x: Tensor) -> Tensor:
    """Return mlp(norm(x)) of tokens (M, K, d), with less memory for the hidden layer of 4 d."""
    widen, _, narrow = mlp
    slices = x.flatten(0, 1).split(max(1, SLICE // (4 * x.shape[-1])))  # of (M * K, d)
    parts = [GeluLinear.apply(widen(norm(tokens)), narrow.weight, narrow.bias) for tokens in slices]
    return torch.cat(parts).view_as(x)


class GeluLinear(torch.autograd.Function):
    """W gelu(h) + b; keeps only h for the backward pass and computes gelu(h) again there."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Return W gelu(h) + b, shape (n, d), for h (n, 4d), W (d, 4d) and b (d,)."""
        ctx.save_for_backward(hidden, weight)
        return F.linear(F.gelu(hidden), weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients of h, W and b."""
        hidden, weight = ctx.saved_tensors
        of_hidden = torch.ops.aten.gelu_backward(gradient @ weight, hidden)
        return of_hidden, gradient.T @ F.gelu(hidden), gradient.sum(0)
