"""Samples of a comparison, checked before any work: lengths, missing targets, hidden relatives."""

import inspect
import warnings
from collections.abc import Iterable, Mapping, Sequence
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
from sk_brainmae.labels.missing import missing_words, unmasked
from sk_brainmae.labels.targets import labelled_classes
from sk_brainmae.scans.identity import keys_of
from sk_brainmae.scans.runs import Row


def take(X: Any, rows: NDArray) -> Any:
    """Return some samples of X.

    Of a 3-D array that is not in memory (h5py, which takes no rows out of order) they are a list of
    scans that are read when they are used.
    """
    if getattr(X, "ndim", 1) == 3 and not isinstance(X, np.ndarray):
        return [Row(X, int(i)) for i in rows]
    return _safe_indexing(X, rows)


class Unlabelled(NamedTuple):
    """Scans without a target: some estimators pretrain on them, nothing is asked about them."""

    X: Any  # n_unlabelled scans or moments
    metadata: dict[str, Any]  # as of samples


class Samples(NamedTuple):
    """What estimators are fitted on and asked about: scans, target, groups and confounds."""

    X: Any  # n_samples scans or moments
    y: NDArray  # (n_samples,)
    metadata: dict[str, Any]  # "groups" (n_samples,), "confounds" of n_samples rows; where given
    place: NDArray  # (n_samples,), the index of each in the X that the user passed
    unlabelled: Unlabelled | None = None


def check_samples(
    X: Any,
    y: ArrayLike,
    groups: ArrayLike | None,
    confounds: Any,
    *,
    drop_missing: bool,
    classification: bool,
    learners: Sequence[str] = (),
) -> Samples:
    """Return samples with one target, one group and one row of confounds each, or say why not.

    Samples whose target is missing are left out where ``drop_missing`` says so, or kept apart for
    the ``learners``, the names of estimators that pretrain on them. Else they are an error.
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
    if "groups" in metadata:
        unnamed = pd.isna(metadata["groups"]) | missing_words(metadata["groups"])
        if unnamed.any():
            raise ValueError(
                f"groups is missing for {unnamed.sum()} samples, the first is sample"
                f" {unnamed.argmax()}: name their subject, or leave them out"
            )
        _check_kind("groups", metadata["groups"])
    if relatives := _relatives(X, index, metadata.get("groups")):
        warnings.warn(
            f"{relatives}: training and test part of a fold may share a subject; pass groups= that"
            " keep together what belongs together",
            stacklevel=3,
        )
    missing = np.asarray(pd.isna(y))
    if classification and not missing.all():
        _check_kind("y", y[~missing])
        missing = ~labelled_classes(y, None)[0]
    if missing.any() and (missing.all() or not (drop_missing or learners)):
        raise ValueError(
            f"the target of {missing.sum()} of {len(y)} samples is missing, the first is sample"
            f" {missing.argmax()} (y is {y[missing.argmax()]}): leave them out, or pass"
            " drop_missing=True"
        )
    kept = np.flatnonzero(~missing)
    labels = _labels(y[kept], len(kept) < len(y)) if classification else _numbers(y, kept)
    if not missing.any():
        return Samples(X, labels, metadata, kept)
    if drop_missing:
        text = f"left out {missing.sum()} of {len(y)} samples, whose target is missing"
    else:
        text = (
            f"{missing.sum()} of {len(y)} samples are unlabelled: {', '.join(learners)} pretrain on"
            " them, where no sample of their group or run is tested; they are never scored"
        )
    warnings.warn(text, stacklevel=3)

    def choose(rows: NDArray) -> tuple[Any, dict[str, Any]]:
        some = {name: _safe_indexing(values, rows) for name, values in metadata.items()}
        return take(X, rows), some

    X_known, known = choose(kept)
    others = None if drop_missing else Unlabelled(*choose(np.flatnonzero(missing)))
    return Samples(X_known, labels, known, kept, others)


def allowed_unlabelled(samples: Samples, test: NDArray) -> NDArray:
    """Return which unlabelled scans may be pretrained on: none of a test sample's group or run.

    ``test`` are the indices of the test samples.
    """
    X, metadata = samples.unlabelled or Unlabelled([], {})
    allowed = np.ones(len(X), dtype=bool)
    if _is_list(X):
        keys = keys_of([*samples.X, *X])
        tested = {keys[i] for i in test}
        allowed = np.array([key not in tested for key in keys[len(samples.X) :]], dtype=bool)
    if "groups" in metadata:
        allowed &= ~np.isin(metadata["groups"], samples.metadata["groups"][test])
    return np.flatnonzero(allowed)


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


def _is_list(X: Any) -> bool:
    """Tell whether X is a list of scans, which may be moments of one run."""
    return getattr(X, "ndim", 1) == 1


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
    runs = keys_of(X) if _is_list(X) else []
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
