"""Honest comparisons: every estimator on the same folds, scored on samples it has not seen."""

from sk_brainmae.evaluation.comparison import Comparison, compare

__all__ = ["Comparison", "compare"]
