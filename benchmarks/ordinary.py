"""An ordinary implementation of BrainMAE, the opponent of ``speed.py``.

It has skorch's NeuralNet over a Dataset and a DataLoader, nn.MultiheadAttention with a mask for
every window, all tokens in all layers, and every pair of window state and region in the decoder. It
computes the same function and loss as ``sk_brainmae``, with the same parameters, see
:func:`in_ordinary_form`.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from skorch import NeuralNet
from skorch.callbacks import GradientNormClipping, LRScheduler
from torch import Tensor, nn
from torch.utils.data import Dataset

from sk_brainmae.network import BrainMAE, positions
from sk_brainmae.scans.cohort import Cohort

N_HEADS = 4


class OrdinaryBlock(nn.Module):
    """Transformer block; queries and keys come from the ROI embeddings or from the tokens."""

    def __init__(self, dim: int, on_graph: bool):
        super().__init__()
        self.on_graph = on_graph
        self.attention_norm = nn.LayerNorm(dim)
        self.attention = nn.MultiheadAttention(dim, N_HEADS, batch_first=True)
        self.mlp_norm = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

    def forward(self, x: Tensor, visible: Tensor, roi: Tensor | None = None) -> Tensor:
        """Update tokens ``x`` (M, N, d) from the ``visible`` ones (M, N)."""
        value = self.attention_norm(x)
        n_tokens = x.shape[1]
        masked = ~visible[:, None, :].expand(-1, n_tokens, -1)  # (M, N, N), True: no attention
        if self.on_graph:
            masked = masked | torch.eye(n_tokens, dtype=torch.bool)
        alone = masked.all(-1, keepdim=True)  # (M, N, 1); a softmax over nothing would be NaN
        masked = (masked & ~alone).repeat_interleave(N_HEADS, dim=0)  # (M * H, N, N)
        query = roi.expand(len(x), -1, -1) if self.on_graph else value
        update, _ = self.attention(query, query, value, attn_mask=masked, need_weights=False)
        if self.on_graph:
            update = torch.where(alone, self.attention.out_proj.bias, update)
        x = x + update
        return x + self.mlp(self.mlp_norm(x))


class OrdinaryBrainMAE(nn.Module):
    """BrainMAE with static attention."""

    def __init__(self, n_regions: int, window: int, dim: int, n_layers: int):
        super().__init__()
        self.roi = nn.Parameter(torch.randn(n_regions, dim))
        self.project = nn.Linear(window, dim)
        self.blocks = nn.ModuleList(OrdinaryBlock(dim, on_graph=True) for _ in range(3))
        self.norm = nn.LayerNorm(dim)
        self.readout = nn.Linear(n_regions * dim, dim)
        self.cls = nn.Parameter(torch.randn(dim) / dim**0.5)
        self.sequence_blocks = nn.ModuleList(
            OrdinaryBlock(dim, on_graph=False) for _ in range(n_layers)
        )
        self.sequence_norm = nn.LayerNorm(dim)
        self.decode_state = nn.Linear(dim, 4 * dim)
        self.decode_roi = nn.Linear(dim, 4 * dim, bias=False)
        self.decode_window = nn.Linear(4 * dim, window)

    def forward(self, signal: Tensor, visible: Tensor) -> Tensor:
        """Reconstruct all regions' windows (B, n, N, tau) from the visible ones."""
        n_crops, n_windows = signal.shape[:2]
        shown = visible.flatten(0, 1)  # (B * n, N)
        x = self.project((signal * visible[..., None]).flatten(0, 1))  # (B * n, N, d)
        for block in self.blocks:
            x = block(x, shown, self.roi)
        x = self.norm(x) * shown[..., None]
        states = self.readout(x.flatten(1)).unflatten(0, (n_crops, n_windows))  # (B, n, d)
        states = states + positions(n_windows, states.shape[-1])
        x = torch.cat([self.cls.expand(n_crops, 1, -1), states], dim=1)
        present = torch.cat([torch.ones(n_crops, 1, dtype=torch.bool), visible.any(-1)], dim=1)
        for block in self.sequence_blocks:
            x = block(x, present)
        states = self.sequence_norm(x)[:, 1:]
        pairs = self.decode_state(states)[:, :, None] * self.decode_roi(self.roi)  # (B, n, N, 4d)
        return self.decode_window(pairs)


class ReconstructionError(nn.Module):
    """The loss 0.75 MSE(hidden) + 0.25 MSE(visible)."""

    def forward(self, reconstruction: Tensor, target: dict[str, Tensor]) -> Tensor:
        """Return the loss of a batch."""
        error = (reconstruction - target["signal"]) ** 2
        return 0.75 * error[target["hidden"]].mean() + 0.25 * error[~target["hidden"]].mean()


class MaskedCropDataset(Dataset):
    """One random crop of each run, with the same number of regions hidden in every window."""

    def __init__(self, cohort: Cohort, window: int, n_windows: int, mask_ratio: float):
        self.scans = [cohort.sample(i) for i in range(len(cohort))]
        self.window, self.n_windows = window, n_windows
        self.n_hidden = round(mask_ratio * cohort.n_regions)
        self.rng = np.random.default_rng(0)

    def __len__(self) -> int:
        return len(self.scans)

    def __getitem__(self, i: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        scan = self.scans[i]
        length = self.n_windows * self.window
        first = self.rng.integers(len(scan) - length + 1)
        crop = scan[first : first + length].reshape(self.n_windows, self.window, -1)
        signal = torch.tensor(crop.swapaxes(1, 2))  # (n, N, tau)
        hidden = torch.zeros(signal.shape[:2], dtype=torch.bool)
        for k in range(self.n_windows):
            hidden[k, torch.from_numpy(self.rng.permutation(signal.shape[1])[: self.n_hidden])] = 1
        return {"signal": signal, "visible": ~hidden}, {"signal": signal, "hidden": hidden}


def ordinary_net(network: OrdinaryBrainMAE, batch_size: int, lr: float) -> NeuralNet:
    """Wrap the network in skorch, with AdamW, a cosine schedule and clipping of gradients.

    Each ``partial_fit(dataset)`` trains the network in place for one epoch.
    """
    return NeuralNet(
        network,
        criterion=ReconstructionError,
        optimizer=torch.optim.AdamW,
        optimizer__weight_decay=0.05,
        lr=lr,
        max_epochs=1,
        batch_size=batch_size,
        iterator_train__shuffle=True,
        train_split=None,
        callbacks=[
            GradientNormClipping(1.0),
            LRScheduler("CosineAnnealingLR", T_max=1000, step_every="batch"),
        ],
        verbose=0,
    ).initialize()


def in_ordinary_form(
    network: BrainMAE, value: Callable[[nn.Parameter], Tensor]
) -> dict[str, Tensor]:
    """Return the weights of the package's network (static attention) under the ordinary names.

    ``value`` takes a parameter and returns it or its gradient. Region-aware attention of the
    package has no biases of queries and keys, so these are zero.
    """
    form = {}
    for name, parameter in network.named_parameters():
        name = name.removeprefix("state_encoder.").replace("attention.out.", "attention.out_proj.")
        name = name.replace("query_key_value.", "in_proj_")
        if not name.startswith("blocks.") or ".attention.out" in name or ".attention." not in name:
            form[name] = value(parameter)
    for k, block in enumerate(network.state_encoder.blocks):
        graph, bias = block.attention, value(block.attention.value.bias)
        layers = graph.query, graph.key, graph.value
        form[f"blocks.{k}.attention.in_proj_weight"] = torch.cat([value(x.weight) for x in layers])
        form[f"blocks.{k}.attention.in_proj_bias"] = F.pad(bias, (2 * len(bias), 0))
    return form
