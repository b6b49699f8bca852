"""BrainMAERegressor: predict a number from scans, or from moments of scans."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import RegressorMixin, _fit_context
from sklearn.callback import with_callbacks
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score

from sk_brainmae.estimators.parameters import describe_parameters
from sk_brainmae.estimators.supervised import SupervisedBrainMAE
from sk_brainmae.labels.targets import known_values, labelled_values, score_known


@describe_parameters
class BrainMAERegressor(RegressorMixin, SupervisedBrainMAE):
    """Predict age, behaviour or another number from scans, or from moments of scans.

    Parameters
    ----------
    {pretrained}
    strategy : {"probe", "finetune"}, default="probe"
        "probe": frozen encoder and a ridge regression whose strength is tuned by an inner
        cross-validation; on small cohorts it measured better. "finetune": the paper's protocol,
        encoder and linear head trained together on the standardised target.
    {parameters}

    Attributes
    ----------
    head_ : Pipeline or Ridge
        The linear head on the views with a weight, side by side.
    {predictor attributes}

    See Also
    --------
    BrainMAEClassifier : Decode diagnoses or mental states.
    sk_brainmae.baselines.ConnectivityBaseline : What to compare with.

    {reference}

    Examples
    --------
    >>> from sk_brainmae import BrainMAERegressor
    >>> from sk_brainmae.datasets import make_cohort
    >>> cohort = make_cohort(n_scans=8, n_timepoints=90, n_regions=12, random_state=0)
    >>> model = BrainMAERegressor(embedding_dim=8, max_epochs=1, random_state=0)
    >>> model.fit(cohort.scans, cohort.traits["static"]).predict(cohort.scans).shape
    (8,)
    """

    _task = "regression"

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, groups: Any = None, t_r: Any = None) -> "BrainMAERegressor":
        """Pretrain where no encoder is given, and fit the head.

        Parameters
        ----------
        {scans of fit}
        y : array-like of shape (n_scans,)
            The target. Scans where it is NaN are unlabelled, and take part in pretraining alone.
        {groups of fit}

        Returns
        -------
        BrainMAERegressor
            The fitted estimator itself.

        {failures of fit}
        """
        return self._fit(X, y, groups, t_r)

    def predict(self, X: Any, t_r: Any = None) -> NDArray:
        """Return the predicted value of each scan, shape (n_scans,); ``t_r`` as in fit."""
        features = self._features(X, t_r)
        return self.head_.predict(features)

    def score(self, X: Any, y: Any, sample_weight: Any = None, t_r: Any = None) -> float:
        """Return the R^2 on the scans whose target is known; ``t_r`` as in fit."""
        known = known_values(y)  # first: it may be refused
        return score_known(known, self.predict(X, t_r), r2_score, sample_weight)

    def _check_target(self, y: Any, fate: str) -> tuple[NDArray, NDArray]:
        return labelled_values(y, fate)

    def _encode_target(self, y: NDArray) -> NDArray:
        return ((y - y.mean()) / (y.std() or 1)).astype(np.float32)

    def _make_head(self, weight: NDArray, bias: NDArray, y: NDArray) -> Ridge:
        head = Ridge()
        head.coef_ = weight[0] * (y.std() or 1)
        head.intercept_ = bias[0] * (y.std() or 1) + y.mean()
        return head
