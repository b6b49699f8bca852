"""Regions by name: scans that name theirs are brought into the order that a model knows."""

import warnings
from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sk_brainmae.scans.window import Window

Order = NDArray | None


def region_orders(X: Any, names: Sequence[str] | None = None) -> tuple[list[str] | None, list]:
    """Say how the columns of each scan have to be ordered, by their names.

    Parameters
    ----------
    X : list of scans, or ndarray of shape (n_scans, n_timepoints, n_regions)
        Scans or Windows. DataFrames whose columns are all strings have named regions, and so have
        those of numbers other than 0 to n_regions - 1; all else is taken to be in the right order.
    names : sequence of str, default=None
        The regions of a model. None takes those of the first scan that names its own.

    Returns
    -------
    names : list of str or None
        In their order; None where nothing is named.
    orders : list of (ndarray of shape (n_regions,) or None)
        Of each scan, the column of every region; None where they stand in that order.

    Raises
    ------
    ValueError
        If a scan names a region twice, lacks one, has one that is not known, or if a name to be
        learned cannot be printed.

    Warns
    -----
    UserWarning
        If some scans name their regions and others do not.
    """
    known = None if names is None else list(names)
    if not isinstance(X, (list, tuple)) and getattr(X, "ndim", 0) != 1:
        return known, [None] * len(X) if getattr(X, "ndim", 0) == 3 else []
    seen: dict[int, Order] = {}
    orders: list[Order] = []
    n_named = 0
    for i, item in enumerate(X):
        scan = item.scan if isinstance(item, Window) else item
        own = _names_of(scan)
        if own is not None:
            n_named += 1
            known = _printable(own, i) if known is None else known
            if id(scan) not in seen:
                seen[id(scan)] = _order(own, known, i)
        orders.append(seen.get(id(scan)))
    if 0 < n_named < len(orders):
        warnings.warn(
            f"{n_named} of {len(orders)} scans name their regions; the others are taken to have"
            " the same ones in the same order",
            stacklevel=3,
        )
    return known, orders


def reorder_regions(X: Any, orders: list) -> Any:
    """Return scans with their regions in order; those that are, as they came.

    Parameters
    ----------
    X : list of scans, or ndarray of shape (n_scans, n_timepoints, n_regions)
        As :func:`region_orders` was given them.
    orders : list of (ndarray of shape (n_regions,) or None)
        As it returned them.

    Returns
    -------
    list of scans, or ndarray of shape (n_scans, n_timepoints, n_regions)
        Windows of one run still share it.
    """
    if all(order is None for order in orders):
        return X
    moved: dict[int, Any] = {}

    def move(item: Any, order: Order) -> Any:
        scan = item.scan if isinstance(item, Window) else item
        if order is None:
            return item
        if id(scan) not in moved:
            moved[id(scan)] = scan.iloc[:, order]
        return (
            Window(moved[id(scan)], item.start, item.stop)
            if isinstance(item, Window)
            else moved[id(scan)]
        )

    return [move(item, order) for item, order in zip(X, orders, strict=True)]


def in_order(X: Any, names: Sequence[str] | None = None) -> tuple[list[str] | None, Any]:
    """Return the names of the regions, as :func:`region_orders`, and scans in their order."""
    known, orders = region_orders(X, names)
    return known, reorder_regions(X, orders)


def reorder_columns(parts: Any, orders: list, *, back: bool = False) -> Any:
    """Bring the columns of arrays that belong to scans into the order of the regions.

    Parameters
    ----------
    parts : list of array-like, each of shape (n_timepoints, n_regions), or None
        Of each scan. What is of another shape is left for the seam to refuse.
    orders : list of (ndarray of shape (n_regions,) or None)
        As :func:`region_orders` returned them.
    back : bool, default=False
        Back into the scans' own order instead.

    Returns
    -------
    list of array-like, each of shape (n_timepoints, n_regions), or None
        In order.
    """
    if parts is None or len(parts) != len(orders):
        return parts

    def move(part: Any, order: Order) -> Any:
        if order is None or np.shape(part)[1:] != order.shape:
            return part
        return np.asarray(part)[:, np.argsort(order) if back else order]

    return [move(part, order) for part, order in zip(parts, orders, strict=True)]


def _names_of(scan: Any) -> list[str] | None:
    columns = getattr(scan, "columns", None)
    if columns is None:
        return None
    labels = list(columns)
    if all(isinstance(label, str) for label in labels):
        return labels
    # Distinct numbers that are not just counted are those of an atlas.
    numbered = all(isinstance(label, Integral) for label in labels)
    if numbered and len(set(labels)) == len(labels) and labels != list(range(len(labels))):
        return [str(label) for label in labels]
    return None


def unprintable(names: Sequence[str]) -> list[str]:
    """Return the names that nobody could tell from others, if they could be printed at all."""
    return [name for name in names if not name.strip() or not name.isprintable()]


def _printable(own: list[str], i: int) -> list[str]:
    if odd := unprintable(own):
        raise ValueError(
            f"scan {i} names a region {odd[0]!r}, which is empty or not printable (a no-break space"
            " or control character, say): rename it"
        )
    return own


def _order(own: list[str], names: list[str], i: int) -> Order:
    place = {name: k for k, name in enumerate(own)}
    if len(place) < len(own):
        twice = next(name for name in own if own.count(name) > 1)
        raise ValueError(f"scan {i} has two regions named {twice!r}")
    if own == names:
        return None
    missing = [name for name in names if name not in place]
    unknown = [name for name in own if name not in set(names)]
    if missing or unknown:
        raise ValueError(
            f"scan {i} has other regions than the {len(names)} of the model or the other scans:"
            f" {_few('lacks', missing)}{' and ' if missing and unknown else ''}"
            f"{_few('has in addition', unknown)}. Bring it to their atlas, or pass an array if"
            " the regions are the same under other names"
        )
    return np.array([place[name] for name in names])


def _few(verb: str, names: list[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"it {verb} {', '.join(map(repr, names[:3]))}{more}"
