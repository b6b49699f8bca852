"""The metrics, in one table: what people call each, how it is scored, and how it is resampled.

Larger is better for all of them. Of two classes the second in sorted order is positive, as in
scikit-learn.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import pearsonr
from sklearn.metrics import (
    balanced_accuracy_score,
    f1_score,
    mean_absolute_error,
    recall_score,
    roc_auc_score,
)

from sk_brainmae.evaluation.fitting import scores_of

Prediction = Mapping[str, NDArray]  # column -> (n,)
# score(answers, X, y, y_train): the value on the test part of a fold, X and y.
Score = Callable[[Any, Any, NDArray, NDArray], float]
# resample(y_true (n,), prediction, weights (B, n)): a value for each resample, (B,), NaN where a
# class has no weight or a variance is zero.
Resample = Callable[[NDArray, Prediction, NDArray], NDArray]


@dataclass(frozen=True)
class Metric:
    """One metric: its name for people, its two computations, and the unit of its values."""

    label: str
    meaning: str = ""  # how to read a value
    task: str = ""  # "classes", "two classes" or "numbers": the targets that it is a default of
    score: Score | None = None  # None: scikit-learn scores it
    resample: Resample | None = None  # None: it has no bootstrap interval
    power: int = 0  # its values are in the target's unit to this power; 0: they have no unit


def find_metric(name: str) -> Metric:
    """Return the record of a metric; of an unknown one, a record that only names it."""
    return METRICS.get(name, Metric(name))


def default_metrics(classes: NDArray) -> dict[str, Score]:
    """Return what a task is scored by, the main metric first; no classes mean a regression."""
    tasks = ["classes"] if len(classes) else ["numbers"]
    if len(classes) == 2:
        tasks.append("two classes")
    return {n: m.score for n, m in METRICS.items() if m.task in tasks and m.score is not None}


def _score_auc(answers: Any, X: Any, y: NDArray, y_train: NDArray) -> float:
    """Return the AUC of the second of two classes; of more, the mean of each against the others."""
    classes, scores = np.unique(y), scores_of(answers, X)
    if scores.ndim == 1:
        return roc_auc_score(y == classes[1], scores)
    each = zip(classes, scores.T, strict=True)
    return float(np.mean([roc_auc_score(y == label, score) for label, score in each]))


def _resample_auc(y_true: NDArray, prediction: Prediction, weights: NDArray) -> NDArray:
    classes = np.unique(y_true)
    if len(classes) <= 2:
        positive = y_true == _two_classes(y_true)[1]
        return _auc(positive, _column(prediction, "score"), weights)
    return np.mean(
        [_auc(y_true == c, _column(prediction, f"score_{c}"), weights) for c in classes], axis=0
    )


def _auc(positive: NDArray, score: NDArray, weights: NDArray) -> NDArray:
    """Return the weighted share of pairs in which the positive has the larger score.

    A tie counts half. One sort serves all B: in rising order of the score, each positive beats the
    negatives before it.
    """
    if np.isnan(score).any():
        return np.full(len(weights), np.nan)
    order = np.argsort(score)
    score, positive, weights = score[order], positive[order], weights[:, order]
    starts = np.flatnonzero(np.r_[True, score[1:] != score[:-1]])  # of runs of equal scores
    wins = np.add.reduceat(weights * positive, starts, axis=1)  # (B, n_runs)
    losses = np.add.reduceat(weights * ~positive, starts, axis=1)  # (B, n_runs)
    beaten = losses.cumsum(axis=1)
    pairs = wins.sum(axis=1) * beaten[:, -1]
    return _ratio((wins * (beaten - losses / 2)).sum(axis=1), pairs)


def _score_balanced_accuracy(answers: Any, X: Any, y: NDArray, y_train: NDArray) -> float:
    return balanced_accuracy_score(y, answers.predict(X))


def _resample_balanced_accuracy(
    y_true: NDArray, prediction: Prediction, weights: NDArray
) -> NDArray:
    recalls = [_recall(y_true == c, y_true, prediction, weights) for c in np.unique(y_true)]
    return np.mean(recalls, axis=0)


def _score_recall(place: int, answers: Any, X: Any, y: NDArray, y_train: NDArray) -> float:
    """Return the share of the first (0) or second (1) class that is recognised."""
    return recall_score(y, answers.predict(X), pos_label=_two_classes(y)[place])


def _resample_recall(
    place: int, y_true: NDArray, prediction: Prediction, weights: NDArray
) -> NDArray:
    return _recall(y_true == _two_classes(y_true)[place], y_true, prediction, weights)


def _recall(true: NDArray, y_true: NDArray, prediction: Prediction, weights: NDArray) -> NDArray:
    hit = true & (_column(prediction, "y_pred") == y_true)
    return _ratio(weights @ hit, weights @ true)


def _score_f1(answers: Any, X: Any, y: NDArray, y_train: NDArray) -> float:
    labels = answers.predict(X)
    if len(np.unique(y)) > 2:
        return f1_score(y, labels, average="macro")
    return f1_score(y, labels, pos_label=_two_classes(y)[1])


def _resample_f1(y_true: NDArray, prediction: Prediction, weights: NDArray) -> NDArray:
    """Return 2 TP / (true + predicted) of the second of two classes; of more, the mean."""
    classes = np.unique(y_true)
    y_pred = _column(prediction, "y_pred")
    values = []
    for c in classes if len(classes) > 2 else _two_classes(y_true)[1:]:
        true, predicted = y_true == c, y_pred == c
        drawn = weights @ true
        value = 2 * _ratio(weights @ (true & predicted), drawn + weights @ predicted)
        values.append(np.where(drawn > 0, value, np.nan))  # as elsewhere: no class, no value
    return np.mean(values, axis=0)


def _score_r2(answers: Any, X: Any, y: NDArray, y_train: NDArray) -> float:
    """Compare with the mean of the *training* target, which knows no test sample."""
    error = np.square(y - answers.predict(X)).sum()
    spread = np.square(y - y_train.mean()).sum()
    return 1 - error / spread if spread else np.nan


def _resample_r2(y_true: NDArray, prediction: Prediction, weights: NDArray) -> NDArray:
    left = weights @ (y_true - _column(prediction, "y_pred")) ** 2
    return 1 - _ratio(left, weights @ (y_true - _column(prediction, "y_train_mean")) ** 2)


def _score_pearson_r(answers: Any, X: Any, y: NDArray, y_train: NDArray) -> float:
    """Return the correlation, 0 with a constant; a resample is then NaN."""
    predicted = answers.predict(X)
    varies = _varies(predicted) and _varies(y)
    return pearsonr(y, predicted).statistic if varies else 0.0


def _varies(values: NDArray) -> bool:
    """Say whether values differ by more than rounding."""
    spread = np.linalg.norm(values - values.mean())
    return bool(spread > 1e-13 * np.linalg.norm(values))


def _resample_pearson_r(y_true: NDArray, prediction: Prediction, weights: NDArray) -> NDArray:
    total = weights.sum(axis=1)

    def centre(x: NDArray) -> tuple[NDArray, NDArray]:
        deviation = x - _ratio(weights @ x, total)[:, None]  # (B, n)
        norm = np.sqrt((weights * deviation**2).sum(axis=1))
        constant = norm <= 1e-13 * np.sqrt(weights @ x**2)  # but for rounding
        return deviation, np.where(constant, np.nan, norm)

    deviation, norm = centre(y_true)
    other, other_norm = centre(_column(prediction, "y_pred"))
    return (weights * deviation * other).sum(axis=1) / (norm * other_norm)


def _score_absolute_error(answers: Any, X: Any, y: NDArray, y_train: NDArray) -> float:
    return -mean_absolute_error(y, answers.predict(X))


def _resample_absolute_error(y_true: NDArray, prediction: Prediction, weights: NDArray) -> NDArray:
    error = np.abs(y_true - _column(prediction, "y_pred"))
    return -_ratio(weights @ error, weights.sum(axis=1))


def _ratio(numerator: NDArray, denominator: NDArray) -> NDArray:
    """Divide, NaN where the denominator is zero."""
    out = np.full(np.broadcast(numerator, denominator).shape, np.nan)
    return np.divide(numerator, denominator, out=out, where=denominator > 0)


def _column(prediction: Prediction, name: str) -> NDArray:
    if name not in prediction:
        raise ValueError(f"this metric needs the column {name!r}; there are {list(prediction)}")
    return prediction[name]


def _two_classes(y: NDArray) -> NDArray:
    classes = np.unique(y)
    if len(classes) != 2:
        raise ValueError(f"this metric needs two classes in every fold; found {list(classes)}")
    return classes


#: All metrics by name. With weights of one, resampling gives scikit-learn's values, except for
#: "r2", which compares with the mean of the training target.
METRICS: dict[str, Metric] = {
    "roc_auc": Metric(
        "AUC",
        "area under the ROC curve: 0.5 is chance, 1 is perfect",
        "classes",
        _score_auc,
        _resample_auc,
    ),
    "balanced_accuracy": Metric(
        "balanced accuracy",
        "mean share of each class that is recognised",
        "classes",
        _score_balanced_accuracy,
        _resample_balanced_accuracy,
    ),
    "f1": Metric(
        "F1",
        "harmonic mean of precision and recall: 1 is perfect",
        "classes",
        _score_f1,
        _resample_f1,
    ),
    "sensitivity": Metric(
        "sensitivity",
        "share of the second class that is recognised",
        "two classes",
        partial(_score_recall, 1),
        partial(_resample_recall, 1),
    ),
    "specificity": Metric(
        "specificity",
        "share of the first class that is recognised",
        "two classes",
        partial(_score_recall, 0),
        partial(_resample_recall, 0),
    ),
    "r2": Metric(
        "R²",
        "1 is perfect, 0 is no better than the mean of the training scans",
        "numbers",
        _score_r2,
        _resample_r2,
    ),
    "pearson_r": Metric(
        "Pearson r",
        "correlation of prediction and truth: 0 is chance, 1 is perfect",
        "numbers",
        _score_pearson_r,
        _resample_pearson_r,
    ),
    "neg_mean_absolute_error": Metric(
        "negative mean absolute error",
        "0 is perfect, less is worse",
        "numbers",
        _score_absolute_error,
        _resample_absolute_error,
        power=1,
    ),
    # scikit-learn's other metrics need no record, except for the unit of their values.
    "neg_median_absolute_error": Metric("neg_median_absolute_error", power=1),
    "neg_root_mean_squared_error": Metric("neg_root_mean_squared_error", power=1),
    "neg_max_error": Metric("neg_max_error", power=1),
    "neg_mean_squared_error": Metric("neg_mean_squared_error", power=2),
}
