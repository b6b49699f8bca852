"""Published deep networks for fMRI: the opponents of the BrainMAE paper, and more.

The package ml4fmri has the networks, their inputs, losses and learning rates. Training, early
stopping and splits are our own, so that subjects stay apart and regression works, too.
"""

from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.utils import check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from sk_brainmae.baselines.base import TaskBaseline, classifies
from sk_brainmae.baselines.peer_training import Samples, predict_peer, train_peer
from sk_brainmae.device import resolve_device, seeded
from sk_brainmae.heads.linear import INNER_SPLITS
from sk_brainmae.scans.cohort import Cohort
from sk_brainmae.scans.validate import validate_scans

# The first three are compared with in the BrainMAE paper.
PEERS = (
    "BrainNetCNN",
    "BNT",
    "FBNetGen",
    "BolT",
    "DICE",
    "Glacier",
    "MILC",
    "meanMLP",
    "LSTM",
    "meanLSTM",
    "Transformer",
    "meanTransformer",
)
MIN_FRAMES = {"BolT": 20, "MILC": 20, "FBNetGen": 4}  # one of their own windows
MAX_FRAMES = {"Transformer": 2048, "meanTransformer": 2048}  # size of the table of positions
MIN_REGIONS = {"DICE": 4, "Glacier": 4}  # the bottleneck has N^2 / 20 units, at least one


class PeerBaseline(TaskBaseline):
    """A published deep network, trained on the training scans alone.

    The networks come from the package ml4fmri (``pip install sk_brainmae[peers]``), with their
    own inputs (signals, correlations, or both), loss, optimizer and learning rate. For regression
    they get one output, and the squared error of the standardised target instead of the
    cross-entropy. Other terms of their losses stay, except FBNetGen's group loss, which compares
    two classes.

    Parameters
    ----------
    model : str, default="BrainNetCNN"
        One of :data:`PEERS`: "BrainNetCNN" [1]_, "BNT" (Brain Network Transformer) [2]_ and
        "FBNetGen" [3]_, which the BrainMAE paper compares with; "BolT" [4]_, "DICE", "Glacier",
        "MILC", "meanMLP", and plain recurrent networks and transformers.
    task : {"classification", "regression"}, default="classification"
        What ``y`` is.
    max_epochs : int, default=200
        Most passes over the training scans, as in [2]_.
    batch_size : int, default=16
        Scans in a step. The networks' papers take 16 to 64; with 64, a small cohort would have
        one step an epoch.
    validation_fraction : float, default=0.2
        Share of the training scans (of the groups, where given) held out to choose the best epoch
        and to stop early, rounded to 1 / k with a whole number k. 0 trains for all epochs.
    patience : int, default=30
        Epochs without a lower validation loss before training stops.
    device : str, default="auto"
        "auto" takes a GPU (CUDA) where there is one; or a torch device such as "cpu".
    random_state : int, RandomState instance or None, default=None
        Seeds the held-out scans, weights, batches and dropout. Global generators are not touched.

    Attributes
    ----------
    weights_ : dict of str to ndarray
        The network's fitted weights.
    history_ : DataFrame
        One row an epoch: epoch, loss and validation loss.
    classes_ : ndarray of shape (n_classes,)
        Class labels; classification only.
    n_features_in_ : int
        Number of regions.
    n_frames_ : int
        Number of frames of every scan.

    References
    ----------
    .. [1] Kawahara et al. (2017). BrainNetCNN: Convolutional neural networks for brain networks.
       NeuroImage, 146, 1038-1049.
    .. [2] Kan et al. (2022). Brain Network Transformer. NeurIPS.
    .. [3] Kan et al. (2022). FBNetGen: Task-aware GNN-based fMRI analysis via functional brain
       network generation. MIDL.
    .. [4] Bedel et al. (2023). BolT: Fused window transformers for fMRI time series analysis.
       Medical Image Analysis, 88, 102841.

    Examples
    --------
    >>> from sk_brainmae.baselines import PeerBaseline
    >>> PeerBaseline("BNT", task="regression", max_epochs=50)
    PeerBaseline(max_epochs=50, model='BNT', task='regression')
    """

    def __init__(
        self,
        model: str = "BrainNetCNN",
        task: str = "classification",
        *,
        max_epochs: int = 200,
        batch_size: int = 16,
        validation_fraction: float = 0.2,
        patience: int = 30,
        device: str = "auto",
        random_state: Any = None,
    ):
        self.model = model
        self.task = task
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.device = device
        self.random_state = random_state

    def fit(self, X: Any, y: Any, groups: Any = None) -> Self:
        """Train the network.

        Parameters
        ----------
        X : list of scans or Windows, or ndarray of shape (n_samples, n_timepoints, n_regions)
            Training scans of equal length.
        y : array-like of shape (n_samples,)
            Class labels or values to predict.
        groups : array-like of shape (n_samples,), optional
            Samples of one group (a subject) are held out for validation together. By default the
            Windows of one run are.

        Returns
        -------
        PeerBaseline
            The fitted estimator itself.

        Raises
        ------
        ImportError
            If ml4fmri is not installed.
        ValueError
            If parameters, scans or ``y`` cannot be used, or nothing can be held out.
        FloatingPointError
            If the loss stops being finite.
        """
        peer, device = self._check_parameters(), resolve_device(self.device)
        X, y, groups = self._labelled(X, y, groups)
        cohort = validate_scans(X)
        self._region_names = cohort.region_names
        self.n_features_in_ = cohort.n_regions
        self.n_frames_ = int(cohort.stop[0] - cohort.start[0])
        self._check_size()
        random = check_random_state(self.random_state)
        split_seed, seed = (int(s) for s in random.randint(2**31 - 1, size=2))
        train, held_out = self._hold_out(y, cohort.units(groups), split_seed)
        samples = Samples(self._inputs(peer, cohort), self._encode_target(y, train))
        with seeded(seed):
            network = self._new_network(peer)
            history = train_peer(
                network,
                samples.take(train),
                None if held_out is None else samples.take(held_out),
                max_epochs=self.max_epochs,
                batch_size=self.batch_size,
                patience=self.patience,
                device=device,
            )
        self.history_ = pd.DataFrame(history)
        self.weights_ = {name: w.cpu().numpy() for name, w in network.state_dict().items()}
        return self

    def predict(self, X: Any) -> NDArray:
        """Return the class or value of each scan or Window, as long as in fit, (n_samples,)."""
        outputs = self._outputs(X)
        if self.task == "classification":
            return self.classes_[outputs.argmax(axis=1)]
        return self._mean + self._scale * outputs[:, 0].astype(float)

    @available_if(classifies)
    def predict_proba(self, X: Any) -> NDArray:
        """Return the class probabilities, (n_samples, n_classes); classification only."""
        return softmax(self._outputs(X).astype(float), axis=1)

    def _check_parameters(self) -> Any:
        """Return the class of the network, or raise where a parameter is wrong."""
        if self.model not in PEERS:
            raise ValueError(f"unknown model {self.model!r}: it is one of {PEERS}")
        for name in ("max_epochs", "batch_size", "patience"):
            if not getattr(self, name) >= 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 <= self.validation_fraction <= 0.5:
            raise ValueError(
                f"validation_fraction must be from 0 to 0.5, got {self.validation_fraction}"
            )
        return _peer_class(self.model)

    def _check_size(self) -> None:
        """Raise where scans are too short, too long, or have too few regions for the network."""
        low, high = MIN_FRAMES.get(self.model, 2), MAX_FRAMES.get(self.model, np.inf)
        if not low <= self.n_frames_ <= high:
            bounds = f"at least {low}" if self.n_frames_ < low else f"at most {high}"
            raise ValueError(f"{self.model} needs {bounds} frames; scan 0 has {self.n_frames_}")
        if self.n_features_in_ < (n_regions := MIN_REGIONS.get(self.model, 2)):
            raise ValueError(
                f"{self.model} needs at least {n_regions} regions; the scans have"
                f" {self.n_features_in_}"
            )

    def _hold_out(self, y: NDArray, groups: Any, seed: int) -> tuple[NDArray, NDArray | None]:
        """Return the indices of training samples, and of held-out samples or None."""
        if not self.validation_fraction:
            return np.arange(len(y)), None
        n_folds = round(1 / self.validation_fraction)
        splits = INNER_SPLITS[self.task](y, groups, seed, n_folds=n_folds)
        if not splits:
            raise ValueError(
                f"validation_fraction={self.validation_fraction} needs at least two samples (or"
                " groups, where given), of each class; set validation_fraction=0"
            )
        return splits[0]

    def _encode_target(self, y: NDArray, train: NDArray) -> torch.Tensor:
        """Return class indices, or values standardised over the training samples."""
        if self.task == "classification":
            self.classes_, index = np.unique(y, return_inverse=True)
            return torch.from_numpy(index.astype(np.int64))
        self._mean, self._scale = float(y[train].mean()), float(y[train].std()) or 1.0
        return torch.from_numpy(((y - self._mean) / self._scale).astype(np.float32))

    def _inputs(self, peer: Any, cohort: Cohort) -> tuple[torch.Tensor, ...]:
        """Return the input that the network itself prepares from scans of equal length."""
        lengths = cohort.stop - cohort.start
        if (odd := np.flatnonzero(lengths != self.n_frames_)).size:
            raise ValueError(
                f"scan {odd[0]} has {lengths[odd[0]]} frames, where {self.n_frames_} are expected:"
                f" {self.model} needs scans of equal length; crop them, or cut Windows"
            )
        frames = np.stack([cohort.sample(i) for i in range(len(cohort))])  # (n, T, N)
        loader = peer.prepare_dataloader(frames, np.zeros(len(frames)), shuffle=False)
        return loader.dataset.tensors[:-1]

    def _new_network(self, peer: Any) -> Any:
        n_outputs = len(self.classes_) if self.task == "classification" else 1
        network = peer(input_size=self.n_features_in_, output_size=n_outputs)
        if self.model == "FBNetGen" and self.task == "regression":
            network.criterion.group_loss = False
        return network

    def _outputs(self, X: Any) -> NDArray:
        """Rebuild the network from its weights; return its outputs, (n_samples, n_outputs)."""
        check_is_fitted(self, "weights_")
        peer = _peer_class(self.model)
        cohort = validate_scans(X, n_regions=self.n_features_in_, region_names=self._region_names)
        inputs = self._inputs(peer, cohort)
        with seeded(0):  # building draws weights, which are replaced
            network = self._new_network(peer)
        network.load_state_dict({name: torch.as_tensor(w) for name, w in self.weights_.items()})
        return predict_peer(network, inputs, self.batch_size, resolve_device(self.device))


def _peer_class(name: str) -> Any:
    """Return the class of a network; ml4fmri is imported only where it is used."""
    try:
        from ml4fmri import models
    except ImportError as error:
        raise ImportError(
            f"{name} comes with the package ml4fmri: pip install sk_brainmae[peers]"
        ) from error
    return getattr(models, name)
