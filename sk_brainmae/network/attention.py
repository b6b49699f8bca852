"""Attention over the regions of a window, and over the windows of a scan.

Shapes: M windows, N regions, K tokens in a window, d features, H heads of d / H features each.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sk_brainmae.network import fast


class RegionGraphAttention(nn.Module):
    """Region-aware graph attention: the ROI embeddings alone decide which region listens to which.

    With the embedding e_i (length d_e) and the token x_i of region i, in each head
    (arXiv 2406.17086, section 3.1):

        A_ij = (W_q e_i) . (W_k e_j) / sqrt(d / H), without its diagonal
        S    = softmax of the rows of A over the visible regions j != i
        x_i <- sum_j S_ij W_v x_j
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
        """Return S, shape (M, H, N, N); the row of a region that sees no other is 0."""
        scores = self.scores(roi)
        unheard = ~visible[:, None, None, :] | (scores == -torch.inf)  # (M, H, N, N)
        scores = scores.masked_fill(unheard, torch.finfo(scores.dtype).min)
        return scores.softmax(-1).masked_fill(unheard, 0)

    def forward(
        self, x: Tensor, visible: Tensor, roi: Tensor, region: Tensor | None = None
    ) -> Tensor:
        """Send messages S W_v x between tokens ``x`` (M, K, d), of which ``visible`` (M, K) speak.

        ``region`` (M, K) names the region of each token, without repeats in a window; None: token
        k is region k. A region that sees no other hears nothing but the bias.
        """
        if region is None:
            region = torch.arange(len(roi), device=x.device).expand(visible.shape)
        value = self.value(x).unflatten(-1, (self.n_heads, -1))  # (M, K, H, d/H)
        message = None
        if x.device.type == "cpu":
            message = fast.send_through_one_graph(self.scores(roi), value, visible, region)
        if message is None:
            message = self._send(value, visible, roi, region)
        return self.out(message.flatten(2))

    def _send(self, value: Tensor, visible: Tensor, roi: Tensor, region: Tensor) -> Tensor:
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
    """Ordinary multi-head self-attention that looks at visible tokens only."""

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

    def forward(self, x: Tensor, visible: Tensor, *_: Tensor | None) -> Tensor:
        """Mix tokens ``x`` (M, K, d) over the ``visible`` ones (M, K); no ROI embeddings here."""
        # Where nothing is visible the result is never used; it only must not be NaN.
        attended = visible | ~visible.any(-1, keepdim=True)
        message = F.scaled_dot_product_attention(
            *self.heads(x), attn_mask=attended[:, None, None, :]
        )  # (M, H, K, d/H)
        return self.out(message.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Transformer block with normalisation first: attention between tokens, then an MLP on each."""

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
        """Update tokens ``x`` (M, K, d); the arguments are those of the attention."""
        x = x + self.attention(self.attention_norm(x), visible, roi, region)
        if x.device.type == "cpu":
            return x + fast.mlp_in_slices(self.mlp_norm, self.mlp, x)
        return x + self.mlp(self.mlp_norm(x))
