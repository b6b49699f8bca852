"""Transient state encoder: one window of signal becomes one state vector."""

import torch
from torch import Tensor, nn

from sk_brainmae.network.attention import Block, RegionGraphAttention, SelfAttention

# Name -> attention of the three blocks, and the block before which tokens take up their ROI
# embeddings (ordinary attention cannot tell regions apart without; the static graph can).
ATTENTION: dict[str, tuple[tuple[type[nn.Module], ...], int | None]] = {
    "static": ((RegionGraphAttention,) * 3, None),
    "adaptive": ((RegionGraphAttention, SelfAttention, SelfAttention), 1),
    "vanilla": ((SelfAttention,) * 3, 0),
}


class StateEncoder(nn.Module):
    """Encode every window X_k (N regions x tau frames) as a state s_k (arXiv 2406.17086, 3.2).

    Each region's frames are projected to a token; three transformer blocks exchange messages
    between visible regions; a linear layer joins the visible regions' tokens into the state.

    Parameters
    ----------
    n_regions : int
        Number of regions N.
    window : int
        Frames tau in a window.
    dim : int
        Length d of tokens and states.
    n_heads : int
        Attention heads; must divide ``dim``.
    attention : {"static", "adaptive", "vanilla"}
        "static" (SG): the graph of the ROI embeddings in all blocks. "adaptive" (AG): one static
        block, then two of ordinary self-attention over tokens that carry their ROI embeddings.
        "vanilla": ordinary self-attention throughout, the paper's ablation.
    roi_dim : int or None
        Length d_e of ROI embeddings; None: as long as a token. Tokens take up embeddings of
        another length through a linear map.
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
        kinds, self.roi_enters_at = ATTENTION[attention]
        roi_dim = roi_dim or dim
        self.project = nn.Linear(window, dim)
        self.take_up_roi: nn.Module = nn.Identity()
        if self.roi_enters_at is not None and roi_dim != dim:
            self.take_up_roi = nn.Linear(roi_dim, dim, bias=False)
        self.blocks = nn.ModuleList(
            Block(
                RegionGraphAttention(dim, n_heads, roi_dim)
                if kind is RegionGraphAttention
                else kind(dim, n_heads),
                dim,
            )
            for kind in kinds
        )
        self.norm = nn.LayerNorm(dim)
        self.readout = nn.Linear(n_regions * dim, dim)

    def forward(self, signal: Tensor, visible: Tensor, roi: Tensor) -> Tensor:
        """Return the states.

        Parameters
        ----------
        signal : Tensor of shape (B, n, N, tau)
            Windows of z-scored signal; what is not visible is never read.
        visible : bool Tensor of shape (B, n, N)
            False where a region's window is hidden or missing.
        roi : Tensor of shape (N, d_e)
            ROI embeddings.

        Returns
        -------
        Tensor of shape (B, n, d)
            One state a window.
        """
        n_crops, n_windows, n_regions, _ = signal.shape
        signal, visible = signal.flatten(0, 1), visible.flatten(0, 1)  # (M, N, tau), (M, N)
        region = _visible_regions(visible)
        if region is not None:
            window = torch.arange(len(region))[:, None]
            signal, visible = signal[window, region], visible[window, region]
        x = self.project(signal.masked_fill(~visible[..., None], 0))  # (M, K, d)
        for k, block in enumerate(self.blocks):
            if k == self.roi_enters_at:
                taken_up = self.take_up_roi(roi)  # (N, d)
                x = x + (taken_up if region is None else taken_up[region])
            x = block(x, visible, roi, region)
        x = self.norm(x).masked_fill(~visible[..., None], 0)
        if region is not None:
            row = (window * n_regions + region).flatten()
            spread = x.new_zeros(len(x) * n_regions, x.shape[2])
            x = spread.index_copy_(0, row, x.flatten(0, 1))
        return self.readout(x.view(n_crops, n_windows, -1))


def _visible_regions(visible: Tensor) -> Tensor | None:
    """Return the visible regions of each window, shape (M, K): only they need tokens.

    K is the largest count of a window; others are filled up with regions that are not visible.
    None stands for all regions: where some window sees them all, and on a GPU, which would wait
    for the count and wants tensors of one shape.
    """
    if visible.device.type != "cpu":
        return None
    n_tokens = max(1, int(visible.sum(-1).max()))
    if n_tokens == visible.shape[1]:
        return None
    return visible.byte().argsort(dim=-1, descending=True, stable=True)[:, :n_tokens]
