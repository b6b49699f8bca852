"""Scans as tables whose columns have labels: pandas, polars, PyArrow, xarray."""

from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sk_brainmae.scans.gaps import masked_as_nan
from sk_brainmae.scans.time_columns import is_time

# Names of the axis of regions, which say which way round a table lies.
REGION_AXES = {"region", "roi", "parcel", "node", "area", "channel", "network", "component"}


@dataclass(eq=False)
class Reordered:
    """A table with its columns in another order, read when it is used."""

    table: Any  # (n_timepoints, n_regions)
    order: NDArray  # (n_regions,)

    @property
    def columns(self) -> list:
        """Labels of the columns."""
        labels = labels_of(self.table, 0) or []
        return [labels[k] for k in self.order]

    @property
    def shape(self) -> tuple[int, int]:
        """Frames and regions."""
        return len(self.table), len(self.order)

    def __len__(self) -> int:
        return len(self.table)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray:
        return np.array(masked_as_nan(self.table)[:, self.order], dtype=dtype, copy=copy)


def reordered(table: Any, order: NDArray) -> Any:
    """Return a table with its columns in an order, (n_regions,)."""
    return table.iloc[:, order] if isinstance(table, pd.DataFrame) else Reordered(table, order)


def is_labelled(data: Any) -> bool:
    """Tell whether data are an xarray.DataArray, with names of axes and labels along them."""
    return all(hasattr(data, name) for name in ("ndim", "dims", "coords"))


def labels_of(scan: Any, i: int) -> list | None:
    """Return the labels of the columns of scan ``i`` as they are; None where it has none.

    Data that are not read yet, and tables whose axes are named the other way round, raise.
    """
    if is_labelled(scan):
        return _coordinate(scan, i)
    if hasattr(scan, "collect") and not hasattr(scan, "__len__"):
        raise TypeError(
            f"scan {i} is a {type(scan).__name__}, which holds a query and no values: pass what its"
            " collect() returns"
        )
    if isinstance(scan, pd.DataFrame):
        _check_axes(scan.index.name, scan.columns.name, i)
    labels = getattr(scan, "column_names", getattr(scan, "columns", None))
    return None if labels is None else list(labels)


def _coordinate(scan: Any, i: int) -> list | None:
    """Return the labels of the regions of an xarray.DataArray."""
    if len(scan.dims) != 2:
        return None  # no scan, as the seam will say
    axis = scan.dims[1]
    _check_axes(scan.dims[0], axis, i)
    along = {
        name: list(values.to_numpy())
        for name, values in scan.coords.items()
        if values.dims == (axis,)
    }
    labels = {name: given for name, given in along.items() if not counts(given)}
    if len(labels) > 1 and axis not in labels:
        raise ValueError(
            f"scan {i} labels its {axis} by {', '.join(map(repr, labels))}: choose the one that"
            " names the regions, by set_index, or drop the others"
        )
    return labels.get(axis, next(iter((labels or along).values()), None))


def _check_axes(first: Any, second: Any, i: int) -> None:
    """Raise where the names of a table's axes say that regions come before time."""
    if _is_region_axis(first) or is_time(str(second)):
        raise ValueError(
            f"scan {i} has the axes {first!r} and {second!r}, but a scan is (n_timepoints,"
            " n_regions): transpose it, or rename its axes"
        )


def _is_region_axis(name: Any) -> bool:
    return str(name).lower().removesuffix("s") in REGION_AXES


def counts(labels: list) -> bool:
    """Tell whether labels count columns from 0, as pandas does; in whichever order."""
    numbers = all(_is_whole(label) for label in labels)
    return numbers and sorted(labels) == list(range(len(labels)))


def name_of(label: Any) -> str | None:
    """Return the name that a label gives a region, or None if it is neither text nor whole.

    Bytes are text, whole floats are as the whole numbers; the parts of a tuple, a label of
    pandas' MultiIndex, are joined by "_".
    """
    if isinstance(label, str):
        return str(label)
    if isinstance(label, bytes):
        try:
            return label.decode()
        except UnicodeDecodeError:
            return None
    if isinstance(label, tuple):
        parts = [name_of(part) for part in label]
        return None if None in parts else "_".join(part for part in parts if part)
    return str(int(label)) if _is_whole(label) else None


def _is_whole(label: Any) -> bool:
    if isinstance(label, (bool, np.bool_)) or not isinstance(label, Real):
        return False
    return isinstance(label, Integral) or float(label).is_integer()
