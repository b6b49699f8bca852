"""Validated scans, each run once, in a single array."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sk_brainmae.scans.runs import forget


@dataclass(frozen=True, eq=False)
class Cohort:
    """Validated scans: every run once, z-scored, one after another in a single array.

    A *run* is a distinct scan; a *sample* is what the user passed as one element of ``X``: a
    whole run, or a :class:`Window` of one.

    Attributes
    ----------
    frames : ndarray of shape (n_frames, n_regions), float32
        All runs, concatenated in time. Each region has mean 0 and variance 1 over its run;
        what is missing or hidden is 0. Many frames lie in a file, see
        :mod:`~sk_brainmae.scans.runs`.
    run_start, run_length : ndarray of shape (n_runs,)
        First row of each run in ``frames``, and its number of frames.
    observed : ndarray of shape (n_runs, n_regions), bool
        False where a region is missing in a run: constant, or not measured in more than half of
        its frames.
    mean, scale : ndarray of shape (n_runs, n_regions)
        What standardising removed, in the units of the input.
    runs : ndarray of shape (n_samples,)
        The run each sample is cut from.
    start, stop : ndarray of shape (n_samples,)
        Frames of each sample inside its run.
    resampled : ndarray of shape (n_runs,), bool
        Which runs were recorded at another repetition time.
    hidden : ndarray of shape (n_frames, n_regions), bool, or None
        Cells of ``frames`` that a model must not see; None: it may see all.
    missing : ndarray of shape (n_frames, n_regions), bool, or None
        Cells of ``frames`` that were not measured; None: all were, but for missing regions.
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

    def __len__(self) -> int:
        return len(self.runs)

    @property
    def n_regions(self) -> int:
        """Number of regions, the same in every run."""
        return self.frames.shape[1]

    @property
    def whole_runs(self) -> bool:
        """Whether every sample is a whole run, none a Window of one."""
        return bool((self.stop - self.start == self.run_length[self.runs]).all())

    def units(self, groups: Any = None) -> Any:
        """Return who samples belong to: ``groups``, else the runs where some share one, or None."""
        shared = len(np.unique(self.runs)) < len(self)
        return self.runs if groups is None and shared else groups

    def take(self, samples: NDArray) -> "Cohort":
        """Return some samples; the frames are shared, not copied."""
        return replace(
            self, runs=self.runs[samples], start=self.start[samples], stop=self.stop[samples]
        )

    def spaced(self, at_most: int) -> "Cohort":
        """Return all samples, or so many of them, evenly spaced."""
        n_samples = min(len(self), at_most)
        return self.take(np.linspace(0, len(self) - 1, n_samples).round().astype(int))

    def as_runs(self) -> "Cohort":
        """Return the cohort whose samples are the whole runs, each once."""
        n_runs = len(self.run_length)
        return replace(
            self, runs=np.arange(n_runs), start=np.zeros(n_runs, dtype=int), stop=self.run_length
        )

    def sample(self, i: int) -> NDArray:
        """Return the z-scored frames of sample ``i``, shape (n_timepoints, n_regions)."""
        forget(self.frames)  # of the sample before
        first = self.run_start[self.runs[i]]
        return self.frames[first + self.start[i] : first + self.stop[i]]

    def uncensored(self, i: int) -> NDArray:
        """Return those frames of sample ``i`` in which any region was measured, z-scored."""
        known = self.known(i)
        return self.sample(i)[known.any(axis=1)] if known.ndim == 2 else self.sample(i)

    def known(self, i: int) -> NDArray:
        """Return where sample ``i`` was measured, as :meth:`known_frames` does."""
        return self.known_frames(self.runs[i], self.start[i], self.stop[i])

    def known_frames(self, run: int, start: int, stop: int) -> NDArray:
        """Return where some frames of a run were measured.

        Parameters
        ----------
        run : int
            Which one.
        start, stop : int
            Frames inside it.

        Returns
        -------
        bool ndarray of shape (n_regions,) or (n_timepoints, n_regions)
            The first shape where all frames are alike: complete but for missing regions.
        """
        observed = self.observed[run]
        first = self.run_start[run]
        if self.missing is None or not self.missing[first + start : first + stop].any():
            return observed
        return observed & ~self.missing[first + start : first + stop]
