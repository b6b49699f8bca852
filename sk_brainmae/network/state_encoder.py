"""Transient state encoder: one window of signal becomes one window state, a vector."""

import torch
from torch import Tensor, nn

from sk_brainmae.network import fast
from sk_brainmae.network.attention import Block, RegionGraphAttention, SelfAttention

N_BLOCKS = 3
# Name -> how many blocks, the first ones, attend by the static graph; the others are ordinary.
ATTENTION = {"static": 3, "adaptive": 1, "vanilla": 0}


class StateEncoder(nn.Module):
    """Encode each window X_k (N x tau) as a window state s_k (arXiv 2406.17086, section 3.2).

    The frames of each region are projected to a token; three transformer blocks exchange messages
    between visible regions; a linear layer joins the tokens of the visible regions into the state.

    Parameters
    ----------
    n_regions : int
        Number of regions N.
    window : int
        Frames tau in a window.
    dim : int
        Length d of tokens and window states.
    n_heads : int
        Number of attention heads; must divide ``dim``.
    attention : {"static", "adaptive", "vanilla"}
        "static" (SG): the graph of the ROI embeddings in all blocks. "adaptive" (AG): one static
        block, then two of ordinary self-attention over tokens to which their ROI embeddings were
        added. "vanilla": ordinary self-attention throughout, the paper's ablation.
    roi_dim : int, default=None
        Length d_e of the ROI embeddings; None: d. Embeddings of another length pass through a
        linear map before they are added to tokens.
    """

    def __init__(
        self,
        n_regions: int,
        window: int,
        dim: int,
        n_heads: int,
        attention: str,
        roi_dim: int | None = None,
    ):
        super().__init__()
        self.n_static = ATTENTION[attention]
        roi_dim = roi_dim or dim
        self.project = nn.Linear(window, dim)
        self.take_up_roi: nn.Module = nn.Identity()
        if self.n_static < N_BLOCKS and roi_dim != dim:
            self.take_up_roi = nn.Linear(roi_dim, dim, bias=False)
        self.blocks = nn.ModuleList()
        for k in range(N_BLOCKS):
            if k < self.n_static:
                block = Block(RegionGraphAttention(dim, n_heads, roi_dim), dim)
            else:
                block = Block(SelfAttention(dim, n_heads), dim)
            self.blocks.append(block)
        self.norm = nn.LayerNorm(dim)
        self.readout = nn.Linear(n_regions * dim, dim)

    def forward(self, signal: Tensor, visible: Tensor, roi: Tensor) -> Tensor:
        """Return window states (B, n, d) from what is visible and ROI embeddings (N, d_e)."""
        n_crops, n_windows, n_regions, _ = signal.shape
        signal, visible = signal.flatten(0, 1), visible.flatten(0, 1)  # (M, N, tau), (M, N)
        region = fast.visible_regions(visible)
        if region is not None:
            window = torch.arange(len(region))[:, None]
            signal, visible = signal[window, region], visible[window, region]
        x = self.project(signal.masked_fill(~visible[..., None], 0))  # (M, K, d)
        for k, block in enumerate(self.blocks):
            if k == self.n_static:  # ordinary attention cannot tell regions apart by itself
                taken_up = self.take_up_roi(roi)  # (N, d)
                x = x + (taken_up if region is None else taken_up[region])
            x = block(x, visible, roi, region)
        x = self.norm(x).masked_fill(~visible[..., None], 0)
        if region is not None:
            row = (window * n_regions + region).flatten()
            spread = x.new_zeros(len(x) * n_regions, x.shape[2])
            x = spread.index_copy_(0, row, x.flatten(0, 1))
        return self.readout(x.view(n_crops, n_windows, -1))
