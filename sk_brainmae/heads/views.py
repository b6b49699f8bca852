"""A linear head that finds out which views of a scan speak about the target.

A mixture of views gives each a share of the squared norm. Its Gram matrix is the sum of those of
the views, one each, so every mixture is tried in the dual, however many features the views have.
Free search overfits small samples: candidates are each view alone and few mixtures, and a plain
reference is left only for a gain of more than one standard error over the inner folds.

Mixtures are compared by kernel ridge regression, of classes by their indicators: all strengths come
from one eigendecomposition. It is himalaya's multiple-kernel ridge (Dupre la Tour et al. 2022),
which cannot be used here, since it does not return the errors of single folds.
"""

import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import eigh
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import KernelCenterer, StandardScaler

from sk_brainmae.heads.linear import CHECKS, INNER_SPLITS, LINEAR_HEADS, STRENGTHS, Splits

# Views that a model keeps to unless another choice is clearly better. Of scans only the first is
# there; of moments it is the better one.
REFERENCES = ("connectivity", "response")
# Share of a reference in its mixtures with a single other view.
REFERENCE_SHARE = 0.9
# More samples than this choose views no better, and take cubic time.
MAX_SAMPLES = 1000
# A variance that is smaller in units of the largest squared value is none.
ROUNDING = 1e-12
# Columns of a view that are read at once: float64 copies of a whole one would not fit into memory.
BLOCK = 8192

Weights = dict[str, float]  # share of each view in the squared norm


class Tried(NamedTuple):
    """A mixture of views and its squared error in each inner fold."""

    weights: Weights
    errors: NDArray  # (n_folds,)


def fit_weighing_head(
    views: Mapping[str, NDArray],
    y: ArrayLike,
    groups: ArrayLike | None = None,
    random_state: Any = None,
    *,
    task: str,
    shares: Mapping[str, float],
) -> tuple[Pipeline, Weights]:
    """Weigh views, and fit a linear head on them; both are tuned by an inner cross-validation.

    Parameters
    ----------
    views : dict of str to ndarray of shape (n_samples, n_features_of_view)
        Features of the training samples.
    y : array-like of shape (n_samples,)
        Class labels, at least two classes, or values.
    groups : array-like of shape (n_samples,), default=None
        Samples of one group (a subject, a run, a site) stay on one side of every inner split.
    random_state : int, RandomState instance or None, default=None
        Shuffles the inner folds.
    task : {"classification", "regression"}
        The head is an L2 logistic regression, or a ridge regression.
    shares : dict of str to float
        Weights of the views where nothing can be tuned; also one of the candidates.

    Returns
    -------
    head : Pipeline
        ``StandardScaler`` and the linear model, for the views with a weight, side by side. The
        scaler centres features, and divides each view by one number.
    weights : dict of str to float
        Share of every view in the squared norm; they sum to 1.

    Raises
    ------
    ValueError
        If ``y`` holds one class only, or is not finite.

    Warns
    -----
    UserWarning
        If a view is constant over the samples: it gets no weight. If no inner cross-validation is
        possible: the weights are then the ``shares``, and the strength is a moderate one.
    """
    y = CHECKS[task](y)
    sizes = {name: mean_squared_norm(view) for name, view in views.items()}
    varying = [name for name in views if sizes[name] > 0]
    if len(varying) < len(views):
        constant = ", ".join(name for name in views if name not in varying)
        warnings.warn(
            f"views that are the same for all {len(y)} training samples get no weight: {constant}",
            stacklevel=4,
        )
    some = {name: views[name] for name in varying or views}
    weights = _choose(some, y, groups, random_state, task, shares)
    read = {name: weights[name] for name in views if weights.get(name)}
    features = np.concatenate([views[name] for name in read], axis=1)
    scales = [
        np.full(views[name].shape[1], ((sizes[name] or 1) / weight) ** 0.5)
        for name, weight in read.items()
    ]
    scaler = StandardScaler().fit(features)
    scaler.scale_ = np.concatenate(scales)
    head = LINEAR_HEADS[task](features, y, groups, random_state, scaler=scaler)
    # It comes with the strides of a slice, which joblib.hash sees and pickle does not keep.
    head[-1].coef_ = head[-1].coef_.copy()
    return head, {name: read.get(name, 0.0) for name in views}


def mean_squared_norm(features: NDArray) -> float:
    """Return the mean squared distance of samples from their mean; 0 where it is but rounding."""
    variance = features.var(axis=0, dtype=float)
    return float(variance.sum()) if variance.max() > ROUNDING * np.square(features).max() else 0.0


def _choose(
    views: Mapping[str, NDArray],
    y: NDArray,
    groups: ArrayLike | None,
    random_state: Any,
    task: str,
    shares: Mapping[str, float],
) -> Weights:
    """Return the weights of the best reference, or of what is clearly better."""
    together = _normalised({name: shares[name] for name in views})
    if len(views) < 2:
        return together
    rows = np.arange(len(y))
    if len(y) > MAX_SAMPLES:
        rows = np.linspace(0, len(y) - 1, MAX_SAMPLES).round().astype(int)
    y, groups = y[rows], None if groups is None else np.asarray(groups)[rows]
    splits = INNER_SPLITS[task](y, groups, random_state)
    if not splits:
        return together
    grams = {name: _gram(view[rows]) for name, view in views.items()}
    target = (y[:, None] == np.unique(y)).astype(float) if task == "classification" else y[:, None]

    def attempt(weights: Weights) -> Tried:
        gram = sum(weight * grams[name] for name, weight in weights.items())
        errors = fold_errors(np.asarray(gram), target, splits)  # (n_folds, n_strengths)
        return Tried(weights, errors[:, errors.mean(axis=0).argmin()])

    alone = [attempt({name: 1.0}) for name in views]
    references = [tried for tried in alone if set(tried.weights) <= set(REFERENCES)]
    reference = min(references or alone[:1], key=_error)
    (named,) = reference.weights
    pairs = [{named: REFERENCE_SHARE, name: 1 - REFERENCE_SHARE} for name in views if name != named]
    equal = _normalised(dict.fromkeys(views, 1.0))
    best = min([*alone, *map(attempt, [*pairs, together, equal])], key=_error)
    gain = reference.errors - best.errors
    standard_error = gain.std(ddof=1) / len(gain) ** 0.5 if len(gain) > 1 else np.inf
    return best.weights if gain.mean() > standard_error else reference.weights


def _normalised(weights: Weights) -> Weights:
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items()}


def _error(tried: Tried) -> float:
    return float(tried.errors.mean())


def _gram(features: NDArray) -> NDArray:
    """Return inner products (n, n) of centred samples of mean squared norm 1."""
    gram = np.zeros((len(features), len(features)))
    for start in range(0, features.shape[1], BLOCK):
        block = features[:, start : start + BLOCK].astype(float)
        block -= block.mean(axis=0)
        gram += block @ block.T
    return gram / (np.trace(gram) / len(gram) or 1)


def fold_errors(gram: NDArray, target: NDArray, splits: Splits) -> NDArray:
    """Return the mean squared error of kernel ridge regression in each fold, at each strength.

    Parameters
    ----------
    gram : ndarray of shape (n, n)
        Inner products of the samples, of mean squared norm 1.
    target : ndarray of shape (n, n_outputs)
        Values, or indicators of classes.
    splits : list of (train, test)
        Inner folds.

    Returns
    -------
    ndarray of shape (n_folds, n_strengths)
        Strengths are those of :data:`~sk_brainmae.heads.linear.STRENGTHS`: 1 is a penalty as
        strong as the data in their mean direction.
    """
    errors = np.empty((len(splits), len(STRENGTHS)))
    for fold, (train, test) in enumerate(splits):
        centre = KernelCenterer().fit(gram[np.ix_(train, train)])
        variance, axes = eigh(centre.transform(gram[np.ix_(train, train)]), driver="evd")
        mean = target[train].mean(axis=0)
        inside = axes.T @ (target[train] - mean)  # (n_train, n_outputs)
        outside = centre.transform(gram[np.ix_(test, train)]) @ axes  # (n_test, n_train)
        for k, strength in enumerate(STRENGTHS):
            shrunk = inside / (np.maximum(variance, 0) + strength)[:, None]
            errors[fold, k] = np.square(target[test] - mean - outside @ shrunk).mean()
    return errors
