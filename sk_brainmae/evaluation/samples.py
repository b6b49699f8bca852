"""Samples of a comparison, checked before any work: lengths, missing targets, hidden relatives."""

import inspect
import warnings
from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn import get_config
from sklearn.utils import _safe_indexing
from sklearn.utils.metadata_routing import get_routing_for_object

from sk_brainmae.evaluation.tables import KINDS, kind_of
from sk_brainmae.labels.confounds import check_confounds
from sk_brainmae.labels.targets import unmasked
from sk_brainmae.scans.identity import keys_of


class Samples(NamedTuple):
    """What estimators are fitted on and asked about: scans, target, groups and confounds."""

    X: Any  # n_samples scans or moments
    y: NDArray  # (n_samples,)
    metadata: dict[str, Any]  # "groups" (n_samples,), "confounds" of n_samples rows; where given
    place: NDArray  # (n_samples,), the index of each in the X that the user passed


def check_samples(
    X: Any,
    y: ArrayLike,
    groups: ArrayLike | None,
    confounds: Any,
    *,
    drop_missing: bool,
    classification: bool,
) -> Samples:
    """Return samples with one target, one group and one row of confounds each, or say why not."""
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
        raise ValueError(
            f"groups is missing for {unnamed.sum()} samples, the first is sample"
            f" {unnamed.argmax()}: name their subject, or leave them out"
        )
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
            f"the target of {missing.sum()} of {len(y)} samples is missing, the first is sample"
            f" {missing.argmax()}: leave them out, or pass drop_missing=True"
        )
    if missing.any():
        text = f"left out {missing.sum()} of {len(y)} samples, whose target is missing"
        warnings.warn(text, stacklevel=3)
    kept = np.flatnonzero(~missing)
    metadata = {name: _safe_indexing(rows, kept) for name, rows in metadata.items()}
    X = _safe_indexing(X, kept) if missing.any() else X
    y = _labels(y[kept], len(kept) < len(y)) if classification else _numbers(y, kept)
    return Samples(X, y, metadata, kept)


def taken_metadata(estimator: Any, method: str, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata that a method takes, by its signature or by metadata routing."""
    if not metadata:
        return {}
    parameters = inspect.signature(getattr(estimator, method)).parameters
    taken = {name for name in metadata if name in parameters}
    if get_config()["enable_metadata_routing"]:
        taken |= get_routing_for_object(estimator).consumes(method, list(metadata))
    return {name: value for name, value in metadata.items() if name in taken}


def check_taken(samples: Samples, estimators: Iterable[Any]) -> None:
    """Raise ValueError where confounds are given that no estimator takes."""
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
    """Return the target of a regression as floats."""
    values = pd.to_numeric(pd.Series(y[kept], dtype=object), errors="coerce").to_numpy(float)
    if (wrong := ~np.isfinite(values)).any():
        first = kept[wrong.argmax()]
        raise ValueError(
            f"the target of {wrong.sum()} samples is not a finite number, the first is sample"
            f" {first}: {y[first]!r}"
        )
    return values


def _check_kind(name: str, values: NDArray) -> None:
    if (kind := kind_of(values)) not in KINDS:
        raise ValueError(
            f"{name} holds {kind} values; make them all text, all integers, all numbers or all"
            " booleans"
        )


def _check_aligned(given: dict[str, Any]) -> None:
    """Refuse tables of the same rows in different orders: samples are matched by position."""
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
    """Say which samples visibly belong together although groups do not say so; "" if none."""
    alone = X if getattr(X, "ndim", 1) == 1 else []
    runs = keys_of(alone)
    n_runs = len(set(runs))
    if groups is not None:
        n_shared = len(set(zip(runs, groups.tolist(), strict=False))) - n_runs
        if not n_shared:
            return ""
        return f"groups put samples of the same run into different groups ({n_shared} times)"
    if n_runs < len(runs):
        return f"{len(runs)} samples are of {n_runs} runs, but no groups are given"
    if isinstance(index, pd.Index) and index.has_duplicates:
        twice = index[index.duplicated()][0]
        return f"y names {twice!r} more than once in its index, but no groups are given"
    return ""
