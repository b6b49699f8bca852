"""Attention over the regions of a window, and over the windows of a scan.

Shapes: M windows, N regions, K tokens in a window, d features, H heads of d / H features each.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Below this, the sum that all windows share has lost a row's digits to a hidden region's weight.
SMALLEST_TOTAL = 1e-20
# Numbers in the widest layer (2 MB) that a processor's cache holds: tokens are taken in slices.
SLICE = 2**19


class RegionGraphAttention(nn.Module):
    """Region-aware graph attention: who listens to whom depends on the ROI embeddings alone.

    A_ij = (W_q e_i) . (W_k e_j) / sqrt(d / H) without its diagonal, S = softmax of A over the
    *visible* regions j != i, and x_i <- sum_j S_ij W_v x_j (arXiv 2406.17086, section 3.1).

    The graph is the same in every window; only the visible regions differ. So on a processor
    exp(A) is computed once, and the softmax of each window is a quotient of two products with it:
    one matrix multiplication serves all windows. A GPU has a fused kernel for attention window by
    window, which also serves where a hidden region leaves the quotient no digits.

    Parameters
    ----------
    dim : int
        Length d of a token.
    n_heads : int
        Number of graphs; must divide ``dim``.
    roi_dim : int or None
        Length d_e of ROI embeddings; None: as long as a token.
    """

    def __init__(self, dim: int, n_heads: int, roi_dim: int | None = None):
        super().__init__()
        self.n_heads = n_heads
        self.query = nn.Linear(roi_dim or dim, dim, bias=False)
        self.key = nn.Linear(roi_dim or dim, dim, bias=False)
        self.value = nn.Linear(dim, dim)
        self.out = nn.Linear(dim, dim)

    def queries_and_keys(self, roi: Tensor) -> tuple[Tensor, Tensor]:
        """Return W_q e and W_k e of ROI embeddings (N, d_e), each (H, N, d/H)."""
        query, key = (
            layer(roi).unflatten(-1, (self.n_heads, -1)).transpose(0, 1)
            for layer in (self.query, self.key)
        )
        return query, key

    def scores(self, roi: Tensor) -> Tensor:
        """Return A, shape (H, N, N), -inf on the diagonal, for ROI embeddings (N, d_e)."""
        query, key = self.queries_and_keys(roi)
        scores = query @ key.transpose(1, 2) / query.shape[-1] ** 0.5  # (H, N, N)
        self_loops = torch.eye(len(roi), dtype=torch.bool, device=roi.device)
        return scores.masked_fill(self_loops, -torch.inf)

    def graph(self, roi: Tensor, visible: Tensor) -> Tensor:
        """Return S, shape (M, H, N, N): rows sum to one over the visible regions j != i."""
        scores = self.scores(roi)
        unheard = ~visible[:, None, None, :] | (scores == -torch.inf)  # (M, H, N, N)
        scores = scores.masked_fill(unheard, torch.finfo(scores.dtype).min)
        return scores.softmax(-1).masked_fill(unheard, 0)

    def forward(
        self, x: Tensor, visible: Tensor, roi: Tensor, region: Tensor | None = None
    ) -> Tensor:
        """Send messages between the visible regions of every window.

        Parameters
        ----------
        x : Tensor of shape (M, K, d)
            Region tokens.
        visible : bool Tensor of shape (M, K)
            Tokens that may be listened to.
        roi : Tensor of shape (N, d_e)
            ROI embeddings.
        region : long Tensor of shape (M, K), or None
            The region of each token, another one for each token of a window; None: token k is
            region k, and K = N. Regions without a token are not visible.

        Returns
        -------
        Tensor of shape (M, K, d)
            Zero message (but for the bias) for a region that sees no other.
        """
        if region is None:
            region = torch.arange(len(roi), device=x.device).expand(visible.shape)
        value = self.value(x).unflatten(-1, (self.n_heads, -1))  # (M, K, H, d/H)
        message = None
        if x.device.type == "cpu":
            message = self._send_through_one_graph(value, visible, roi, region)
        if message is None:
            message = self._send_window_by_window(value, visible, roi, region)
        return self.out(message.flatten(2))

    def _send_through_one_graph(
        self, value: Tensor, visible: Tensor, roi: Tensor, region: Tensor
    ) -> Tensor | None:
        """Return messages (M, K, H, d/H), or None where a quotient has lost its digits."""
        n_windows, n_regions = len(region), len(roi)
        window = torch.arange(n_windows)[:, None]  # (M, 1)
        head = torch.arange(self.n_heads)
        row = (head * n_regions + region[..., None]) * n_windows + window[..., None]  # (M, K, H)
        row = row.flatten()  # where tokens and heads lie in (H, N, M)
        scores = self.scores(roi)
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
        spread = value.new_zeros(self.n_heads * n_regions * n_windows, value.shape[1])
        spread = spread.index_copy_(0, row, value).view(self.n_heads, n_regions, -1)
        message = (strength @ spread).view(-1, value.shape[1])  # (H * N * M, d/H)
        message = message.index_select(0, row).unflatten(0, total.shape)  # (M, K, H, d/H)
        return message * total.masked_fill(total == 0, 1).reciprocal()[..., None]

    def _send_window_by_window(
        self, value: Tensor, visible: Tensor, roi: Tensor, region: Tensor
    ) -> Tensor:
        """Return messages (M, K, H, d/H) from a softmax in each window."""
        query, key = (part[:, region].transpose(0, 1) for part in self.queries_and_keys(roi))
        self_loops = torch.eye(visible.shape[1], dtype=torch.bool, device=visible.device)
        heard = visible[:, None, :] & ~self_loops  # (M, K, K)
        deaf = ~heard.any(-1, keepdim=True)  # (M, K, 1)
        message = F.scaled_dot_product_attention(
            query, key, value.transpose(1, 2), attn_mask=(heard | deaf)[:, None]
        )  # (M, H, K, d/H)
        return message.transpose(1, 2).masked_fill(deaf[..., None], 0)


class SelfAttention(nn.Module):
    """Ordinary multi-head self-attention that looks at visible tokens only.

    Parameters
    ----------
    dim : int
        Length of a token.
    n_heads : int
        Number of heads; must divide ``dim``.
    """

    def __init__(self, dim: int, n_heads: int):
        super().__init__()
        self.n_heads = n_heads
        self.query_key_value = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)

    def heads(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys and values of tokens (M, K, d), each (M, H, K, d/H)."""
        heads = self.query_key_value(x).unflatten(-1, (3, self.n_heads, -1))
        query, key, value = heads.permute(2, 0, 3, 1, 4)
        return query, key, value

    def forward(
        self,
        x: Tensor,
        visible: Tensor,
        roi: Tensor | None = None,
        region: Tensor | None = None,
    ) -> Tensor:
        """Mix tokens ``x`` (M, K, d) over those ``visible`` (M, K); the rest is not looked at."""
        # Where nothing is visible the result is never used; it only must not be NaN.
        attended = visible | ~visible.any(-1, keepdim=True)
        message = F.scaled_dot_product_attention(
            *self.heads(x), attn_mask=attended[:, None, None, :]
        )  # (M, H, K, d/H)
        return self.out(message.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Transformer block with normalisation first: tokens talk, then think.

    Parameters
    ----------
    attention : RegionGraphAttention or SelfAttention
        How tokens talk.
    dim : int
        Length of a token.
    """

    def __init__(self, attention: nn.Module, dim: int):
        super().__init__()
        self.attention_norm = nn.LayerNorm(dim)
        self.attention = attention
        self.mlp_norm = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

    def forward(
        self,
        x: Tensor,
        visible: Tensor,
        roi: Tensor | None = None,
        region: Tensor | None = None,
    ) -> Tensor:
        """Update tokens ``x`` (M, K, d); arguments as in the attention."""
        x = x + self.attention(self.attention_norm(x), visible, roi, region)
        return x + (self._think_in_slices(x) if x.device.type == "cpu" else self._think(x))

    def _think(self, x: Tensor) -> Tensor:
        return self.mlp(self.mlp_norm(x))

    def _think_in_slices(self, x: Tensor) -> Tensor:
        """Do the same, with less memory: the hidden layer is four times as wide as the tokens."""
        widen, _, narrow = self.mlp
        slices = x.flatten(0, 1).split(max(1, SLICE // (4 * x.shape[-1])))  # of (M * K, d)
        thoughts = [
            GeluLinear.apply(widen(self.mlp_norm(part)), narrow.weight, narrow.bias)
            for part in slices
        ]
        return torch.cat(thoughts).view_as(x)


class GeluLinear(torch.autograd.Function):
    """W gelu(h) + b. Keeps h for the backward pass; gelu(h), as large, is quickly had again."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Return W gelu(h) + b, shape (n, d), for h (n, 4d), W (d, 4d) and b (d,)."""
        ctx.save_for_backward(hidden, weight)
        return F.linear(F.gelu(hidden), weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients of h, W and b."""
        hidden, weight = ctx.saved_tensors
        of_gelu = torch.ops.aten.gelu_backward(gradient @ weight, hidden)
        return of_gelu, gradient.T @ F.gelu(hidden), gradient.sum(0)
