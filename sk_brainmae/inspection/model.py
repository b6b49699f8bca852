"""A fitted model as inspection sees it: two protocols, and checks of models and labels."""

import warnings
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from sk_brainmae.network import BrainMAE
from sk_brainmae.scans.cohort import Cohort
from sk_brainmae.scans.crops import Crops, tile_crops
from sk_brainmae.scans.record import ScanRecord


class Encoder(Protocol):
    """A fitted encoder: it turns scans into window states and embeddings."""

    t_r: float | None
    attention: str
    init: str
    n_layers: int
    n_features_in_: int
    region_names_: list[str] | None
    roi_embeddings_: NDArray  # (n_regions, d)
    weights_: dict[str, NDArray]
    history_: pd.DataFrame
    held_out_r2_: dict[str, float] | None
    effective_rank_: float
    views_: tuple[str, ...]
    _scans: ScanRecord

    def transform(self, X: Any, t_r: Any = None) -> NDArray:
        """Return the embedding of each scan, (n_scans, n_features)."""

    def _read(self, X: Any, t_r: Any = None) -> Cohort: ...

    def _network(self) -> BrainMAE: ...

    def _layout(self) -> dict[str, Any]: ...  # window, n_windows, batch_size, device

    def _embed(self, cohort: Cohort) -> NDArray: ...  # (n_samples, n_embedding)

    def _training_covariance(self) -> NDArray: ...  # (n_regions, n_regions)


class Predictor(Protocol):
    """A fitted classifier or regressor: an encoder with a head."""

    encoder_: Encoder
    head_: Any
    view_weights_: dict[str, float]
    views_: tuple[str, ...]  # those with a weight
    strategy: str
    history_: pd.DataFrame
    classes_: NDArray  # of classifiers

    def predict(self, X: Any, t_r: Any = None) -> NDArray:
        """Return the class or value of each scan, (n_scans,)."""

    def _read(self, X: Any, t_r: Any = None) -> Cohort: ...

    def _embed(self, cohort: Cohort) -> NDArray: ...  # (n_samples, n_features)


def fitted_encoder(model: Any) -> Encoder:
    """Return the encoder of a fitted model, which may be the model itself."""
    if not hasattr(model, "_read"):
        raise TypeError(
            "model must be a fitted BrainMAETransformer, BrainMAEClassifier or BrainMAERegressor,"
            f" got {type(model).__name__}"
        )
    check_is_fitted(model)
    return getattr(model, "encoder_", model)


def fitted_predictor(model: Any) -> Predictor:
    """Return a fitted predictor; raise TypeError where a model predicts nothing."""
    if not hasattr(model, "_read"):
        raise TypeError(
            "model must be a fitted BrainMAEClassifier or BrainMAERegressor, got"
            f" {type(model).__name__}"
        )
    if not hasattr(model, "predict"):
        raise TypeError(
            "a BrainMAETransformer predicts nothing: give a fitted BrainMAEClassifier or"
            " BrainMAERegressor"
        )
    check_is_fitted(model)
    return model


def assumed_t_r(encoder: Encoder) -> float | None:
    """Return the t_r that inspection takes scans to have; warn if fit saw scans of others."""
    if encoder._scans.resampled:
        warnings.warn(
            "fit saw scans of several t_r. Those given here are taken to have the model's,"
            f" {encoder.t_r} s: resample others first, by sk_brainmae.resampling.resample_scan",
            stacklevel=3,
        )
    return encoder.t_r


def was_finetuned(model: Any) -> bool:
    """Tell whether the weights were trained on labels."""
    return "fine-tuning" in set(model.history_.get("stage", ()))


def predicts_from_cls(model: Predictor) -> bool:
    """Tell whether the head reads a CLS token that fine-tuning has trained."""
    return model.views_ == ("cls",) and was_finetuned(model)


def window_length(encoder: Encoder) -> int:
    """Return the number of frames in a window."""
    return encoder._layout()["window"]


def tile(encoder: Encoder, cohort: Cohort) -> Crops:
    """Cut samples into crops as long as those that the encoder was trained on."""
    layout = encoder._layout()
    return tile_crops(cohort, layout["window"], layout["n_windows"])


def window_times(encoder: Encoder, cohort: Cohort, crops: Crops) -> NDArray:
    """Return the middles of windows from the start of their sample, (n_crops, n).

    In seconds, or in frames without t_r. Places where a crop has no window hold no time.
    """
    first = (cohort.run_start[cohort.runs] + cohort.start)[crops.sample]
    middle = crops.starts + window_length(encoder) / 2 - first[:, None]
    return middle * (encoder.t_r or 1.0)


def one_each(values: Any, n: int, name: str, unit: str) -> NDArray:
    """Return labels, one for each of n units ("region", "scan"), or say what is wrong with them."""
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
    """Return the names of n regions, their indices where there are none, as str."""
    if names is None:
        return np.arange(n).astype(str)
    names = one_each(names, n, "names", "region").astype(str)
    labels, count = np.unique(names, return_counts=True)
    if (count > 1).any():
        raise ValueError(f"'{labels[count > 1][0]}' stands for several regions: names must differ")
    return names
