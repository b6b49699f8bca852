"""Fine-tuning: encoder and linear head, trained together on labels."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sk_brainmae.network import BrainMAE, PredictionNetwork
from sk_brainmae.scans.cohort import Cohort
from sk_brainmae.scans.crops import tile_crops
from sk_brainmae.training.loop import Batches, Observer, Schedule, train
from sk_brainmae.training.tensors import CohortTensors


class LabelledCrops(Batches):
    """Batches of crops with their sample's label, each crop once in an epoch, in random order.

    Parameters
    ----------
    cohort : Cohort
        Training samples.
    target : ndarray of shape (n_samples,)
        Class indices (int64), or values (float32).
    window, n_windows : int
        Frames in a window, and windows in a crop.
    batch_size : int
        Crops in a batch.
    seed : int
        Of the order.
    device : str
        Where batches are made.
    other : CohortTensors or None
        Of another part of the same cohort, see :class:`CohortTensors`.
    """

    def __init__(
        self,
        cohort: Cohort,
        target: NDArray,
        window: int,
        n_windows: int,
        batch_size: int,
        seed: int,
        device: str,
        other: CohortTensors | None = None,
    ):
        self.crops = tile_crops(cohort, window, n_windows)
        self.target = torch.from_numpy(target[self.crops.sample]).to(device)
        self.tensors = CohortTensors(cohort, window, device, other)
        self.batch_size = batch_size
        self.rng = np.random.default_rng(seed)

    def __len__(self) -> int:
        return -(-len(self.crops.starts) // self.batch_size)

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
    pooling: str,
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
        Samples, and their int64 class indices (cross-entropy) or float32 values (squared error;
        standardise them).
    validation : (Cohort, ndarray) or None
        Likewise, to choose the best epoch.
    n_classes : int or None
        Number of classes; None for values.
    pooling : {"mean", "cls"}
        What the head reads, see :class:`PredictionNetwork`.
    window, n_windows : int
        Frames in a window, and windows in a crop.
    schedule : Schedule
        Epochs and learning rate.
    seed : int
        Of the order of crops.
    device : str
        Where to train.
    observe : callable
        As in :func:`sk_brainmae.training.loop.train`.

    Returns
    -------
    weight : ndarray of shape (n_outputs, d)
        The head's weights; one output a class, or a single one for values.
    bias : ndarray of shape (n_outputs,)
        The head's biases.
    history : list of dict
        One row an epoch.
    """
    network = PredictionNetwork(encoder, n_classes or 1, pooling)

    size = schedule.batch_size
    batches = LabelledCrops(*training, window, n_windows, size, seed, device)
    valid = None
    if validation is not None:
        valid = LabelledCrops(*validation, window, n_windows, size, seed, device, batches.tensors)
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
