"""Targets: which scans are labelled. The others take part in pretraining alone."""

import warnings
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_array, column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from sk_brainmae.scans.runs import LARGEST

# Marks an unlabelled scan among numeric class labels, as in sklearn.semi_supervised.
UNLABELLED = -1
# A smaller range of values counts as none: squares of their differences vanish.
SMALLEST_RANGE = 1e-100


def labelled_classes(y: ArrayLike) -> tuple[NDArray, NDArray]:
    """Find the scans that have a class label, and check the labels.

    Parameters
    ----------
    y : array-like of shape (n_scans,)
        Class labels. A scan is unlabelled by -1 among numbers, by None or NaN among strings and
        objects, or by the mask of a masked array.

    Returns
    -------
    labelled : ndarray of shape (n_scans,), bool
        Which scans are labelled.
    labels : ndarray of shape (n_labelled,)
        Their labels.

    Raises
    ------
    ValueError
        If ``y`` is None, continuous, not finite, all unlabelled, or holds one class only.
    """
    y = unmasked(y)
    _check_given(y)
    labels = column_or_1d(_as_array(y), warn=True)
    labelled = np.ones(len(labels), dtype=bool)
    if labels.dtype.kind == "O":
        labelled = ~pd.isna(labels)
        labels = pd.Series(labels[labelled]).infer_objects().to_numpy()
    numeric = labels.dtype.kind in "iuf"
    marked = labels == UNLABELLED if numeric else np.zeros(len(labels), dtype=bool)
    labels = labels[~marked]
    labelled[labelled] = ~marked
    _check_any(labelled)
    if marked.any() and len(classes := np.unique(labels)) < 2:
        raise ValueError(
            f"y holds one class only ({classes[0]}) beside {UNLABELLED}, which marks unlabelled"
            f" scans: if {UNLABELLED} is a class, recode the classes, for example as 0 and 1"
        )
    return labelled, check_classes(labels)


def labelled_values(y: ArrayLike) -> tuple[NDArray, NDArray]:
    """Find the scans whose target is known, and check the target.

    Parameters
    ----------
    y : array-like of shape (n_scans,)
        The target; NaN (or None, or masked) where it is unknown.

    Returns
    -------
    labelled : ndarray of shape (n_scans,), bool
        Where the target is known.
    values : ndarray of shape (n_labelled,), float64
        The target there.

    Raises
    ------
    ValueError
        If ``y`` is None, not numeric, infinite, too large to be squared or all unknown.

    Warns
    -----
    UserWarning
        If all known values are the same.
    """
    y = unmasked(y)
    _check_given(y)
    values = column_or_1d(y, warn=True)
    if values.dtype.kind == "O":
        values = np.where(pd.isna(values), np.nan, values)
    values = check_array(
        values, dtype=float, ensure_2d=False, ensure_all_finite="allow-nan", input_name="y"
    )
    _check_extremes(values)
    labelled = ~np.isnan(values)
    _check_any(labelled)
    known = check_values(values[labelled])
    if len(known) > 1 and np.ptp(known) < SMALLEST_RANGE:
        warnings.warn(
            f"y is {known[0]} for all {len(known)} labelled scans: there is nothing to learn, and"
            " every prediction will be this value",
            stacklevel=3,
        )
    return labelled, known


def check_classes(y: ArrayLike) -> NDArray:
    """Return class labels as a 1-D array; raise unless all are given, of two classes or more."""
    _check_given(y)
    labels = check_array(column_or_1d(y, warn=True), dtype=None, ensure_2d=False, input_name="y")
    check_classification_targets(labels)
    classes = np.unique(labels)
    if len(classes) < 2:
        raise ValueError(f"y holds one class only ({classes[0]!r}): there is nothing to decode")
    return labels


def check_values(y: ArrayLike) -> NDArray:
    """Return a regression target as a 1-D float array; raise unless all of it is finite."""
    _check_given(y)
    y = column_or_1d(y, warn=True)
    values = check_array(y, dtype=float, ensure_2d=False, input_name="y")
    _check_extremes(values)
    return values


def _check_given(y: ArrayLike | None) -> None:
    """Raise if there is no target, or a masked one."""
    if y is None:
        raise ValueError("fitting requires y to be passed, but the target y is None")
    if np.ma.is_masked(y):  # NumPy would read the values below
        raise ValueError(f"y is masked for {np.ma.count_masked(y)} samples: leave them out")


def _check_extremes(values: NDArray) -> None:
    """Raise if the square of a value overflows; NaN is allowed."""
    if (extreme := np.abs(values) > LARGEST).any():
        i = int(extreme.argmax())
        raise ValueError(
            f"y is {values[i]} for sample {i} ({extreme.sum()} values are beyond {LARGEST:g}):"
            " correct it, or use another unit"
        )


def _check_any(labelled: NDArray) -> None:
    """Raise if no scan is labelled."""
    if not labelled.any():
        raise ValueError(
            f"all {len(labelled)} scans are unlabelled: the head needs labelled ones;"
            " BrainMAETransformer pretrains without any"
        )


def unmasked(values: Any) -> Any:
    """Return the masked values of a masked array as None; other values as they are."""
    if not np.ma.is_masked(values):
        return values
    objects = np.ma.getdata(values).astype(object)
    objects[np.ma.getmaskarray(values)] = None
    return objects


def _as_array(y: Any) -> NDArray:
    """Return labels as an array in which missing ones stay missing."""
    labels = np.asarray(y)
    nullable = not isinstance(getattr(y, "dtype", labels.dtype), np.dtype)
    if nullable or labels.dtype.kind == "U":  # numpy writes NaN as "nan", and pandas' NA as NaN
        objects = np.asarray(y, dtype=object)
        return objects if pd.isna(objects).any() else labels
    return labels
