"""BrainMAE for scikit-learn: fMRI scans in, subject embeddings and honest scores out."""

from sk_brainmae.supervised import BrainMAEClassifier, BrainMAERegressor
from sk_brainmae.transformer import BrainMAETransformer

__version__ = "0.1.0"

__all__ = ["BrainMAEClassifier", "BrainMAERegressor", "BrainMAETransformer", "__version__"]
