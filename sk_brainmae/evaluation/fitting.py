"""One estimator on one fold: fitted on the training part, asked once about the test part."""

import inspect
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn import get_config
from sklearn.base import BaseEstimator, clone
from sklearn.utils import Tags, _safe_indexing, get_tags
from sklearn.utils.metadata_routing import get_routing_for_object

from sk_brainmae.evaluation.folds import Fold

ScoreFolds = Callable[[Any, Any, NDArray, NDArray], dict[str, float]]


class Samples(NamedTuple):
    """What estimators are fitted on and asked about.

    Attributes
    ----------
    X : list or array of n_samples scans
        All scans or Windows.
    y : ndarray of shape (n_samples,)
        Labels or target.
    metadata : dict of str to ndarray or DataFrame
        "groups" and "confounds", where given; one row a sample.
    place : ndarray of shape (n_samples,), int
        Where each was in the X that the user passed.
    """

    X: Any
    y: NDArray
    metadata: dict[str, Any]
    place: NDArray


class Fitted(NamedTuple):
    """What came of an estimator and a fold.

    Attributes
    ----------
    values : dict of str to float
        The value of every metric on the test part.
    predictions : DataFrame
        One row a test sample: sample, y_true, y_pred, scores or y_train_mean, and group.
    fit_time : float
        In seconds.
    """

    values: dict[str, float]
    predictions: pd.DataFrame
    fit_time: float


class Failure(NamedTuple):
    """What was raised instead.

    Attributes
    ----------
    error : str
        Type and message.
    traceback : str
        Where it came from.
    """

    error: str
    traceback: str


class Answers(BaseEstimator):
    """What a fitted estimator says of some samples, asked once, for any number of scorers.

    Parameters
    ----------
    estimator : estimator
        Fitted.
    metadata : dict of str to Any
        Handed to its methods where they take them.
    """

    def __init__(self, estimator: Any, metadata: dict[str, Any]):
        self.estimator = estimator
        self.metadata = metadata
        self._answers: dict[str, NDArray] = {}

    def __getattr__(self, name: str) -> Any:
        """Give the estimator's fitted attributes, and its methods with a memory."""
        if name.startswith("__") or name in ("estimator", "metadata", "_answers"):
            raise AttributeError(name)
        found = getattr(self.estimator, name)
        if name not in ("predict", "predict_proba", "decision_function"):
            return found

        def answer(X: Any) -> NDArray:
            if name not in self._answers:
                taken = taken_metadata(self.estimator, name, self.metadata)
                self._answers[name] = np.asarray(found(X, **taken))
            return self._answers[name]

        answer.__name__ = name  # scorers ask for it
        return answer

    def __sklearn_tags__(self) -> Tags:
        return get_tags(self.estimator)

    def __sklearn_is_fitted__(self) -> bool:
        return True


def fit_fold(
    estimator: Any,
    samples: Samples,
    fold: Fold,
    score: ScoreFolds,
    unlabelled: Any = None,
) -> Fitted | Failure:
    """Fit a clone of an estimator on the training part of a fold, and score it on the test part.

    Parameters
    ----------
    estimator : estimator
        Left as it is.
    samples : Samples
        All of them.
    fold : Fold
        Indices of the two parts.
    score : callable
        ``score(answers, X_test, y_test, y_train)`` gives the value of every metric.
    unlabelled : label, optional
        Given, the estimator is transductive: ``fit`` sees the test scans, too, with this in the
        place of their labels.

    Returns
    -------
    Fitted or Failure
        An error does not stop the others; whoever called raises it in the end.
    """
    try:
        return _fit_fold(estimator, samples, fold, score, unlabelled)
    except Exception as error:
        return Failure(f"{type(error).__name__}: {error}", traceback.format_exc())


def _fit_fold(
    estimator: Any, samples: Samples, fold: Fold, score: ScoreFolds, unlabelled: Any
) -> Fitted:
    X, y = samples.X, samples.y
    seen, y_seen = fold.train, y[fold.train]
    if unlabelled is not None:
        seen = np.concatenate([fold.train, fold.test])
        dtype = y.dtype if y.dtype.kind in "iuf" else object
        hidden = np.full(len(fold.test), unlabelled, dtype=dtype)
        y_seen = np.concatenate([y_seen, hidden])
    metadata = taken_metadata(estimator, "fit", _take(samples.metadata, seen))
    started = time.perf_counter()
    fitted = clone(estimator).fit(_safe_indexing(X, seen), y_seen, **metadata)
    fit_time = time.perf_counter() - started
    answers = Answers(fitted, _take(samples.metadata, fold.test))
    X_test = _safe_indexing(X, fold.test)
    values = score(answers, X_test, y[fold.test], y[fold.train])
    predictions = _predictions(answers, X_test, samples, fold)
    return Fitted({m: float(v) for m, v in values.items()}, predictions, fit_time)


def taken_metadata(estimator: Any, method: str, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata that a method of an estimator takes.

    Parameters
    ----------
    estimator : estimator
        Any.
    method : str
        Such as "fit" or "predict".
    metadata : dict of str to Any
        What there is.

    Returns
    -------
    dict of str to Any
        What the method takes, by its own signature or by scikit-learn's metadata routing where
        that is enabled.
    """
    if not metadata:
        return {}
    taken = {name for name in metadata if _has_parameter(estimator, method, name)}
    if get_config()["enable_metadata_routing"]:
        taken |= get_routing_for_object(estimator).consumes(method, list(metadata))
    return {name: value for name, value in metadata.items() if name in taken}


def _has_parameter(estimator: Any, method: str, name: str) -> bool:
    return name in inspect.signature(getattr(estimator, method)).parameters


def scores_of(answers: Any, X: Any) -> NDArray:
    """Return what a classifier ranks samples by.

    Parameters
    ----------
    answers : classifier
        Fitted.
    X : list or array of n_samples scans
        Samples.

    Returns
    -------
    ndarray of shape (n_samples,) or (n_samples, n_classes)
        Decision values, or probabilities where it has none; of the second class, if there are
        two.
    """
    if not ranks(answers):
        kind = type(getattr(answers, "estimator", answers)).__name__
        raise TypeError(f"{kind} ranks no samples: it has no decision_function or predict_proba")
    if not hasattr(answers, "decision_function"):
        scores = answers.predict_proba(X)
    elif (scores := answers.decision_function(X)).ndim > 1 and _of_pairs(answers):
        raise ValueError(
            "decision_function_shape='ovo' ranks samples by pairs of classes, not by classes:"
            " set it to 'ovr'"
        )
    return scores[:, -1] if scores.ndim > 1 and scores.shape[1] <= 2 else scores


def _of_pairs(estimator: BaseEstimator) -> bool:
    return any(
        name.endswith("decision_function_shape") and value == "ovo"
        for name, value in estimator.get_params().items()
    )


def ranks(estimator: Any) -> bool:
    """Say whether a classifier gives more than labels.

    Parameters
    ----------
    estimator : classifier
        Fitted.

    Returns
    -------
    bool
        Whether :func:`scores_of` has an answer.
    """
    return hasattr(estimator, "decision_function") or hasattr(estimator, "predict_proba")


def _predictions(answers: Answers, X: Any, samples: Samples, fold: Fold) -> pd.DataFrame:
    """Lay out what was predicted for each test sample: the same columns for every estimator."""
    y = samples.y
    columns = {"sample": samples.place[fold.test], "y_true": y[fold.test]}
    columns["y_pred"] = answers.predict(X).astype(y.dtype)
    if hasattr(answers, "classes_"):
        columns |= _score_columns(answers, X, np.unique(y))
    else:
        columns["y_train_mean"] = np.full(len(fold.test), y[fold.train].mean())
    if "groups" in samples.metadata:
        columns["group"] = samples.metadata["groups"][fold.test]
    return pd.DataFrame(columns)


def _score_columns(answers: Answers, X: Any, classes: NDArray) -> dict[str, NDArray]:
    """Return the decision values of the second of two classes, or of each of several."""
    names = ["score"] if len(classes) == 2 else [f"score_{c}" for c in classes]
    scores = scores_of(answers, X) if ranks(answers) else np.full((len(X), len(names)), np.nan)
    return dict(zip(names, scores.reshape(len(X), -1).T.astype(float), strict=True))


def _take(metadata: Mapping[str, Any], rows: NDArray) -> dict[str, Any]:
    return {name: _safe_indexing(values, rows) for name, values in metadata.items()}
