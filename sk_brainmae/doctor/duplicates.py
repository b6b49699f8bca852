"""Scans that are copies of each other: the same subject on both sides of a fold."""

from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from sk_brainmae.doctor.measures import z_score
from sk_brainmae.doctor.reading import values

MIN_FRAMES = 10  # shorter scans may agree by chance once rescaled
N_FRAMES = 50  # at most, from the first of each scan that varies, make its fingerprint
N_PROJECTIONS = 8
# Copies rounded to three digits still agree this closely. In eight dimensions other scans come so
# close only among millions, and every pair found is checked on its frames.
SAME_FINGERPRINT = 0.01
SAME_SCAN = 0.999  # mean correlation of the regions


class Copy(NamedTuple):
    """A scan that repeats an earlier one, and how: "identical", "rescaled" or "start of"."""

    scan: int
    original: int
    how: str


def find_duplicates(scans: Sequence[Any]) -> list[Copy]:
    """Find scans whose frames repeat the start of another scan, also after rescaling.

    A start leaves out frames that are empty or constant, as those of dummy scans are. Identical
    starts are found by a hash. Others are z-scored, projected on eight fixed random vectors and
    compared with the nearest scan in that space. Both take time n log n in the number of scans.
    Not found are copies that begin, or begin to vary, at another frame, and rescaled copies of
    fewer than ten frames.
    """
    first = [_first_varying(scan) for scan in scans]
    lengths = np.array([len(scan) for scan in scans]) - first
    n_frames = min([N_FRAMES, *lengths[lengths >= MIN_FRAMES]])
    seen: dict[bytes, int] = {}
    copies = []
    prints: dict[int, dict[int, NDArray]] = {}  # n_regions: {scan: (N_PROJECTIONS,)}
    for i, scan in enumerate(scans):
        start = values(scan, first[i] + n_frames)[first[i] :]
        key = blake2b(start.tobytes(), digest_size=16, salt=str(start.shape[1]).encode()[:16])
        original = seen.setdefault(key.digest(), i)
        if original != i and (how := _relation(scan, scans[original])):
            copies.append(Copy(i, original, how))
        elif len(start) == n_frames >= MIN_FRAMES:
            fingerprint = _fingerprint(start)
            if fingerprint.any():
                prints.setdefault(start.shape[1], {})[i] = fingerprint
    for group in prints.values():
        copies += _rescaled(scans, np.array(list(group)), np.array(list(group.values())))
    return sorted(copies)


def _first_varying(scan: Any) -> int:
    """Return the first frame that differs from the next one; 0 where none does."""
    for n_frames in (N_FRAMES, None):
        frames = values(scan, n_frames)
        changes = (frames[1:] != frames[:-1]) & np.isfinite(frames[1:]) & np.isfinite(frames[:-1])
        if changes.any():
            return int(changes.any(axis=1).argmax())
    return 0


def _fingerprint(start: NDArray) -> NDArray:
    """Project a start, (N_FRAMES, n_regions), on the fixed vectors, (N_PROJECTIONS,)."""
    frames = z_score(start).frames.ravel()
    return _directions(frames.size) @ frames


@lru_cache(maxsize=2)
def _directions(size: int) -> NDArray:
    """Draw the vectors on which all starts of this size are projected."""
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (N_PROJECTIONS, size))
    return signs / np.sqrt(size)


def _rescaled(scans: Sequence[Any], places: NDArray, prints: NDArray) -> list[Copy]:
    """Compare each scan with the one of the nearest fingerprint, if that is near."""
    if len(places) < 2:
        return []
    distances, nearest = KDTree(prints).query(prints, k=2)
    pairs = set()
    for i in np.flatnonzero(distances[:, 1] < SAME_FINGERPRINT):
        j = nearest[i, 0] if nearest[i, 0] != i else nearest[i, 1]
        pairs.add((int(places[max(i, j)]), int(places[min(i, j)])))
    return [Copy(i, j, how) for i, j in pairs if (how := _relation(scans[i], scans[j]))]


def _relation(a: Any, b: Any) -> str:
    """Say how scan ``a`` repeats ``b``; empty if it does not."""
    n = min(len(a), len(b))
    a_start, b_start = values(a, n), values(b, n)
    if a_start.shape != b_start.shape:
        return ""
    if np.array_equal(a_start, b_start, equal_nan=True):
        return "identical" if len(a) == len(b) else "start of"
    z_a, z_b = z_score(a_start), z_score(b_start)
    both = z_a.known & z_b.known & z_a.observed & z_b.observed
    if both.any(axis=1).sum() < MIN_FRAMES:
        return ""
    if (z_a.frames * z_b.frames)[both].mean() < SAME_SCAN:
        return ""
    return "rescaled" if len(a) == len(b) else "start of"
