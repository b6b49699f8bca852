"""Strong opponents, simple and deep, as ordinary scikit-learn estimators on scans.

:func:`make_opponents` returns them all. To add one, write its features as a :class:`ScanFeatures`
and give them to a :class:`FeatureBaseline`; they also work in any scikit-learn pipeline.
"""

from sk_brainmae.baselines.confounds import ConfoundsOnly
from sk_brainmae.baselines.connectivity import ConnectivityFeatures, GroupPCAConnectivity
from sk_brainmae.baselines.dynamic import DynamicConnectivity, StateOccupancy
from sk_brainmae.baselines.estimators import ConnectivityBaseline, FeatureBaseline
from sk_brainmae.baselines.features import FlatWindow, MeanActivation, ScanFeatures
from sk_brainmae.baselines.opponents import make_opponents
from sk_brainmae.baselines.peers import PEERS, PeerBaseline
from sk_brainmae.baselines.stacking import StackedBaseline, with_and_without

__all__ = [
    "PEERS",
    "ConfoundsOnly",
    "ConnectivityBaseline",
    "ConnectivityFeatures",
    "DynamicConnectivity",
    "FeatureBaseline",
    "FlatWindow",
    "GroupPCAConnectivity",
    "MeanActivation",
    "PeerBaseline",
    "ScanFeatures",
    "StackedBaseline",
    "StateOccupancy",
    "make_opponents",
    "with_and_without",
]
