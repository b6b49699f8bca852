"""Honest comparisons: every estimator on the same folds, scored on samples it has not seen."""

from sk_brainmae.evaluation.comparison import ComparisonError, compare
from sk_brainmae.evaluation.confounds import ConfoundAdjusted, ConfoundRemoval
from sk_brainmae.evaluation.folds import repeated_folds
from sk_brainmae.evaluation.permutation import PermutationTest, permutation_test
from sk_brainmae.evaluation.results import Comparison

__all__ = [
    "Comparison",
    "ComparisonError",
    "ConfoundAdjusted",
    "ConfoundRemoval",
    "PermutationTest",
    "compare",
    "permutation_test",
    "repeated_folds",
]
