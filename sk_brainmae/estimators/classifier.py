"""BrainMAEClassifier: decode diagnoses from scans, or mental states from moments of scans."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin, _fit_context
from sklearn.callback import with_callbacks
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score

from sk_brainmae.estimators.parameters import describe_parameters
from sk_brainmae.estimators.supervised import SupervisedBrainMAE
from sk_brainmae.labels.targets import known_classes, labelled_classes, score_known


@describe_parameters
class BrainMAEClassifier(ClassifierMixin, SupervisedBrainMAE):
    """Decode diagnoses from scans, or mental states from moments of scans.

    Parameters
    ----------
    {pretrained}
    strategy : {"probe", "finetune"}, default="probe"
        "probe": frozen encoder and an L2 logistic regression whose strength is tuned by an inner
        cross-validation; on small cohorts it measured better. "finetune": the paper's protocol,
        encoder and linear head trained together.
    {parameters}

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The class labels.
    head_ : Pipeline or LogisticRegression
        The linear head on the views with a weight, side by side.
    {predictor attributes}

    See Also
    --------
    BrainMAERegressor : Predict age or behaviour.
    sk_brainmae.baselines.ConnectivityBaseline : What to compare with.

    {reference}

    Examples
    --------
    >>> from sk_brainmae import BrainMAEClassifier
    >>> from sk_brainmae.datasets import make_cohort
    >>> cohort = make_cohort(n_scans=8, n_timepoints=90, n_regions=12, random_state=0)
    >>> patient = cohort.traits["static"] > cohort.traits["static"].median()
    >>> model = BrainMAEClassifier(embedding_dim=8, max_epochs=1, random_state=0)
    >>> model.fit(cohort.scans, patient).predict_proba(cohort.scans).shape
    (8, 2)
    """

    _task = "classification"

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, groups: Any = None, t_r: Any = None) -> "BrainMAEClassifier":
        """Pretrain where no encoder is given, and fit the head.

        Parameters
        ----------
        {scans of fit}
        y : array-like of shape (n_scans,)
            Class labels, at least two classes. Unlabelled scans take part in pretraining alone:
            they are marked by None or NaN, or by -1 among numbers of which no other is negative
            (as in :mod:`sklearn.semi_supervised`), and a warning counts them.
        {groups of fit}

        Returns
        -------
        BrainMAEClassifier
            The fitted estimator itself.

        {failures of fit}
        """
        return self._fit(X, y, groups, t_r)

    def predict(self, X: Any, t_r: Any = None) -> NDArray:
        """Return the most probable class of each scan, shape (n_scans,); ``t_r`` as in fit."""
        features = self._features(X, t_r)
        return self.head_.predict(features)

    def predict_proba(self, X: Any, t_r: Any = None) -> NDArray:
        """Return each class's probability, shape (n_scans, n_classes), as in ``classes_``."""
        features = self._features(X, t_r)
        return self.head_.predict_proba(features)

    def score(self, X: Any, y: Any, sample_weight: Any = None, t_r: Any = None) -> float:
        """Return the accuracy on the labelled ones of scans; ``t_r`` as in fit."""
        known = known_classes(y)  # first: it may be refused
        return score_known(known, self.predict(X, t_r), accuracy_score, sample_weight)

    def _check_target(self, y: Any, fate: str) -> tuple[NDArray, NDArray]:
        labelled, labels = labelled_classes(y, fate)
        self.classes_ = np.unique(labels)
        return labelled, labels

    def _encode_target(self, y: NDArray) -> NDArray:
        return np.searchsorted(self.classes_, y)

    def _make_head(self, weight: NDArray, bias: NDArray, y: NDArray) -> LogisticRegression:
        head = LogisticRegression()
        head.classes_ = self.classes_
        if len(weight) == 2:  # scikit-learn keeps one row for two classes
            weight, bias = np.diff(weight, axis=0), np.diff(bias)
        head.coef_, head.intercept_ = weight, bias
        return head
