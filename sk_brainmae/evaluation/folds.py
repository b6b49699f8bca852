"""Folds of a comparison: repeated, stratified, and no subject in both parts of a fold."""

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
    """Which samples train and which test."""

    repeat: int  # how often all of its test samples have been tested before
    number: int  # counted from 0 within the repeat
    train: NDArray  # indices of samples
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
        The subject of each sample. All samples of a group are tested together.
    n_folds : int, default=5
        Folds in a repeat.
    n_repeats : int, default=5
        How often the samples are split anew. A mean over more splits depends less on chance.
    classification : bool, default=True
        Whether ``y`` holds classes, whose shares every fold keeps. A continuous target is
        stratified by its quantiles.
    random_state : int, RandomState instance or None, default=None
        Shuffles the samples, or the groups.

    Returns
    -------
    list of (train, test)
        Indices of the two parts of each fold, repeat after repeat. Pass them as ``cv`` to
        :func:`compare` or to scikit-learn.

    Raises
    ------
    ValueError
        If there are fewer samples (or groups) than folds, in all or in a class.

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
    """Split the samples once, and check every fold before anything is fitted."""
    classes = np.unique(y) if classification else np.array([])
    if len(classes) == 1:
        raise ValueError(f"y holds only the class {classes[0]}; a classifier needs two classes")
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
        raise ValueError("cv makes no fold: pass a list if it is an iterator that was used before")
    folds = _number(splits, len(y))
    for fold in folds:
        advice = "take them out of one part"
        _check_apart(fold, "samples", fold.train, fold.test, advice)
        if groups is not None:
            advice = "split by group, for example with GroupKFold"
            _check_apart(fold, "groups", groups[fold.train], groups[fold.test], advice)
        _check_classes(fold, "training", classes, y[fold.train])
        _check_classes(fold, "test", classes, y[fold.test])
    return folds


def among_kept(cv: Any, kept: NDArray, n_samples: int) -> Any:
    """Turn indices that ``cv`` lists into indices of the kept samples, (n_kept,).

    Splitters stay as they are: they split what they are given.
    """
    if isinstance(cv, PredefinedSplit):  # it splits all samples, whatever it is given
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
    """Return the two parts of a fold, or say why their indices are wrong, such as a mask."""
    train, test = (np.asarray(part) for part in pair)
    for name, part in (("training", train), ("test", test)):
        if not part.size:
            raise ValueError(f"cv: the {name} part of fold {k} has no sample")
        if part.dtype.kind not in "iu" or part.ndim != 1:
            raise ValueError(
                f"cv: the {name} part of fold {k} must be a list of sample indices; it has shape"
                f" {part.shape} and dtype {part.dtype}"
            )
        if part.min() < 0 or part.max() >= n_samples:
            wrong = part.min() if part.min() < 0 else part.max()
            raise ValueError(
                f"cv: the {name} part of fold {k} has the index {wrong}; there are {n_samples}"
                f" samples, 0 to {n_samples - 1}"
            )
    if len(np.unique(test)) < len(test):
        raise ValueError(f"cv: the test part of fold {k} has a sample more than once")
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
    """Return the quantile bin of each value; where possible, every fold gets some of each bin."""
    n_bins = int(np.clip(len(y) // n_folds, 1, N_BINS))
    return pd.qcut(pd.Series(y).rank(method="first"), n_bins, labels=False).to_numpy()


def _check_enough(labels: NDArray, groups: ArrayLike | None, n_folds: int) -> None:
    """Raise where a class has fewer samples (or groups) than there are folds."""
    classes = np.unique(labels)
    units = np.arange(len(labels)) if groups is None else np.asarray(groups)
    what = "samples" if groups is None else "groups"
    for label in classes:
        n = len(np.unique(units[labels == label]))
        if n < n_folds:
            whose = f"class {label} has" if len(classes) > 1 else "there are"
            raise ValueError(f"{whose} {n} {what}, too few for {n_folds} folds: use fewer")


def _check_apart(fold: Fold, what: str, train: NDArray, test: NDArray, advice: str) -> None:
    shared = np.intersect1d(train, test)
    if shared.size:
        raise ValueError(
            f"{describe(fold)}: {shared.size} {what} are in both the training and the test part,"
            f" the first is {shared[0]}: {advice}"
        )


def _check_classes(fold: Fold, part: str, classes: NDArray, y: NDArray) -> None:
    missing = np.setdiff1d(classes, y)
    if missing.size:
        raise ValueError(
            f"{describe(fold)}: the {part} part ({len(y)} samples) has no sample of class"
            f" {missing[0]}; use fewer folds, or split by class, for example with"
            " StratifiedKFold or StratifiedGroupKFold"
        )


def describe(fold: Fold) -> str:
    """Name a fold in a message, with its repeat where that is not the first."""
    return f"fold {fold.number}" + (f" of repeat {fold.repeat}" if fold.repeat else "")
