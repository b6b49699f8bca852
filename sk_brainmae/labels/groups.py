"""Groups: samples of one subject, or of one run, are held out together or not at all."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import GroupShuffleSplit

from sk_brainmae.labels.missing import missing_words, unmasked
from sk_brainmae.scans.cohort import Cohort


def check_groups(groups: Any, n_samples: int) -> NDArray | None:
    """Return groups as an array, or raise if the group of a sample cannot be used.

    Parameters
    ----------
    groups : array-like of shape (n_samples,) or None
        The group of each sample, such as its subject.
    n_samples : int
        How many there must be.

    Returns
    -------
    ndarray of shape (n_samples,), or None
        The groups as they were given.

    Raises
    ------
    ValueError
        If their number differs, one is missing, also by a text such as "n/a", or texts
        are mixed with numbers.
    """
    if groups is None:
        return None
    # Objects, since NumPy would turn numbers and NaN beside texts into texts.
    labels = np.asarray(unmasked(groups), dtype=object)
    if labels.shape != (n_samples,):
        raise ValueError(
            f"groups has shape {labels.shape}; there are {n_samples} scans, so it must have shape"
            f" ({n_samples},)"
        )
    if (missing := pd.isna(labels)).any():
        raise ValueError(
            f"scan {missing.argmax()} has no group ({missing.sum()} of {n_samples} have none): give"
            " each scan its group, or one of its own"
        )
    if (words := missing_words(labels)).any():
        i = int(words.argmax())
        raise ValueError(
            f"the group of scan {i} is the text {labels[i]!r} ({words.sum()} of {n_samples} have no"
            " group): give each scan its group, or one of its own"
        )
    texts = np.array([isinstance(label, str) for label in labels])
    if (odd := np.flatnonzero(texts != texts[0])).size:
        raise ValueError(
            f"groups mixes texts and others: {labels[0]!r} of scan 0 and {labels[odd[0]]!r} of scan"
            f" {odd[0]}; make them all text or all numbers"
        )
    return np.asarray(groups)


def hold_out(units: NDArray, fraction: float, seed: int) -> tuple[NDArray, NDArray | None]:
    """Split samples for validation, with all samples of a unit (a subject, a run) on one side.

    Returns the indices of training and held-out samples. A ``fraction`` of the units is held out,
    at least one unit; none is (None) if the fraction is 0 or all samples are of one unit.
    """
    if not fraction or len(np.unique(units)) < 2:
        return np.arange(len(units)), None
    splitter = GroupShuffleSplit(n_splits=1, test_size=fraction, random_state=seed)
    return next(splitter.split(units, groups=units))


def split_runs(
    cohort: Cohort, groups: NDArray | None, fraction: float, seed: int
) -> tuple[NDArray, NDArray | None]:
    """Split the runs of a cohort for validation, as :func:`hold_out` does.

    Without ``groups``, (n_samples,), every run is a unit of its own.
    """
    units = np.arange(len(cohort.run_length))
    if groups is not None:
        first_sample = np.unique(cohort.runs, return_index=True)[1]  # (n_runs,)
        units = groups[first_sample]
    return hold_out(units, fraction, seed)
