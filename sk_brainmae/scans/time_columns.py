"""Columns of tables that are no regions: they count frames, or tell times or labels."""

import re

import numpy as np
from numpy.typing import NDArray

# Frames over which no region rises in equal steps, or rises at all.
FEW_FRAMES, MANY_FRAMES = 5, 40
_NO_REGION = re.compile(
    r"(unnamed|frame|time|volume|participant|subject).*|index[\W\d_]*|level_\d+"
    r"|(tr|run|session|scan|epoch|trial|block|sample|onset|duration|event|condition|label|target)s?"
    r"|id",
    re.I,
)
_TIME = re.compile(r"(frame|time|volume).*|trs?|t", re.I)


def is_no_region(name: str) -> bool:
    """Tell whether a column's name is that of an index, a time or a label, such as "Unnamed: 0"."""
    return _NO_REGION.fullmatch(name.strip()) is not None


def is_time(name: str) -> bool:
    """Tell whether an axis is named as that of time."""
    return _TIME.fullmatch(name.strip()) is not None


def time_columns(frames: NDArray) -> NDArray:
    """Return which columns rise as frame numbers or times do, bool, (n_columns,).

    They rise in even steps, but for gaps, through the whole scan; joined runs may each start
    again. In the first and the last column, where tables have them, the steps of long scans may
    be uneven. Where all columns rise, none counts: a signal may drift.
    """
    start = frames[:FEW_FRAMES]
    # Most columns fall in their first frames, so that mapped files are not read.
    rising = np.array(~(start[1:] <= start[:-1]).any(axis=0))
    for column in np.flatnonzero(rising):
        at_edge = column in (0, len(rising) - 1)
        rising[column] = _tells_time(frames[:, column], at_edge)
    return rising & (not rising.all())


def _tells_time(values: NDArray, uneven: bool) -> bool:
    """Tell whether a column rises from frame to frame, also in ``uneven`` steps."""
    for some in (values[:MANY_FRAMES], values):
        known = some[~np.isnan(some)].astype(float)
        again = known[1:] == known[:1]
        steps = np.diff(known)[~again]
        if not steps.size or steps.min() <= 0:
            return False
    even = np.isclose(steps, np.median(steps), rtol=1e-3, atol=0).mean() > 0.5  # but for gaps
    if not even and not uneven:
        return False
    at_least = FEW_FRAMES if even else MANY_FRAMES
    return len(known) >= max(at_least, FEW_FRAMES * (1 + again.sum()))
