"""All opponents by name, ready for ``evaluation.compare``."""

from typing import Any

import numpy as np
from sklearn.dummy import DummyClassifier, DummyRegressor

from sk_brainmae.baselines.confounds import ConfoundsOnly
from sk_brainmae.baselines.connectivity import KINDS, GroupPCAConnectivity
from sk_brainmae.baselines.dynamic import DynamicConnectivity, StateOccupancy
from sk_brainmae.baselines.estimators import ConnectivityBaseline, FeatureBaseline
from sk_brainmae.baselines.features import FlatWindow, MeanActivation
from sk_brainmae.baselines.heads import HEADS, check_task
from sk_brainmae.baselines.peers import MIN_FRAMES, PEERS, PeerBaseline

# Names of heads in tables.
HEAD_NAMES = {
    "ridge": "ridge",
    "kernel ridge": "kernel ridge",
    "linear svm": "linear SVM",
    "rbf svm": "RBF SVM",
    "forest": "random forest",
}
LINEAR_NAMES = {"classification": "logistic", "regression": "ridge"}
TRIAL_FRAMES = 8  # of an ordinary trial: 16 s at a t_r of 2 s


def make_opponents(
    task: str,
    *,
    trials: bool = False,
    confounds: bool = False,
    peers: bool = False,
    t_r: float | None = None,
    random_state: Any = None,
) -> dict[str, Any]:
    """Return all opponents, unfitted; each is tuned inside the fold that it is fitted on.

    Parameters
    ----------
    task : {"classification", "regression"}
        What is predicted.
    trials : bool, default=False
        Whether samples are moments of scans (Windows of equal length). Mean activation and the
        flat window are then added, and opponents that need more frames than a trial has are left
        out: dynamic connectivity, and the networks with windows of 20 frames.
    confounds : bool, default=False
        Whether to add the confounds alone; ``fit`` and ``score`` then need ``confounds``.
    peers : bool, default=False
        Whether to add the published deep networks; they need ml4fmri and scans of equal length.
    t_r : float, default=None
        Repetition time in seconds: sliding windows are 44 s long, with None 44 frames.
    random_state : int or None, default=None
        The ``random_state`` of every opponent.

    Returns
    -------
    dict of str to estimator
        Such as "FC tangent, ridge", "group PCA, logistic", "dynamic FC, ridge", "flat window,
        logistic", "confounds only", "BrainNetCNN"; "chance" is the last. Support vector machines
        and ridge classifiers have no probabilities: score them by metrics of decision values or
        classes ("roc_auc" of two classes, "balanced_accuracy").

    Raises
    ------
    ValueError
        If there is no such task.

    Examples
    --------
    >>> from sk_brainmae.baselines import make_opponents
    >>> opponents = make_opponents("regression", t_r=2.0, random_state=0)
    >>> list(opponents)[:3]
    ['FC correlation, ridge', 'FC correlation, kernel ridge', 'FC correlation, linear SVM']
    """
    check_task(task)
    names = {"linear": LINEAR_NAMES[task]} | HEAD_NAMES
    opponents: dict[str, Any] = {
        f"FC {kind}, {names[head]}": ConnectivityBaseline(kind, task, head, random_state)
        for kind in KINDS
        for head in HEADS[task]
    }
    features: dict[str, Any] = {"group PCA": GroupPCAConnectivity()}
    if trials:
        features |= {"mean activation": MeanActivation(), "flat window": FlatWindow()}
    else:
        features |= {
            "dynamic FC": DynamicConnectivity(t_r=t_r),
            "FC states": StateOccupancy(t_r=t_r, random_state=random_state),
        }
    opponents |= {
        f"{name}, {names['linear']}": FeatureBaseline(transformer, task, random_state=random_state)
        for name, transformer in features.items()
    }
    if confounds:
        opponents["confounds only"] = ConfoundsOnly(task, random_state)
    if peers:
        n_frames = TRIAL_FRAMES if trials else np.inf
        fitting = [name for name in PEERS if MIN_FRAMES.get(name, 2) <= n_frames]
        opponents |= {name: PeerBaseline(name, task, random_state=random_state) for name in fitting}
    chance = DummyClassifier(strategy="prior") if task == "classification" else DummyRegressor()
    return opponents | {"chance": chance}
