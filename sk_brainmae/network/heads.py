"""Prediction from the encoder, for fine-tuning."""

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from sk_brainmae.network.autoencoder import BrainMAE


class PredictionNetwork(nn.Module):
    """The encoder with a linear head on its pooled output (arXiv 2406.17086, section 4.3).

    Parameters
    ----------
    encoder : BrainMAE
        Pretrained; its decoder is not used.
    n_outputs : int
        Number of classes, or of regression targets.
    reads_cls : bool
        True: the head reads the CLS token of a crop. False: it reads the mean of the sample's own
        window states.
    """

    def __init__(self, encoder: BrainMAE, n_outputs: int, reads_cls: bool):
        super().__init__()
        self.encoder = encoder
        self.reads_cls = reads_cls
        self.head = skip_init(nn.Linear, encoder.cls.shape[0], n_outputs)  # draws nothing
        nn.init.zeros_(self.head.weight)  # the first output is 0, whatever the encoder's scale
        nn.init.zeros_(self.head.bias)

    def forward(self, signal: Tensor, visible: Tensor, own: Tensor) -> Tensor:
        """Return outputs (B, n_outputs); ``own`` (B, n) is False for windows of context."""
        states, cls = self.encoder.encode(signal, visible)
        if self.reads_cls:
            return self.head(cls)
        weight = own.to(states)[..., None]  # (B, n, 1)
        return self.head(torch.sum(states * weight, dim=1) / weight.sum(dim=1))
