"""Which views of a scan fitted models read, and how much of each."""

from collections.abc import Iterable
from typing import Any

import pandas as pd
from sklearn.pipeline import Pipeline

Weights = dict[str, float]  # share of each view in the squared norm of what a head reads


def views_of(model: Any) -> Weights:
    """Return the weights of the views that a fitted model reads; {} where it has none.

    They are also found at the end of a pipeline, and in the best model of a search.
    """
    if hasattr(model, "view_weights_"):
        return {name: float(weight) for name, weight in model.view_weights_.items()}
    inside = model[-1] if isinstance(model, Pipeline) else getattr(model, "best_estimator_", None)
    return {} if inside is None else views_of(inside)


def mean_weights(of_folds: Iterable[Weights]) -> Weights:
    """Return the mean weight of each view; a fold without a view gives it none."""
    means = pd.DataFrame(list(of_folds)).fillna(0.0).mean()
    return {str(name): float(weight) for name, weight in means.items()}


def in_words(weights: Weights) -> str:
    """Say how much each view counts, the strongest first; those without weight are left out."""
    ordered = sorted(weights.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {percent(weight)}" for name, weight in ordered if weight)


def percent(weight: float) -> str:
    """Write a share, such that a small one does not look like none."""
    return "<1%" if 0 < weight < 0.005 else f"{weight:.0%}"
