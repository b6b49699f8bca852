"""Confounds (age, sex, motion, site) regressed out inside the fold, on its training samples alone.

If confounds are regressed out of all samples before they are split, the test samples take part in
that fit. With many confounds and few samples, scores then rise above chance where there is nothing
to find [1]_.

References
----------
.. [1] Snoek, Miletić, Scholte (2019). How to control for confounds in decoding analyses of
   neuroimaging data. NeuroImage, 184, 741-760.
"""

from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import (
    BaseEstimator,
    MetaEstimatorMixin,
    OneToOneFeatureMixin,
    RegressorMixin,
    TransformerMixin,
    clone,
)
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils import Tags, get_tags
from sklearn.utils.validation import check_is_fitted, validate_data

from sk_brainmae.evaluation.samples import taken_metadata
from sk_brainmae.labels.confounds import check_confounds
from sk_brainmae.labels.targets import check_values


class ConfoundRegression(BaseEstimator):
    """Predicts features or a target from confounds, linearly.

    Continuous confounds are standardised; every category of the others gets an indicator.
    """

    def fit(self, confounds: pd.DataFrame, outcomes: NDArray) -> Self:
        """Learn from training samples; outcomes are (n_samples,) or (n_samples, n_outcomes)."""
        continuous = make_column_selector(dtype_include=np.number)
        other = make_column_selector(dtype_exclude=np.number)
        self.categories_ = {name: pd.unique(confounds[name]) for name in other(confounds)}
        design = make_column_transformer((StandardScaler(), continuous), (OneHotEncoder(), other))
        self.model_: Pipeline = make_pipeline(design, LinearRegression())
        self.model_.fit(confounds, outcomes)
        return self

    def predict(self, confounds: pd.DataFrame) -> NDArray:
        """Predict outcomes, or raise ValueError for a category that no training sample had."""
        for name, known in self.categories_.items():
            unseen = ~confounds[name].isin(known)
            if unseen.any():
                raise ValueError(
                    f"confound {name!r} is {confounds[name][unseen].iloc[0]!r} in {unseen.sum()}"
                    f" samples, a category that no training sample has (they have"
                    f" {', '.join(map(repr, known))}), so its effect is unknown: merge rare"
                    " categories, or leave this confound out"
                )
        return self.model_.predict(confounds)


class ConfoundRemoval(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Subtract from each feature its linear prediction from confounds.

    The regression is learned in ``fit``, on the training samples. This step requests confounds as
    metadata: with scikit-learn's metadata routing enabled, a pipeline passes them on in ``fit``
    and in ``predict``. Put it after the step that turns scans into features.

    Attributes
    ----------
    regression_ : ConfoundRegression
        Fitted on the training samples.
    n_features_in_ : int
        Number of features.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_brainmae.evaluation import ConfoundRemoval
    >>> age = np.arange(6.0)
    >>> features = np.column_stack([2 * age, -age + 1])
    >>> ConfoundRemoval().fit_transform(features, confounds=age).round(6) + 0.0
    array([[0., 0.],
           [0., 0.],
           [0., 0.],
           [0., 0.],
           [0., 0.],
           [0., 0.]])
    """

    # Requested by default: without confounds there is nothing to do.
    __metadata_request__fit = {"confounds": True}  # noqa: RUF012
    __metadata_request__transform = {"confounds": True}  # noqa: RUF012

    def fit(self, X: Any, y: Any = None, confounds: Any = None) -> Self:
        """Learn each feature's regression on the confounds.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features of the training samples.
        y : None
            Ignored.
        confounds : DataFrame of n_samples rows, or array-like of shape (n_samples, n_confounds)
            Columns of numbers are continuous, all others categorical.

        Returns
        -------
        ConfoundRemoval
            The fitted transformer.

        Raises
        ------
        ValueError
            If confounds are missing, have gaps, or do not have one row for each sample.
        """
        X = validate_data(self, X, dtype=[np.float64, np.float32])
        self.regression_ = ConfoundRegression().fit(check_confounds(confounds, len(X)), X)
        return self

    def transform(self, X: Any, confounds: Any = None) -> NDArray:
        """Subtract the confounds' part.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features.
        confounds : DataFrame of n_samples rows, or array-like of shape (n_samples, n_confounds)
            Confounds of these samples, with the columns seen in ``fit``.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            Residuals.

        Raises
        ------
        ValueError
            As ``fit``; also for a category that no training sample had.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        return X - self.regression_.predict(check_confounds(confounds, len(X)))

    def fit_transform(self, X: Any, y: Any = None, confounds: Any = None) -> NDArray:
        """Return ``fit(X, y, confounds).transform(X, confounds)``."""
        return self.fit(X, y, confounds).transform(X, confounds)


class ConfoundAdjusted(RegressorMixin, MetaEstimatorMixin, BaseEstimator):
    """Fit a regressor to the residuals of the target, after confounds are regressed out.

    ``fit`` regresses the target on the confounds of the training samples, and fits the regressor
    to the residuals. ``predict`` adds the confounds' part again, so that predictions have the
    target's units and mean. Compared with confounds alone, they show what the scans add.

    Parameters
    ----------
    regressor : estimator
        It is cloned and stays unfitted.

    Attributes
    ----------
    regressor_ : estimator
        Fitted to the residuals.
    regression_ : ConfoundRegression
        Fitted on the training samples.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import Ridge
    >>> from sk_brainmae.evaluation import ConfoundAdjusted
    >>> rng = np.random.default_rng(0)
    >>> features, sex = rng.normal(size=(30, 3)), np.repeat(["f", "m"], 15)
    >>> score = features[:, 0] + 5 * (sex == "m")
    >>> model = ConfoundAdjusted(Ridge()).fit(features, score, confounds=sex)
    >>> model.predict(features, confounds=sex).shape
    (30,)
    """

    __metadata_request__fit = {"confounds": True}  # noqa: RUF012
    __metadata_request__predict = {"confounds": True}  # noqa: RUF012
    __metadata_request__score = {"confounds": True}  # noqa: RUF012

    def __init__(self, regressor: Any):
        self.regressor = regressor

    def fit(self, X: Any, y: Any, confounds: Any = None, groups: Any = None) -> Self:
        """Fit the regressor to residuals of the target.

        Parameters
        ----------
        X : list or array of n_samples samples
            Whatever the regressor takes.
        y : array-like of shape (n_samples,)
            Target.
        confounds : DataFrame of n_samples rows, or array-like of shape (n_samples, n_confounds)
            Columns of numbers are continuous, all others categorical.
        groups : array-like of shape (n_samples,), optional
            Passed on to the regressor if it takes them.

        Returns
        -------
        ConfoundAdjusted
            The fitted estimator.

        Raises
        ------
        ValueError
            If the target is missing or masked for a sample, or confounds are missing, have gaps,
            or do not have one row for each sample.
        """
        y = check_values(y)
        confounds = check_confounds(confounds, len(y))
        self.regression_ = ConfoundRegression().fit(confounds, y)
        given = {} if groups is None else {"groups": groups}
        metadata = taken_metadata(self.regressor, "fit", given)
        residuals = y - self.regression_.predict(confounds)
        self.regressor_ = clone(self.regressor).fit(X, residuals, **metadata)
        return self

    def predict(self, X: Any, confounds: Any = None) -> NDArray:
        """Predict the target: the confounds' part plus the regressor's residual.

        Parameters
        ----------
        X : list or array of n_samples samples
            Whatever the regressor takes.
        confounds : DataFrame of n_samples rows, or array-like of shape (n_samples, n_confounds)
            Confounds of these samples, with the columns seen in ``fit``.

        Returns
        -------
        ndarray of shape (n_samples,)
            Predictions, in units of the target.

        Raises
        ------
        ValueError
            As ``fit``; also for a category that no training sample had.
        """
        check_is_fitted(self)
        residuals = self.regressor_.predict(X)
        return residuals + self.regression_.predict(check_confounds(confounds, len(residuals)))

    def score(self, X: Any, y: Any, confounds: Any = None) -> float:
        """Return the R^2 of the residuals: 0 is no better than the confounds alone.

        Parameters
        ----------
        X : list or array of n_samples samples
            Whatever the regressor takes.
        y : array-like of shape (n_samples,)
            Target.
        confounds : DataFrame of n_samples rows, or array-like of shape (n_samples, n_confounds)
            Confounds of these samples.

        Returns
        -------
        float
            1 is perfect.
        """
        check_is_fitted(self)
        confounds = check_confounds(confounds, len(y))
        residuals = np.asarray(y) - self.regression_.predict(confounds)
        return r2_score(residuals, self.regressor_.predict(X))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags = get_tags(self.regressor).input_tags
        return tags
