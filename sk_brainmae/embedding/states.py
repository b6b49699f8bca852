"""The views "states", "state_mean" and "cls": what the trained network says of a scan."""

from dataclasses import dataclass
from functools import reduce
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from sk_brainmae.embedding.source import Source
from sk_brainmae.embedding.tangent import SHRINKAGE, log_vector, pair_names, whitening_of


@dataclass(frozen=True)
class States:
    """Log second moment of the window states of a sample.

    With M the mean of (s - c)(s - c)' over a sample's window states s, c their mean over the
    training scans and W the whitening of the training scans' mean M, the features are the entries
    of log((1 - b) n(W' M W) + b I), b = 0.2, minus their mean over the training scans. n divides by
    the mean of the diagonal. Signal at rest has no sign, so its states speak by how they vary.

    Windows begin half a window apart, and each is encoded alone: in the context of its crop the
    rest of a run would speak for a moment.
    """

    axes: ClassVar[dict[str, str]] = {"centre": "D", "whitening": "DD", "mean": "F"}

    centre: NDArray  # (d,), mean window state of the training scans
    whitening: NDArray  # (d, d)
    mean: NDArray  # (n_features,), of the training scans

    @classmethod
    def fit(cls, source: Source) -> "States":
        """Learn the tangent space of whole training scans."""
        states = source.window_states
        centre = np.mean([of_sample.mean(axis=0, dtype=float) for of_sample in states], axis=0)
        moments = [_moment(of_sample, centre) for of_sample in states]
        whitening = whitening_of(reduce(np.add, moments) / len(moments))
        logs = [log_vector(moment, whitening, SHRINKAGE) for moment in moments]
        return cls(centre, whitening, np.mean(logs, axis=0))

    def embed(self, source: Source) -> NDArray:
        """Embed every sample, (n_samples, d (d + 1) / 2)."""
        moments = [_moment(of_sample, self.centre) for of_sample in source.window_states]
        logs = [log_vector(moment, self.whitening, SHRINKAGE) for moment in moments]
        return (np.stack(logs) - self.mean).astype(np.float32)

    def feature_names(self, regions: list[str]) -> list[str]:
        """Name each feature by its pair of units."""
        return pair_names([f"unit{k}" for k in range(len(self.centre))])


@dataclass(frozen=True)
class StateMean:
    """Mean window state of a sample: what it evokes. Of scans at rest it says nothing."""

    axes: ClassVar[dict[str, str]] = {"centre": "D"}

    centre: NDArray  # (d,), mean window state of the training scans

    @classmethod
    def fit(cls, source: Source) -> "StateMean":
        """Learn the mean window state of whole training scans."""
        return cls(np.concatenate(source.encoded[0]).mean(axis=0, dtype=float))

    def embed(self, source: Source) -> NDArray:
        """Embed every sample, (n_samples, d)."""
        means = np.stack([states.mean(axis=0) for states in source.encoded[0]])
        return (means - self.centre).astype(np.float32)

    def feature_names(self, regions: list[str]) -> list[str]:
        """Name the units of a window state."""
        return [f"unit{k}" for k in range(len(self.centre))]


@dataclass(frozen=True)
class Cls(StateMean):
    """CLS token of the sequence encoder, which only fine-tuning gives a meaning."""

    @classmethod
    def fit(cls, source: Source) -> "Cls":
        """Learn the mean token of whole training scans."""
        return cls(source.encoded[1].mean(axis=0, dtype=float))

    def embed(self, source: Source) -> NDArray:
        """Embed every sample, (n_samples, d)."""
        return (source.encoded[1] - self.centre).astype(np.float32)


def _moment(states: NDArray, centre: NDArray) -> NDArray:
    """Return the second moment of window states (n_windows, d) around a centre, (d, d)."""
    centred = states - centre
    return centred.T @ centred / len(centred)
