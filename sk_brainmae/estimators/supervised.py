"""What the classifier and the regressor share: an encoder, its fine-tuning, a linear head."""

import copy
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import is_classifier
from sklearn.callback import CallbackContext
from sklearn.exceptions import NotFittedError
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import check_is_fitted

from sk_brainmae.device import own_settings
from sk_brainmae.embedding.registry import SHARES, check_trainable, check_views, resolve_views
from sk_brainmae.embedding.states import StateMean
from sk_brainmae.estimators.base import BaseBrainMAE
from sk_brainmae.estimators.parameters import CONSTRAINTS
from sk_brainmae.estimators.transformer import BrainMAETransformer
from sk_brainmae.heads.views import fit_weighing_head
from sk_brainmae.labels.groups import check_groups, hold_out
from sk_brainmae.labels.targets import PRETRAINED_ON
from sk_brainmae.persistence import Contents
from sk_brainmae.persistence.models import (
    ENCODER_PARAMS,
    pack_predictor,
    saved_params,
    unpack_predictor,
)
from sk_brainmae.scans.cohort import Cohort
from sk_brainmae.scans.record import ScanRecord
from sk_brainmae.training import Observer, finetune

# What becomes of unlabelled scans where the encoder is pretrained already.
NO_EFFECT = "have no effect: the encoder is pretrained already"
# The inner folds that tune the head are always the same ones.
HEAD_SEED = 0


class SupervisedBrainMAE(BaseBrainMAE):
    """An encoder, pretrained here or elsewhere, and a linear head.

    Subclasses say which scans are labelled, and how (``_check_target``), and what the head is:
    ``_task`` for frozen features, ``_encode_target`` and ``_make_head`` for fine-tuning.
    """

    _parameter_constraints: ClassVar[dict[str, list]] = {
        **CONSTRAINTS,
        "pretrained": [None, BrainMAETransformer, str, os.PathLike],
        "strategy": [StrOptions({"probe", "finetune"})],
    }

    encoder_: BrainMAETransformer
    classes_: NDArray  # of classifiers
    view_weights_: dict[str, float]
    _task: str  # "classification" or "regression"
    _adopted = False  # whether the encoder came pretrained

    def __init__(
        self,
        *,
        pretrained: BrainMAETransformer | str | os.PathLike | None = None,
        strategy: str = "probe",
        t_r: float | None = None,
        window_size: float = 15,
        crop_length: float = 300,
        mask_ratio: float | tuple[float, float] = (0.0, 0.8),
        attention: str = "static",
        init: str = "spectral",
        n_states: int = 6,
        embedding_dim: int = 64,
        n_heads: int = 4,
        n_layers: int = 2,
        views: str | Sequence[str] = "auto",
        max_epochs: int = 100,
        batch_size: int = 8,
        lr: float = 6e-3,
        weight_decay: float = 0.05,
        validation_fraction: float = 0.1,
        patience: int = 10,
        missing: str = "mask",
        standardize: str | bool = "scan",
        device: str = "auto",
        random_state: Any = None,
        memory: Any = None,
        checkpoint: str | os.PathLike | None = None,
        verbose: int = 0,
    ):
        super().__init__(
            t_r=t_r,
            window_size=window_size,
            crop_length=crop_length,
            mask_ratio=mask_ratio,
            attention=attention,
            init=init,
            n_states=n_states,
            embedding_dim=embedding_dim,
            n_heads=n_heads,
            n_layers=n_layers,
            views=views,
            max_epochs=max_epochs,
            batch_size=batch_size,
            lr=lr,
            weight_decay=weight_decay,
            validation_fraction=validation_fraction,
            patience=patience,
            missing=missing,
            standardize=standardize,
            device=device,
            random_state=random_state,
            memory=memory,
            checkpoint=checkpoint,
            verbose=verbose,
        )
        self.pretrained = pretrained
        self.strategy = strategy

    @property
    def history_(self) -> pd.DataFrame:
        """One row an epoch, with a column ``stage``: "pretraining" or "fine-tuning"."""
        check_is_fitted(self)
        stages = {"pretraining": self.encoder_._history, "fine-tuning": self._history}
        rows = [{"stage": name, **row} for name, stage in stages.items() for row in stage]
        return pd.DataFrame(rows)

    def _fit(self, X: Any, y: Any, groups: Any, t_r: Any) -> Self:
        """Pretrain where no encoder is given, then fit the head on the labelled scans."""
        self.__dict__.pop("head_", None)  # a fit that fails leaves no mix of two models
        fate = PRETRAINED_ON if self.pretrained is None else NO_EFFECT
        labelled, target = self._check_target(y, fate)
        finetuned = self.strategy == "finetune" and self.max_epochs > 0
        if finetuned:
            check_trainable(self.views)
        given = self._load_pretrained()
        self._adopted = given is not None
        record = self._new_record() if given is None else given._scans
        if given is None:
            self._check_seed()
        record, cohort = self._learn(replace(record, missing=self.missing), X, t_r)
        check_consistent_length(cohort.runs, labelled)
        groups = cohort.units(check_groups(groups, len(cohort)))

        context = self._init_callback_context(max_subtasks=(given is None) + finetuned)
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        encoder_seed, seed = check_random_state(self.random_state).randint(2**31 - 1, size=2)
        if given is None:
            self.encoder_ = BrainMAETransformer(**self._encoder_params(int(encoder_seed)))
            with self._stage(context, "pretraining") as observe:
                self.encoder_._fit_cohort(record, cohort, groups, observe)
        else:
            self.encoder_ = self._adopt(given, record)

        cohort = cohort.take(np.flatnonzero(labelled))
        groups = None if groups is None else groups[labelled]
        views = self._choose_views(cohort, finetuned)
        self._history: list[dict[str, float]] = []
        if finetuned:
            self.view_weights_ = {views[0]: 1.0}
            with self._stage(context, "fine-tuning") as observe:
                self._finetune(cohort, target, groups, int(seed), observe)
        else:
            embedded = self.encoder_._embed_views(cohort, views)
            self.head_, self.view_weights_ = fit_weighing_head(
                embedded, target, groups, HEAD_SEED, task=self._task, shares=SHARES
            )
        context.call_on_fit_task_end(estimator=self, X=X, y=y)
        return self

    def _choose_views(self, cohort: Cohort, finetuned: bool) -> tuple[str, ...]:
        """Return the views that the head may read: those of these samples that the encoder has."""
        asked = self.views if self.views != "auto" or finetuned else self.encoder_.views
        standardize = self._scans.standardize
        views = resolve_views(asked, cohort, standardize=standardize, finetuned=finetuned)
        return tuple(name for name in views if finetuned or name in self.encoder_._views)

    def _load_pretrained(self) -> BrainMAETransformer | None:
        """Return ``pretrained`` as an encoder.

        One that is not fitted is refused, and parameters that it would silently override.
        """
        given = self.pretrained
        if given is None:
            return None
        if self.checkpoint is not None:
            raise ValueError(
                "checkpoint would have no effect: it keeps pretraining, not fine-tuning, and the"
                " encoder is pretrained already"
            )
        if not isinstance(given, BrainMAETransformer):
            given = BrainMAETransformer.from_pretrained(given)
        if not given.__sklearn_is_fitted__():
            raise NotFittedError("pretrained must be a fitted BrainMAETransformer: call its fit")
        given._check_unchanged()
        given._settings()
        defaults, asked, has = map(saved_params, (BrainMAETransformer(), self, given))
        for name in ENCODER_PARAMS:
            if asked[name] not in (defaults[name], has[name]):
                raise ValueError(
                    f"{name}={asked[name]!r} would have no effect: the pretrained encoder was"
                    f" fitted with {name}={has[name]!r}"
                )
        lacking = set(check_views(self.views)) - {"auto", *given._views}
        if lacking and self.strategy != "finetune":  # which reads the network itself
            raise ValueError(
                f"the pretrained encoder has no view {lacking.pop()!r}: it was fitted with"
                f" views={given.views!r}, and has {', '.join(given._views)}"
            )
        return given

    def _encoder_params(self, seed: int) -> dict[str, Any]:
        names = BrainMAETransformer._get_param_names()
        return {**{name: getattr(self, name) for name in names}, "random_state": seed}

    def _adopt(self, given: BrainMAETransformer, record: ScanRecord) -> BrainMAETransformer:
        """Return a copy of a pretrained encoder: what happens to either leaves the other alone."""
        encoder = copy.copy(given)
        encoder.set_params(device=self.device, batch_size=self.batch_size)
        encoder._scans = record
        return encoder

    @contextmanager
    def _stage(self, context: CallbackContext, name: str) -> Iterator[Observer]:
        """Run a stage of fit between scikit-learn's callback hooks; its subtasks are epochs."""
        stage = context.subcontext(task_name=name, max_subtasks=self.max_epochs)
        stage.call_on_fit_task_begin(estimator=self)
        yield self._observe_epochs(stage)
        stage.call_on_fit_task_end(estimator=self)

    @own_settings()
    def _finetune(
        self, cohort: Cohort, y: NDArray, groups: Any, seed: int, observe: Observer
    ) -> None:
        """Train encoder and head together; the head ends as scikit-learn's linear model."""
        encoder = self.encoder_._settings()
        target = self._encode_target(y)
        units = np.arange(len(y)) if groups is None else groups
        train, held_out = hold_out(units, self.validation_fraction, seed)
        network = self.encoder_._network()
        weight, bias, self._history = finetune(
            network,
            (cohort.take(train), target[train]),
            None if held_out is None else (cohort.take(held_out), target[held_out]),
            n_classes=len(self.classes_) if is_classifier(self) else None,
            reads_cls=self.views_ == ("cls",),
            window=encoder.window,
            n_windows=encoder.n_windows,
            schedule=self._schedule(),
            seed=seed,
            device=self.device_,
            observe=observe,
        )
        self.encoder_ = self.encoder_._finetuned(network, cohort, self.views)
        view = self.encoder_._views[self.views_[0]]
        assert isinstance(view, StateMean)
        bias = bias + weight @ view.centre  # its features are around it
        self.head_ = self._make_head(weight, bias, y)

    @property
    def views_(self) -> tuple[str, ...]:
        """The views with a weight, in the order of the head's features."""
        return tuple(name for name, weight in self.view_weights_.items() if weight)

    def _features(self, X: Any, t_r: Any) -> NDArray:
        """Embed scans for the head."""
        return self._embed(self._read(X, t_r))  # reading says so where nothing is fitted

    def _embed(self, cohort: Cohort) -> NDArray:
        """Embed validated samples by the views with a weight, (n_samples, n_features)."""
        embedded = self.encoder_._embed_views(cohort, self.views_)
        return np.concatenate(list(embedded.values()), axis=1)

    @property
    def _scans(self) -> ScanRecord:  # type: ignore[override]
        return self.encoder_._scans

    def _check_unchanged(self) -> None:
        if not self._adopted:  # else only the encoder's parameters count
            super()._check_unchanged()

    def _pack(self, region_names: list[str] | None) -> Contents:
        return pack_predictor(self, region_names)

    @classmethod
    def _unpack(cls, contents: Contents) -> Self:
        model = cls()
        unpack_predictor(model, BrainMAETransformer(), contents)
        return model

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "head_")

    # A pretrained encoder is data, like X: shared by clones, which keep it fitted, and no nested
    # estimator whose parameters could still be set.
    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters by name; those of ``pretrained`` are not among them."""
        return super().get_params(deep=False)

    def set_params(self, **params: Any) -> Self:
        """Set parameters by name; those of ``pretrained`` are fixed."""
        if nested := [name for name in params if name.startswith("pretrained__")]:
            raise ValueError(f"{nested[0]} cannot be set: the pretrained encoder is fitted already")
        return super().set_params(**params)

    def __sklearn_clone__(self) -> Self:
        cloned = super().__sklearn_clone__()
        cloned.pretrained = self.pretrained
        return cloned
