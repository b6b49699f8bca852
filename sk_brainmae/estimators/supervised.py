"""What the classifier and the regressor share: an encoder, its fine-tuning, a linear head."""

import copy
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
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

from sk_brainmae.estimators.base import BaseBrainMAE
from sk_brainmae.estimators.saved import (
    SavedModel,
    check_pooling,
    pack_encoder,
    saved_params,
    set_params,
    unpack_encoder,
)
from sk_brainmae.estimators.transformer import BrainMAETransformer
from sk_brainmae.labels.groups import check_groups, hold_out
from sk_brainmae.persistence import Contents
from sk_brainmae.persistence.folder import check_keys
from sk_brainmae.persistence.heads import pack_head, unpack_head
from sk_brainmae.persistence.history import pack_history, unpack_history
from sk_brainmae.scans.cohort import Cohort
from sk_brainmae.training import Observer, finetune

# What a pretrained encoder has fixed.
ENCODER_PARAMS = (
    "t_r",
    "window_size",
    "crop_length",
    "mask_ratio",
    "attention",
    "init",
    "n_states",
    "embedding_dim",
    "n_heads",
    "n_layers",
    "n_components",
)

HEAD_KEYS = ("parameters", "pooling", "history", "strength", "classes", "dtype")
HEAD_ARRAYS = ("coef", "intercept", "mean", "scale")


class SupervisedBrainMAE(SavedModel):
    """An encoder, pretrained here or elsewhere, and a linear head.

    Subclasses say what a target is: ``_check_target`` returns which scans are labelled, and
    how. And what the head is: ``_fit_head`` on frozen features, ``_encode_target`` and
    ``_make_head`` for fine-tuning. The parameters are documented there.
    """

    _parameter_constraints: ClassVar[dict[str, list]] = {
        **BaseBrainMAE._parameter_constraints,
        "pretrained": [None, BrainMAETransformer, str, os.PathLike],
        "strategy": [StrOptions({"probe", "finetune"})],
    }

    encoder_: BrainMAETransformer
    # The encoder that was given, loaded where that was a folder; None of one pretrained here.
    _given: BrainMAETransformer | None
    classes_: NDArray  # of classifiers

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
        pooling: str = "auto",
        n_components: int | None = None,
        max_epochs: int = 100,
        batch_size: int = 8,
        lr: float = 6e-3,
        weight_decay: float = 0.05,
        validation_fraction: float = 0.1,
        patience: int = 10,
        missing: str = "mask",
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
            pooling=pooling,
            n_components=n_components,
            max_epochs=max_epochs,
            batch_size=batch_size,
            lr=lr,
            weight_decay=weight_decay,
            validation_fraction=validation_fraction,
            patience=patience,
            missing=missing,
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

    def _fit(self, X: Any, y: Any, groups: Any, t_r: Any) -> "SupervisedBrainMAE":
        """Pretrain where no encoder is given, then fit the head on the labelled scans."""
        self.__dict__.pop("head_", None)  # a fit that fails leaves no mix of two models
        labelled, target = self._check_target(y)
        finetuned = self.strategy == "finetune" and self.max_epochs > 0
        if finetuned and self.pooling in ("covariance", "state"):
            raise ValueError(f"pooling={self.pooling!r} cannot be fine-tuned: use 'mean' or 'cls'")
        self._given = self._load_given()
        settings = self._encoder()._settings()
        self._warn_if_of_no_use(labelled)
        cohort = self._validate_scans(X, reset=True, t_r=t_r)
        check_consistent_length(cohort.runs, labelled)
        groups = cohort.units(check_groups(groups, len(cohort)))

        n_stages = (self._given is None) + finetuned
        context = self._init_callback_context(max_subtasks=n_stages)
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        encoder_seed, seed = check_random_state(self.random_state).randint(2**31 - 1, size=2)
        if self._given is not None:
            self.encoder_ = copy.copy(self._given)
            self.encoder_.set_params(device=self.device, batch_size=self.batch_size)
        else:
            self.encoder_ = BrainMAETransformer(**self._encoder_params(int(encoder_seed)))
            with self._stage(context, "pretraining") as observe:
                self.encoder_._fit_cohort(cohort, groups, settings, observe)
        # It is saved in the place of this estimator, and must know as much of the scans.
        self.encoder_.region_names_ = self.region_names_
        self.encoder_._resampled, self.encoder_._grid = self._resampled, self._grid
        cohort = cohort.take(np.flatnonzero(labelled))
        groups = None if groups is None else groups[labelled]
        self.pooling_ = self._resolve_pooling(cohort)
        if finetuned and self.pooling == "auto":
            self.pooling_ = "mean"

        self._history: list[dict[str, float]] = []
        if finetuned:
            with self._stage(context, "fine-tuning") as observe:
                self._finetune(cohort, target, groups, int(seed), observe)
        else:
            self.head_ = self._fit_head(self.encoder_._embed(cohort, self.pooling_), target, groups)
        context.call_on_fit_task_end(estimator=self, X=X, y=y)
        return self

    def _finetune(
        self, cohort: Cohort, y: NDArray, groups: Any, seed: int, observe: Observer
    ) -> None:
        """Train encoder and head together; the head ends as scikit-learn's linear model."""
        encoder = self.encoder_._settings()
        target = self._encode_target(y)
        train, held_out = np.arange(len(y)), None
        units = train if groups is None else groups
        if self.validation_fraction and len(np.unique(units)) > 1:
            train, held_out = hold_out(units, self.validation_fraction, seed)
        network = self.encoder_._network()
        weight, bias, self._history = finetune(
            network,
            (cohort.take(train), target[train]),
            None if held_out is None else (cohort.take(held_out), target[held_out]),
            n_classes=len(self.classes_) if is_classifier(self) else None,
            pooling=self.pooling_,
            window=encoder.window,
            n_windows=encoder.n_windows,
            schedule=self._schedule(),
            seed=seed,
            device=self.device_,
            observe=observe,
        )
        self.encoder_ = self.encoder_._with_weights(network)
        self.head_ = self._make_head(weight, bias, y)

    def _features(self, X: Any, t_r: Any) -> NDArray:
        """Embed scans for the head."""
        check_is_fitted(self)
        return self.encoder_._embed(self._validate_scans(X, reset=False, t_r=t_r), self.pooling_)

    def _validate_scans(
        self, X: Any, *, reset: bool, hidden: Any = None, t_r: Any = None
    ) -> Cohort:
        cohort = super()._validate_scans(X, reset=reset, hidden=hidden, t_r=t_r)
        if self._given is not None and cohort.n_regions != self._given.n_features_in_:
            raise ValueError(
                f"the scans have {cohort.n_regions} regions, but the pretrained encoder was fitted"
                f" on {self._given.n_features_in_}"
            )
        return cohort

    def _was_resampled(self, reset: bool) -> bool:
        if reset and self._given is not None:
            return self._given._resampled
        return super()._was_resampled(reset)

    def _known_names(self, reset: bool) -> list[str] | None:
        if reset and self._given is not None:
            return self._given.region_names_
        return super()._known_names(reset)

    def _encoder(self) -> BaseBrainMAE:
        return self if self._given is None else self._given

    def _encoder_params(self, seed: int) -> dict[str, Any]:
        names = BrainMAETransformer._get_param_names()
        return {**{name: getattr(self, name) for name in names}, "random_state": seed}

    def _load_given(self) -> BrainMAETransformer | None:
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
        given._check_grid()
        defaults, asked, has = map(saved_params, (BrainMAETransformer(), self, given))
        for name in ENCODER_PARAMS:
            if asked[name] not in (defaults[name], has[name]):
                raise ValueError(
                    f"{name}={asked[name]!r} would have no effect: the pretrained encoder was"
                    f" fitted with {name}={has[name]!r}"
                )
        return copy.copy(given)  # what is set or fitted there later changes nothing here

    def _warn_if_of_no_use(self, labelled: NDArray) -> None:
        """Warn where nothing is pretrained, and so unlabelled scans and memory bring nothing."""
        if self._given is None:
            self._check_seed()
        elif not labelled.all():
            warnings.warn(
                f"{(~labelled).sum()} of {len(labelled)} scans are unlabelled and have no effect:"
                " the encoder is pretrained already",
                stacklevel=3,
            )

    def _pack(self, region_names: list[str] | None) -> Contents:
        encoder, arrays = pack_encoder(self.encoder_, region_names)
        head, head_arrays = pack_head(self.head_)
        # Those of the encoder are its own, whatever they say here.
        params = {**saved_params(self), **{n: encoder["parameters"][n] for n in ENCODER_PARAMS}}
        head |= {
            "parameters": params,
            "pooling": self.pooling_,
            "history": pack_history(self._history),
        }
        arrays |= {f"head.{name}": array for name, array in head_arrays.items()}
        return Contents(type(self).__name__, encoder, head, arrays)

    @classmethod
    def _unpack(cls, contents: Contents) -> Self:
        head, arrays = contents.head, contents.arrays
        check_keys(head, HEAD_KEYS, "head")
        assert head is not None
        of_head = {f"head.{name}": name for name in HEAD_ARRAYS}
        of_encoder = {name: array for name, array in arrays.items() if name not in of_head}
        model = cls()
        set_params(model, head["parameters"])
        model._given, model.encoder_ = None, BrainMAETransformer()
        unpack_encoder(model.encoder_, contents.encoder, of_encoder)
        for name in ENCODER_PARAMS:
            if getattr(model, name) != getattr(model.encoder_, name):
                raise ValueError(f"head and encoder have another {name}")
        model.n_features_in_ = model.encoder_.n_features_in_
        model.region_names_ = model.encoder_.region_names_
        model._resampled, model._grid = model.encoder_._resampled, model.encoder_._grid
        model.pooling_ = check_pooling(head["pooling"])
        model._history = unpack_history(head["history"])
        given = {short: arrays[name] for name, short in of_head.items() if name in arrays}
        model.head_ = unpack_head(head, given, model.encoder_._n_features_of(model.pooling_))
        if is_classifier(model) != hasattr(model.head_, "classes_"):
            raise ValueError("the head is that of another estimator")
        if is_classifier(model):
            model.classes_ = model.head_.classes_
        return model

    @contextmanager
    def _stage(self, context: CallbackContext, name: str) -> Iterator[Observer]:
        """Run a stage of fit between scikit-learn's callback hooks; its subtasks are epochs."""
        stage = context.subcontext(task_name=name, max_subtasks=self.max_epochs)
        stage.call_on_fit_task_begin(estimator=self)
        yield self._observe_epochs(stage)
        stage.call_on_fit_task_end(estimator=self)

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
