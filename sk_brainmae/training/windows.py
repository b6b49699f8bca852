"""A cohort as tensors on a device, and windows gathered from it."""

import numpy as np
import torch
from torch import Tensor

from sk_brainmae.crops import Crops
from sk_brainmae.storage import forget, mapping_of
from sk_brainmae.timeseries import Cohort


class CohortTensors:
    """All frames of a cohort on one device, where a batch of crops is a single gather.

    Frames in a file stay there: batches are gathered from it and sent to the device.

    Parameters
    ----------
    cohort : Cohort
        Validated scans.
    window : int
        Frames tau in a window.
    device : str
        Where the frames live.
    other : CohortTensors or None
        Of another part of the same cohort, on the same device: its frames are used.
    """

    def __init__(
        self, cohort: Cohort, window: int, device: str, other: "CohortTensors | None" = None
    ):
        self.device = device
        self.home = "cpu" if mapping_of(cohort.frames) is not None else device
        self.within = torch.arange(window, device=self.home)
        self.source = cohort.frames
        if other is None or other.source is not cohort.frames:
            self.frames = torch.from_numpy(cohort.frames).to(self.home)  # (n_frames, N)
            self.observed = torch.from_numpy(cohort.observed).to(self.home)  # (n_runs, N)
            self.hidden = None
            if cohort.hidden is not None:
                self.hidden = torch.from_numpy(cohort.hidden).to(self.home)  # (n_frames, N)
        else:
            self.frames, self.observed, self.hidden = other.frames, other.observed, other.hidden

    def gather(self, crops: Crops, rows: np.ndarray | slice) -> tuple[Tensor, Tensor]:
        """Return the windows of some crops, and what is known of them.

        Parameters
        ----------
        crops : Crops
            Where windows lie.
        rows : index of B crops
            Which of them.

        Returns
        -------
        signal : Tensor of shape (B, n, N, tau)
            Windows of z-scored signal.
        observed : bool Tensor of shape (B, n, N)
            False in missing regions, in the windows that a shorter crop lacks, and where any
            frame of a region's window is hidden.
        """
        forget(self.source)  # the crops of the batch before
        starts = self._send(crops.starts[rows])  # (B, n)
        run = self._send(crops.run[rows])  # (B,)
        index = starts.clamp_min(0)[..., None] + self.within  # (B, n, tau)
        signal = self.frames[index].transpose(2, 3)  # (B, n, N, tau)
        observed = self.observed[run][:, None] & (starts >= 0)[..., None]  # (B, n, N)
        if self.hidden is not None:
            observed = observed & ~self.hidden[index].any(2)
        return signal.to(self.device), observed.to(self.device)

    def _send(self, index: np.ndarray) -> Tensor:
        """Bring an index to the frames; from pinned memory, a GPU need not be waited for."""
        tensor = torch.from_numpy(index)
        if torch.device(self.home).type == "cuda":
            tensor = tensor.pin_memory()
        return tensor.to(self.home, non_blocking=True)
