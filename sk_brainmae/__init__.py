"""BrainMAE for scikit-learn: fMRI scans in, subject embeddings and honest scores out."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sk_brainmae.version import __version__

if TYPE_CHECKING:
    from sk_brainmae.estimators import BrainMAEClassifier, BrainMAERegressor, BrainMAETransformer

__all__ = ["BrainMAEClassifier", "BrainMAERegressor", "BrainMAETransformer", "__version__"]


def __getattr__(name: str) -> Any:
    """Import the estimators when first asked for: the command line answers without torch."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.estimators"), name)
