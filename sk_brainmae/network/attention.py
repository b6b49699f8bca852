"""Attention over the regions of a window, and over the windows of a scan.

Shapes: M windows, N regions (or tokens), d features, H heads of d / H features each.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Below this, the sum that all windows share has lost a row's digits to a hidden region's weight.
SMALLEST_TOTAL = 1e-20


class RegionGraphAttention(nn.Module):
    """Region-aware graph attention: who listens to whom depends on the ROI embeddings alone.

    A_ij = (W_q e_i) . (W_k e_j) / sqrt(d / H) without its diagonal, S = softmax of A over the
    *visible* regions j != i, and x_i <- sum_j S_ij W_v x_j (arXiv 2406.17086, section 3.1).

    The graph is the same in every window; only the visible regions differ. So exp(A) is computed
    once, and the softmax of each window is a quotient of two products with it: one matrix
    multiplication serves all windows.

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

    def scores(self, roi: Tensor) -> Tensor:
        """Return A, shape (H, N, N), -inf on the diagonal, for ROI embeddings (N, d_e)."""
        query, key = (
            layer(roi).unflatten(-1, (self.n_heads, -1)).transpose(0, 1)  # (H, N, d/H)
            for layer in (self.query, self.key)
        )
        scores = query @ key.transpose(1, 2) / query.shape[-1] ** 0.5  # (H, N, N)
        self_loops = torch.eye(len(roi), dtype=torch.bool, device=roi.device)
        return scores.masked_fill(self_loops, -torch.inf)

    def graph(self, roi: Tensor, visible: Tensor) -> Tensor:
        """Return S, shape (M, H, N, N): rows sum to one over the visible regions j != i."""
        scores = self.scores(roi)
        unheard = ~visible[:, None, None, :] | (scores == -torch.inf)  # (M, H, N, N)
        scores = scores.masked_fill(unheard, torch.finfo(scores.dtype).min)
        return scores.softmax(-1).masked_fill(unheard, 0)

    def forward(self, x: Tensor, visible: Tensor, roi: Tensor) -> Tensor:
        """Send messages between the visible regions of every window.

        Parameters
        ----------
        x : Tensor of shape (M, N, d)
            Region tokens.
        visible : bool Tensor of shape (M, N)
            Regions that may be listened to.
        roi : Tensor of shape (N, d_e)
            ROI embeddings.

        Returns
        -------
        Tensor of shape (M, N, d)
            Zero message (but for the bias) for a region that sees no other.
        """
        n_windows, n_regions, dim = x.shape
        scores = self.scores(roi)
        # A shift by the row's largest score cancels in the quotient and keeps exp() in range.
        largest = scores.amax(-1, keepdim=True).clamp_min(torch.finfo(x.dtype).min)
        strength = (scores - largest).exp()  # (H, N, N)
        seen = visible.to(x.dtype)  # (M, N)
        value = (self.value(x) * seen[..., None]).view(n_windows, n_regions, self.n_heads, -1)
        value = value.permute(2, 1, 0, 3).flatten(2)  # (H, N, M * d/H)
        total = strength @ seen.T  # (H, N, M)
        n_others = visible.sum(-1) - visible.T.long()  # (N, M)
        if ((total < SMALLEST_TOTAL) & (n_others > 0)).any():
            # A hidden region outshines all visible ones: normalise window by window instead.
            value = value.unflatten(-1, (n_windows, -1)).permute(2, 0, 1, 3)  # (M, H, N, d/H)
            message = (self.graph(roi, visible) @ value).permute(1, 2, 0, 3)  # (H, N, M, d/H)
        else:
            total = total.masked_fill(total == 0, 1)  # a region that sees no other
            message = (strength @ value).unflatten(-1, (n_windows, -1)) / total[..., None]
        return self.out(message.permute(2, 1, 0, 3).reshape(n_windows, n_regions, dim))


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
        """Return queries, keys and values of tokens (M, N, d), each (M, H, N, d/H)."""
        heads = self.query_key_value(x).unflatten(-1, (3, self.n_heads, -1))
        query, key, value = heads.permute(2, 0, 3, 1, 4)
        return query, key, value

    def forward(self, x: Tensor, visible: Tensor, roi: Tensor | None = None) -> Tensor:
        """Mix tokens ``x`` (M, N, d) over those ``visible`` (M, N); ``roi`` is not looked at."""
        # Where nothing is visible the result is never used; it only must not be NaN.
        attended = visible | ~visible.any(-1, keepdim=True)
        message = F.scaled_dot_product_attention(
            *self.heads(x), attn_mask=attended[:, None, None, :]
        )  # (M, H, N, d/H)
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

    def forward(self, x: Tensor, visible: Tensor, roi: Tensor | None = None) -> Tensor:
        """Update tokens ``x`` (M, N, d); arguments as in the attention."""
        x = x + self.attention(self.attention_norm(x), visible, roi)
        return x + self.mlp(self.mlp_norm(x))
