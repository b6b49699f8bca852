"""Targets: which scans are labelled. The others take part in pretraining alone."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_array, check_consistent_length, column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from sk_brainmae.labels.missing import missing_code, missing_words, unmasked
from sk_brainmae.scans.runs import LARGEST

# Marks an unlabelled scan among numeric class labels, as in sklearn.semi_supervised.
UNLABELLED = -1
# A smaller range of values counts as none: squares of their differences vanish.
SMALLEST_RANGE = 1e-100
# What becomes of unlabelled scans, as the warning that counts them says it.
PRETRAINED_ON = "take part in pretraining alone"
NOT_SCORED = "are left out of the score"


def labelled_classes(
    y: ArrayLike, unlabelled_scans: str | None = PRETRAINED_ON
) -> tuple[NDArray, NDArray]:
    """Find the scans that have a class label, and check the labels.

    Parameters
    ----------
    y : array-like of shape (n_scans,)
        Class labels. A scan is unlabelled by None, NaN or pandas' NA, by the mask of a masked
        array, or by -1 among numbers of which no other is negative.
    unlabelled_scans : str, optional
        What becomes of unlabelled scans, for the warning that counts them. None: no warning.

    Returns
    -------
    labelled : ndarray of shape (n_scans,), bool
        Which scans are labelled.
    labels : ndarray of shape (n_labelled,)
        Their labels.

    Raises
    ------
    ValueError
        If ``y`` is None, continuous, not finite, all unlabelled, or holds one class only; if a
        text stands for a missing label; or if -1 may be a class, beside other negative labels or
        beside another mark.

    Warns
    -----
    UserWarning
        If scans are unlabelled, with their count, or a label is a usual code for a missing one.
    """
    labelled, labels, marked = _find_classes(y)
    classes = np.unique(labels)
    if marked and len(classes) < 2:
        raise ValueError(
            f"y holds one class only ({classes[0]}) beside {UNLABELLED}, which marks unlabelled"
            f" scans: if {UNLABELLED} is a class, recode the classes, for example as 0 and 1"
        )
    labels = check_classes(labels)
    _announce(labelled, unlabelled_scans, by_number=marked)
    return labelled, labels


def known_classes(
    y: ArrayLike, unlabelled_scans: str | None = NOT_SCORED
) -> tuple[NDArray, NDArray]:
    """Find the scans that have a class label, as :func:`labelled_classes`; one class is enough."""
    labelled, labels, marked = _find_classes(y)
    _announce(labelled, unlabelled_scans, by_number=marked)
    return labelled, labels


def _find_classes(y: ArrayLike) -> tuple[NDArray, NDArray, bool]:
    """Return which scans are labelled, their labels, and whether -1 marks the others."""
    y = unmasked(y)
    _check_given(y)
    labels = column_or_1d(_as_array(y), warn=True)
    _check_no_dates(labels)
    labelled = np.ones(len(labels), dtype=bool)
    if labels.dtype.kind in "Of":
        labelled = ~pd.isna(labels)
        labels = labels[labelled]
    if labels.dtype.kind == "O":
        _check_one_kind(labels, labelled)
        labels = pd.Series(labels).infer_objects().to_numpy()
    _check_words(labels, labelled)
    _warn_of_spellings(labels)
    marked = np.zeros(len(labels), dtype=bool)
    if labels.dtype.kind in "iuf":
        marked = labels == UNLABELLED
        _check_mark(labels, marked, labelled)
        labels = labels[~marked]
        labelled[labelled] = ~marked
        _warn_of_code(labels, "None")
    _check_any(labelled)
    return labelled, labels, bool(marked.any())


def labelled_values(
    y: ArrayLike, unlabelled_scans: str | None = PRETRAINED_ON
) -> tuple[NDArray, NDArray]:
    """Find the scans whose target is known, and check the target.

    Parameters
    ----------
    y : array-like of shape (n_scans,)
        The target; NaN (or None, NA, or masked) where it is unknown.
    unlabelled_scans : str, optional
        What becomes of scans without a target, for the warning that counts them. None: no warning.

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
        If the target is unknown for some scans, with their count, if all known values are the
        same, or if one is a usual code for a missing value.
    """
    labelled, known = known_values(y, unlabelled_scans)
    if len(known) > 1 and np.ptp(known) < SMALLEST_RANGE:
        warnings.warn(
            f"y is {known[0]} for all {len(known)} labelled scans: there is nothing to learn, and"
            " every prediction will be this value",
            stacklevel=3,
        )
    return labelled, known


def known_values(
    y: ArrayLike, unlabelled_scans: str | None = NOT_SCORED
) -> tuple[NDArray, NDArray]:
    """Find the scans whose target is known, as :func:`labelled_values`; they may be the same."""
    y = unmasked(y)
    _check_given(y)
    values = column_or_1d(y, warn=True)
    _check_no_dates(values)
    if values.dtype.kind in "OU":
        _check_numbers(values)
    if values.dtype.kind == "O":
        values = np.where(pd.isna(values), np.nan, values)
    values = check_array(
        values, dtype=float, ensure_2d=False, ensure_all_finite="allow-nan", input_name="y"
    )
    _check_extremes(values)
    labelled = ~np.isnan(values)
    _check_any(labelled)
    known = check_values(values[labelled])
    _warn_of_code(known, "NaN")
    _announce(labelled, unlabelled_scans)
    return labelled, known


def score_known(
    known: tuple[NDArray, NDArray],
    predicted: NDArray,
    metric: Callable[..., float],
    sample_weight: ArrayLike | None = None,
) -> float:
    """Score the predictions of the scans that have a target.

    Parameters
    ----------
    known : (ndarray of shape (n_scans,), ndarray of shape (n_labelled,))
        Which scans have a target, and their targets, by :func:`known_classes` or
        :func:`known_values`.
    predicted : ndarray of shape (n_scans,)
        Predictions of all scans.
    metric : callable
        ``metric(target, predicted, sample_weight=...)``.
    sample_weight : array-like of shape (n_scans,), default=None
        Weights of all scans.

    Returns
    -------
    float
        The value of the metric.

    Raises
    ------
    ValueError
        If there is not one prediction a scan.
    """
    labelled, target = known
    check_consistent_length(predicted, labelled)
    weight = None if sample_weight is None else np.asarray(sample_weight)[labelled]
    return metric(target, predicted[labelled], sample_weight=weight)


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


def _announce(labelled: NDArray, fate: str | None, *, by_number: bool = False) -> None:
    """Warn of unlabelled scans with their count, and say what becomes of them."""
    if fate is None or labelled.all():
        return
    doubt = f"; {UNLABELLED} marks them: if it is a class, recode the classes" if by_number else ""
    n = (~labelled).sum()
    warnings.warn(f"{n} of {len(labelled)} scans are unlabelled and {fate}{doubt}", stacklevel=4)


def _warn_of_code(known: NDArray, mark: str) -> None:
    """Warn of a number among the known ones that may stand for a missing one."""
    if (code := missing_code(known)) is None:
        return
    others = known[known != code]
    warnings.warn(
        f"y is {code:g} for {(known == code).sum()} scans, far from all others ({others.min():g} to"
        f" {others.max():g}): if it stands for a missing value, write {mark} in its place",
        stacklevel=5,
    )


def _check_given(y: ArrayLike | None) -> None:
    """Raise if there is no target, or a masked one."""
    if y is None:
        raise ValueError("fitting requires y to be passed, but the target y is None")
    if np.ma.is_masked(y):  # NumPy would read the values below
        raise ValueError(f"y is masked for {np.ma.count_masked(y)} samples: leave them out")


def _check_mark(labels: NDArray, marked: NDArray, known: NDArray) -> None:
    """Raise where -1, which marks unlabelled scans, may be a class; ``known``: not missing."""
    negative = labels[(labels < 0) & ~marked]
    if not marked.any() or (not negative.size and known.all()):
        return
    beside = f"other negative labels ({negative[0]:g})" if negative.size else "missing labels"
    raise ValueError(
        f"y is {UNLABELLED} for {marked.sum()} scans, beside {beside}: is {UNLABELLED} a class, or"
        " a mark of unlabelled scans? Mark unlabelled scans by None, NaN or pandas.NA alone; if"
        f" {UNLABELLED} is a class, recode the classes, for example by y - y.min()"
    )


def _check_words(labels: NDArray, known: NDArray) -> None:
    """Raise where a text stands for a missing label."""
    if labels.dtype.kind in "OU" and (words := missing_words(labels)).any():
        first = np.flatnonzero(known)[words.argmax()]
        raise ValueError(
            f"y is the text {str(labels[words.argmax()])!r} for scan {first} ({words.sum()} of"
            f" {len(known)} scans have no label): mark unlabelled scans by None or NaN, or leave"
            " them out; if it is a class, give it another name"
        )


def _warn_of_spellings(labels: NDArray) -> None:
    """Warn of classes that differ in case or spaces alone."""
    if labels.dtype.kind not in "OU":
        return
    spelled: dict[str, str] = {}
    for label in np.unique(labels[[isinstance(label, str) for label in labels]]).tolist():
        other = spelled.setdefault(" ".join(label.split()).casefold(), label)
        if other != label:
            warnings.warn(
                f"y holds {other!r} and {label!r}, which differ in case or spaces alone and count"
                " as two classes: give them one name if they are one",
                stacklevel=5,
            )


def _check_no_dates(values: NDArray) -> None:
    """Raise where a target holds dates or durations, which NumPy would turn into numbers."""
    if values.dtype.kind in "mM":
        raise ValueError(
            f"y holds {values.dtype}: give numbers, such as years, or the names of classes"
        )


def _check_one_kind(labels: NDArray, known: NDArray) -> None:
    """Raise where labels are texts for some scans and numbers for others."""
    texts = np.array([isinstance(label, str) for label in labels], dtype=bool)
    if texts.any() and not texts.all():
        scans = np.flatnonzero(known)
        a, b = texts.argmax(), texts.argmin()
        raise ValueError(
            f"y mixes texts and others: {labels[a]!r} for scan {scans[a]} and {labels[b]!r} for"
            f" scan {scans[b]}; make all labels text or all numbers"
        )


def _check_numbers(values: NDArray) -> None:
    """Raise where a text is not a number."""
    texts = np.flatnonzero([isinstance(value, str) for value in values])
    wrong = pd.to_numeric(pd.Series(values[texts], dtype=object), errors="coerce").isna()
    if wrong.any():
        first = texts[wrong.argmax()]
        raise ValueError(
            f"could not convert string to float: y is the text {str(values[first])!r} for scan"
            f" {first} ({wrong.sum()} such scans): give numbers, with a decimal point, and NaN"
            " where the target is unknown"
        )


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


def _as_array(y: Any) -> NDArray:
    """Return labels as an array in which missing ones stay missing, and numbers numbers."""
    labels = np.asarray(y)
    nullable = not isinstance(getattr(y, "dtype", labels.dtype), np.dtype)
    if nullable or labels.dtype.kind == "U":  # numpy writes NaN as "nan", and pandas' NA as NaN
        objects = np.asarray(y, dtype=object)
        if pd.isna(objects).any() or not all(isinstance(v, str) for v in objects.flat):
            return objects
    return labels
