"""Regions by name: columns of scans are brought into the order of a model's regions."""

import warnings
from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sk_brainmae.scans.window import Window

Order = NDArray | None


def region_orders(X: Any, names: Sequence[str] | None = None) -> tuple[list[str] | None, list]:
    """Return the names of the regions, and how to order the columns of each scan.

    ``names`` are the regions of a model; None takes them from the first scan that names its own.
    The order of a scan is the column of every region, (n_regions,), or None where its columns are
    in order. Scans without names are taken to be in order; :func:`_names_of` says which have any.
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
    """Return scans with their columns in the orders of :func:`region_orders`.

    Scans that are in order stay as they are, and moments of one run still share it.
    """
    if all(order is None for order in orders):
        return X
    moved: dict[int, Any] = {}

    def move(scan: Any, order: NDArray) -> Any:
        if id(scan) not in moved:
            moved[id(scan)] = scan.iloc[:, order]
        return moved[id(scan)]

    ordered: list[Any] = []
    for item, order in zip(X, orders, strict=True):
        if order is None:
            ordered.append(item)
        elif isinstance(item, Window):
            ordered.append(Window(move(item.scan, order), item.start, item.stop))
        else:
            ordered.append(move(item, order))
    return ordered


def in_order(X: Any, names: Sequence[str] | None = None) -> tuple[list[str] | None, Any]:
    """Return the names of the regions, as :func:`region_orders` does, and scans in their order."""
    known, orders = region_orders(X, names)
    return known, reorder_regions(X, orders)


def reorder_columns(parts: Any, orders: list, *, back: bool = False) -> Any:
    """Order the columns of arrays that belong to scans, such as masks, or put them ``back``.

    Arrays of another shape than their scan's stay as they are: ``validate_scans`` refuses them.
    """
    if parts is None or len(parts) != len(orders):
        return parts

    def move(part: Any, order: Order) -> Any:
        if order is None or np.shape(part)[1:] != order.shape:
            return part
        return np.asarray(part)[:, np.argsort(order) if back else order]

    return [move(part, order) for part, order in zip(parts, orders, strict=True)]


def _names_of(scan: Any) -> list[str] | None:
    """Return the columns of a DataFrame as names if they are texts, or numbers of an atlas."""
    columns = getattr(scan, "columns", None)
    if columns is None:
        return None
    labels = list(columns)
    if all(isinstance(label, str) for label in labels):
        return labels
    # pandas counts columns from 0; other distinct numbers are those of an atlas.
    numbered = all(isinstance(label, Integral) for label in labels)
    if numbered and len(set(labels)) == len(labels) and labels != list(range(len(labels))):
        return [str(label) for label in labels]
    return None


def unprintable(names: Sequence[str]) -> list[str]:
    """Return the names that are blank or hold characters that cannot be printed."""
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
