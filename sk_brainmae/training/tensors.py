"""A cohort as tensors on a device, windows gathered from it, and crops that cover it."""

import numpy as np
import torch
from torch import Tensor

from sk_brainmae.scans.cohort import Cohort
from sk_brainmae.scans.crops import Crops, tile_crops
from sk_brainmae.scans.gaps import MAX_MISSING
from sk_brainmae.scans.runs import forget, mapping_of
from sk_brainmae.training.loop import Batches


class CohortTensors:
    """All frames of a cohort on one device, where a batch of crops is a single gather.

    Frames in a file stay there; batches are gathered from it and sent to the device. The tensors
    of another part of the same cohort, on the same device, are shared with ``other``.
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
        """Return z-scored windows (B, n, N, tau) of some crops, and which are observed (B, n, N).

        Frames that were not measured are bridged inside their window. A window of a region is not
        observed where the region is missing, the crop is shorter, any frame is hidden, or more
        than half of the frames were not measured.
        """
        forget(self.source)  # the crops of the previous batch
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
        """Return which frames of some crops were measured (B, n, N, tau); None: all of them."""
        if self.missing is None:
            return None
        index = self._frames_of(self._send(crops.starts[rows]))
        return (~self.missing[index].transpose(2, 3)).to(self.device)

    def _frames_of(self, starts: Tensor) -> Tensor:
        """Return the frame numbers (B, n, tau) of windows with these starts (B, n)."""
        return starts.clamp_min(0)[..., None] + self.within

    def _send(self, index: np.ndarray) -> Tensor:
        """Send an index to where the frames are; from pinned memory without waiting for a GPU."""
        tensor = torch.from_numpy(index)
        if torch.device(self.home).type == "cuda":
            tensor = tensor.pin_memory()
        return tensor.to(self.home, non_blocking=True)


class TiledCrops(Batches):
    """Batches of crops that cover every sample; subclasses say what a batch holds."""

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


def bridge(signal: Tensor, measured: Tensor) -> Tensor:
    """Interpolate linearly over frames of each window (..., tau) that were not measured.

    Frames before the first and after the last measured one take its value. Values that were not
    measured are read only where a window has no others.
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
