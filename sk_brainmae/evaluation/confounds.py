"""Confounds (age, sex, motion, site) taken out inside the fold: learned on training samples alone.

Regressing confounds out of all samples before they are split lets the test samples take part in
the fit; with many confounds for the number of samples, scores then rise above chance where there
is nothing to find [1]_.

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

from sk_brainmae.evaluation.fitting import taken_metadata
from sk_brainmae.labels.confounds import check_confounds
from sk_brainmae.labels.targets import check_values


class ConfoundRegression(BaseEstimator):
    """What confounds linearly predict of some outcomes; continuous and categorical ones.

    Attributes
    ----------
    model_ : Pipeline
        Least squares on standardised continuous confounds and one indicator for each category.
    categories_ : dict of str to ndarray
        The categories of each categorical confound that were seen in ``fit``.
    """

    def fit(self, confounds: pd.DataFrame, outcomes: NDArray) -> Self:
        """Learn from training samples.

        Parameters
        ----------
        confounds : DataFrame of n_samples rows
            See :func:`~sk_brainmae.labels.confounds.check_confounds`.
        outcomes : ndarray of shape (n_samples,) or (n_samples, n_outcomes)
            Features or a target.

        Returns
        -------
        ConfoundRegression
            The fitted estimator itself.
        """
        continuous = make_column_selector(dtype_include=np.number)
        other = make_column_selector(dtype_exclude=np.number)
        self.categories_ = {name: pd.unique(confounds[name]) for name in other(confounds)}
        design = make_column_transformer((StandardScaler(), continuous), (OneHotEncoder(), other))
        self.model_: Pipeline = make_pipeline(design, LinearRegression())
        self.model_.fit(confounds, outcomes)
        return self

    def predict(self, confounds: pd.DataFrame) -> NDArray:
        """Predict outcomes of samples.

        Parameters
        ----------
        confounds : DataFrame of n_samples rows
            With the columns seen in ``fit``.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outcomes)
            The part of the outcomes that goes with the confounds.

        Raises
        ------
        ValueError
            If a category was not among the training samples.
        """
        for name, known in self.categories_.items():
            unseen = ~confounds[name].isin(known)
            if unseen.any():
                raise ValueError(
                    f"confound {name!r} is {confounds[name][unseen].iloc[0]!r} in {unseen.sum()}"
                    f" samples, a category that no training sample has (they have"
                    f" {', '.join(map(repr, known))}): its effect cannot be known; merge rare"
                    " categories, or leave this confound out"
                )
        return self.model_.predict(confounds)


class ConfoundRemoval(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Subtract from features what confounds linearly predict of them.

    The regression is learned in ``fit``, on the training samples. Confounds are metadata that
    this step requests: with scikit-learn's metadata routing enabled, a pipeline hands them on in
    ``fit`` and in ``predict``. Put it after what turns scans into features.

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

    # Requested unless a user says otherwise: without confounds there is nothing to do.
    __metadata_request__fit = {"confounds": True}  # noqa: RUF012
    __metadata_request__transform = {"confounds": True}  # noqa: RUF012

    def fit(self, X: Any, y: Any = None, confounds: Any = None) -> Self:
        """Learn what confounds predict of each feature.

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
            The fitted transformer itself.

        Raises
        ------
        ValueError
            If confounds are missing, or not one row a sample.
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
            Of these samples, with the columns seen in ``fit``.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            Residuals.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        return X - self.regression_.predict(check_confounds(confounds, len(X)))

    def fit_transform(self, X: Any, y: Any = None, confounds: Any = None) -> NDArray:
        """Learn from the training samples, and subtract the confounds' part.

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
        ndarray of shape (n_samples, n_features)
            Residuals.
        """
        return self.fit(X, y, confounds).transform(X, confounds)


class ConfoundAdjusted(RegressorMixin, MetaEstimatorMixin, BaseEstimator):
    """A regressor of what confounds leave unexplained of the target.

    ``fit`` regresses the target on the confounds of the training samples, and fits the regressor
    on the residuals. ``predict`` adds the confounds' part again, so that predictions have the
    target's units and mean: held against confounds alone, they show what the scans add.

    Parameters
    ----------
    regressor : estimator
        Cloned, never changed.

    Attributes
    ----------
    regressor_ : estimator
        Fitted on the residuals.
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
        """Fit the regressor on residuals of the target.

        Parameters
        ----------
        X : list or array of n_samples samples
            Whatever the regressor takes.
        y : array-like of shape (n_samples,)
            Target.
        confounds : DataFrame of n_samples rows, or array-like of shape (n_samples, n_confounds)
            Columns of numbers are continuous, all others categorical.
        groups : array-like of shape (n_samples,), optional
            Handed to the regressor if it takes them.

        Returns
        -------
        ConfoundAdjusted
            The fitted estimator itself.

        Raises
        ------
        ValueError
            If confounds are missing, or not one row a sample.
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
        """Predict the target: the confounds' part and what the regressor adds.

        Parameters
        ----------
        X : list or array of n_samples samples
            Whatever the regressor takes.
        confounds : DataFrame of n_samples rows, or array-like of shape (n_samples, n_confounds)
            Of these samples, with the columns seen in ``fit``.

        Returns
        -------
        ndarray of shape (n_samples,)
            In units of the target.
        """
        check_is_fitted(self)
        residuals = self.regressor_.predict(X)
        return residuals + self.regression_.predict(check_confounds(confounds, len(residuals)))

    def score(self, X: Any, y: Any, confounds: Any = None) -> float:
        """Return the R^2 of the residuals: 0 is what the confounds alone reach.

        Parameters
        ----------
        X : list or array of n_samples samples
            Whatever the regressor takes.
        y : array-like of shape (n_samples,)
            Target.
        confounds : DataFrame of n_samples rows, or array-like of shape (n_samples, n_confounds)
            Of these samples.

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
