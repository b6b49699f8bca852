"""The strong simple opponents, as ordinary scikit-learn estimators on scans.

To add one, write its features as a :class:`ScanFeatures` and give them to a
:class:`FeatureBaseline`; they work in any scikit-learn pipeline with another head as well.
"""

from sk_brainmae.baselines.connectivity import ConnectivityFeatures, GroupPCAConnectivity
from sk_brainmae.baselines.estimators import ConnectivityBaseline, FeatureBaseline
from sk_brainmae.baselines.features import FlatWindow, MeanActivation, ScanFeatures
from sk_brainmae.baselines.stacking import StackedBaseline, with_and_without

__all__ = [
    "ConnectivityBaseline",
    "ConnectivityFeatures",
    "FeatureBaseline",
    "FlatWindow",
    "GroupPCAConnectivity",
    "MeanActivation",
    "ScanFeatures",
    "StackedBaseline",
    "with_and_without",
]
