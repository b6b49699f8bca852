"""Samples of a comparison, checked before any work: lengths, missing targets, hidden relatives."""

import warnings
from collections.abc import Iterable
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import _safe_indexing

from sk_brainmae.evaluation.fitting import Samples, taken_metadata
from sk_brainmae.evaluation.tables import KINDS, kind_of
from sk_brainmae.labels.confounds import check_confounds
from sk_brainmae.labels.targets import unmasked
from sk_brainmae.scans.window import Window


def check_samples(
    X: Any,
    y: ArrayLike,
    groups: ArrayLike | None,
    confounds: Any,
    *,
    drop_missing: bool,
    classification: bool,
) -> Samples:
    """Return samples with one target, group and row of confounds each.

    Parameters
    ----------
    X : list of scans or Windows, or ndarray of shape (n_scans, n_timepoints, n_regions)
        The samples.
    y : array-like of shape (n_samples,)
        Labels or target.
    groups : array-like of shape (n_samples,) or None
        Whom each sample is from.
    confounds : DataFrame, array-like of shape (n_samples, n_confounds), or None
        One row a sample.
    drop_missing : bool
        Whether samples without a target are left out.
    classification : bool
        Whether ``y`` holds classes.

    Returns
    -------
    Samples
        Arrays, and the confounds as a DataFrame.

    Raises
    ------
    ValueError
        If lengths or orders differ, values are missing, or labels are of several types.

    Warns
    -----
    UserWarning
        If samples are left out, or some belong together and ``groups`` does not say so.
    """
    _check_aligned({"X": X, "y": y, "groups": groups, "confounds": confounds})
    index = getattr(y, "index", None)
    y = np.asarray(unmasked(y))
    metadata: dict[str, Any] = {}
    if groups is not None:
        metadata["groups"] = np.asarray(unmasked(groups))
    for name, values in {"y": y, **metadata}.items():
        if values.shape != (len(X),):
            raise ValueError(
                f"{name} has shape {values.shape}; X holds {len(X)} samples, so it must have"
                f" shape ({len(X)},)"
            )
    if confounds is not None:
        metadata["confounds"] = check_confounds(confounds, len(X))
    if "groups" in metadata and (unnamed := pd.isna(metadata["groups"])).any():
        raise ValueError(f"groups: {unnamed.sum()} samples have none, first {unnamed.argmax()}")
    if "groups" in metadata:
        _check_kind("groups", metadata["groups"])
    if relatives := _relatives(X, index, metadata.get("groups")):
        warnings.warn(
            f"{relatives}: training and test part of a fold may share a subject; pass groups= that"
            " keep together what belongs together",
            stacklevel=3,
        )
    missing = np.asarray(pd.isna(y))
    if missing.any() and (not drop_missing or missing.all()):
        raise ValueError(
            f"the target of {missing.sum()} of {len(y)} samples is missing, the first of sample"
            f" {missing.argmax()}; leave them out, or pass drop_missing=True"
        )
    if missing.any():
        text = f"left out {missing.sum()} of {len(y)} samples, whose target is missing"
        warnings.warn(text, stacklevel=3)
    kept = np.flatnonzero(~missing)
    metadata = {name: _safe_indexing(rows, kept) for name, rows in metadata.items()}
    X = _safe_indexing(X, kept) if missing.any() else X
    y = _labels(y[kept], len(kept) < len(y)) if classification else _numbers(y, kept)
    return Samples(X, y, metadata, kept)


def check_taken(samples: Samples, estimators: Iterable[Any]) -> None:
    """Refuse confounds that would have no effect.

    Parameters
    ----------
    samples : Samples
        All of them.
    estimators : iterable of estimators
        Those that are fitted.

    Raises
    ------
    ValueError
        If none of them takes the confounds that are given.
    """
    if "confounds" in samples.metadata and not any(
        "confounds" in taken_metadata(estimator, "fit", samples.metadata)
        for estimator in estimators
    ):
        raise ValueError(
            "no estimator takes confounds: a pipeline hands them on only with scikit-learn's"
            " metadata routing, sklearn.set_config(enable_metadata_routing=True)"
        )


def _labels(y: NDArray, some_missing: bool) -> NDArray:
    """Return classes with the type that they had before some were missing."""
    if some_missing and y.dtype.kind == "f" and (y == y.astype(int)).all():
        return y.astype(int)
    if y.dtype == object and kind_of(y) in KINDS:
        y = np.array(y.tolist())
    _check_kind("y", y)
    return y


def _numbers(y: NDArray, kept: NDArray) -> NDArray:
    """Return the target of a regression."""
    values = pd.to_numeric(pd.Series(y[kept], dtype=object), errors="coerce").to_numpy(float)
    if (wrong := ~np.isfinite(values)).any():
        first = kept[wrong.argmax()]
        raise ValueError(
            f"the target of {wrong.sum()} samples is no finite number, the first of sample {first}:"
            f" {y[first]!r}"
        )
    return values


def _check_kind(name: str, values: NDArray) -> None:
    if (kind := kind_of(values)) not in KINDS:
        raise ValueError(
            f"{name} holds {kind} values; make them all text, all integers, all numbers or all"
            " booleans"
        )


def _check_aligned(given: dict[str, Any]) -> None:
    """Refuse tables of the same rows in different orders: samples are matched by their place."""
    named = {
        name: values.index
        for name, values in given.items()
        if isinstance(values, (pd.Series, pd.DataFrame)) and values.index.is_unique
    }
    for (first, one), (second, other) in combinations(named.items(), 2):
        if not one.equals(other) and len(one) == len(other) and one.isin(other).all():
            raise ValueError(
                f"{first} and {second} have the same index, but in another order: bring them into"
                " the order of X, for example by .loc, or drop the index by .to_numpy()"
            )


def _relatives(X: Any, index: Any, groups: NDArray | None) -> str:
    """Say which samples visibly belong together, where groups do not say so."""
    alone = X if getattr(X, "ndim", 1) == 1 else []
    runs = [id(sample.scan if isinstance(sample, Window) else sample) for sample in alone]
    n_runs = len(set(runs))
    if groups is not None:
        n_shared = len(set(zip(runs, groups.tolist(), strict=False))) - n_runs
        return f"groups part samples of the same run ({n_shared} times)" if n_shared else ""
    if n_runs < len(runs):
        return f"{len(runs)} samples are of {n_runs} runs, but no groups are given"
    if isinstance(index, pd.Index) and index.has_duplicates:
        twice = index[index.duplicated()][0]
        return f"y names {twice!r} more than once in its index, but no groups are given"
    return ""
