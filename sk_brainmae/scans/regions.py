"""Regions by name: columns of scans are brought into the order of a model's regions."""

import warnings
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sk_brainmae.scans.identity import keys_of
from sk_brainmae.scans.tables import counts, is_labelled, labels_of, name_of, reordered
from sk_brainmae.scans.time_columns import is_no_region
from sk_brainmae.scans.window import Window

Order = NDArray | None


def region_orders(
    X: Any, names: Sequence[str] | None = None, *, tell: bool = True
) -> tuple[list[str] | None, list]:
    """Return the names of the regions, and how to order the columns of each scan.

    ``names`` are the regions of a model; None takes them from the first scan that names its own.
    The order of a scan is the column of every region, (n_regions,), or None where its columns are
    in order. Scans without names are taken to be in order, and a warning says so (``tell``) where
    others, or the model, have names. Columns that count from 0, as pandas does, are no names.
    """
    known = None if names is None else list(names)
    if not isinstance(X, (list, tuple)) and getattr(X, "ndim", 0) != 1 and not is_labelled(X):
        return known, [None] * len(X) if getattr(X, "ndim", 0) == 3 else []
    items = list(X)
    keys = keys_of(items)
    named: dict[Hashable, bool] = {}
    order: dict[Hashable, Order] = {}
    for i, (item, key) in enumerate(zip(items, keys, strict=True)):
        if key not in named:
            scan = item.scan if isinstance(item, Window) else item
            own, order[key] = _read_columns(scan, known, i)
            named[key] = own is not None
            known = own if known is None else known
    if tell:
        _warn_of_names(sum(named[key] for key in keys), len(items), names)
    return known, [order[key] for key in keys]


def reorder_regions(X: Any, orders: list) -> Any:
    """Return scans with their columns in the orders of :func:`region_orders`.

    Scans that are in order stay as they are, and moments of one run still share it.
    """
    if all(order is None for order in orders):
        return X
    moved: dict[Hashable, Any] = {}
    ordered: list[Any] = []
    items = list(X)
    for item, key, order in zip(items, keys_of(items), orders, strict=True):
        if order is None:
            ordered.append(item)
            continue
        scan = item.scan if isinstance(item, Window) else item
        if key not in moved:
            moved[key] = reordered(scan, order)
        whole = moved[key]
        ordered.append(Window(whole, item.start, item.stop) if isinstance(item, Window) else whole)
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


def _read_columns(scan: Any, known: list[str] | None, i: int) -> tuple[list[str] | None, Order]:
    """Return the names of the columns, None where there are none, and how to order them."""
    labels = labels_of(scan, i)
    if labels is None:
        return None, None
    own = _names(labels, i)
    if counts(labels) and (known is None or set(known) != set(own)):
        places = np.argsort(np.array(labels, dtype=float))
        in_order = bool((places == np.arange(len(places))).all())
        if known is None or in_order:
            return None, None if in_order else places
    if known is None:
        _check_printable(own, i)
    return own, _order(own, own if known is None else known, i)


def _names(labels: list, i: int) -> list[str]:
    """Return labels as names, or raise where one is none or is not that of a region."""
    own = []
    for k, label in enumerate(labels):
        name = name_of(label)
        if name is None:
            raise ValueError(
                f"scan {i} labels its column {k} {label!r}, which is neither text nor a whole"
                " number: rename its columns by their regions, or pass an array"
            )
        if is_no_region(name):
            raise ValueError(
                f"scan {i} has a column {name!r}, which is not a region: drop it, or rename it if"
                " it is one"
            )
        own.append(name)
    return own


def _warn_of_names(n_named: int, n_scans: int, names: Sequence[str] | None) -> None:
    if not n_named and names is not None:
        warnings.warn(
            "X does not have valid feature names, but the model was fitted with feature names, the"
            " regions: columns are taken to be these regions in the same order",
            stacklevel=4,
        )
    if 0 < n_named < n_scans:
        warnings.warn(
            f"{n_named} of {n_scans} scans name their regions; the others are taken to have"
            " the same ones in the same order",
            stacklevel=4,
        )


def unprintable(names: Sequence[str]) -> list[str]:
    """Return the names that are blank or hold characters that cannot be printed."""
    return [name for name in names if not name.strip() or not name.isprintable()]


def _check_printable(own: list[str], i: int) -> None:
    if odd := unprintable(own):
        raise ValueError(
            f"scan {i} names a region {odd[0]!r}, which is empty or not printable (a no-break space"
            " or control character, say): rename it"
        )


def _order(own: list[str], names: list[str], i: int) -> Order:
    place = {name: k for k, name in enumerate(own)}
    if len(place) < len(own):
        twice = next(name for name in own if own.count(name) > 1)
        raise ValueError(f"scan {i} has two regions named {twice!r}: rename one, or pass an array")
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
