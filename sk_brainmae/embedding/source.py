"""What views read: the frames of a cohort, and what the trained network makes of them."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from numpy.typing import NDArray

from sk_brainmae.embedding.signal import Signal
from sk_brainmae.network import BrainMAE
from sk_brainmae.scans.cohort import Cohort
from sk_brainmae.training.encoding import brain_states, encode, encode_alone


@dataclass(frozen=True)
class Source:
    """A cohort as views read it; the network runs when the first view asks for it.

    Attributes
    ----------
    cohort : Cohort
        Samples to embed; in ``fit`` the whole training runs.
    signal : Signal
        Of the training cohort.
    load_network : callable
        Returns the trained network.
    layout : dict
        ``window``, ``n_windows``, ``batch_size`` and ``device``.
    """

    cohort: Cohort
    signal: Signal
    load_network: Callable[[], BrainMAE]
    layout: dict[str, Any]

    @cached_property
    def network(self) -> BrainMAE:
        """The trained network."""
        return self.load_network()

    @cached_property
    def encoded(self) -> tuple[list[NDArray], NDArray]:
        """Window states in the context of their crop, (n_windows_i, d), and CLS tokens, (n, d)."""
        return encode(self.network, self.cohort, **self.layout)

    @cached_property
    def window_states(self) -> list[NDArray]:
        """States of the windows of each sample, each encoded alone, (n_windows_i, d)."""
        return encode_alone(self.network, self.cohort, **self.layout)

    @cached_property
    def brain_states(self) -> list[NDArray]:
        """Probability of each brain state of the prior in each frame of a sample, (T_i, K)."""
        return brain_states(self.network, self.cohort, **self.layout)

    def warn_of_stop_bands(self) -> None:
        """Warn where resampled scans meet a model that reads the stop-band of a filter."""
        cohort = self.cohort
        if cohort.resampled[cohort.runs].any() and self.signal.reads_stop_bands:
            warnings.warn(
                "scans are resampled, but the model learned from band-passed scans that were not:"
                " embeddings tell the two apart, and subjects poorly. Fit it on scans of every"
                " t_r, or on resampled ones",
                stacklevel=2,
            )
