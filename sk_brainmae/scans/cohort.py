"""Validated scans, each run once, in a single array."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sk_brainmae.scans.runs import forget


@dataclass(frozen=True, eq=False)
class Cohort:
    """Validated scans: every run once, z-scored, one after another in a single array.

    A *run* is a distinct scan. A *sample* is one element of ``X``: a whole run, or a moment of
    one that was passed as a :class:`Window`.

    Attributes
    ----------
    frames : ndarray of shape (n_frames, n_regions), float32
        All runs, concatenated in time. Each region has mean 0 and variance 1 over its run, unless
        values were kept as they came; missing and hidden cells are 0. Above 1 GiB the frames lie
        in a temporary file.
    run_start, run_length : ndarray of shape (n_runs,)
        First row of each run in ``frames``, and its number of frames.
    observed : ndarray of shape (n_runs, n_regions), bool
        False where a region is missing in a run: constant, or not measured in more than half of
        its frames.
    mean, scale : ndarray of shape (n_runs, n_regions)
        Mean and standard deviation before z-scoring, in the units of the input; 0 and 1 where
        values were kept.
    runs : ndarray of shape (n_samples,)
        The run of each sample.
    start, stop : ndarray of shape (n_samples,)
        First frame of each sample inside its run, and the frame after its last one.
    resampled : ndarray of shape (n_runs,), bool
        True for runs that were recorded at another repetition time.
    hidden : ndarray of shape (n_frames, n_regions), bool, or None
        Cells of ``frames`` that a model must not see. None: it may see all.
    missing : ndarray of shape (n_frames, n_regions), bool, or None
        Cells of ``frames`` that were not measured, apart from missing regions. None: no cell.
    region_names : list of str, or None
        Names of the regions, in order; None where scans do not name them.
    """

    frames: NDArray
    run_start: NDArray
    run_length: NDArray
    observed: NDArray
    mean: NDArray
    scale: NDArray
    runs: NDArray
    start: NDArray
    stop: NDArray
    resampled: NDArray
    hidden: NDArray | None = None
    missing: NDArray | None = None
    region_names: list[str] | None = None

    def __len__(self) -> int:
        return len(self.runs)

    @property
    def n_regions(self) -> int:
        """Number of regions, the same in every run."""
        return self.frames.shape[1]

    @property
    def whole_runs(self) -> bool:
        """Whether every sample is a whole run, none a moment of one."""
        return bool((self.stop - self.start == self.run_length[self.runs]).all())

    def units(self, groups: Any = None) -> Any:
        """Return ``groups`` if given; else the run of each sample if some share one; else None."""
        shared = len(np.unique(self.runs)) < len(self)
        return self.runs if groups is None and shared else groups

    def take(self, samples: NDArray) -> "Cohort":
        """Return the cohort of some samples; the frames are shared, not copied."""
        return replace(
            self, runs=self.runs[samples], start=self.start[samples], stop=self.stop[samples]
        )

    def spaced(self, at_most: int) -> "Cohort":
        """Return all samples, or ``at_most`` evenly spaced ones if there are more."""
        n_samples = min(len(self), at_most)
        return self.take(np.linspace(0, len(self) - 1, n_samples).round().astype(int))

    def as_runs(self) -> "Cohort":
        """Return the cohort whose samples are the whole runs, each once."""
        n_runs = len(self.run_length)
        return replace(
            self, runs=np.arange(n_runs), start=np.zeros(n_runs, dtype=int), stop=self.run_length
        )

    def run_frames(self, run: int, start: int = 0, stop: int | None = None) -> NDArray:
        """Return frames [start, stop) of a run, z-scored, shape (n_timepoints, n_regions)."""
        forget(self.frames)  # of the run before, so that a loop over runs holds one in memory
        first = self.run_start[run]
        return self.frames[first + start : first + (self.run_length[run] if stop is None else stop)]

    def known_frames(self, run: int, start: int, stop: int) -> NDArray:
        """Return where some frames are known: (T, N), or (N,) if only whole regions are missing."""
        observed = self.observed[run]
        first = self.run_start[run]
        if self.missing is None or not self.missing[first + start : first + stop].any():
            return observed
        return observed & ~self.missing[first + start : first + stop]

    def sample(self, i: int) -> NDArray:
        """Return the z-scored frames of sample ``i``, shape (n_timepoints, n_regions)."""
        return self.run_frames(self.runs[i], self.start[i], self.stop[i])

    def known(self, i: int) -> NDArray:
        """Return where sample ``i`` is known, as :meth:`known_frames` does."""
        return self.known_frames(self.runs[i], self.start[i], self.stop[i])

    def uncensored(self, i: int) -> NDArray:
        """Return the z-scored frames of sample ``i`` in which any region was measured."""
        known = self.known(i)
        return self.sample(i)[known.any(axis=1)] if known.ndim == 2 else self.sample(i)
