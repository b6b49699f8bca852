"""What models are compared on: the same crops with the same masks, every time."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from sk_brainmae.scans.cohort import Cohort
from sk_brainmae.scans.crops import tile_crops
from sk_brainmae.training.loop import Batches
from sk_brainmae.training.masking import masked_batch
from sk_brainmae.training.tensors import CohortTensors

# The ratio at which models are compared, in validation and in score.
SCORE_RATIO = 0.5
SCORE_SEED = 0


class ScoringCrops(Batches):
    """The same crops with the same masks, every time: what models are compared on.

    Parameters
    ----------
    cohort : Cohort
        Runs to score.
    window, n_windows : int
        Frames in a window, and windows in a crop.
    batch_size : int
        Crops in a batch.
    device : str
        Where batches are made.
    other : CohortTensors or None
        Of another part of the same cohort, see :class:`CohortTensors`.
    """

    def __init__(
        self,
        cohort: Cohort,
        window: int,
        n_windows: int,
        batch_size: int,
        device: str,
        other: CohortTensors | None = None,
    ):
        self.crops = tile_crops(cohort, window, n_windows)
        self.tensors = CohortTensors(cohort, window, device, other)
        self.batch_size = batch_size

    def __len__(self) -> int:
        return -(-len(self.crops.starts) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[dict[str, Tensor], dict[str, Tensor]]]:
        mask_rng = torch.Generator(self.tensors.device).manual_seed(SCORE_SEED)
        for rows in np.array_split(np.arange(len(self.crops.starts)), len(self)):
            yield masked_batch(self.tensors, self.crops, rows, SCORE_RATIO, mask_rng)


@torch.inference_mode()
def masked_r2(
    predict: Callable[..., Tensor],
    cohort: Cohort,
    *,
    window: int,
    n_windows: int,
    batch_size: int,
    device: str,
) -> float:
    """Return the R^2 of reconstructing hidden regions, at a fixed ratio and with fixed masks.

    Parameters
    ----------
    predict : callable
        A network on ``device``, or whatever else rebuilds windows (B, n, N, tau) from ``signal``
        and ``visible``.
    cohort : Cohort
        Samples to score.
    window, n_windows : int
        Frames in a window, and windows in a crop.
    batch_size : int
        Crops at once.
    device : str
        Where to compute.

    Returns
    -------
    float
        One minus the squared error over the signal's variance in the hidden cells; 0 is what
        each region's mean over the scan reaches, and where nothing can be hidden.
    """
    error = variance = 0.0
    for inputs, target in ScoringCrops(cohort, window, n_windows, batch_size, device):
        hidden = target["hidden"][..., None]
        if "measured" in target:
            hidden = hidden & target["measured"]
        difference = (predict(**inputs) - target["signal"]) * hidden
        error += difference.square().sum().item()
        variance += (target["signal"] * hidden).square().sum().item()
    return 1 - error / variance if variance else 0.0
