"""What a user fits: one encoder, and two predictors that hold one."""

from sk_brainmae.estimators.classifier import BrainMAEClassifier
from sk_brainmae.estimators.regressor import BrainMAERegressor
from sk_brainmae.estimators.transformer import BrainMAETransformer

__all__ = ["BrainMAEClassifier", "BrainMAERegressor", "BrainMAETransformer"]
