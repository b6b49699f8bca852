"""BrainMAE for scikit-learn: fMRI scans in, subject embeddings and honest scores out."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sk_brainmae.supervised import BrainMAEClassifier, BrainMAERegressor
    from sk_brainmae.transformer import BrainMAETransformer

__version__ = "0.1.0"

__all__ = ["BrainMAEClassifier", "BrainMAERegressor", "BrainMAETransformer", "__version__"]

_HOMES = {
    "BrainMAEClassifier": "supervised",
    "BrainMAERegressor": "supervised",
    "BrainMAETransformer": "transformer",
}


def __getattr__(name: str) -> Any:
    """Import the estimators when first asked for: the command line answers without torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
