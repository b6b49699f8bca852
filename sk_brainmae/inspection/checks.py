"""What every view of a model needs first: a fitted encoder, and labels that fit its regions."""

import warnings
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from sk_brainmae.estimators.classifier import BrainMAEClassifier
from sk_brainmae.estimators.regressor import BrainMAERegressor
from sk_brainmae.estimators.transformer import BrainMAETransformer


def fitted_encoder(model: Any) -> BrainMAETransformer:
    """Return the encoder of a fitted model.

    Parameters
    ----------
    model : BrainMAETransformer, BrainMAEClassifier or BrainMAERegressor
        Fitted.

    Returns
    -------
    BrainMAETransformer
        The model itself, or its ``encoder_``.

    Raises
    ------
    TypeError
        If it is none of the three.
    NotFittedError
        If it is not fitted.
    """
    kinds = (BrainMAETransformer, BrainMAEClassifier, BrainMAERegressor)
    if not isinstance(model, kinds):
        raise TypeError(
            "model must be a fitted BrainMAETransformer, BrainMAEClassifier or BrainMAERegressor,"
            f" got {type(model).__name__}"
        )
    check_is_fitted(model)
    return model if isinstance(model, BrainMAETransformer) else model.encoder_


def assumed_t_r(encoder: BrainMAETransformer) -> float | None:
    """Return the repetition time that inspected scans are taken to have: the model's.

    Parameters
    ----------
    encoder : BrainMAETransformer
        Fitted.

    Returns
    -------
    float or None
        In seconds; None: the model counts frames.

    Warns
    -----
    UserWarning
        If the model knows scans of another, so that these could be, too.
    """
    if encoder._resampled:
        warnings.warn(
            f"fit saw scans of several t_r: these are taken to have the model's, {encoder.t_r} s."
            " Bring others to it beforehand, by sk_brainmae.resampling.resample_scan",
            stacklevel=3,
        )
    return encoder.t_r


def one_each(values: Any, n: int, name: str, unit: str) -> NDArray:
    """Return labels as an array, or say that their number is wrong.

    Parameters
    ----------
    values : array-like of shape (n,)
        Labels.
    n : int
        How many there have to be.
    name : str
        What the caller's parameter is called.
    unit : str
        What has one label each: "region", "scan".

    Returns
    -------
    ndarray of shape (n,)
        The labels.

    Raises
    ------
    ValueError
        If their shape is another one, or one is missing.
    """
    values = np.asarray(values)
    if values.shape != (n,):
        raise ValueError(
            f"{name} has shape {values.shape}, but there are {n} {unit}s: give one label a {unit},"
            " in their order"
        )
    if (missing := np.flatnonzero(pd.isna(values))).size:
        raise ValueError(f"{name} has no label for {unit} {missing[0]}")
    return values


def region_names(names: Any, n: int) -> NDArray:
    """Return the regions' names, or their indices where there are none.

    Parameters
    ----------
    names : array-like of shape (n,) or None
        Names of the regions.
    n : int
        Number of regions.

    Returns
    -------
    ndarray of shape (n,)
        One str a region.

    Raises
    ------
    ValueError
        If there are more or fewer names than regions, or a name stands for two of them.
    """
    if names is None:
        return np.arange(n).astype(str)
    names = one_each(names, n, "names", "region").astype(str)
    labels, count = np.unique(names, return_counts=True)
    if (count > 1).any():
        raise ValueError(f"'{labels[count > 1][0]}' stands for several regions: names must differ")
    return names
