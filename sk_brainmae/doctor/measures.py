"""What is measured of one scan. Every number is NaN where the scan is too short to tell."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.signal import welch

from sk_brainmae.scans.standardise import standardise

MIN_FRAMES = 20  # for spikes and duplicated regions
MIN_FRAMES_SPECTRUM = 50
MIN_FRAMES_FC = 30
SPECTRUM_REGIONS = 32  # evenly spaced ones are enough for a mean spectrum
FC_REGIONS = 150  # evenly spaced

# A frame is a spike if the signal changes there more than it usually does (robust z) and twice as
# much as between two unrelated frames, whose root mean square change is sqrt(2) after z-scoring.
SPIKE_Z = 6.0
SPIKE_CHANGE = 2 * np.sqrt(2)
# The edge of the signal is the frequency below which this share of the power above the white floor
# lies. It is not told where less than MIN_SIGNAL of all power is above the floor.
SIGNAL_SHARE = 0.8
MIN_SIGNAL = 0.15
N_NEIGHBOURS = 500  # pairs of neighbouring frames, or regions, of a scan that are looked at
MIN_SCANS_AGREE = 6  # scans whose neighbours show whether they are the same in all
SAME_REGION = 1e-6  # 1 - correlation of regions that are copies


class ZScored(NamedTuple):
    """A scan's z-scored frames, 0 where a value or a region's signal is missing."""

    frames: NDArray  # (n_timepoints, n_regions)
    mean: NDArray  # (n_regions,), in the scan's units, as is the scale
    scale: NDArray  # (n_regions,)
    observed: NDArray  # (n_regions,), bool: the region varies
    known: NDArray  # (n_timepoints, n_regions), bool: finite


class Neighbours(NamedTuple):
    """The correlations of each frame with the next one, and of each region with the next one."""

    frames: NDArray  # (n_timepoints - 1,)
    regions: NDArray  # (n_regions - 1,)


def z_score(scan: NDArray) -> ZScored:
    """Z-score each region over its finite values, whatever their size."""
    known = np.isfinite(scan)
    # In units of the largest value no sum overflows.
    peak = np.abs(scan, where=known, out=np.zeros_like(scan)).max() or 1
    frames = np.zeros_like(scan)
    mean, scale, observed = standardise(scan / peak, known, frames)
    observed &= scale * peak > 0  # a scale may be too small for a float
    frames[:, ~observed] = 0
    return ZScored(frames, mean * peak, scale * peak, observed, known)


def measure(scan: NDArray, z: ZScored, odd: list[int]) -> dict[str, Any]:
    """Return measures of values, regions and spectrum of a scan, which need no other scans.

    ``odd`` are frames that are odd already, and no spikes.
    """
    gone = ~z.known.any(axis=0)
    return {
        "n_timepoints": len(scan),
        "n_regions": scan.shape[1],
        "infinite_cells": int(np.isinf(scan).sum()),
        "missing_cells": int(np.isnan(scan).sum()),
        "missing_frames": int((~z.known).all(axis=1).sum()),
        "missing_regions": int(gone.sum()),
        "flat_regions": np.flatnonzero(~z.observed & ~gone).tolist(),
        "duplicated_regions": _duplicated_regions(z),
        **_amplitude(z),
        "spikes": _count_spikes(z, odd),
        **spectrum(z),
    }


def orientation(scan: NDArray, z: ZScored) -> tuple[dict[str, float], Neighbours]:
    """Return the correlation of neighbouring frames, and of neighbouring regions.

    Each is z-scored along its own axis. Beside the two figures come those of each pair of
    neighbours.
    """
    frames, regions = z.frames, z_score(np.ascontiguousarray(scan.T)).frames
    figures = {"autocorrelation": _lag_one(frames), "across_regions": _lag_one(regions)}
    return figures, Neighbours(_of_neighbours(frames), _of_neighbours(regions))


def _of_neighbours(rows: NDArray) -> NDArray:
    """Correlate each row with the next one, at most N_NEIGHBOURS of them; 0 where one is flat."""
    rows = rows[: N_NEIGHBOURS + 1]
    rows = rows - rows.mean(axis=1, keepdims=True)
    size = np.sqrt(np.square(rows).sum(axis=1))
    product = size[1:] * size[:-1]
    r = (rows[1:] * rows[:-1]).sum(axis=1)
    return np.divide(r, product, out=np.zeros_like(r), where=product > 0)


def agreement(profiles: list[NDArray]) -> float:
    """Correlate the mean profiles of every other scan and of the rest, over what all scans have.

    High along regions: neighbours are the same in every brain. Low along frames, unless they are
    locked to a stimulus. NaN for few or short scans.
    """
    length = min(map(len, profiles), default=0)
    if len(profiles) < MIN_SCANS_AGREE or length < MIN_FRAMES - 1:
        return np.nan
    joined = np.array([profile[:length] for profile in profiles])
    joined -= joined.mean(axis=1, keepdims=True)
    halves = joined[::2].mean(axis=0), joined[1::2].mean(axis=0)
    size = np.sqrt(np.square(halves[0]).sum() * np.square(halves[1]).sum())
    return float((halves[0] * halves[1]).sum() / size) if size > 0 else np.nan


def _lag_one(frames: NDArray) -> float:
    """Correlate neighbouring rows; r from n values is too low by (1 + 3r) / n and corrected.

    Marriott, F. H. C., Pope, J. A. (1954). Bias in the estimation of autocorrelations.
    Biometrika 41, 390-402.
    """
    power = np.square(frames).sum()
    if not power:
        return np.nan
    r = (frames[1:] * frames[:-1]).sum() / power
    return float(min(r + (1 + 3 * r) / len(frames), 1))


def spectrum(z: ZScored) -> dict[str, float]:
    """Measure where the mean power spectrum (Welch) of at most 32 regions ends.

    BOLD is slow and lies on a floor of white noise, whose power is the median of the upper half
    of all frequencies. In band-passed scans that floor is nearly zero.
    """
    n_frames = len(z.frames)
    chosen = evenly(np.flatnonzero(z.observed), SPECTRUM_REGIONS)
    if n_frames < MIN_FRAMES_SPECTRUM or not chosen.size:
        return {"signal_edge": np.nan, "near_nyquist": np.nan}
    frequency, power = welch(z.frames[:, chosen], nperseg=min(n_frames, 128), axis=0)
    power = power.mean(axis=1) / power.mean(axis=1).sum()
    signal = np.maximum(power - np.median(power[frequency > 0.25]), 0)
    edge = frequency[np.searchsorted(np.cumsum(signal), SIGNAL_SHARE * signal.sum())]
    return {
        "signal_edge": float(edge) if signal.sum() > MIN_SIGNAL else np.nan,
        "near_nyquist": float(power[frequency > 0.375].sum()),
    }


def connectivity(z: ZScored) -> tuple[NDArray, NDArray]:
    """Correlate at most 150 regions; return the edges, and whether both their regions vary."""
    chosen = evenly(np.arange(z.frames.shape[1]), FC_REGIONS)
    frames, observed = z.frames[:, chosen], z.observed[chosen]
    upper = np.triu_indices(len(chosen), 1)
    return (frames.T @ frames / len(frames))[upper], (observed[:, None] & observed)[upper]


def evenly(items: NDArray, at_most: int) -> NDArray:
    """Return evenly spaced ones of the items."""
    if len(items) <= at_most:
        return items
    return items[np.linspace(0, len(items) - 1, at_most).astype(int)]


def _amplitude(z: ZScored) -> dict[str, Any]:
    """Measure the units of the scan: its means and standard deviations."""
    if not z.observed.any():
        return {"standardised": False, "offset": np.nan, "scale": np.nan, "scale_ratio": np.nan}
    mean, scale = z.mean[z.observed], z.scale[z.observed]
    n = len(z.frames)
    unit = [np.abs(scale * ddof - 1).max() < 0.01 for ddof in (1, np.sqrt(n / max(n - 1, 1)))]
    typical = np.median(scale)
    with np.errstate(over="ignore"):  # the ratio of any two floats may be infinite
        return {
            "standardised": bool(np.abs(mean).max() < 0.01 and any(unit)),
            "offset": float(np.median(np.abs(mean) / scale)),
            "scale": float(typical),
            "scale_ratio": float(scale.max() / typical),
        }


def _count_spikes(z: ZScored, odd: list[int]) -> float:
    """Count jumps there and back between frames that hold values of their own."""
    absent = np.union1d(np.flatnonzero(~z.known.any(axis=1)), odd).astype(int)
    frames = z.frames[:, z.observed]
    if len(frames) < MIN_FRAMES or not frames.size:
        return np.nan
    change = np.sqrt(np.square(np.diff(frames, axis=0)).mean(axis=1))
    change = np.delete(change, [*absent[absent > 0] - 1, *absent[absent < len(change)]])
    jumps = (robust_z(change) > SPIKE_Z) & (change > SPIKE_CHANGE)
    return float((np.count_nonzero(jumps) + 1) // 2)


def robust_z(values: NDArray) -> NDArray:
    """Return distances from the median in scaled median absolute deviations; NaN stays NaN."""
    if not np.isfinite(values).any():
        return np.full(len(values), np.nan)
    distance = values - np.nanmedian(values)
    spread = 1.4826 * np.nanmedian(np.abs(distance))
    return distance / max(spread, 1e-9)


def _duplicated_regions(z: ZScored) -> list[tuple[int, int]]:
    """Return pairs of regions that correlate perfectly, up to sign.

    Their projections on one random vector agree, so only neighbours among the sorted projections
    are compared.
    """
    regions = np.flatnonzero(z.observed)
    if len(z.frames) < MIN_FRAMES:
        return []
    direction = np.random.default_rng(0).standard_normal(len(z.frames))
    frames = z.frames[:, regions]
    order = np.argsort(np.abs(direction @ frames))
    first, second = order[:-1], order[1:]
    r = np.abs((frames[:, first] * frames[:, second]).mean(axis=0))
    pairs = zip(regions[first], regions[second], r, strict=True)
    return [(int(min(a, b)), int(max(a, b))) for a, b, same in pairs if same > 1 - SAME_REGION]


def usual(counts: NDArray) -> int:
    """Return the most frequent count, the smallest of several; 0 if there is none."""
    return int(np.bincount(counts).argmax()) if len(counts) else 0
