"""BrainMAETransformer: pretrain on scans without labels, embed subjects.

The file reads in the order that data take: fit, transform, transform_windows, reconstruct, score.
"""

import copy
import warnings
from collections.abc import Iterable, Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.base import TransformerMixin, _fit_context
from sklearn.callback import with_callbacks
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_is_fitted, check_memory

from sk_brainmae.device import own_settings
from sk_brainmae.embedding.registry import (
    OF_MOMENTS,
    OF_SCANS,
    VIEWS,
    View,
    check_views,
    embed_views,
    fit_views,
    resolve_views,
    scales_of,
)
from sk_brainmae.embedding.signal import Signal, fit_signal
from sk_brainmae.embedding.source import Source
from sk_brainmae.estimators.base import BaseBrainMAE, Settings
from sk_brainmae.estimators.parameters import describe_parameters
from sk_brainmae.labels.groups import check_groups, split_runs
from sk_brainmae.network import BrainMAE
from sk_brainmae.persistence import Contents
from sk_brainmae.persistence.models import pack_encoder, unpack_encoder
from sk_brainmae.scans.cohort import Cohort
from sk_brainmae.scans.record import ScanRecord
from sk_brainmae.scans.resampling import resample_scan
from sk_brainmae.scans.window import Window
from sk_brainmae.training import Observer, effective_rank, masked_r2, reconstruct
from sk_brainmae.training.pretraining import Pretrained, find_or_pretrain, to_arrays
from sk_brainmae.training.scoring import warn_if_worse_than_linear

# Scans whose embeddings tell the scales of views, and whether they have collapsed.
SOME_SCANS = 64
EMPTY_DYNAMICS = (
    "the view 'dynamics' is empty: training has not told the prior's brain states apart"
    " (max_epochs=0, or no epoch was better than the start). Leave it out"
)


@describe_parameters
class BrainMAETransformer(TransformerMixin, BaseBrainMAE):
    """Region-aware masked autoencoder of fMRI scans; subject embeddings by ``transform``.

    ``fit`` pretrains on scans without labels: each window of signal loses a random subset of its
    regions, and the network learns to fill them in from the others [1]_. Regions are z-scored
    over their scan first; no statistic of one scan ever enters another.

    Parameters
    ----------
    {parameters}

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
    views_ : tuple of str
        The views in use, after "auto", in the order of their features.
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

    {reference}

    Examples
    --------
    >>> from sk_brainmae import BrainMAETransformer
    >>> from sk_brainmae.datasets import make_cohort
    >>> cohort = make_cohort(n_scans=4, n_timepoints=90, n_regions=12, random_state=0)
    >>> model = BrainMAETransformer(
    ...     window_size=15, crop_length=90, embedding_dim=8, max_epochs=1, random_state=0
    ... )
    >>> model.fit_transform(cohort.scans).shape
    (4, 207)
    """

    _view_kinds, _signal_kind = VIEWS, Signal  # what a saved model may hold
    _views: dict[str, View]  # what each view learned
    _signal: Signal  # of the training scans
    _scales: dict[str, float]  # of the views in use, as transform gives them

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
        record = self._new_record()
        self._check_seed()
        record, cohort = self._learn(record, X, t_r)
        groups = check_groups(groups, len(cohort))
        context = self._init_callback_context(max_subtasks=self.max_epochs)
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        self._fit_cohort(record, cohort, groups, self._observe_epochs(context))
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
            One subject embedding a scan: its views side by side, around the mean of the training
            scans. Each has a fixed share of the mean squared norm, which is 10 over the training
            scans: do not standardise, a plain ``RidgeCV`` reads them well. The shares are those
            of ``sk_brainmae.embedding.SHARES``: they held best on cohorts of many kinds.
        """
        return self._embed(self._read(X, t_r))

    def get_feature_names_out(self, input_features: Any = None) -> NDArray:
        """Name the features: the view, then for example two regions ("connectivity_PCC_mPFC").

        Parameters
        ----------
        input_features : array-like of shape (n_regions,), default=None
            Names of the regions, where the scans of ``fit`` had none. None: their numbers.

        Returns
        -------
        ndarray of shape (n_embedding,), object
            The names.

        Raises
        ------
        ValueError
            If there are not as many names as regions, or others than in ``fit``.
        """
        check_is_fitted(self)
        given = range(self.n_features_in_) if input_features is None else input_features
        if len(given) != self.n_features_in_:
            raise ValueError(
                "input_features should have length equal to number of features, the regions"
                f" ({self.n_features_in_}), got {len(given)}"
            )
        regions = [str(name) for name in given]
        if self.region_names_ is not None:
            if input_features is not None and regions != self.region_names_:
                raise ValueError("input_features is not equal to feature_names_in_")
            regions = self.region_names_
        names = [
            f"{v}_{name}" for v in self.views_ for name in self._views[v].feature_names(regions)
        ]
        return np.array(names, dtype=object)

    def transform_windows(self, X: Any, t_r: Any = None) -> list[NDArray]:
        """Encode each window of each scan in the context of its crop.

        Parameters
        ----------
        X : list of scans, or ndarray of shape (n_scans, n_timepoints, n_regions)
            Scans or Windows.
        t_r : float or array-like of shape (n_scans,), default=None
            Repetition time of the scans, or of each, as in ``fit``. Windows are those of the
            scan at the model's.

        Returns
        -------
        list of ndarray, each of shape (n_windows_i, embedding_dim)
            Windows follow one another; the last one ends with the scan.
        """
        return self._encode(self._read(X, t_r))[0]

    @own_settings()
    def reconstruct(self, X: Any, mask: Any = None, t_r: Any = None) -> list[NDArray]:
        """Rebuild scans from what is not hidden; also what is missing in them.

        Parameters
        ----------
        X : list of scans, or ndarray of shape (n_scans, n_timepoints, n_regions)
            Scans or Windows.
        mask : list of bool ndarray, each of shape (n_timepoints_i, n_regions), default=None
            True where the model must not look; a region's window with a hidden frame is hidden
            throughout. Hidden values do not enter the scan's mean and variance either. None
            hides nothing.
        t_r : float or array-like of shape (n_scans,), default=None
            Repetition time of the scans, or of each, as in ``fit``. Scans come back in their own
            frames, without what is too fast for the model's.

        Returns
        -------
        list of ndarray, each of shape (n_timepoints_i, n_regions)
            In the units and the column order of each scan. A region hidden or missing throughout
            has no known scale: it comes back in standard deviations.

        Raises
        ------
        ValueError
            If a Window is of another repetition time than the model: its frames lie between the
            model's. Rebuild its scan.
        """
        cohort = self._read(X, t_r, hidden=mask)
        times = np.broadcast_to(np.asarray(self.t_r if t_r is None else t_r), len(cohort))
        for i, (scan, time) in enumerate(zip(X, times, strict=True)):
            if isinstance(scan, Window) and time != self.t_r:
                raise ValueError(
                    f"scan {i} is a Window with t_r={time} s, and the model's is {self.t_r} s:"
                    " rebuild the whole scan, and take its frames"
                )
        z_scored = reconstruct(self._network(), cohort, **self._layout())
        rebuilt = [
            z * cohort.scale[run] + cohort.mean[run]
            for z, run in zip(z_scored, cohort.runs, strict=True)
        ]
        for i, (scan, time) in enumerate(zip(X, times, strict=True)):
            if self.t_r is not None and time != self.t_r:
                rebuilt[i] = resample_scan(rebuilt[i], self.t_r, time)[: len(scan)]
        return self._scans.restore_order(X, rebuilt)

    @own_settings()
    def score(self, X: Any, y: Any = None, t_r: Any = None) -> float:
        """Return the R^2 of filling in hidden regions, at ratio 0.5 and with fixed masks.

        Parameters
        ----------
        X : list of scans, or ndarray of shape (n_scans, n_timepoints, n_regions)
            Scans the model has not seen. What is missing in them does not count.
        y : None
            Ignored.
        t_r : float or array-like of shape (n_scans,), default=None
            Repetition time of the scans, or of each, as in ``fit``.

        Returns
        -------
        float
            1 is perfect; 0 is what predicting each region's mean reaches.
        """
        cohort, layout = self._read(X, t_r), self._layout()
        return masked_r2(self._network().to(layout["device"]).eval(), cohort, **layout)

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

    @own_settings()
    def _fit_cohort(
        self, record: ScanRecord, cohort: Cohort, groups: Any, observe: Observer
    ) -> None:
        """Pretrain on validated scans, then learn the views."""
        self._scans, settings, runs = record, self._settings(), cohort.as_runs()
        if "dynamics" in check_views(self.views) and not self.max_epochs:
            raise ValueError(EMPTY_DYNAMICS)
        found = self._pretrain(cohort, groups, settings, observe)
        if found.held_out_r2:
            warn_if_worse_than_linear(found.held_out_r2)
        self.training_size_ = {"n_scans": len(runs), "n_frames": len(cohort.frames)}
        self._history, self.held_out_r2_ = found.history, found.held_out_r2
        # Ordinary arrays, even where a memory maps its files.
        self.weights_ = {name: np.array(weight) for name, weight in found.weights.items()}
        embedded = self._fit_views(cohort)
        self.effective_rank_ = effective_rank(self._join(embedded))

    def _fit_views(self, cohort: Cohort) -> dict[str, NDArray]:
        """Learn the views from whole training runs, and how transform puts them together.

        With "auto" these are all views of scans and of moments, so that predictors can read either.
        Returns those in use for some of the samples.
        """
        runs = cohort.as_runs().take(np.unique(cohort.runs))
        self._signal = fit_signal(runs, self._count_window_frames())
        self.views_ = resolve_views(self.views, cohort, standardize=self._scans.standardize)
        named = self.views_ if self.views != "auto" else dict.fromkeys(OF_SCANS + OF_MOMENTS)
        self._views = fit_views(named, self._source(runs))
        if self.views != "auto" and set(named) - set(self._views):
            raise ValueError(EMPTY_DYNAMICS)
        self.views_ = tuple(name for name in self.views_ if name in self._views)
        embedded = self._embed_views(cohort.spaced(SOME_SCANS), self.views_)
        self._scales = scales_of(embedded)
        return embedded

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

    def _embed(self, cohort: Cohort) -> NDArray:
        """Embed validated samples by the views in use, (n_samples, n_embedding)."""
        return self._join(self._embed_views(cohort, self.views_))

    @own_settings()
    def _embed_views(self, cohort: Cohort, names: Iterable[str]) -> dict[str, NDArray]:
        """Embed validated samples by each of some views, in its own units."""
        return embed_views(self._views, names, self._source(cohort))

    def _join(self, embedded: dict[str, NDArray]) -> NDArray:
        """Put views side by side, each with its share."""
        return np.concatenate(
            [np.float32(self._scales[name]) * view for name, view in embedded.items()], axis=1
        )

    def _source(self, cohort: Cohort) -> Source:
        return Source(cohort, self._signal, self._network, self._layout())

    @own_settings()
    def _encode(self, cohort: Cohort) -> tuple[list[NDArray], NDArray]:
        """Return the window states of each sample, and its CLS token."""
        return self._source(cohort).encoded

    def _training_covariance(self) -> NDArray:
        """Covariance of the regions over the training scans, (N, N)."""
        return self._signal.covariance

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
            network = BrainMAE(**self._architecture(len(self.weights_["roi"])))
        weights = {name: torch.from_numpy(array.copy()) for name, array in self.weights_.items()}
        network.load_state_dict(weights, assign=True)
        return network

    def _pack(self, region_names: list[str] | None) -> Contents:
        return pack_encoder(self, region_names)

    @classmethod
    def _unpack(cls, contents: Contents) -> Self:
        if contents.head is not None:
            raise ValueError("a transformer has no head")
        encoder = cls()
        unpack_encoder(encoder, contents.encoder, contents.arrays)
        return encoder

    def _finetuned(
        self, network: BrainMAE, cohort: Cohort, views: str | Sequence[str]
    ) -> "BrainMAETransformer":
        """Return a copy of this model with fine-tuned weights; this one stays as it is."""
        tuned = copy.copy(self).set_params(views=views)
        tuned.weights_ = to_arrays(network)
        tuned._fit_views(cohort)
        return tuned

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "effective_rank_")  # what fit finds last

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags
