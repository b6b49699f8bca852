"""Linear heads as JSON and arrays: scikit-learn's models rebuilt from what they learned."""

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_brainmae.persistence.files import Arrays

# Types of class labels by NumPy's kinds. "object" holds strings or numbers.
LABELS = {"b": "bool", "i": "int64", "u": "uint64", "f": "float64", "U": "str", "O": "object"}


def pack_head(head: BaseEstimator) -> tuple[dict[str, Any], Arrays]:
    """Take a fitted Ridge or LogisticRegression apart, or a Pipeline of StandardScaler and one.

    The arrays are "coef" and "intercept"; a scaler adds "mean" and, unless it only centres,
    "scale". Labels that are neither texts nor numbers raise ValueError.
    """
    scaler, model = (head[0], head[-1]) if isinstance(head, Pipeline) else (None, head)
    arrays = {"coef": model.coef_, "intercept": np.asarray(model.intercept_)}
    if scaler is not None:
        arrays["mean"] = scaler.mean_
        if scaler.scale_ is not None:
            arrays["scale"] = scaler.scale_
    if isinstance(model, Ridge):
        return {"strength": float(model.alpha), "classes": None, "dtype": None}, arrays
    if model.classes_.dtype.kind not in LABELS:
        raise ValueError(
            f"class labels of type {model.classes_.dtype} cannot be saved: fit on text or numbers"
        )
    classes = {"classes": model.classes_.tolist(), "dtype": LABELS[model.classes_.dtype.kind]}
    return {"strength": float(model.C), **classes}, arrays


def unpack_head(config: dict[str, Any], arrays: Arrays, n_features: int) -> BaseEstimator:
    """Put a linear head together again; raise ValueError where shapes or values make none.

    ``config`` has the keys of :func:`pack_head`; ``n_features`` is the size of the embedding.
    """
    if not {"coef", "intercept"} <= set(arrays) or arrays["coef"].ndim == 0:
        raise ValueError("the head lacks its coefficients")
    model = _model(config, len(arrays["coef"]))
    n_outputs = () if isinstance(model, Ridge) else (len(arrays["coef"]),)
    shapes = {"coef": (*n_outputs, n_features), "intercept": n_outputs}
    shapes |= {name: (n_features,) for name in ("mean", "scale") if name in arrays}
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise ValueError(f"head.{name} has shape {arrays[name].shape}, not {shape}")
    model.coef_, model.intercept_ = arrays["coef"], arrays["intercept"]
    model.n_features_in_ = n_features
    if isinstance(model, Ridge):
        model.intercept_ = float(arrays["intercept"])
    if "mean" not in arrays:
        return model
    scaler = StandardScaler(with_std="scale" in arrays)
    scaler.mean_, scaler.scale_ = arrays["mean"], arrays.get("scale")
    scaler.n_features_in_ = n_features
    return make_pipeline(scaler, model)


def _model(config: dict[str, Any], n_outputs: int) -> BaseEstimator:
    """Return the linear model of a configuration, without coefficients."""
    strength, classes = config["strength"], config["classes"]
    if isinstance(strength, bool) or not isinstance(strength, (int, float)) or strength <= 0:
        raise ValueError(f"the head's strength {strength!r} must be a positive number")
    if classes is None:
        return Ridge(alpha=strength)
    model = LogisticRegression(C=strength, max_iter=10_000)
    model.classes_ = _labels(classes, config["dtype"])
    if len(model.classes_) != max(n_outputs, 2):
        raise ValueError(f"{len(model.classes_)} classes for {n_outputs} outputs of the head")
    return model


def _labels(classes: Any, dtype: Any) -> NDArray:
    """Return class labels, (n_classes,), or raise ValueError where these are none."""
    if not isinstance(classes, list) or dtype not in LABELS.values():
        raise ValueError("the classes of the head must be a list of labels of a known type")
    kinds = {type(label) for label in classes}
    if len(kinds) != 1 or not kinds <= {bool, int, float, str}:
        raise ValueError("the classes of the head must be numbers or strings, all of a kind")
    try:
        labels = np.array(classes, dtype=np.dtype(dtype))
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"the classes of the head are not of type {dtype}: {error}") from None
    if labels.tolist() != classes or any(a >= b for a, b in pairwise(classes)):
        raise ValueError("the classes of the head must be sorted and distinct")
    return labels
