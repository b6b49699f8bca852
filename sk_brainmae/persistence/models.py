"""Fitted models taken apart into JSON and arrays, and put together again.

An encoder is its parameters, the record of its scans, the weights of its network and what its
views learned. A predictor is an encoder and a linear head. This room knows no estimator:
models are asked by their attributes. Nothing that was read from a folder is trusted.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import is_classifier

from sk_brainmae.network import BrainMAE
from sk_brainmae.persistence.files import Arrays
from sk_brainmae.persistence.folder import Contents, check_keys
from sk_brainmae.persistence.heads import pack_head, unpack_head
from sk_brainmae.persistence.history import is_number, pack_history, unpack_history
from sk_brainmae.scans.record import ScanRecord
from sk_brainmae.scans.regions import unprintable

# Parameters of the machine or the run, not of the model: a loaded model has their defaults.
NOT_SAVED = {"device", "memory", "checkpoint", "verbose", "pretrained"}
# Parameters that a pretrained encoder has fixed: a predictor that holds it has the same.
ENCODER_PARAMS = (
    "t_r",
    "window_size",
    "crop_length",
    "mask_ratio",
    "attention",
    "init",
    "n_states",
    "embedding_dim",
    "n_heads",
    "n_layers",
    "standardize",
)
# What a model does to its scans, by its parameter ``standardize``.
NORMALISATION = {"scan": "each region z-scored over its scan", False: "scans come standardised"}
ENCODER_KEYS = (
    "parameters",
    "n_regions",
    "region_names",
    "normalisation",
    "resampled",
    "views",
    "scales",
    "training",
    "group_fc",
)
TRAINING_KEYS = ("n_scans", "n_frames", "history", "held_out_r2", "effective_rank")
GROUP_FC_KEYS = ("mean", "sd", "lowest", "highest")
HEAD_KEYS = ("parameters", "view_weights", "history", "strength", "classes", "dtype")
HEAD_ARRAYS = ("coef", "intercept", "mean", "scale")


def pack_encoder(encoder: Any, region_names: list[str] | None) -> Contents:
    """Take a fitted transformer apart."""
    arrays = {f"weights.{name}": array for name, array in encoder.weights_.items()}
    for name, learned in {"signal": encoder._signal, **encoder._views}.items():
        arrays |= {f"{name}.{field}": array for field, array in vars(learned).items()}
    config = {
        "parameters": saved_params(encoder),
        "n_regions": encoder.n_features_in_,
        "region_names": region_names,
        "normalisation": NORMALISATION[encoder._scans.standardize],
        "resampled": encoder._scans.resampled,
        "views": list(encoder._views),
        "scales": encoder._scales,
        "training": {
            **encoder.training_size_,
            "history": pack_history(encoder._history),
            "held_out_r2": encoder.held_out_r2_,
            "effective_rank": encoder.effective_rank_,
        },
        "group_fc": _summarise(encoder._training_covariance()),
    }
    return Contents(type(encoder).__name__, config, None, arrays)


def unpack_encoder(encoder: Any, config: dict[str, Any], arrays: Arrays) -> None:
    """Make an unfitted transformer the one that was saved, or raise ValueError."""
    check_keys(config, ENCODER_KEYS, "encoder")
    set_params(encoder, config["parameters"])
    n_regions = _count(config["n_regions"], "n_regions")
    names = check_names(config["region_names"], n_regions)
    if config["normalisation"] != NORMALISATION[encoder.standardize]:
        raise ValueError(f"unknown normalisation {config['normalisation']!r}")
    if not isinstance(resampled := config["resampled"], bool):
        raise ValueError(f"resampled={resampled!r} must be true or false")
    check_keys(config["group_fc"], GROUP_FC_KEYS, "group_fc")
    views, scales = config["views"], config["scales"]
    if not isinstance(views, list) or not set(map(str, views)) <= set(encoder._view_kinds):
        raise ValueError(f"unknown views {views!r}")
    _check_numbers(scales, "scales", views)
    kinds = {"signal": encoder._signal_kind, **{name: encoder._view_kinds[name] for name in views}}
    _check_arrays(encoder, kinds, n_regions, arrays)
    window = encoder._count_window_frames()
    encoder._scans = ScanRecord(
        encoder.t_r, window, encoder.missing, n_regions, names, resampled, encoder.standardize
    )
    of_network = [name for name in arrays if name.startswith("weights.")]
    encoder.weights_ = {name.removeprefix("weights."): arrays[name] for name in of_network}
    learned = {
        name: kind(**{field: arrays[f"{name}.{field}"] for field in kind.axes})
        for name, kind in kinds.items()
    }
    encoder._signal, encoder._views = learned.pop("signal"), learned
    for name, view in learned.items():
        if "F" in view.axes.values() and len(view.mean) != _count_features(encoder, [name]):
            raise ValueError(f"{name}.mean has {len(view.mean)} features, not those of the view")
    encoder._scales, encoder.views_ = scales, tuple(scales)
    _set_training(encoder, config["training"])


def pack_predictor(model: Any, region_names: list[str] | None) -> Contents:
    """Take a fitted classifier or regressor apart."""
    _, encoder, _, arrays = pack_encoder(model.encoder_, region_names)
    head, head_arrays = pack_head(model.head_)
    # Its encoder may have come pretrained: then these parameters are the encoder's.
    of_encoder = {name: encoder["parameters"][name] for name in ENCODER_PARAMS}
    head |= {
        "parameters": {**saved_params(model), **of_encoder},
        "view_weights": model.view_weights_,
        "history": pack_history(model._history),
    }
    arrays |= {f"head.{name}": array for name, array in head_arrays.items()}
    return Contents(type(model).__name__, encoder, head, arrays)


def unpack_predictor(model: Any, encoder: Any, contents: Contents) -> None:
    """Make an unfitted predictor, with an unfitted transformer, the one that was saved."""
    head, arrays = contents.head, contents.arrays
    check_keys(head, HEAD_KEYS, "head")
    assert head is not None
    of_head = {f"head.{name}": name for name in HEAD_ARRAYS}
    set_params(model, head["parameters"])
    of_encoder = {name: array for name, array in arrays.items() if name not in of_head}
    unpack_encoder(encoder, contents.encoder, of_encoder)
    for name in ENCODER_PARAMS:
        if getattr(model, name) != getattr(encoder, name):
            raise ValueError(f"head and encoder have different values of {name}")
    model.encoder_ = encoder
    _check_numbers(head["view_weights"], "view_weights", encoder._views)
    model.view_weights_ = head["view_weights"]
    model._history = unpack_history(head["history"])
    given = {short: arrays[name] for name, short in of_head.items() if name in arrays}
    model.head_ = unpack_head(head, given, _count_features(encoder, model.views_))
    if is_classifier(model) != hasattr(model.head_, "classes_"):
        raise ValueError("the head belongs to another kind of estimator")
    if is_classifier(model):
        model.classes_ = model.head_.classes_


def saved_params(estimator: Any) -> dict[str, Any]:
    """Return the parameters of an estimator that belong to the model, as JSON."""
    params = {k: v for k, v in estimator.get_params(deep=False).items() if k not in NOT_SAVED}
    plain = {k: v.item() if isinstance(v, np.generic) else v for k, v in params.items()}
    if isinstance(plain["mask_ratio"], (tuple, list)):
        plain["mask_ratio"] = [float(bound) for bound in plain["mask_ratio"]]
    if not isinstance(plain["views"], str):
        plain["views"] = [str(name) for name in plain["views"]]
    if not isinstance(plain["random_state"], int):
        plain["random_state"] = None
    return plain


def set_params(estimator: Any, params: Any) -> None:
    """Give an estimator saved parameters, or raise ValueError where they cannot be used."""
    names = set(estimator.get_params(deep=False)) - NOT_SAVED
    check_keys(params, names, "parameters")
    mask_ratio = params["mask_ratio"]
    tupled = tuple(mask_ratio) if isinstance(mask_ratio, list) else mask_ratio
    views = tuple(params["views"]) if isinstance(params["views"], list) else params["views"]
    estimator.set_params(**{**params, "mask_ratio": tupled, "views": views})
    estimator._validate_params()
    estimator._settings()


def names_to_save(model: Any, region_names: Sequence[str] | None) -> list[str] | None:
    """Return the names of the regions to save: the given ones, unless ``fit`` saw others."""
    if region_names is None:
        return model.region_names_
    names = check_names(list(region_names), model.n_features_in_)
    if model.region_names_ not in (None, names):
        raise ValueError("region_names are not those of the scans that fit saw, in that order")
    return names


def check_names(names: Any, n_regions: int) -> list[str] | None:
    """Return the names of regions, or raise ValueError where they cannot be used."""
    if names is None:
        return None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("region names must be strings")
    if len(names) != n_regions or len(set(names)) != n_regions:
        raise ValueError(f"{len(set(names))} distinct region names for {n_regions} regions")
    if odd := unprintable(names):
        raise ValueError(f"the region name {odd[0]!r} is empty or not printable: rename it")
    return names


def _summarise(covariance: NDArray) -> dict[str, float]:
    """Summarise connectivity (N, N) over pairs of regions."""
    pairs = covariance[np.triu_indices(len(covariance), k=1)]
    pairs = pairs if pairs.size else np.zeros(1)  # of a single region
    summary = pairs.mean(), pairs.std(), pairs.min(), pairs.max()
    return dict(zip(GROUP_FC_KEYS, map(float, summary), strict=True))


def _check_numbers(numbers: Any, name: str, views: Collection[str]) -> None:
    """Raise ValueError unless there are numbers of some views, one of them above 0, none below."""
    if not isinstance(numbers, dict) or not set(numbers) <= set(views):
        raise ValueError(f"{name} must hold a number for each of some of the views {list(views)}")
    if not all(map(is_number, numbers.values())) or min(numbers.values(), default=0) < 0:
        raise ValueError(f"{name} must hold numbers of 0 or more")
    if not any(numbers.values()):
        raise ValueError(f"{name} are all 0")


def _count_features(encoder: Any, names: Iterable[str]) -> int:
    """Return how many features some views of an encoder have together."""
    regions = [str(i) for i in range(encoder._scans.n_regions)]
    return sum(len(encoder._views[name].feature_names(regions)) for name in names)


def _check_arrays(encoder: Any, kinds: dict[str, Any], n_regions: int, arrays: Arrays) -> None:
    """Raise ValueError where arrays are not those that the parameters ask for."""
    weights = _weight_shapes(encoder, n_regions, arrays)
    learned = {f"{name}.{field}" for name, kind in kinds.items() for field in kind.axes}
    expected = {*weights, *learned}
    if odd := sorted(expected ^ set(arrays)):
        state = "missing" if odd[0] in expected else "unknown"
        raise ValueError(f"the array {odd[0]!r} is {state}")
    for name, shape in weights.items():
        if arrays[name].shape != shape or arrays[name].dtype != np.float32:
            raise ValueError(
                f"{name} is {arrays[name].dtype} of shape {arrays[name].shape}, where the"
                f" parameters make it float32 of shape {shape}"
            )
    known = {"N": n_regions, "T": encoder._count_window_frames(), "D": encoder.embedding_dim}
    for name, kind in kinds.items():
        sizes = dict(known)
        for field, axes in kind.axes.items():
            shape = arrays[f"{name}.{field}"].shape
            of_axes = tuple(sizes.setdefault(k, n) for k, n in zip(axes, shape, strict=False))
            if len(axes) != len(shape) or of_axes != shape:
                raise ValueError(
                    f"{name}.{field} has shape {shape}, which disagrees with the others"
                )


def _weight_shapes(encoder: Any, n_regions: int, arrays: Arrays) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the network's weights; the network itself is never allocated."""
    architecture = encoder._architecture(n_regions)
    n_values = sum(array.size for array in arrays.values())
    if architecture["n_layers"] > len(arrays) or any(
        size > n_values for size in architecture.values() if isinstance(size, int)
    ):
        raise ValueError("the parameters ask for a network larger than the weights")
    try:
        with torch.device("meta"):
            network = BrainMAE(**architecture)
    except RuntimeError as error:  # sizes that overflow
        raise ValueError(str(error).splitlines()[0]) from None
    return {f"weights.{name}": tuple(v.shape) for name, v in network.state_dict().items()}


def _set_training(encoder: Any, training: Any) -> None:
    """Give an encoder what is told of its training, or raise ValueError."""
    check_keys(training, TRAINING_KEYS, "training")
    scores, rank = training["held_out_r2"], training["effective_rank"]
    if not isinstance(scores, dict) or not all(map(is_number, scores.values())):
        raise ValueError("held_out_r2 must hold numbers")
    if not is_number(rank):
        raise ValueError("effective_rank must be a number")
    encoder.training_size_ = {k: _count(training[k], k) for k in ("n_scans", "n_frames")}
    encoder._history = unpack_history(training["history"])
    encoder.held_out_r2_, encoder.effective_rank_ = scores, rank


def _count(value: Any, name: str) -> int:
    """Return a positive integer, or raise ValueError."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name}={value!r} must be a positive integer")
    return value
