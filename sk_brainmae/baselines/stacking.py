"""What one kind of features adds to another: each alone, and both stacked."""

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from sk_brainmae.baselines.base import TaskBaseline
from sk_brainmae.baselines.embedding import EmbeddingBaseline
from sk_brainmae.baselines.estimators import FeatureBaseline
from sk_brainmae.baselines.heads import fit_head
from sk_brainmae.heads.linear import INNER_SPLITS


class StackedBaseline(EmbeddingBaseline):
    """Several kinds of features, each with a tuned linear head, and a linear model on top [1]_.

    The upper model weighs what the heads say of training scans that they were not fitted on, by
    an inner cross-validation, so that features of thousands of dimensions cannot drown others of
    a few. In regression its weights are not negative. The features themselves see all training
    scans, but no labels.

    Parameters
    ----------
    features : list of (str, transformer)
        Names and transformers from scans to features. They are cloned, never changed.
    task : {"classification", "regression"}, default="classification"
        What ``y`` is.
    random_state : int, RandomState instance or None, default=None
        Shuffles the inner folds.

    Attributes
    ----------
    features_ : dict of str to transformer
        Fitted clones.
    heads_ : dict of str to Pipeline
        The fitted head of each.
    stack_ : Pipeline
        The fitted upper model; ``stack_[-1].coef_`` says how much each head counts.
    classes_ : ndarray of shape (n_classes,)
        Class labels; classification only.
    n_features_in_ : int
        Number of regions.

    References
    ----------
    .. [1] Wolpert (1992). Stacked generalization. Neural Networks, 5, 241-259.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_brainmae.baselines import ConnectivityFeatures, FlatWindow, StackedBaseline
    >>> scans = np.random.default_rng(0).normal(size=(20, 30, 4))
    >>> both = [("FC", ConnectivityFeatures()), ("flat", FlatWindow())]
    >>> model = StackedBaseline(both, random_state=0).fit(scans, [0, 1] * 10)
    >>> model.predict(scans).shape
    (20,)
    """

    def __init__(
        self,
        features: list[tuple[str, Any]],
        task: str = "classification",
        random_state: Any = None,
    ):
        self.features = features
        self.task = task
        self.random_state = random_state

    def fit(self, X: Any, y: Any, groups: Any = None) -> Self:
        """Fit features, heads and the model on top.

        Parameters
        ----------
        X : list of scans or Windows, or ndarray of shape (n_samples, n_timepoints, n_regions)
            Training scans, each of shape (n_timepoints, n_regions).
        y : array-like of shape (n_samples,)
            Class labels or values to predict.
        groups : array-like of shape (n_samples,), optional
            Samples of one group (a subject) stay on one side of every inner split. By default
            the Windows of one run do.

        Returns
        -------
        StackedBaseline
            The fitted estimator itself.

        Raises
        ------
        ValueError
            If scans or ``y`` are not fit for the task, or too few for an inner split.
        """
        y, groups = self._check_samples(X, y, groups)
        seed = check_random_state(self.random_state).randint(2**31 - 1)
        splits = INNER_SPLITS[self.task](y, groups, seed)
        if not splits:
            raise ValueError("stacking needs two samples (or groups) of every class, or more")
        self.features_, self.heads_, unseen = {}, {}, []
        for name, transformer in self.features:
            self.features_[name] = clone(transformer)
            embedding = np.asarray(self.features_[name].fit_transform(X, y))
            unseen.append(self._say_of_unseen(embedding, y, groups, splits, seed))
            self.heads_[name] = fit_head(self.task, "linear", embedding, y, groups, seed)
        tested = np.concatenate([test for _, test in splits])
        upper = LinearRegression(positive=True)
        if self.task == "classification":
            upper = LogisticRegression(max_iter=10_000)
            self.classes_ = np.unique(y)
        self.stack_ = make_pipeline(StandardScaler(), upper)
        self.stack_.fit(np.hstack(unseen)[tested], y[tested])
        return self

    def _say_of_unseen(
        self, embedding: NDArray, y: NDArray, groups: Any, splits: list, seed: int
    ) -> NDArray:
        """Return what heads say of samples they were not fitted on, (n_samples, n_outputs)."""
        n_classes = len(np.unique(y)) if self.task == "classification" else 2
        said = np.zeros((len(y), 1 if n_classes == 2 else n_classes))
        for train, test in splits:
            inner = None if groups is None else np.asarray(groups)[train]
            head = fit_head(self.task, "linear", embedding[train], y[train], inner, seed)
            said[test] = self._outputs(head, embedding[test])
        return said

    def _outputs(self, head: Any, embedding: NDArray) -> NDArray:
        """Return a head's logits, or values, (n_samples, n_outputs)."""
        decide = head.decision_function if self.task == "classification" else head.predict
        outputs = decide(embedding)
        return outputs[:, None] if outputs.ndim == 1 else outputs

    def _fitted_head(self) -> Pipeline:
        check_is_fitted(self, "stack_")
        return self.stack_

    def _embed(self, X: Any) -> NDArray:
        said = [
            self._outputs(self.heads_[name], np.asarray(transformer.transform(X)))
            for name, transformer in self.features_.items()
        ]
        return np.hstack(said)


def with_and_without(
    added: tuple[str, Any],
    base: tuple[str, Any],
    task: str = "classification",
    random_state: Any = None,
) -> dict[str, TaskBaseline]:
    """Return what shows the gain of some features over others, for ``evaluation.compare``.

    Parameters
    ----------
    added, base : (str, transformer)
        Name and transformer from scans to features. With ``memory``, a BrainMAETransformer
        pretrains once a fold for both models it is part of.
    task : {"classification", "regression"}, default="classification"
        What ``y`` is.
    random_state : int, RandomState instance or None, default=None
        Shuffles the inner folds.

    Returns
    -------
    dict of str to estimator
        "base + added", base and added, each with tuned linear heads. The first is the one that
        ``compare`` holds the others against: its difference from base is the gain.

    Examples
    --------
    >>> from sk_brainmae import BrainMAETransformer
    >>> from sk_brainmae.baselines import ConnectivityFeatures, with_and_without
    >>> ours = BrainMAETransformer(memory="cache", random_state=0)
    >>> list(with_and_without(("BrainMAE", ours), ("FC", ConnectivityFeatures("tangent"))))
    ['FC + BrainMAE', 'FC', 'BrainMAE']
    """
    settings = {"task": task, "random_state": random_state}
    return {
        f"{base[0]} + {added[0]}": StackedBaseline([base, added], **settings),
        base[0]: FeatureBaseline(base[1], **settings),
        added[0]: FeatureBaseline(added[1], **settings),
    }
