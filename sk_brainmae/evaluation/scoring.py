"""Which metrics a task is scored by, unless others are asked for; larger is always better."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import pearsonr
from sklearn.metrics import (
    balanced_accuracy_score,
    check_scoring,
    f1_score,
    mean_absolute_error,
    recall_score,
    roc_auc_score,
)

from sk_brainmae.evaluation.fitting import ScoreFolds, scores_of

# The last two of two classes.
CLASS_METRICS = ("roc_auc", "balanced_accuracy", "f1", "sensitivity", "specificity")
VALUE_METRICS = ("r2", "pearson_r", "neg_mean_absolute_error")
METRICS = CLASS_METRICS + VALUE_METRICS

Scoring = str | Sequence[str] | Mapping[str, Any] | None


def make_score(
    scoring: Scoring, y: NDArray, *, classification: bool
) -> tuple[list[str], ScoreFolds]:
    """Return the names of the metrics, and one function that gives their values on a fold.

    Parameters
    ----------
    scoring : str, list of str, dict of name to str or scorer, or None
        By scikit-learn's names; None: the task's metrics, see :func:`compare`.
    y : ndarray of shape (n_samples,)
        Labels or target of all samples.
    classification : bool
        Whether ``y`` holds classes.

    Returns
    -------
    metrics : list of str
        Their names, the main one first.
    score : callable
        ``score(answers, X_test, y_test, y_train)``.

    Raises
    ------
    ValueError
        If there is none, one is unknown, or another one has the name of one of these.
    """
    classes = np.unique(y) if classification else np.array([])
    ours: ScoreFolds = _ClassMetrics(classes) if classification else score_values
    known = VALUE_METRICS if not classification else CLASS_METRICS[: 5 if len(classes) == 2 else 3]
    if scoring is None:
        return list(known), ours
    if isinstance(scoring, str):
        scoring = [scoring]
    asked = scoring if isinstance(scoring, Mapping) else {name: name for name in scoring}
    if not asked:
        raise ValueError("scoring names no metric; None: the metrics of the task")
    for name, metric in asked.items():
        if name in METRICS and metric != name:
            raise ValueError(
                f"scoring calls another metric {name!r}, which is one of this package's (see"
                " compare): choose another name"
            )
    # Each alone: what a name means does not depend on what else is measured.
    by_us = {n: m for n, m in asked.items() if isinstance(m, str) and m in known}
    others = {name: metric for name, metric in asked.items() if name not in by_us}
    scorer = check_scoring(scoring=others) if others else None

    def score(answers: Any, X: Any, y_test: NDArray, y_train: NDArray) -> dict[str, float]:
        found = ours(answers, X, y_test, y_train) if by_us else {}
        values = {name: found[metric] for name, metric in by_us.items()}
        if scorer is not None:
            values |= scorer(answers, X, y_test)
        return {name: values[name] for name in asked}

    return list(asked), score


class _ClassMetrics:
    """AUC, balanced accuracy, F1; of two classes also sensitivity and specificity."""

    def __init__(self, classes: NDArray):
        self.classes = classes

    def __call__(self, answers: Any, X: Any, y: NDArray, y_train: NDArray) -> dict[str, float]:
        """Score the classes and scores given to the samples of a test part."""
        labels = answers.predict(X)
        values = {
            "roc_auc": self._auc(y, scores_of(answers, X)),
            "balanced_accuracy": balanced_accuracy_score(y, labels),
        }
        if len(self.classes) > 2:
            return {**values, "f1": f1_score(y, labels, average="macro")}
        negative, positive = self.classes
        return {
            **values,
            "f1": f1_score(y, labels, pos_label=positive),
            "sensitivity": recall_score(y, labels, pos_label=positive),
            "specificity": recall_score(y, labels, pos_label=negative),
        }

    def _auc(self, y: NDArray, scores: NDArray) -> float:
        """Return the AUC, of more than two classes the mean of each against the others."""
        if scores.ndim == 1:
            return roc_auc_score(y == self.classes[1], scores)
        each = zip(self.classes, scores.T, strict=True)
        return float(np.mean([roc_auc_score(y == label, score) for label, score in each]))


def score_values(answers: Any, X: Any, y: NDArray, y_train: NDArray) -> dict[str, float]:
    """Score the values predicted for the samples of a test part.

    Parameters
    ----------
    answers : regressor
        Fitted.
    X : list or array of n_samples scans
        Test samples.
    y : ndarray of shape (n_samples,)
        Their target.
    y_train : ndarray of shape (n_train_samples,)
        Target of the training samples.

    Returns
    -------
    dict of str to float
        "r2", against predicting the mean of the *training* samples, which alone is known
        beforehand; "pearson_r", 0 where all predictions are the same; and
        "neg_mean_absolute_error".
    """
    predicted = answers.predict(X)
    error = np.square(y - predicted).sum()
    spread = np.square(y - y_train.mean()).sum()
    varies = _varies(predicted) and _varies(y)
    return {
        "r2": 1 - error / spread if spread else np.nan,
        "pearson_r": pearsonr(y, predicted).statistic if varies else 0.0,
        "neg_mean_absolute_error": -mean_absolute_error(y, predicted),
    }


def _varies(values: NDArray) -> bool:
    """Say whether values differ by more than rounding, as the bootstrap does."""
    spread = np.linalg.norm(values - values.mean())
    return bool(spread > 1e-13 * np.linalg.norm(values))
