"""What opponents share: a task with its tags and score, and often a head on an embedding."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils import (
    ClassifierTags,
    RegressorTags,
    Tags,
    _safe_indexing,
    check_consistent_length,
)
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from sk_brainmae.labels.groups import check_groups
from sk_brainmae.labels.targets import (
    known_classes,
    known_values,
    labelled_classes,
    labelled_values,
    score_known,
)
from sk_brainmae.scans.validate import validate_scans

# How each task finds the samples that have a target, to fit and to score.
TASKS = {"classification": labelled_classes, "regression": labelled_values}
SCORED = {"classification": known_classes, "regression": known_values}
LEFT_OUT = "are left out: an opponent learns from labelled scans alone"


def check_task(task: str) -> None:
    """Raise ValueError if there is no such task."""
    if task not in TASKS:
        raise ValueError(f"unknown task {task!r}: it is one of {tuple(TASKS)}")


class TaskBaseline(BaseEstimator):
    """Base of the opponents that predict; subclasses have a parameter ``task``, and ``predict``."""

    task: str
    predict: Callable[..., NDArray]

    def score(self, X: Any, y: Any) -> float:
        """Return the accuracy, for regression R^2, of the predictions for ``X``; 1 is perfect.

        Unlabelled scans are left out, with a warning that counts them.
        """
        return self._score(y, self.predict(X))

    def _labelled(self, X: Any, y: Any, groups: Any, *others: Any) -> tuple[Any, ...]:
        """Return X, y, groups and others of the labelled samples, or raise ValueError.

        ``y`` comes in the form that the task needs. ``groups`` may be None.
        """
        check_task(self.task)
        labelled, y = TASKS[self.task](y, LEFT_OUT)
        check_consistent_length(X, labelled, groups, *others)
        groups = check_groups(groups, len(labelled))
        if labelled.all():
            return X, y, groups, *others
        kept = np.flatnonzero(labelled)
        some = [_safe_indexing(rows, kept) for rows in (X, *others)]
        return some[0], y, None if groups is None else groups[kept], *some[1:]

    def _score(self, y: Any, predicted: NDArray) -> float:
        metric = accuracy_score if self.task == "classification" else r2_score
        return score_known(SCORED[self.task](y), predicted, metric)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.three_d_array = False, True
        tags.target_tags.required = True
        if self.task == "classification":
            tags.estimator_type, tags.classifier_tags = "classifier", ClassifierTags()
        else:
            tags.estimator_type, tags.regressor_tags = "regressor", RegressorTags()
        return tags


def classifies(estimator: TaskBaseline) -> bool:
    """Return True for a classifier, else raise AttributeError, as ``available_if`` expects."""
    if estimator.task == "classification":
        return True
    raise AttributeError(f"{type(estimator).__name__} has no classes: its task is {estimator.task}")


def _if_offered(method: str) -> Callable[["EmbeddingBaseline"], bool]:
    """Tell ``available_if`` whether a classifier's head has a method, else raise AttributeError."""

    def offered(estimator: "EmbeddingBaseline") -> bool:
        return classifies(estimator) and estimator._offers(method)

    return offered


class EmbeddingBaseline(TaskBaseline):
    """Base of the opponents with a ``head_`` on an embedding of scans, by ``features_``."""

    n_features_in_: int

    def predict(self, X: Any) -> NDArray:
        """Return the class or value of each scan or Window, (n_samples,)."""
        return self._fitted_head().predict(self._embed(X))

    @available_if(_if_offered("predict_proba"))
    def predict_proba(self, X: Any) -> NDArray:
        """Return the class probabilities, (n_samples, n_classes), if the head has them."""
        return self._fitted_head().predict_proba(self._embed(X))

    @available_if(_if_offered("decision_function"))
    def decision_function(self, X: Any) -> NDArray:
        """Return the decision values, (n_samples,) of two classes, else (n_samples, n_classes)."""
        return self._fitted_head().decision_function(self._embed(X))

    def _check_samples(self, X: Any, y: Any, groups: Any) -> tuple[Any, NDArray, Any]:
        """Count the regions; return labelled samples, their target, and their groups or None."""
        X, y, groups = self._labelled(X, y, groups)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the features validate, and warn, again
            cohort = validate_scans(X)
        self.n_features_in_ = cohort.n_regions
        return X, y, cohort.units(groups)

    def _offers(self, method: str) -> bool:
        """Tell whether the head has a method, or raise AttributeError."""
        return True

    def _fitted_head(self) -> Any:
        check_is_fitted(self, "head_")
        return self.head_

    def _embed(self, X: Any) -> NDArray:
        """Return the input of the head, (n_samples, n_embedding)."""
        return np.asarray(self.features_.transform(X))
