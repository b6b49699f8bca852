"""From features to predictions: linear heads, tuned inside the fold, that any features can use."""

from sk_brainmae.heads.linear import fit_classification_head, fit_regression_head

__all__ = ["fit_classification_head", "fit_regression_head"]
