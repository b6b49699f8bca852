"""BrainMAETransformer: pretrain on scans without labels, embed subjects."""

import copy
import warnings
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin, _fit_context
from sklearn.callback import with_callbacks
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_is_fitted, check_memory

from sk_brainmae.embedding.covariance import check_n_components, fit_latent_space, pool_covariance
from sk_brainmae.embedding.moments import embed_moments, fit_moment_space
from sk_brainmae.estimators.base import Settings
from sk_brainmae.estimators.readout import ScanReadout
from sk_brainmae.estimators.saved import SavedModel, pack_encoder, unpack_encoder
from sk_brainmae.labels.groups import check_groups, split_runs
from sk_brainmae.network import BrainMAE
from sk_brainmae.persistence import Contents
from sk_brainmae.scans.cohort import Cohort
from sk_brainmae.training import (
    Observer,
    Pretrained,
    effective_rank,
    encode,
    find_or_pretrain,
    to_arrays,
    warn_if_worse_than_linear,
)

# Scans whose embeddings tell whether they have collapsed.
RANKED_SCANS = 64


class BrainMAETransformer(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, ScanReadout, SavedModel
):
    """Region-aware masked autoencoder of fMRI scans; subject embeddings by ``transform``.

    ``fit`` pretrains on scans without labels: each window of signal loses a random subset of its
    regions, and the network learns to fill them in from the others [1]_. Regions are z-scored
    over their scan first; no statistic of one scan ever enters another.

    Parameters
    ----------
    t_r : float, default=None
        Repetition time in seconds. With it, ``window_size`` and ``crop_length`` are in seconds;
        without, in frames. Scans of another repetition time, which ``fit`` and the other methods
        are told as theirs, are resampled to it without aliasing; make it the longest of them, and
        fit on scans of each. Embeddings still tell a little of which it was: aliased signal, the
        edge of a filter and noise differ. Where it goes with a target it is a confound.
    window_size : float, default=15
        Length of a window, the paper's 15 s; rounded to whole frames. Every scan needs at least
        one window; a shorter moment of a scan is widened evenly.
    crop_length : float, default=300
        Length of the random crops that pretraining sees, the paper's 300 s. Shorter scans are
        used whole; longer ones are embedded crop by crop.
    mask_ratio : float or (float, float), default=(0.0, 0.8)
        Share of regions hidden in each window. Of a range, every batch draws one ratio, as in
        the paper. 0 makes a plain autoencoder.
    attention : {"static", "adaptive", "vanilla"}, default="static"
        How regions listen to each other. "static" (the paper's SG): by their ROI embeddings
        alone. "adaptive" (AG): one such block, then two that adapt to the signal. "vanilla":
        ordinary self-attention, the paper's ablation.
    init : {"spectral", "random"}, default="spectral"
        Where training starts. "spectral": in closed form, from the covariances of the training
        scans; ROI embeddings have full rank, and a Gaussian prior that adapts to each scan fills
        in what is hidden, corrected by the network. "random": the paper's network alone.
    n_states : int, default=6
        Transient states that the prior tells apart once it is trained, each with a covariance of
        its own; without use in stationary scans. Only with ``init="spectral"``.
    embedding_dim : int, default=64
        Length of tokens and window states; with ``init="random"`` of ROI embeddings, too.
    n_heads : int, default=4
        Attention heads; must divide ``embedding_dim``.
    n_layers : int, default=2
        Transformer blocks of the sequence encoder, over the windows of a crop.
    pooling : {"auto", "covariance", "state", "mean", "cls"}, default="auto"
        How a scan becomes one vector. "covariance": log-covariances of its frames and of their
        innovations in the space that the ROI embeddings span, and the log-variance of a window's
        temporal components; of size d (d + 1) + window, with d = n_regions (init="random": at
        most embedding_dim) and the window in frames. It measured far above first-order pooling
        in telling subjects apart. "state", for moments of a scan: their frames and the half
        window that follows, in slow temporal components of that space, whitened by the
        covariance of their run. "mean": mean of the network's window states, also of windows
        that are censored throughout. "cls": its CLS token, which only fine-tuning gives a
        meaning. "auto": "state" where a :class:`~sk_brainmae.timeseries.Window` that ``fit``
        gets is part of its scan, else "covariance".
    n_components : int, default=None
        Size of a compact "covariance" embedding: its first principal components over the
        training scans, of which there must be as many. None keeps the embedding whole, which
        tells subjects apart far better.
    max_epochs : int, default=100
        Epochs of one random crop a scan. 0 leaves the network at its start.
    batch_size : int, default=8
        Crops in a step: small batches take more steps and stay in the processor's cache.
    lr : float, default=0.006
        Highest learning rate of AdamW; it warms up, then falls as a cosine to 0. ROI embeddings
        and prior of a spectral start learn at twice this rate.
    weight_decay : float, default=0.05
        Decoupled weight decay; norms and biases are exempt.
    validation_fraction : float, default=0.1
        Share of the scans (of the groups, where given) held out to choose the best epoch by the
        masked error, the start included: training never makes it worse. With a single scan or
        group there is nothing to hold out. 0 trains on all scans for ``max_epochs``, unchecked.
    patience : int, default=10
        Epochs without a better validation loss before training stops; only with
        ``validation_fraction``.
    missing : {"mask", "raise"}, default="mask"
        What to do about missing values, NaN: censored frames (rows) and missing regions (columns)
        or less. "mask": warn, and leave them out of all means, covariances, losses and scores; a
        region's window of which more than half is missing is hidden from the network. A scan of
        which more than half is missing is an error. "raise": all are.
    device : str, default="auto"
        "auto" takes a GPU (CUDA) where there is one; or a torch device such as "cpu".
    random_state : int, RandomState instance or None, default=None
        Seeds weights, crops and masks. The global random state is left alone.
    memory : None, str or object with the joblib.Memory interface, default=None
        Folder that keeps pretraining, for later fits on the same scans: what it is found by is
        scans, validation share, parameters of the network and its training, seed and version,
        not pooling, and not the device that it ran on. Then no epochs run, and callbacks see
        none; one that ends training early keeps it from being kept. ``random_state=None`` finds
        nothing.
    checkpoint : str or PathLike, default=None
        Folder for one long pretraining: it keeps the state after each epoch, and a fit with the
        same scans and parameters goes on from there after this one was killed, to the same
        result, on a processor to the last bit. A fit with others is refused, and so is one at
        the same time: in a cross-validation every fit needs its own, or ``memory`` instead.
        Where both are given, ``memory`` is asked first. Needs a ``random_state``.
    verbose : int, default=0
        1 prints a line for each epoch. For progress bars see
        :class:`sklearn.callback.ProgressBar`.

    Attributes
    ----------
    roi_embeddings_ : ndarray of shape (n_regions, n_regions) or (n_regions, embedding_dim)
        The learned vector of each region; the second shape with ``init="random"``.
    history_ : DataFrame
        One row an epoch: epoch, train_loss, valid_loss (with ``validation_fraction``), and lr, the
        learning rate that it ended with. With ``validation_fraction``, epoch 0 is the start.
    held_out_r2_ : dict of str to float
        R^2 of filling in the hidden half of the regions of the held-out scans: of the "network",
        and of the "conditional_gaussian" of the training scans; empty without validation.
    effective_rank_ : float
        In how many directions the embeddings of (at most 64) training scans vary.
    pooling_ : str
        The pooling in use, after "auto".
    weights_ : dict of str to ndarray
        The network's parameters, on no device, so that a fitted model travels.
    device_ : str
        Where this process computes, after "auto".
    n_features_in_ : int
        Number of regions.
    region_names_ : list of str or None
        Their names, where scans are DataFrames that name them: columns of other DataFrames are
        brought into this order. None where regions have no names.
    training_size_ : dict of str to int
        How much ``fit`` saw: "n_scans" (runs) and "n_frames".

    See Also
    --------
    BrainMAEClassifier : Decode diagnoses or mental states.
    BrainMAERegressor : Predict age or behaviour.

    References
    ----------
    .. [1] Yang, Mao, Liu, Qi, Ting, Chen (2024). BrainMAE: A Region-aware Self-supervised
       Learning Framework for Brain Signals. arXiv:2406.17086.

    Examples
    --------
    >>> from sk_brainmae import BrainMAETransformer
    >>> from sk_brainmae.datasets import make_cohort
    >>> cohort = make_cohort(n_scans=4, n_timepoints=90, n_regions=12, random_state=0)
    >>> model = BrainMAETransformer(
    ...     window_size=15, crop_length=90, embedding_dim=8, max_epochs=1, random_state=0
    ... )
    >>> model.fit_transform(cohort.scans).shape
    (4, 171)
    """

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self, X: Any, y: Any = None, groups: Any = None, t_r: Any = None
    ) -> "BrainMAETransformer":
        """Pretrain on scans.

        Parameters
        ----------
        X : list of scans, or ndarray of shape (n_scans, n_timepoints, n_regions)
            Scans of shape (n_timepoints_i, n_regions), or Windows, whose whole runs are used.
        y : None
            Ignored.
        groups : array-like of shape (n_scans,), default=None
            Which scans belong together (the runs of a subject): the validation share takes or
            leaves them as one.
        t_r : float or array-like of shape (n_scans,), default=None
            Repetition time of the scans, or of each, in seconds; None: the estimator's own. Like
            ``groups`` it is metadata that scikit-learn can route.

        Returns
        -------
        BrainMAETransformer
            The fitted estimator itself.

        Raises
        ------
        ValueError
            If parameters or scans cannot be used; see :mod:`sk_brainmae.timeseries`. If the
            checkpoint is of another training run; says what differs.
        OSError
            If another process uses the checkpoint, or it cannot be written.
        FloatingPointError
            If the loss stops being finite.

        Warns
        -----
        ConvergenceWarning
            If the network is worse on held-out scans than a linear predictor, or embeddings
            have collapsed.
        UserWarning
            If scans look odd: transposed, twice the same, of another ``t_r``; see
            :func:`sk_brainmae.doctor.check_scans`.
        """
        self.__dict__.pop("effective_rank_", None)  # a fit that fails leaves no mix of two models
        settings = self._settings()
        self._check_seed()
        cohort = self._validate_scans(X, reset=True, t_r=t_r)
        groups = check_groups(groups, len(cohort))
        context = self._init_callback_context(max_subtasks=self.max_epochs)
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        self._fit_cohort(cohort, groups, settings, self._observe_epochs(context))
        context.call_on_fit_task_end(estimator=self, X=X, y=y)
        return self

    def fit_transform(self, X: Any, y: Any = None, groups: Any = None, t_r: Any = None) -> NDArray:
        """Pretrain on scans and embed them; arguments as in fit."""
        return self.fit(X, y, groups, t_r).transform(X, t_r)

    def transform(self, X: Any, t_r: Any = None) -> NDArray:
        """Embed each scan.

        Parameters
        ----------
        X : list of scans, or ndarray of shape (n_scans, n_timepoints, n_regions)
            Scans or Windows.
        t_r : float or array-like of shape (n_scans,), default=None
            Repetition time of the scans, or of each, as in ``fit``.

        Returns
        -------
        ndarray of shape (n_scans, n_embedding)
            One subject embedding a scan; see ``pooling``.
        """
        check_is_fitted(self)
        return self._embed(self._validate_scans(X, reset=False, t_r=t_r), self.pooling_)

    @property
    def roi_embeddings_(self) -> NDArray:
        """The learned vector of each region, (n_regions, n_regions or embedding_dim)."""
        check_is_fitted(self)
        return self.weights_["roi"]

    @property
    def history_(self) -> pd.DataFrame:
        """One row an epoch."""
        check_is_fitted(self)
        return pd.DataFrame(self._history)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "effective_rank_")  # what fit finds last

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    @property
    def _n_features_out(self) -> int:
        return self._n_features_of(self.pooling_)

    def _n_features_of(self, pooling: str) -> int:
        if pooling == "state":
            return self._moment_space.n_features
        if pooling != "covariance":
            return self.embedding_dim
        return self._latent_space.n_features

    def _fit_cohort(
        self, cohort: Cohort, groups: Any, settings: Settings, observe: Observer
    ) -> "BrainMAETransformer":
        """Pretrain on validated scans, then learn how to pool them."""
        self.n_features_in_ = cohort.n_regions
        runs = cohort.as_runs()
        n_latents = cohort.n_regions
        if self.init == "random":
            n_latents = min(n_latents, self.embedding_dim)
        check_n_components(self.n_components, len(runs), n_latents, settings.window)
        found = self._pretrain(cohort, groups, settings, observe)
        if found.held_out_r2:
            warn_if_worse_than_linear(found.held_out_r2)
        self.training_size_ = {"n_scans": len(cohort.run_length), "n_frames": len(cohort.frames)}
        self._history, self.held_out_r2_ = found.history, found.held_out_r2
        # Ordinary arrays, even where a memory maps its files.
        self.weights_ = {name: np.array(weight) for name, weight in found.weights.items()}
        self.pooling_, roi = self._resolve_pooling(cohort), self.weights_["roi"]
        self._moment_space = fit_moment_space(runs, roi, settings.window)
        self._latent_space = fit_latent_space(runs, roi, settings.window, self.n_components)
        some = cohort.spaced(RANKED_SCANS)
        self.effective_rank_ = effective_rank(self._embed(some, self.pooling_))
        return self

    def _pretrain(
        self, cohort: Cohort, groups: Any, settings: Settings, observe: Observer
    ) -> Pretrained:
        """Run the pretraining stage, or find its result in the memory."""
        seed, split_seed = check_random_state(self.random_state).randint(2**31 - 1, size=2)
        fraction = self.validation_fraction if self.max_epochs else 0.0
        train, held_out = split_runs(cohort, groups, fraction, split_seed)
        schedule = settings.schedule._replace(verbose=0)  # looked up whether it prints or not
        if self.init == "spectral" and fraction and held_out is None:
            warnings.warn(
                "a single scan or group: none can be held out to check training, so the"
                " closed-form start is kept as it is; validation_fraction=0 trains unchecked",
                stacklevel=4,
            )
            schedule = schedule._replace(max_epochs=0)
        return find_or_pretrain(
            check_memory(self.memory),
            cohort.as_runs(),
            train,
            held_out,
            architecture=self._architecture(cohort.n_regions),
            n_windows=settings.n_windows,
            mask_ratio=settings.mask_ratio,
            schedule=schedule,
            seed=int(seed),
            device=settings.device,
            observe=observe,
            verbose=int(self.verbose),
            checkpoint=self.checkpoint,
        )

    def _embed(self, cohort: Cohort, pooling: str) -> NDArray:
        """Pool validated scans into one vector each."""
        if pooling == "covariance":
            return pool_covariance(cohort, self._latent_space)
        if pooling == "state":
            return embed_moments(cohort, self._moment_space)
        states, cls = encode(self._network(), cohort, **self._layout())
        return cls if pooling == "cls" else np.stack([s.mean(axis=0) for s in states])

    def _layout(self) -> dict[str, Any]:
        """Arguments of all that runs scans through the network."""
        settings = self._settings()
        return {
            "window": settings.window,
            "n_windows": settings.n_windows,
            "batch_size": self.batch_size,
            "device": settings.device,
        }

    def _network(self) -> BrainMAE:
        """Rebuild the network from parameters and weights, without drawing random ones."""
        with torch.device("meta"):
            network = BrainMAE(**self._architecture(self.n_features_in_))
        weights = {name: torch.from_numpy(array.copy()) for name, array in self.weights_.items()}
        network.load_state_dict(weights, assign=True)
        return network

    def _pack(self, region_names: list[str] | None) -> Contents:
        encoder, arrays = pack_encoder(self, region_names)
        return Contents(type(self).__name__, encoder, None, arrays)

    @classmethod
    def _unpack(cls, contents: Contents) -> Self:
        if contents.head is not None:
            raise ValueError("a transformer has no head")
        encoder = cls()
        unpack_encoder(encoder, contents.encoder, contents.arrays)
        return encoder

    def _with_weights(self, network: BrainMAE) -> "BrainMAETransformer":
        """Return a copy of this model with fine-tuned weights; this one stays as it is."""
        tuned = copy.copy(self)
        tuned.weights_ = to_arrays(network)
        return tuned
