"""Samples of a comparison, checked before any work: lengths, missing targets, hidden relatives."""

import warnings
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import _safe_indexing

from sk_brainmae.confound_table import check_confounds
from sk_brainmae.evaluation.fitting import Samples
from sk_brainmae.timeseries import Window


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
        If lengths differ, or values are missing.

    Warns
    -----
    UserWarning
        If samples are left out, or some belong together and ``groups`` does not say so.
    """
    relatives = None if groups is not None else _relatives(X, y)
    y = np.asarray(y)
    metadata: dict[str, Any] = {}
    if groups is not None:
        metadata["groups"] = np.asarray(groups)
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
    if relatives:
        warnings.warn(
            f"{relatives}, but no groups are given: without them, training and test part of a"
            " fold may share a subject; pass groups=",
            stacklevel=3,
        )
    samples = Samples(X, y, metadata)
    missing = pd.isna(y)
    if not missing.any():
        return samples
    if not drop_missing:
        raise ValueError(
            f"the target of {missing.sum()} of {len(y)} samples is missing, the first of sample"
            f" {missing.argmax()}; leave them out, or pass drop_missing=True"
        )
    warnings.warn(
        f"left out {missing.sum()} of {len(y)} samples, whose target is missing", stacklevel=3
    )
    return _without(samples, missing, classification)


def _without(samples: Samples, missing: NDArray, classification: bool) -> Samples:
    """Leave samples out, and restore the type that labels had before some were missing."""
    kept = np.flatnonzero(~missing)
    y = samples.y[kept]
    if classification and y.dtype.kind == "f" and (y == y.astype(int)).all():
        y = y.astype(int)
    elif y.dtype == object:
        y = np.array(y.tolist())
    metadata = {name: _safe_indexing(rows, kept) for name, rows in samples.metadata.items()}
    return Samples(_safe_indexing(samples.X, kept), y, metadata)


def _relatives(X: Any, y: ArrayLike) -> str:
    """Say which samples visibly belong together, if any do."""
    runs = [id(sample.scan) for sample in X if isinstance(sample, Window)]
    if len(set(runs)) < len(runs):
        return f"{len(runs)} samples are Windows of {len(set(runs))} runs"
    index = getattr(y, "index", None)
    if isinstance(index, pd.Index) and index.has_duplicates:
        return f"y names {index[index.duplicated()][0]!r} more than once in its index"
    return ""
