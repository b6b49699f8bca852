"""Folds that hold what they promise: repeated, stratified, and never a subject on both sides."""

from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import (
    PredefinedSplit,
    StratifiedGroupKFold,
    StratifiedKFold,
    check_cv,
)
from sklearn.utils import check_random_state

# A continuous target is stratified by this many quantile bins, fewer where samples are few.
N_BINS = 10
N_FOLDS, N_REPEATS = 5, 5


class Fold(NamedTuple):
    """Which samples train and which test.

    Attributes
    ----------
    repeat : int
        How often all of its test samples have been tested before.
    number : int
        Counted from 0 within the repeat.
    train, test : ndarray of int
        Indices of the samples of the two parts.
    """

    repeat: int
    number: int
    train: NDArray
    test: NDArray


def repeated_folds(
    y: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    n_folds: int = N_FOLDS,
    n_repeats: int = N_REPEATS,
    classification: bool = True,
    random_state: Any = None,
) -> list[tuple[NDArray, NDArray]]:
    """Split samples several times into folds that are alike in the target.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Labels or target.
    groups : array-like of shape (n_samples,), optional
        Whom each sample is from: all samples of a group are tested together.
    n_folds : int, default=5
        Folds in a repeat.
    n_repeats : int, default=5
        How often the samples are split anew, which lessens the part of chance in a score.
    classification : bool, default=True
        Whether ``y`` holds classes, whose shares every fold keeps. A continuous target is
        stratified by its quantiles.
    random_state : int, RandomState instance or None, default=None
        Shuffles the samples (the groups).

    Returns
    -------
    list of (train, test)
        Indices of the two parts of each fold, repeat after repeat: ``cv`` of :func:`compare`
        and of everything in scikit-learn.

    Raises
    ------
    ValueError
        If there are fewer samples (groups) than folds, of all or of a class.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_brainmae.evaluation import repeated_folds
    >>> folds = repeated_folds(np.arange(20.0), classification=False, n_repeats=2, random_state=0)
    >>> len(folds), len(folds[0][1])
    (10, 4)
    """
    y = np.asarray(y)
    _check_enough(y if classification else np.zeros(len(y)), groups, n_folds)
    strata = y if classification else _quantile_bins(y, n_folds)
    kind = StratifiedKFold if groups is None else StratifiedGroupKFold
    rng = check_random_state(random_state)
    return [
        (np.asarray(train), np.asarray(test))
        for _ in range(n_repeats)
        for train, test in kind(n_folds, shuffle=True, random_state=rng.randint(2**31 - 1)).split(
            np.zeros((len(y), 1)), strata, groups
        )
    ]


def make_folds(
    cv: Any, y: NDArray, groups: NDArray | None, *, classification: bool, random_state: Any
) -> list[Fold]:
    """Split the samples once, and check every fold before anything is fitted.

    Parameters
    ----------
    cv : None, int, cross-validation splitter or iterable of (train, test) indices
        None and a number of folds mean :func:`repeated_folds`, a number without repeats.
    y : ndarray of shape (n_samples,)
        Labels or target.
    groups : ndarray of shape (n_samples,) or None
        No group may be in both parts of a fold.
    classification : bool
        Whether ``y`` holds classes; each must then be in both parts of a fold.
    random_state : int, RandomState instance or None
        Of the default folds.

    Returns
    -------
    list of Fold
        In the order of ``cv``.

    Raises
    ------
    ValueError
        If there is only one class, a class is missing from one part of a fold, a sample or group
        is in both, or indices are of no sample.
    """
    classes = np.unique(y) if classification else np.array([])
    if len(classes) == 1:
        raise ValueError(f"y holds only the class {classes[0]}; a classifier needs two")
    if cv is None or isinstance(cv, Integral):
        n_folds, n_repeats = (N_FOLDS, N_REPEATS) if cv is None else (int(cv), 1)
        splits = repeated_folds(
            y,
            groups,
            n_folds=n_folds,
            n_repeats=n_repeats,
            classification=classification,
            random_state=random_state,
        )
    else:
        given = check_cv(cv).split(np.zeros((len(y), 1)), y, groups)
        splits = [_check_indices(k, pair, len(y)) for k, pair in enumerate(given)]
    if not splits:
        raise ValueError("cv makes no fold: an iterator can be used once, a list again")
    folds = _number(splits, len(y))
    for fold in folds:
        _check_samples_apart(fold)
        if groups is not None:
            _check_groups_apart(fold, groups)
        _check_classes(fold, "training", classes, y[fold.train])
        _check_classes(fold, "test", classes, y[fold.test])
    return folds


def among_kept(cv: Any, kept: NDArray, n_samples: int) -> Any:
    """Return ``cv`` for the samples that were kept, where it lists indices of all.

    Parameters
    ----------
    cv : Any
        As for :func:`make_folds`. Splitters split what they are given, and stay as they are.
    kept : ndarray of shape (n_kept,)
        Indices of the samples that were kept.
    n_samples : int
        How many there were.

    Returns
    -------
    Any
        Indices into those kept, or ``cv`` itself.

    Raises
    ------
    ValueError
        If there are indices of no sample, or a part of a fold loses all of its samples.
    """
    if isinstance(cv, PredefinedSplit):  # of all samples, whatever it is given
        cv = list(cv.split())
    if len(kept) == n_samples or cv is None or isinstance(cv, Integral) or hasattr(cv, "split"):
        return cv
    place = np.full(n_samples, -1)
    place[kept] = np.arange(len(kept))
    pairs = []
    for k, pair in enumerate(cv):
        train, test = (place[part] for part in _check_indices(k, pair, n_samples))
        pairs.append((train[train >= 0], test[test >= 0]))
    return pairs


def _check_indices(k: int, pair: Any, n_samples: int) -> tuple[NDArray, NDArray]:
    """Return the two parts of a fold; a mask or a negative index would mean other samples."""
    train, test = (np.asarray(part) for part in pair)
    for name, part in (("training", train), ("test", test)):
        if not part.size:
            raise ValueError(f"cv: the {name} part of its fold {k} has no sample")
        if part.dtype.kind not in "iu" or part.ndim != 1:
            raise ValueError(
                f"cv: the {name} part of its fold {k} must be a list of indices of samples; it has"
                f" shape {part.shape} and dtype {part.dtype}"
            )
        if part.min() < 0 or part.max() >= n_samples:
            wrong = part.min() if part.min() < 0 else part.max()
            raise ValueError(
                f"cv: the {name} part of its fold {k} has the index {wrong}; there are {n_samples}"
                f" samples, 0 to {n_samples - 1}"
            )
    if len(np.unique(test)) < len(test):
        raise ValueError(f"cv: the test part of its fold {k} has a sample more than once")
    return train, test


def _number(splits: list[tuple[NDArray, NDArray]], n_samples: int) -> list[Fold]:
    """Count repeats: a fold whose samples were all tested before belongs to the next one."""
    tested = np.zeros(n_samples, dtype=int)
    n_folds: dict[int, int] = {}
    folds = []
    for train, test in splits:
        repeat = int(tested[test].min())
        number = n_folds.get(repeat, 0)
        n_folds[repeat] = number + 1
        tested[test] += 1
        folds.append(Fold(repeat, number, np.asarray(train), np.asarray(test)))
    return folds


def _quantile_bins(y: NDArray, n_folds: int) -> NDArray:
    """Return the quantile bin of each value, each with members for every fold where possible."""
    n_bins = int(np.clip(len(y) // n_folds, 1, N_BINS))
    return pd.qcut(pd.Series(y).rank(method="first"), n_bins, labels=False).to_numpy()


def _check_enough(labels: NDArray, groups: ArrayLike | None, n_folds: int) -> None:
    """Every class (all samples, of one class) needs a member, or group, for every fold."""
    classes = np.unique(labels)
    units = np.arange(len(labels)) if groups is None else np.asarray(groups)
    what = "samples" if groups is None else "groups"
    for label in classes:
        n = len(np.unique(units[labels == label]))
        if n < n_folds:
            whose = f"class {label} has" if len(classes) > 1 else "there are"
            raise ValueError(f"{whose} {n} {what}, too few for {n_folds} folds: use fewer")


def _check_samples_apart(fold: Fold) -> None:
    shared = np.intersect1d(fold.train, fold.test)
    if shared.size:
        raise ValueError(
            f"{describe(fold)}: {shared.size} samples are in both the training and the test part,"
            f" the first is {shared[0]}; a test sample must not be fitted on"
        )


def _check_groups_apart(fold: Fold, groups: NDArray) -> None:
    shared = np.intersect1d(groups[fold.train], groups[fold.test])
    if shared.size:
        raise ValueError(
            f"{describe(fold)}: {shared.size} of the groups are in both the training and the test"
            f" part, the first is {shared[0]}; split by group, for example with GroupKFold"
        )


def _check_classes(fold: Fold, part: str, classes: NDArray, y: NDArray) -> None:
    missing = np.setdiff1d(classes, y)
    if missing.size:
        raise ValueError(
            f"{describe(fold)}: its {part} part ({len(y)} samples) has no sample of class"
            f" {missing[0]}; use fewer folds, or split by class, for example with"
            " StratifiedKFold or StratifiedGroupKFold"
        )


def describe(fold: Fold) -> str:
    """Name a fold in a message.

    Parameters
    ----------
    fold : Fold
        Any.

    Returns
    -------
    str
        Its number, and its repeat where that is not the first.
    """
    return f"fold {fold.number}" + (f" of repeat {fold.repeat}" if fold.repeat else "")
