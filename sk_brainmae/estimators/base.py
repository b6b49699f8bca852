"""What the three estimators share: parameters, validation of scans, saving, reports."""

import os
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from numbers import Real
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.callback import CallbackContext, CallbackSupportMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from sk_brainmae.device import own_settings, resolve_device
from sk_brainmae.doctor import warn_findings
from sk_brainmae.embedding.registry import check_views
from sk_brainmae.estimators.parameters import CONSTRAINTS
from sk_brainmae.network import BrainMAE
from sk_brainmae.persistence import Contents, read_folder, write_folder
from sk_brainmae.persistence.hub import download, upload
from sk_brainmae.persistence.models import names_to_save
from sk_brainmae.scans.cohort import Cohort
from sk_brainmae.scans.crops import count_frames
from sk_brainmae.scans.record import ScanRecord
from sk_brainmae.training import Cost, Observer, Schedule, estimate_cost
from sk_brainmae.training.rng import DrawFrom

if TYPE_CHECKING:
    from sk_brainmae.reporting import Report

HUB = "hf://"


class Settings(NamedTuple):
    """Parameters in the network's terms: windows in frames, crops in windows."""

    window: int
    n_windows: int
    mask_ratio: tuple[float, float]
    device: str
    schedule: Schedule


class BaseBrainMAE(CallbackSupportMixin, BaseEstimator):
    """Parameters, validation, progress, saving and reports of all BrainMAE estimators.

    Subclasses say what they consist of (``_pack``) and how they are put together (``_unpack``).
    """

    _parameter_constraints: ClassVar[dict[str, list]] = CONSTRAINTS

    _scans: ScanRecord  # what fit learned of its scans

    def __init__(
        self,
        *,
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
        self.t_r = t_r
        self.window_size = window_size
        self.crop_length = crop_length
        self.mask_ratio = mask_ratio
        self.attention = attention
        self.init = init
        self.n_states = n_states
        self.embedding_dim = embedding_dim
        self.n_heads = n_heads
        self.n_layers = n_layers
        self.views = views
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.weight_decay = weight_decay
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.missing = missing
        self.standardize = standardize
        self.device = device
        self.random_state = random_state
        self.memory = memory
        self.checkpoint = checkpoint
        self.verbose = verbose

    @property
    def device_(self) -> str:
        """Where this process computes: a model loaded elsewhere finds the device there."""
        return resolve_device(self.device)

    @property
    def n_features_in_(self) -> int:
        """Number of regions."""
        check_is_fitted(self)
        assert self._scans.n_regions is not None
        return self._scans.n_regions

    @property
    def region_names_(self) -> list[str] | None:
        """Names of the regions, in order; None where the scans of ``fit`` did not name them."""
        check_is_fitted(self)
        return self._scans.region_names

    @own_settings()
    def estimate_cost(self, X: Any, t_r: Any = None) -> Cost:
        """Time a few steps on scans, and say what pretraining on them will take.

        Parameters
        ----------
        X : list of scans, or ndarray of shape (n_scans, n_timepoints, n_regions)
            As for ``fit``, which prints the estimate with ``verbose=1``.
        t_r : float or array-like of shape (n_scans,), default=None
            As for ``fit``.

        Returns
        -------
        Cost
            ``seconds`` if training does not stop early, and ``memory`` in bytes at the peak,
            without the closed-form start; prints as a sentence. Nothing is fitted or changed.
        """
        _, cohort = self._new_record().learn(X, t_r)
        with DrawFrom(torch.Generator()):
            network = BrainMAE(**self._architecture(cohort.n_regions))
        return estimate_cost(network, cohort.as_runs(), **self._settings()._asdict())

    def generate_report(
        self,
        scans: Any = None,
        *,
        networks: ArrayLike | None = None,
        names: ArrayLike | None = None,
        coordinates: ArrayLike | None = None,
        title: str | None = None,
    ) -> "Report":
        """Report on the fitted model as one HTML file, for people who did not fit it.

        Parameters
        ----------
        scans : list of scans, or ndarray of shape (n_scans, n_timepoints, n_regions), default=None
            Best scans that the model has not seen; None leaves out what needs scans.
        networks : array-like of shape (n_regions,), default=None
            The network of each region.
        names : array-like of shape (n_regions,), default=None
            Names of the regions; None: their indices.
        coordinates : array-like of shape (n_regions, 3), default=None
            Centres of the regions in MNI space, in mm.
        title : str, default=None
            Of the page; None: the kind of model and its number of regions.

        Returns
        -------
        Report
            ``save`` writes it, a notebook shows it; see
            :func:`sk_brainmae.reporting.generate_report`, which raises the same errors.
        """
        from sk_brainmae.reporting import generate_report  # matplotlib, only where it is needed

        return generate_report(
            self, scans, networks=networks, names=names, coordinates=coordinates, title=title
        )

    def save_pretrained(
        self, folder: str | os.PathLike, *, region_names: Sequence[str] | None = None
    ) -> None:
        """Save the fitted model as a folder: safetensors weights, JSON, and a model card.

        Parameters
        ----------
        folder : str or PathLike
            New, empty, or holding a model, which is replaced. If saving is killed, there is the
            old model, the new one, or a folder that does not load: never a mix.
        region_names : sequence of str, default=None
            Names of the regions, in order, where ``fit`` saw none.

        Raises
        ------
        ValueError
            If names are not as many as regions, not distinct, or others than those of ``fit``; if
            the model would not load again, as with parameters that were set after ``fit``.
        FileExistsError
            If the folder holds anything but a model.
        OSError
            If it cannot be written.
        """
        check_is_fitted(self)
        self._check_unchanged()
        contents = self._pack(names_to_save(self, region_names))
        try:
            self._unpack(contents)
        except (ValueError, OverflowError) as error:
            raise ValueError(
                f"the model would not load again: {error}. Where parameters were set after fit, fit"
                " again"
            ) from error
        write_folder(folder, contents)

    @classmethod
    def from_pretrained(cls, folder: str | os.PathLike, *, revision: str | None = None) -> Self:
        """Load a saved model; no pickle, and nothing that was saved is run.

        Parameters
        ----------
        folder : str or PathLike
            As ``save_pretrained`` left it, or ``"hf://owner/name"`` on the Hugging Face Hub.
        revision : str, default=None
            Branch, tag or commit on the Hub; None is the newest.

        Returns
        -------
        BrainMAETransformer, BrainMAEClassifier or BrainMAERegressor
            Fitted; gives the same output as the one that was saved. ``device``, ``memory``,
            ``checkpoint`` and ``verbose`` have their defaults. ``pretrained`` is None: the model
            holds the encoder and its parameters.

        Raises
        ------
        FileNotFoundError
            If there is no such folder, or a file in it is missing.
        OSError
            If a file cannot be read, or the Hub not be reached.
        ValueError
            If a file is damaged, of a newer format, of another estimator, or does not make a
            model: unknown keys, shapes that disagree, values that are not finite.
        ImportError
            If huggingface_hub is needed and not installed.
        """
        if str(folder).startswith(HUB):
            folder = download(str(folder).removeprefix(HUB), revision=revision)
        contents = read_folder(folder)
        if contents.model != cls.__name__:
            raise ValueError(f"{str(folder)!r} holds a {contents.model!r}, not a {cls.__name__}")
        try:
            return cls._unpack(contents)
        except (ValueError, OverflowError) as error:
            raise ValueError(f"{str(folder)!r} does not make a {cls.__name__}: {error}") from error

    def push_to_hub(
        self,
        repo_id: str,
        *,
        region_names: Sequence[str] | None = None,
        private: bool = False,
    ) -> str:
        """Save the fitted model on the Hugging Face Hub, where you are logged in.

        Parameters
        ----------
        repo_id : str
            ``"owner/name"``; the repository is made if needed.
        region_names : sequence of str, default=None
            As in ``save_pretrained``.
        private : bool, default=False
            Whether a new repository is seen by you alone.

        Returns
        -------
        str
            Address of the commit.

        Raises
        ------
        ImportError
            If huggingface_hub is not installed.
        OSError
            If the Hub cannot be reached, or refuses.
        """
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder, region_names=region_names)
            return upload(folder, repo_id, private=private)

    def _settings(self) -> Settings:
        """Check parameters that depend on each other, and convert them."""
        window = self._count_window_frames()
        crop = count_frames(self.crop_length, self.t_r, "crop_length")
        if window > crop:
            raise ValueError(
                f"window_size={self.window_size} is longer than crop_length={self.crop_length}:"
                " a crop holds whole windows"
            )
        if self.embedding_dim % self.n_heads:
            raise ValueError(
                f"embedding_dim={self.embedding_dim} is not a multiple of n_heads={self.n_heads}"
            )
        if "dynamics" in check_views(self.views) and self.init != "spectral":
            raise ValueError(
                "the view 'dynamics' reads the brain states of the spectral prior, and"
                f" init={self.init!r} has none: leave it out, or use init='spectral'"
            )
        return Settings(
            window, crop // window, _mask_range(self.mask_ratio), self.device_, self._schedule()
        )

    def _count_window_frames(self) -> int:
        return count_frames(self.window_size, self.t_r, "window_size")

    def _schedule(self) -> Schedule:
        return Schedule(
            int(self.max_epochs),
            int(self.batch_size),
            float(self.lr),
            float(self.weight_decay),
            int(self.patience),
            int(self.verbose),
        )

    def _architecture(self, n_regions: int) -> dict[str, Any]:
        """Arguments of the network."""
        return {
            "n_regions": n_regions,
            "window": self._count_window_frames(),
            "dim": int(self.embedding_dim),
            "n_heads": int(self.n_heads),
            "n_layers": int(self.n_layers),
            "attention": self.attention,
            "n_states": int(self.n_states) if self.init == "spectral" else 0,
        }

    def _new_record(self) -> ScanRecord:
        """Check parameters, and return the record of a fit that has seen no scan yet."""
        window = self._settings().window
        return ScanRecord(self.t_r, window, self.missing, standardize=self.standardize)

    def _learn(self, record: ScanRecord, X: Any, t_r: Any) -> tuple[ScanRecord, Cohort]:
        """Validate the scans of a fit, and warn of what is odd about them."""
        record, cohort = record.learn(X, t_r)
        warn_findings(cohort, record.t_r)
        return record, cohort

    def _read(self, X: Any, t_r: Any = None, hidden: Any = None) -> Cohort:
        """Validate scans that must be like those of ``fit``."""
        check_is_fitted(self)
        self._check_unchanged()
        return replace(self._scans, missing=self.missing).read(X, t_r, hidden)

    def _check_unchanged(self) -> None:
        """Raise where the reading of scans was changed after fit: the model cannot follow."""
        window = self._count_window_frames()
        self._scans.check_unchanged(self.t_r, window, self.standardize)

    def _check_seed(self) -> None:
        """Warn, or raise, where no later fit can find what this one keeps."""
        if self.checkpoint is not None and self.random_state is None:
            raise ValueError(
                "checkpoint needs an integer random_state: with None every fit draws a new seed,"
                " so training cannot resume"
            )
        if self.memory is not None and self.random_state is None:
            warnings.warn(
                "memory needs an integer random_state: with None every fit draws a new seed, so no"
                " pretraining is found again",
                stacklevel=3,
            )

    def _observe_epochs(self, context: CallbackContext) -> Observer:
        """Return a function that runs an epoch between scikit-learn's callback hooks."""

        def observe(run_epoch: Callable[[], None]) -> bool:
            epoch = context.subcontext(task_name="epoch")
            epoch.call_on_fit_task_begin(estimator=self)
            run_epoch()
            return epoch.call_on_fit_task_end(estimator=self)

        return observe

    def _pack(self, region_names: list[str] | None) -> Contents:
        raise NotImplementedError

    @classmethod
    def _unpack(cls, contents: Contents) -> Self:
        raise NotImplementedError

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.input_tags.allow_nan = self.missing == "mask"
        return tags


def _mask_range(mask_ratio: float | tuple[float, float]) -> tuple[float, float]:
    """Return a mask ratio as the range it is drawn from."""
    bounds = tuple(mask_ratio) if isinstance(mask_ratio, (tuple, list)) else (mask_ratio,) * 2
    numbers = len(bounds) == 2 and all(isinstance(bound, Real) for bound in bounds)
    if not numbers or not 0 <= bounds[0] <= bounds[1] < 1:
        raise ValueError(
            f"mask_ratio={mask_ratio!r} must be a number in [0, 1), or a pair (low, high) of them"
        )
    return float(bounds[0]), float(bounds[1])
