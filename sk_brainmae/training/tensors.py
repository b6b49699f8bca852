"""A cohort as tensors on a device, and windows gathered from it."""

import numpy as np
import torch
from torch import Tensor

from sk_brainmae.scans.cohort import Cohort
from sk_brainmae.scans.crops import Crops
from sk_brainmae.scans.resampling import MAX_MISSING
from sk_brainmae.scans.runs import forget, mapping_of


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
            # (n_frames, N) each
            self.hidden, self.missing = (
                None if cells is None else torch.from_numpy(cells).to(self.home)
                for cells in (cohort.hidden, cohort.missing)
            )
        else:
            self.frames, self.observed = other.frames, other.observed
            self.hidden, self.missing = other.hidden, other.missing

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
            Windows of z-scored signal. Where frames were not measured, lines between those of
            the same region's window that were: one censored frame does not cost the others, and
            nothing is learned from a window that may be hidden.
        observed : bool Tensor of shape (B, n, N)
            False in missing regions, in the windows that a shorter crop lacks, where any frame of
            a region's window is hidden, and where more than half of them were not measured.
        """
        forget(self.source)  # the crops of the batch before
        starts = self._send(crops.starts[rows])  # (B, n)
        run = self._send(crops.run[rows])  # (B,)
        index = self._frames_of(starts)
        signal = self.frames[index].transpose(2, 3)  # (B, n, N, tau)
        observed = self.observed[run][:, None] & (starts >= 0)[..., None]  # (B, n, N)
        if self.hidden is not None:
            observed = observed & ~self.hidden[index].any(2)
        if self.missing is not None:
            missing = self.missing[index].transpose(2, 3)  # (B, n, N, tau)
            observed = observed & (missing.float().mean(-1) <= MAX_MISSING)
            signal = bridge(signal, ~missing)
        return signal.to(self.device), observed.to(self.device)

    def measured(self, crops: Crops, rows: np.ndarray | slice) -> Tensor | None:
        """Return which frames of the windows of some crops were measured.

        Parameters
        ----------
        crops : Crops
            Where windows lie.
        rows : index of B crops
            Which of them.

        Returns
        -------
        bool Tensor of shape (B, n, N, tau), or None
            None where all were: no loss has to ask.
        """
        if self.missing is None:
            return None
        index = self._frames_of(self._send(crops.starts[rows]))
        return (~self.missing[index].transpose(2, 3)).to(self.device)

    def _frames_of(self, starts: Tensor) -> Tensor:
        """Return the frames of windows that start there, (B, n, tau)."""
        return starts.clamp_min(0)[..., None] + self.within

    def _send(self, index: np.ndarray) -> Tensor:
        """Bring an index to the frames; from pinned memory, a GPU need not be waited for."""
        tensor = torch.from_numpy(index)
        if torch.device(self.home).type == "cuda":
            tensor = tensor.pin_memory()
        return tensor.to(self.home, non_blocking=True)


def bridge(signal: Tensor, measured: Tensor) -> Tensor:
    """Draw lines over the frames of each window that were not measured.

    Parameters
    ----------
    signal : Tensor of shape (..., tau)
        Windows of signal; finite, and never read where not measured.
    measured : bool Tensor of shape (..., tau)
        False in gaps.

    Returns
    -------
    Tensor of shape (..., tau)
        The nearest value before the first and after the last one measured; where none is, what
        ``signal`` has.
    """
    window = signal.shape[-1]
    place = torch.arange(window, device=signal.device).expand(signal.shape)
    before = place.masked_fill(~measured, -1).cummax(-1).values
    after = place.masked_fill(~measured, window).flip(-1).cummin(-1).values.flip(-1)
    first = torch.where(before < 0, after, before).clamp_max(window - 1)
    last = torch.where(after == window, before, after).clamp_min(0)
    left, right = signal.gather(-1, first), signal.gather(-1, last)
    share = (place - first) / (last - first).clamp_min(1)
    return torch.where(measured, signal, left + share * (right - left))
