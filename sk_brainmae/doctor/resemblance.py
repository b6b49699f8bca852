"""Does a scan look like the brains of its cohort?"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sk_brainmae.doctor.measures import MIN_FRAMES_FC, connectivity, usual, z_score
from sk_brainmae.doctor.reading import values

GROUP_SCANS = 200  # at most make the group's FC; evenly spaced
MIN_GROUP = 5  # with fewer scans nobody stands out from the group


def resemblance(runs: list[Any]) -> NDArray:
    """Correlate each scan's functional connectivity (FC) with the mean FC of at most 200 others.

    NaN for scans that are too short, that differ from most in their number of regions, or whose
    regions carry no signal; for all, if fewer than five are left. Reads every scan twice, one at
    a time.
    """
    r = np.full(len(runs), np.nan)
    counts = np.array([np.shape(run)[1] for run in runs])
    long = np.array([len(run) for run in runs]) >= MIN_FRAMES_FC
    fit = np.flatnonzero(long & (counts == usual(counts[long])))
    if len(fit) < MIN_GROUP:
        return r
    group = set(fit[np.linspace(0, len(fit) - 1, min(len(fit), GROUP_SCANS)).astype(int)])
    total: Any = 0.0
    count: Any = 0
    for i in group:
        edges, observed = connectivity(z_score(values(runs[i])))
        total, count = total + edges, count + observed
    for i in fit:
        edges, observed = connectivity(z_score(values(runs[i])))
        own = int(i in group)  # leave it out
        n_others = count - own * observed
        shared = observed & (n_others > 0)
        mean = (total - own * edges)[shared] / n_others[shared]
        r[i] = _correlation(edges[shared], mean)
    return r


def _correlation(a: NDArray, b: NDArray) -> float:
    if len(a) < 3:
        return np.nan
    a, b = a - a.mean(), b - b.mean()
    scale = np.sqrt((a**2).sum() * (b**2).sum())
    return float((a * b).sum() / scale) if scale > 1e-12 else np.nan
