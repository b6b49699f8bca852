"""Which scans are labelled, and how: those that are not take part in pretraining alone."""

import warnings
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_array, column_or_1d

from sk_brainmae.linear_head import check_classes, check_extremes, check_given, check_values

# Marks an unlabelled scan among numeric class labels, as in sklearn.semi_supervised.
UNLABELLED = -1
# Values closer than this are one value: squares of their differences vanish.
SMALLEST_RANGE = 1e-100


def labelled_classes(y: ArrayLike) -> tuple[NDArray, NDArray]:
    """Find the scans that have a class label, and check the labels.

    Parameters
    ----------
    y : array-like of shape (n_scans,)
        Class labels. Unlabelled are -1 among numbers, None or NaN among strings and objects, and
        what a masked array masks.

    Returns
    -------
    labelled : ndarray of shape (n_scans,), bool
        Which scans are labelled.
    labels : ndarray of shape (n_labelled,)
        Their labels.

    Raises
    ------
    ValueError
        If ``y`` is missing, no class labels, not finite, all unlabelled, or holds one class only.
    """
    y = unmasked(y)
    check_given(y)
    labels = column_or_1d(_as_array(y), warn=True)
    labelled = np.ones(len(labels), dtype=bool)
    if labels.dtype.kind == "O":
        labelled = ~pd.isna(labels)
        labels = pd.Series(labels[labelled]).infer_objects().to_numpy()
    marked = np.zeros(len(labels), dtype=bool)
    if labels.dtype.kind in "iuf":
        marked = labels == UNLABELLED
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
        If ``y`` is missing, not numeric, infinite, too large to be squared or all unknown.

    Warns
    -----
    UserWarning
        If it is the same wherever it is known.
    """
    y = unmasked(y)
    check_given(y)
    values = column_or_1d(y, warn=True)
    if values.dtype.kind == "O":
        values = np.where(pd.isna(values), np.nan, values)
    values = check_array(
        values, dtype=float, ensure_2d=False, ensure_all_finite="allow-nan", input_name="y"
    )
    check_extremes(values)
    labelled = ~np.isnan(values)
    _check_any(labelled)
    known = check_values(values[labelled])
    if len(known) > 1 and np.ptp(known) < SMALLEST_RANGE:
        warnings.warn(
            f"y is {known[0]} for all {len(known)} labelled scans: there is nothing to learn, and"
            " every prediction will be that",
            stacklevel=3,
        )
    return labelled, known


def unmasked(values: Any) -> Any:
    """Return what a masked array masks as None; else the values as they came."""
    if not np.ma.is_masked(values):
        return values
    objects = np.ma.getdata(values).astype(object)
    objects[np.ma.getmaskarray(values)] = None
    return objects


def _as_array(y: Any) -> NDArray:
    """Return labels as an array in which what is missing stays missing."""
    labels = np.asarray(y)
    nullable = not isinstance(getattr(y, "dtype", labels.dtype), np.dtype)
    if nullable or labels.dtype.kind == "U":  # numpy writes NaN as "nan", and pandas' NA as NaN
        objects = np.asarray(y, dtype=object)
        return objects if pd.isna(objects).any() else labels
    return labels


def _check_any(labelled: NDArray) -> None:
    if not labelled.any():
        raise ValueError(
            f"all {len(labelled)} scans are unlabelled: the head needs labelled ones;"
            " BrainMAETransformer pretrains without any"
        )
