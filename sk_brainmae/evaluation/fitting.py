"""One estimator on one fold: fitted on the training part, asked once about the test part."""

import time
import traceback
import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.utils import Tags, _safe_indexing, get_tags

from sk_brainmae.evaluation.folds import Fold
from sk_brainmae.evaluation.samples import Samples, allowed_unlabelled, take, taken_metadata
from sk_brainmae.evaluation.views import Weights, views_of

# score(answers, X_test, y_test, y_train): the value of every metric on the test part of a fold.
ScoreFold = Callable[[Any, Any, NDArray, NDArray], dict[str, float]]


class Fitted(NamedTuple):
    """The results of an estimator in a fold."""

    values: dict[str, float]  # metric -> value on the test part
    predictions: pd.DataFrame  # a row a test sample: sample, y_true, y_pred, scores, group, ...
    fit_time: float  # s
    views: Weights  # {} for models without views


class Failure(NamedTuple):
    """What an estimator raised in a fold."""

    error: str  # type and message
    traceback: str


class Answers(BaseEstimator):
    """A fitted estimator that predicts each test sample once, however many scorers ask."""

    def __init__(self, estimator: Any, metadata: dict[str, Any]):
        self.estimator = estimator
        self.metadata = metadata
        self._answers: dict[str, NDArray] = {}

    def __getattr__(self, name: str) -> Any:
        """Return a fitted attribute, or a method that remembers its answer."""
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
    score: ScoreFold,
    *,
    pretrains: bool = False,
    transductive: bool = False,
) -> Fitted | Failure:
    """Fit a clone on the training part of a fold, and score it on the test part.

    An estimator that ``pretrains`` also sees unlabelled scans, as far as they have nothing in
    common with the test part; a ``transductive`` one sees the test scans too, without labels. An
    error is returned: it must not stop the other fits.
    """
    try:
        return _fit_fold(estimator, samples, fold, score, pretrains, transductive)
    except Exception as error:
        return Failure(f"{type(error).__name__}: {error}", traceback.format_exc())


def _fit_fold(
    estimator: Any,
    samples: Samples,
    fold: Fold,
    score: ScoreFold,
    pretrains: bool,
    transductive: bool,
) -> Fitted:
    X, y = samples.X, samples.y
    seen = np.concatenate([fold.train, fold.test]) if transductive else fold.train
    X_seen, metadata = take(X, seen), _take(samples.metadata, seen)
    y_seen = y[fold.train]
    if pretrains and samples.unlabelled is not None:
        X_seen, metadata = _join(X_seen, metadata, samples, fold)
    if n_hidden := len(X_seen) - len(y_seen):
        dtype = float if y.dtype.kind == "f" else object  # -1 may be a class
        y_seen = np.concatenate([y_seen, np.full(n_hidden, np.nan, dtype=dtype)])
    metadata = taken_metadata(estimator, "fit", metadata)
    started = time.perf_counter()
    with warnings.catch_warnings():  # the comparison tells it once
        warnings.filterwarnings("ignore", r"\d+ of \d+ scans are unlabelled")
        fitted = clone(estimator).fit(X_seen, y_seen, **metadata)
    fit_time = time.perf_counter() - started
    answers = Answers(fitted, _take(samples.metadata, fold.test))
    X_test = take(X, fold.test)
    values = score(answers, X_test, y[fold.test], y[fold.train])
    predictions = _predictions(answers, X_test, samples, fold)
    values = {metric: float(value) for metric, value in values.items()}
    return Fitted(values, predictions, fit_time, views_of(fitted))


def _join(
    X: Any, metadata: dict[str, Any], samples: Samples, fold: Fold
) -> tuple[Any, dict[str, Any]]:
    """Append the unlabelled scans that a fold allows."""
    assert samples.unlabelled is not None
    allowed = allowed_unlabelled(samples, fold.test)
    more, others = samples.unlabelled
    more = take(more, allowed)
    arrays = isinstance(X, np.ndarray) and isinstance(more, np.ndarray)
    joined = np.concatenate([X, more]) if arrays else [*X, *more]
    both = {
        name: _stack(rows, _safe_indexing(others[name], allowed)) for name, rows in metadata.items()
    }
    return joined, both


def _stack(rows: Any, more: Any) -> Any:
    if isinstance(rows, pd.DataFrame):
        return pd.concat([rows, more])
    return np.concatenate([rows, more])


def scores_of(classifier: Any, X: Any) -> NDArray:
    """Return what a fitted classifier ranks samples by, (n_samples,) or (n_samples, n_classes).

    These are decision values, or probabilities where it has none; of the second of two classes.
    """
    if not _ranks(classifier):
        kind = type(getattr(classifier, "estimator", classifier)).__name__
        raise TypeError(
            f"{kind} cannot rank samples: it has neither decision_function nor predict_proba"
        )
    if not hasattr(classifier, "decision_function"):
        scores = classifier.predict_proba(X)
    elif (scores := classifier.decision_function(X)).ndim > 1 and _scores_pairs(classifier):
        raise ValueError(
            "decision_function_shape='ovo' ranks samples by pairs of classes, not by classes:"
            " set it to 'ovr'"
        )
    return scores[:, -1] if scores.ndim > 1 and scores.shape[1] <= 2 else scores


def _scores_pairs(estimator: BaseEstimator) -> bool:
    return any(
        name.endswith("decision_function_shape") and value == "ovo"
        for name, value in estimator.get_params().items()
    )


def _ranks(classifier: Any) -> bool:
    return hasattr(classifier, "decision_function") or hasattr(classifier, "predict_proba")


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
    scores = scores_of(answers, X) if _ranks(answers) else np.full((len(X), len(names)), np.nan)
    return dict(zip(names, scores.reshape(len(X), -1).T.astype(float), strict=True))


def _take(metadata: Mapping[str, Any], rows: NDArray) -> dict[str, Any]:
    return {name: _safe_indexing(values, rows) for name, values in metadata.items()}
