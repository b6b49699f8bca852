"""The view "dynamics": how the brain states of the trained prior follow one another in a scan."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from sk_brainmae.embedding.source import Source

# Frames between a probability and its later self: powers of 2 up to this one.
LONGEST_LAG = 32
# Keeps logarithms finite where a probability never changes, or the state never switches.
SMALLEST_VARIANCE = 1e-4
# A statistic that varies less over the training scans counts as constant.
SMALLEST_DEVIATION = 1e-6


@dataclass(frozen=True)
class Dynamics:
    """Statistics of the probabilities p_k(t) of the prior's brain states.

    Of each state k: the share of time (mean of p_k), log(variance + 1e-4), the autocorrelation at
    lags of 1, 2, 4, ... frames and the mean change |p_k(t + 1) - p_k(t)|. Of all: the certainty
    (mean of the largest p) and the log of the rate at which the most probable state switches. Each
    has unit variance over the training scans; features that are constant there are left out. What
    a sample is too short to tell counts as the mean of the training scans.

    An untrained prior has one brain state. Then there is nothing to read: ``fit`` returns None.
    """

    axes: ClassVar[dict[str, str]] = {"lags": "G", "kept": "A", "mean": "F", "scale": "F"}

    lags: NDArray  # (n_lags,), in frames
    kept: NDArray  # (n_statistics,), 0 for statistics that are constant in training, else 1
    mean: NDArray  # (n_features,), of the training scans
    scale: NDArray  # (n_features,), standard deviation over the training scans

    def __post_init__(self) -> None:
        """Raise ValueError where there are no such statistics."""
        lags = self.lags
        if not ((lags >= 1) & (lags == lags.round())).all() or (self.scale <= 0).any():
            raise ValueError("lags are whole numbers of frames, and scales are above 0")

    @classmethod
    def fit(cls, source: Source) -> "Dynamics | None":
        """Learn from whole training scans which statistics vary, and how much."""
        prior = source.network.prior
        if prior is None or not prior.modulation.any():
            return None
        states = source.brain_states
        longest = min(LONGEST_LAG, min(map(len, states)) // 2)
        lags = 2 ** np.arange(max(longest, 1).bit_length())
        statistics = np.stack([_statistics(p, lags) for p in states])
        mean, scale = statistics.mean(axis=0), statistics.std(axis=0)
        kept = scale > SMALLEST_DEVIATION
        if not kept.any():
            return None
        return cls(lags.astype(float), kept.astype(float), mean[kept], scale[kept])

    def embed(self, source: Source) -> NDArray:
        """Embed every sample, (n_samples, n_features)."""
        lags = self.lags.astype(int)
        statistics = np.stack([_statistics(p, lags) for p in source.brain_states])
        varying = (statistics[:, self.kept > 0] - self.mean) / self.scale
        return np.nan_to_num(varying, nan=0.0).astype(np.float32)

    def feature_names(self, regions: list[str]) -> list[str]:
        """Name the statistics."""
        of_state = ["share", "log_variance", *(f"lag{lag:.0f}" for lag in self.lags), "change"]
        n_states = (len(self.kept) - 2) // len(of_state)
        names = [f"{name}_state{k}" for name in of_state for k in range(n_states)]
        names += ["certainty", "switching_rate"]
        return [name for name, kept in zip(names, self.kept, strict=True) if kept]


def _statistics(p: NDArray, lags: NDArray) -> NDArray:
    """Describe probabilities (T, K); NaN where there are too few frames."""
    centred = p - p.mean(axis=0)  # (T, K)
    variance = np.square(centred).mean(axis=0)  # (K,)
    lagged = [
        (centred[lag:] * centred[:-lag]).mean(axis=0) / (variance + SMALLEST_VARIANCE)
        if len(p) > lag
        else np.full(p.shape[1], np.nan)
        for lag in lags
    ]
    change = np.full(p.shape[1], np.nan)
    switching = np.nan
    if len(p) > 1:
        change = np.abs(np.diff(p, axis=0)).mean(axis=0)
        switching = np.log((np.diff(p.argmax(axis=1)) != 0).mean() + SMALLEST_VARIANCE)
    certainty = p.max(axis=1).mean()
    of_states = [p.mean(axis=0), np.log(variance + SMALLEST_VARIANCE), *lagged, change]
    return np.concatenate([*of_states, [certainty, switching]])
