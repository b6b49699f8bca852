"""Which frames of a scan were not measured as the others: filled in, unsteady, drifting."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sk_brainmae.doctor.measures import MIN_FRAMES, SPECTRUM_REGIONS, ZScored, evenly, robust_z

MIN_REGIONS = 3  # fewer may agree by chance
BY_CHANCE = 0.01  # pairs of frames
SAME_VALUE = 1e-4  # standard deviations
ON_A_LINE = 1e-5  # standard deviations
MIN_FRAMES_TREND = 50  # in fewer, slow BOLD looks like a trend
# The first frames are unsteady while the root mean square of their z-scores is an outlier.
UNSTEADY_Z, UNSTEADY_LEVEL = 6.0, 3.0
EVEN_STEP, EVEN_SHARE = 1e-3, 0.9  # of steps that equal the median one, and of all steps
MIN_FRAMES_EVEN = 5


def filled_frames(z: ZScored) -> list[int]:
    """Return the frames that hold one value in all regions, or the values of another frame.

    Two regions tell the candidates, of which all regions are compared. Frames with missing
    values do not count.
    """
    regions = np.flatnonzero(z.observed)
    if len(regions) < MIN_REGIONS:
        return []
    whole = z.known[:, regions].all(axis=1)
    mean, scale = z.mean[regions], z.scale[regions]
    rounding = 4 * np.finfo(z.frames.dtype).eps
    first, second = (z.frames[:, r] * z.scale[r] for r in regions[:2])
    apart = np.abs(first + mean[0] - second - mean[1])
    alike = apart < SAME_VALUE * np.median(scale) + rounding * (np.abs(first) + np.abs(second))
    flat = np.flatnonzero(whole & alike)
    frames = z.frames[np.ix_(flat, regions)] * scale
    at_most = SAME_VALUE * np.median(scale) + rounding * np.abs(frames).max(axis=1, initial=0)
    filled = set(flat[np.ptp(frames + mean, axis=1) < at_most].tolist())

    _, place, count = np.unique(first, return_inverse=True, return_counts=True)
    earlier: dict[bytes, int] = {}
    again: set[int] = set()
    copies: list[int] = []
    for t in np.flatnonzero(whole & (count[place] > 1)).tolist():
        key = (z.frames[t, regions] + 0.0).tobytes()  # so that -0 is 0
        if key in earlier:
            again |= {earlier[key], t}
            copies.append(t)
        earlier.setdefault(key, t)
    filled |= again
    if not filled or _chance_copies(np.delete(z.frames[:, regions], copies, axis=0)) > BY_CHANCE:
        return []
    return sorted(filled)


def _chance_copies(frames: NDArray) -> float:
    """Return how many pairs of different frames, (n_frames, n_regions), agree by chance.

    Regions count as independent. Whole numbers of few regions agree often, fractions never.
    """
    n = len(frames)
    n_pairs = n * (n - 1) / 2
    expected = n_pairs
    for values in frames.T:
        count = np.unique(values, return_counts=True)[1]
        expected *= (count * (count - 1)).sum() / 2 / max(n_pairs, 1)
    return float(expected)


def straight_frames(z: ZScored, filled: list[int]) -> list[int]:
    """Return the frames that lie on a line between their neighbours in all regions."""
    regions = np.flatnonzero(z.observed)
    if len(regions) < MIN_REGIONS or len(z.frames) < MIN_FRAMES:
        return []
    frames = z.frames[:, regions]
    bend = np.abs(frames[2:] + frames[:-2] - 2 * frames[1:-1]).max(axis=1)
    gaps = np.flatnonzero(~z.known[:, regions].all(axis=1))
    near_gaps = np.add.outer(gaps, [-1, 0, 1])
    straight = np.setdiff1d(np.flatnonzero(bend < ON_A_LINE) + 1, near_gaps)
    return sorted(set(straight.tolist()) - set(filled))


def unsteady_start(z: ZScored, filled: list[int]) -> tuple[int, float]:
    """Return how many first frames stand out, and the level of the first, in z-scores."""
    if len(z.frames) < MIN_FRAMES or 0 in filled or not z.observed.any():
        return 0, np.nan
    level = np.sqrt(np.square(z.frames[:, z.observed]).mean(axis=1))
    out = (robust_z(level) > UNSTEADY_Z) & (level > UNSTEADY_LEVEL)
    n_first = int(out.argmin())
    if not n_first or n_first > len(out) // 4:
        return 0, np.nan
    tail = (robust_z(level) > UNSTEADY_Z / 2)[n_first:]  # of the decay
    return n_first + int(tail.argmin()), float(level[0])


def slow_change(z: ZScored, odd: list[int]) -> dict[str, float]:
    """Measure the share of variance of a quadratic trend, and of the best single step.

    ``odd`` are frames that do not count. "step" is the share of the best step and "step_frame"
    the first frame after it.
    """
    counted = np.setdiff1d(np.arange(len(z.frames)), odd)
    frames = z.frames[np.ix_(counted, np.flatnonzero(z.observed))]
    n = len(frames)
    if n < MIN_FRAMES_TREND or not frames.size:
        return {"trend": np.nan, "step": np.nan, "step_frame": 0}
    frames = frames - frames.mean(axis=0)
    time = np.linspace(-1, 1, n)
    basis = np.linalg.qr(np.stack([time**0, time, time**2], axis=1))[0][:, 1:]  # (n, 2)
    total = np.square(frames).sum() or 1.0
    before = np.arange(1, n)
    sums = np.square(np.cumsum(frames, axis=0)[:-1]).sum(axis=1)
    steps = (sums * (1 / before + 1 / (n - before)))[4:-4] / total
    return {
        "trend": float(np.square(basis.T @ frames).sum() / total),
        "step": float(steps.max()),
        "step_frame": int(counted[steps.argmax() + 5]),
    }


def counting_regions(z: ZScored) -> list[int]:
    """Return the regions that rise by equal steps, as numbers of frames and times do.

    Joined runs may each start again.
    """
    if len(z.frames) < MIN_FRAMES_EVEN:
        return []
    found = []
    for region in np.flatnonzero(z.observed & _mostly_rises(z)):
        values, known = z.frames[:, region], z.known[:, region]
        steps = np.diff(values)[known[1:] & known[:-1]]
        if len(steps) < MIN_FRAMES_EVEN - 1:
            continue
        typical = np.median(steps)
        if (np.abs(steps - typical) < EVEN_STEP * typical).mean() > EVEN_SHARE:
            found.append(int(region))
    return found


def _mostly_rises(z: ZScored) -> NDArray:
    """Tell which regions rise between nearly all frames whose values are known, (n_regions,)."""
    pairs = z.known[1:] & z.known[:-1]
    rises = (z.frames[1:] > z.frames[:-1]) & pairs
    return rises.sum(axis=0) > EVEN_SHARE * pairs.sum(axis=0)


def rounding(z: ZScored) -> float:
    """Return the smallest step between two values of a region, in SD: the median of 32 regions."""
    regions = evenly(np.flatnonzero(z.observed), SPECTRUM_REGIONS)
    if len(z.frames) < MIN_FRAMES_TREND or not regions.size:
        return np.nan
    smallest = []
    for values, known in zip(z.frames[:, regions].T, z.known[:, regions].T, strict=True):
        gaps = np.diff(np.sort(values[known]))
        gaps = gaps[gaps > 1e-6]
        smallest.append(gaps.min() if gaps.size else np.nan)
    return float(np.nanmedian(smallest)) if np.isfinite(smallest).any() else np.nan


def frame_measures(z: ZScored, filled: list[int]) -> dict[str, Any]:
    """Return what the frames of a scan tell, given those that are filled."""
    n_first, level = unsteady_start(z, filled)
    return {
        "filled_frames": filled,
        "straight_frames": straight_frames(z, filled),
        "first_frames": n_first,
        "first_level": level,
        **slow_change(z, odd_frames(filled, n_first)),
        "counting_regions": counting_regions(z),
        "rounding": rounding(z),
    }


def odd_frames(filled: list[int], n_first: int) -> list[int]:
    """Return the frames that tell nothing about the others: filled and unsteady first ones."""
    return sorted({*filled, *range(n_first)})
