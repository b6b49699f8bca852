"""Fine-tuning: encoder and linear head, trained together on labels."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sk_brainmae.network import BrainMAE, PredictionNetwork
from sk_brainmae.scans.cohort import Cohort
from sk_brainmae.training.loop import Observer, Schedule, train
from sk_brainmae.training.tensors import TiledCrops


class LabelledCrops(TiledCrops):
    """Batches of crops with the label of their sample; each crop once in an epoch, shuffled.

    ``target`` (n_samples,) holds class indices (int64) or values (float32).
    """

    def __init__(self, cohort: Cohort, target: NDArray, *layout: Any, seed: int):
        super().__init__(cohort, *layout)
        self.target = torch.from_numpy(target[self.crops.sample]).to(self.tensors.device)
        self.rng = np.random.default_rng(seed)

    def __iter__(self) -> Iterator[tuple[dict[str, Tensor], Tensor]]:
        order = self.rng.permutation(len(self.crops.starts))
        for rows in np.array_split(order, len(self)):
            signal, visible = self.tensors.gather(self.crops, rows)
            own = torch.from_numpy(self.crops.own[rows]).to(signal.device)
            yield {"signal": signal, "visible": visible, "own": own}, self.target[rows]


class SquaredError(nn.Module):
    """Mean squared error of a single output."""

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """Compare outputs (B, 1) with values (B,)."""
        return (output[:, 0] - target).square().mean()


def finetune(
    encoder: BrainMAE,
    training: tuple[Cohort, NDArray],
    validation: tuple[Cohort, NDArray] | None,
    *,
    n_classes: int | None,
    reads_cls: bool,
    window: int,
    n_windows: int,
    schedule: Schedule,
    seed: int,
    device: str,
    observe: Observer,
) -> tuple[NDArray, NDArray, list[dict[str, float]]]:
    """Train the encoder in place, with a linear head on top (arXiv 2406.17086, section 4.3).

    Parameters
    ----------
    encoder : BrainMAE
        Pretrained; trained in place.
    training : (Cohort, ndarray of shape (n_samples,))
        Samples, and their int64 class indices (cross-entropy) or standardised float32 values
        (squared error).
    validation : (Cohort, ndarray) or None
        The same for the samples that choose the best epoch.
    n_classes : int or None
        Number of classes; None for values.
    reads_cls : bool
        True: the head reads the CLS token of a crop. False: it reads the mean of the sample's own
        window states.
    window, n_windows : int
        Frames in a window, and windows in a crop.
    schedule : Schedule
        Epochs and learning rate.
    seed : int
        Seed of the order of crops.
    device : str
        Where to train.
    observe : callable
        Runs the epoch that it is handed, and returns True to stop training after it.

    Returns
    -------
    weight : ndarray of shape (n_outputs, d)
        Weights of the head; one output per class, or a single one for values.
    bias : ndarray of shape (n_outputs,)
        Biases of the head.
    history : list of dict
        One row per epoch, as :func:`pretrain` returns them.
    """
    network = PredictionNetwork(encoder, n_classes or 1, reads_cls)
    layout = window, n_windows, schedule.batch_size, device
    batches = LabelledCrops(*training, *layout, seed=seed)
    valid = None
    if validation is not None:
        valid = LabelledCrops(*validation, *layout, batches.tensors, seed=seed)
    history = train(
        network,
        nn.CrossEntropyLoss() if n_classes else SquaredError(),
        batches,
        valid,
        schedule,
        device,
        observe,
    )
    weight, bias = (p.detach().cpu().numpy() for p in network.head.parameters())
    return weight, bias, history
