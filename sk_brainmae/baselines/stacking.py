"""Stacked features: how much one kind adds to another."""

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from sk_brainmae.baselines.base import EmbeddingBaseline, TaskBaseline
from sk_brainmae.baselines.estimators import FeatureBaseline
from sk_brainmae.baselines.heads import fit_head
from sk_brainmae.heads.linear import INNER_SPLITS


class StackedBaseline(EmbeddingBaseline):
    """Several kinds of features, each with a tuned linear head, and a linear model on top [1]_.

    The upper model is fitted on predictions of the heads for training scans that they were not
    fitted on, so thousands of features cannot drown a few. In regression its weights are not
    negative. The features themselves are fitted on all training scans, without labels.

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
        The fitted upper model; ``stack_[-1].coef_`` holds the weights of the heads.
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
    >>> model = StackedBaseline(both, task="regression", random_state=0)
    >>> model.fit(scans, np.arange(20.0)).predict(scans).shape
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
        """Fit features, heads and the model on top; arguments as in :class:`FeatureBaseline`."""
        X, y, groups = self._check_samples(X, y, groups)
        seed = check_random_state(self.random_state).randint(2**31 - 1)
        splits = INNER_SPLITS[self.task](y, groups, seed)
        if not splits:
            raise ValueError("stacking needs at least two samples (or groups) of every class")
        self.features_, self.heads_, unseen = {}, {}, []
        for name, transformer in self.features:
            self.features_[name] = clone(transformer)
            embedding = np.asarray(self.features_[name].fit_transform(X, y))
            unseen.append(self._predict_unseen(embedding, y, groups, splits, seed))
            self.heads_[name] = fit_head(self.task, "linear", embedding, y, groups, seed)
        tested = np.concatenate([test for _, test in splits])
        upper = LinearRegression(positive=True)
        if self.task == "classification":
            upper = LogisticRegression(max_iter=10_000)
            self.classes_ = np.unique(y)
        self.stack_ = make_pipeline(StandardScaler(), upper)
        self.stack_.fit(np.hstack(unseen)[tested], y[tested])
        return self

    def _predict_unseen(
        self, embedding: NDArray, y: NDArray, groups: Any, splits: list, seed: int
    ) -> NDArray:
        """Return outputs of heads for samples not in their training, (n_samples, n_outputs)."""
        n_classes = len(np.unique(y)) if self.task == "classification" else 2
        outputs = np.zeros((len(y), 1 if n_classes == 2 else n_classes))
        for train, test in splits:
            inner = None if groups is None else np.asarray(groups)[train]
            head = fit_head(self.task, "linear", embedding[train], y[train], inner, seed)
            outputs[test] = self._outputs(head, embedding[test])
        return outputs

    def _outputs(self, head: Any, embedding: NDArray) -> NDArray:
        """Return the logits or values of a head, (n_samples, n_outputs)."""
        decide = head.decision_function if self.task == "classification" else head.predict
        outputs = decide(embedding)
        return outputs[:, None] if outputs.ndim == 1 else outputs

    def _fitted_head(self) -> Pipeline:
        check_is_fitted(self, "stack_")
        return self.stack_

    def _embed(self, X: Any) -> NDArray:
        outputs = [
            self._outputs(self.heads_[name], np.asarray(transformer.transform(X)))
            for name, transformer in self.features_.items()
        ]
        return np.hstack(outputs)


def with_and_without(
    added: tuple[str, Any],
    base: tuple[str, Any],
    task: str = "classification",
    random_state: Any = None,
) -> dict[str, TaskBaseline]:
    """Return models that show what some features add to others, for ``evaluation.compare``.

    Parameters
    ----------
    added, base : (str, transformer)
        Name, and transformer from scans to features. With ``memory``, a BrainMAETransformer
        pretrains once a fold for both of its models.
    task : {"classification", "regression"}, default="classification"
        What ``y`` is.
    random_state : int, RandomState instance or None, default=None
        Shuffles the inner folds.

    Returns
    -------
    dict of str to estimator
        "base + added", base and added, each with tuned linear heads. ``compare`` takes the first
        as reference: its difference from base is the gain.

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
