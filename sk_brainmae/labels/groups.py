"""Samples that belong together: a subject's, a run's. They are held out as one, or not at all."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import GroupShuffleSplit

from sk_brainmae.labels.targets import unmasked
from sk_brainmae.scans.cohort import Cohort


def check_groups(groups: Any, n_samples: int) -> NDArray | None:
    """Return groups as an array, or say of which sample the group cannot be used.

    Parameters
    ----------
    groups : array-like of shape (n_samples,) or None
        Whom each sample is from.
    n_samples : int
        How many there must be.

    Returns
    -------
    ndarray of shape (n_samples,), or None
        As they came.

    Raises
    ------
    ValueError
        If there are more or fewer, one is missing, or texts stand beside numbers.
    """
    if groups is None:
        return None
    # Objects, since numbers and NaN beside texts would become texts.
    labels = np.asarray(unmasked(groups), dtype=object)
    if labels.shape != (n_samples,):
        raise ValueError(
            f"groups has shape {labels.shape}; there are {n_samples} scans, so it must have shape"
            f" ({n_samples},)"
        )
    if (missing := pd.isna(labels)).any():
        raise ValueError(
            f"scan {missing.argmax()} has no group ({missing.sum()} of {n_samples} have none): give"
            " each the one that it belongs to, or one of its own"
        )
    texts = np.array([isinstance(label, str) for label in labels])
    if (odd := np.flatnonzero(texts != texts[0])).size:
        raise ValueError(
            f"groups holds texts and others: {labels[0]!r} of scan 0 and {labels[odd[0]]!r} of scan"
            f" {odd[0]}; make them all text or all numbers"
        )
    return np.asarray(groups)


def hold_out(units: NDArray, fraction: float, seed: int) -> tuple[NDArray, NDArray]:
    """Split indices for validation: all of a unit (a subject, a run) on one side.

    Parameters
    ----------
    units : ndarray of shape (n_samples,)
        Which samples belong together.
    fraction : float
        Share of the units to hold out; at least one is.
    seed : int
        Of the choice.

    Returns
    -------
    train, held_out : ndarray
        Indices.

    Raises
    ------
    ValueError
        If there are fewer than two units.
    """
    if len(np.unique(units)) < 2:
        raise ValueError(
            f"validation_fraction={fraction} needs scans of at least two groups (or two scans);"
            " with one, set validation_fraction=0"
        )
    splitter = GroupShuffleSplit(n_splits=1, test_size=fraction, random_state=seed)
    return next(splitter.split(units, groups=units))


def split_runs(
    cohort: Cohort, groups: NDArray | None, fraction: float, seed: int
) -> tuple[NDArray, NDArray | None]:
    """Split the runs of a cohort for validation, as :func:`hold_out` does.

    Parameters
    ----------
    cohort : Cohort
        Training samples.
    groups : ndarray of shape (n_samples,) or None
        Which samples belong together; None: every run is on its own.
    fraction : float
        Share of the groups to hold out.
    seed : int
        Of the choice.

    Returns
    -------
    train, held_out : ndarray
        Indices of runs; nothing is held out (None) at a fraction of 0, or of a single group.
    """
    runs = units = np.arange(len(cohort.run_length))
    if groups is not None:
        first_sample = np.unique(cohort.runs, return_index=True)[1]  # (n_runs,)
        units = groups[first_sample]
    if not fraction or len(np.unique(units)) < 2:
        return runs, None
    return hold_out(units, fraction, seed)
