"""Folds that hold what they promise, and one estimator fitted and scored on one of them."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import get_config
from sklearn.base import clone
from sklearn.model_selection import check_cv
from sklearn.utils import _safe_indexing
from sklearn.utils.metadata_routing import get_routing_for_object
from sklearn.utils.validation import has_fit_parameter

Fold = tuple[NDArray, NDArray]  # indices of the training samples, of the test samples


def make_folds(cv: Any, y: NDArray, groups: NDArray | None, *, classification: bool) -> list[Fold]:
    """Split the samples once, and check every fold before anything is fitted.

    Parameters
    ----------
    cv : int, cross-validation splitter or iterable of (train, test) indices
        As in :func:`sklearn.model_selection.cross_validate`.
    y : ndarray of shape (n_samples,)
        Labels or target.
    groups : ndarray of shape (n_samples,) or None
        No group may be in both parts of a fold.
    classification : bool
        Whether ``y`` holds classes; each must then be in both parts of a fold.

    Returns
    -------
    list of (train, test)
        Indices of the two parts of each fold.

    Raises
    ------
    ValueError
        If there is only one class, a class is missing from one part of a fold, or a group is
        in both.
    """
    classes = np.unique(y) if classification else np.array([])
    if len(classes) == 1:
        raise ValueError(f"y holds only the class {classes[0]}; a classifier needs two")
    splitter = check_cv(cv, y, classifier=classification)
    folds = [
        (np.asarray(train), np.asarray(test))
        for train, test in splitter.split(np.zeros((len(y), 1)), y, groups)
    ]
    for k, (train, test) in enumerate(folds):
        if groups is not None:
            _check_groups_apart(k, groups[train], groups[test])
        _check_classes(k, "training", classes, y[train])
        _check_classes(k, "test", classes, y[test])
    return folds


def fit_and_score(
    estimator: Any,
    scorer: Callable[[Any, Any, NDArray], dict[str, float]],
    X: Any,
    y: NDArray,
    groups: NDArray | None,
    fold: Fold,
) -> tuple[dict[str, float], float]:
    """Fit a clone on the training part of a fold and score it on the test part.

    Parameters
    ----------
    estimator : estimator
        Left as it is.
    scorer : callable
        ``scorer(fitted, X, y)`` gives the value of every metric.
    X : list or array of n_samples scans
        All samples.
    y : ndarray of shape (n_samples,)
        Labels or target.
    groups : ndarray of shape (n_samples,) or None
        Handed to ``fit`` where that takes ``groups``.
    fold : (train, test)
        Indices of the two parts.

    Returns
    -------
    dict of str to float
        The value of every metric.
    float
        How long fitting took, in seconds.
    """
    train, test = fold
    metadata = {}
    if groups is not None and _takes_groups(estimator):
        metadata["groups"] = groups[train]
    started = time.perf_counter()
    fitted = clone(estimator).fit(_safe_indexing(X, train), y[train], **metadata)
    fit_time = time.perf_counter() - started
    return scorer(fitted, _safe_indexing(X, test), y[test]), fit_time


def _takes_groups(estimator: Any) -> bool:
    """Whether ``fit`` takes ``groups``: by its own signature, or by metadata routing if enabled."""
    if has_fit_parameter(estimator, "groups"):
        return True
    routing = get_config()["enable_metadata_routing"]
    return routing and bool(get_routing_for_object(estimator).consumes("fit", ["groups"]))


def _check_groups_apart(k: int, train: NDArray, test: NDArray) -> None:
    shared = np.intersect1d(train, test)
    if shared.size:
        raise ValueError(
            f"fold {k}: {shared.size} of the groups are in both the training and the test part,"
            f" the first is {shared[0]}; split by group, for example with GroupKFold"
        )


def _check_classes(k: int, part: str, classes: NDArray, y: NDArray) -> None:
    missing = np.setdiff1d(classes, y)
    if missing.size:
        raise ValueError(
            f"fold {k}: its {part} part ({len(y)} samples) has no sample of class"
            f" {missing[0]}; use fewer folds, or split by class, for example with"
            " StratifiedKFold or StratifiedGroupKFold"
        )
