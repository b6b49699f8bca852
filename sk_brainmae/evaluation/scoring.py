"""What ``scoring`` of a comparison asks for: this package's metrics, and any of scikit-learn's."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import check_scoring

from sk_brainmae.evaluation.fitting import ScoreFold
from sk_brainmae.evaluation.metrics import METRICS, default_metrics

Scoring = str | Sequence[str] | Mapping[str, Any] | None


def make_score(
    scoring: Scoring, y: NDArray, *, classification: bool
) -> tuple[list[str], ScoreFold]:
    """Return the names of the metrics, the main one first, and what scores a fold by them."""
    known = default_metrics(np.unique(y) if classification else np.array([]))
    if scoring is None:
        scoring = list(known)
    elif isinstance(scoring, str):
        scoring = [scoring]
    asked = scoring if isinstance(scoring, Mapping) else {name: name for name in scoring}
    if not asked:
        raise ValueError("scoring names no metric; pass None for the metrics of the task")
    for name, metric in asked.items():
        if name in METRICS and METRICS[name].score and metric != name:
            raise ValueError(
                f"scoring gives another metric the name {name!r}, which this package's own metric"
                " has (see compare): choose another name"
            )
    # Each metric is scored alone: what its name means does not depend on what else is measured.
    ours = {n: known[m] for n, m in asked.items() if isinstance(m, str) and m in known}
    others = {name: metric for name, metric in asked.items() if name not in ours}
    scorer = check_scoring(scoring=others) if others else None

    def score(answers: Any, X: Any, y_test: NDArray, y_train: NDArray) -> dict[str, float]:
        values = {name: metric(answers, X, y_test, y_train) for name, metric in ours.items()}
        if scorer is not None:
            values |= scorer(answers, X, y_test)
        return {name: values[name] for name in asked}

    return list(asked), score
