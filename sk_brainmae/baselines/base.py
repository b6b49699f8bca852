"""What every opponent that predicts has: a task, the tags that go with it, a score."""

from typing import Any

from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils import ClassifierTags, RegressorTags, Tags

from sk_brainmae.labels.targets import check_classes, check_values

# How each task checks its target.
TASKS = {"classification": check_classes, "regression": check_values}


def check_task(task: str) -> None:
    """Raise ValueError where there is no such task."""
    if task not in TASKS:
        raise ValueError(f"unknown task {task!r}: it is one of {tuple(TASKS)}")


class TaskBaseline(BaseEstimator):
    """Base of the opponents that predict; a subclass has a parameter ``task``.

    Attributes
    ----------
    task : {"classification", "regression"}
        What ``y`` is.
    """

    task: str

    def _check_target(self, y: Any) -> NDArray:
        """Return ``y`` as the task wants it, or say why it cannot be."""
        check_task(self.task)
        return TASKS[self.task](y)

    def _score(self, y: Any, predicted: NDArray) -> float:
        """Return the accuracy, for regression the coefficient of determination."""
        metric = accuracy_score if self.task == "classification" else r2_score
        return metric(y, predicted)

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
    """Return True of a classifier, else raise AttributeError, as ``available_if`` wants it."""
    if estimator.task == "classification":
        return True
    raise AttributeError(f"{type(estimator).__name__} has no classes: its task is {estimator.task}")
