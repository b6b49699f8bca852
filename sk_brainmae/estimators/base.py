"""What the three estimators share: parameters and their checks, the scan seam, the device."""

import os
import warnings
from collections.abc import Callable
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.callback import CallbackContext, CallbackSupportMixin
from sklearn.utils import Tags
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions

from sk_brainmae.device import resolve_device
from sk_brainmae.doctor import warn_findings
from sk_brainmae.network import BrainMAE
from sk_brainmae.network.state_encoder import ATTENTION
from sk_brainmae.scans.cohort import Cohort
from sk_brainmae.scans.crops import check_long_enough, count_frames
from sk_brainmae.scans.regions import region_orders, reorder_columns, reorder_regions
from sk_brainmae.scans.validate import validate_scans
from sk_brainmae.training import Cost, DrawFrom, Observer, Schedule, estimate_cost

if TYPE_CHECKING:
    from sk_brainmae.reporting import Report

POOLING = {"auto", "covariance", "state", "mean", "cls"}


class Settings(NamedTuple):
    """Parameters in the network's terms.

    Attributes
    ----------
    window : int
        Frames in a window.
    n_windows : int
        Windows in a crop.
    mask_ratio : (float, float)
        Range of the mask ratio.
    device : str
        Where to compute.
    schedule : Schedule
        Epochs and learning rate.
    """

    window: int
    n_windows: int
    mask_ratio: tuple[float, float]
    device: str
    schedule: Schedule


class BaseBrainMAE(CallbackSupportMixin, BaseEstimator):
    """Parameters, validation and progress of all BrainMAE estimators.

    The parameters are documented where users meet them, in
    :class:`~sk_brainmae.BrainMAETransformer`.
    """

    _parameter_constraints: ClassVar[dict[str, list]] = {
        "t_r": [None, Interval(Real, 0, None, closed="neither")],
        "window_size": [Interval(Real, 0, None, closed="neither")],
        "crop_length": [Interval(Real, 0, None, closed="neither")],
        "mask_ratio": [Interval(Real, 0, 1, closed="left"), tuple, list],
        "attention": [StrOptions(set(ATTENTION))],
        "init": [StrOptions({"spectral", "random"})],
        "n_states": [Interval(Integral, 1, None, closed="left")],
        "embedding_dim": [Interval(Integral, 1, None, closed="left")],
        "n_heads": [Interval(Integral, 1, None, closed="left")],
        "n_layers": [Interval(Integral, 0, None, closed="left")],
        "pooling": [StrOptions(POOLING)],
        "n_components": [None, Interval(Integral, 1, None, closed="left")],
        "max_epochs": [Interval(Integral, 0, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "patience": [Interval(Integral, 1, None, closed="left")],
        "missing": [StrOptions({"mask", "raise"})],
        "device": [str],
        "random_state": ["random_state"],
        "memory": [None, str, HasMethods(["cache"])],
        "checkpoint": [None, str, os.PathLike],
        "verbose": ["verbose"],
    }

    n_features_in_: int
    region_names_: list[str] | None
    _resampled = False  # whether fit saw scans of another t_r
    _grid: float | None  # the t_r of fit

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
        self.pooling = pooling
        self.n_components = n_components
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.weight_decay = weight_decay
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.missing = missing
        self.device = device
        self.random_state = random_state
        self.memory = memory
        self.checkpoint = checkpoint
        self.verbose = verbose

    @property
    def device_(self) -> str:
        """Where this process computes: a model loaded elsewhere finds the device there."""
        return resolve_device(self.device)

    def _settings(self) -> Settings:
        """Check parameters that depend on each other, and convert them."""
        window = count_frames(self.window_size, self.t_r, "window_size")
        crop = count_frames(self.crop_length, self.t_r, "crop_length")
        if window > crop:
            raise ValueError(
                f"window_size={self.window_size} is longer than crop_length={self.crop_length}:"
                " a crop holds whole windows"
            )
        if self.embedding_dim % self.n_heads:
            raise ValueError(
                f"embedding_dim={self.embedding_dim} is no multiple of n_heads={self.n_heads}"
            )
        return Settings(
            window, crop // window, _mask_range(self.mask_ratio), self.device_, self._schedule()
        )

    def _schedule(self) -> Schedule:
        return Schedule(
            int(self.max_epochs),
            int(self.batch_size),
            float(self.lr),
            float(self.weight_decay),
            int(self.patience),
            int(self.verbose),
        )

    def _check_seed(self) -> None:
        """Warn, or raise, where no later fit can find what this one keeps."""
        if self.checkpoint is not None and self.random_state is None:
            raise ValueError(
                "checkpoint cannot be gone on from with random_state=None, which draws another"
                " seed in every fit: set an integer"
            )
        if self.memory is not None and self.random_state is None:
            warnings.warn(
                "memory cannot find pretraining again with random_state=None, which draws another"
                " seed in every fit: set an integer",
                stacklevel=3,
            )

    def _validate_scans(
        self, X: Any, *, reset: bool, hidden: Any = None, t_r: Any = None
    ) -> Cohort:
        """Pass ``X`` through the one seam; ``reset`` in fit, where the regions are learned.

        Regions of ``X`` and columns of ``hidden`` are brought into the model's order.
        """
        grid = self._encoder().t_r
        if not reset:
            self._encoder()._check_grid()
        if t_r is None and self._was_resampled(reset):
            raise ValueError(
                "fit was told the t_r of its scans, and these come without: give their t_r, too"
                f" (t_r={grid} if they have the model's). A scorer cannot pass it on: there, bring"
                " scans to the model's t_r beforehand, by sk_brainmae.resampling.resample_scan"
            )
        names, orders = region_orders(X, self._known_names(reset))
        cohort = validate_scans(
            reorder_regions(X, orders),
            n_regions=None if reset else self.n_features_in_,
            hidden=reorder_columns(hidden, orders),
            missing=self.missing,
            t_r=t_r,
            grid=grid,
        )
        check_long_enough(cohort, self._encoder()._settings().window)
        if reset:
            self.n_features_in_, self.region_names_ = cohort.n_regions, names
            self._resampled, self._grid = bool(cohort.resampled.any()), grid
            warn_findings(cohort, grid)
        return cohort

    def _read(self, X: Any, t_r: Any = None, hidden: Any = None) -> Cohort:
        """Pass scans through the seam, as ``fit`` learned them."""
        return self._validate_scans(X, reset=False, hidden=hidden, t_r=t_r)

    def _check_grid(self) -> None:
        if self.t_r != self._grid:
            raise ValueError(
                f"t_r={self.t_r} was set after fit, which had t_r={self._grid}: fit again"
            )

    def _was_resampled(self, reset: bool) -> bool:
        """Tell whether scans without a ``t_r`` could be of another than the model's."""
        return not reset and self._resampled

    def _known_names(self, reset: bool) -> list[str] | None:
        """Return the regions that scans must have, by name; in fit, they say so themselves."""
        return None if reset else self.region_names_

    def _encoder(self) -> "BaseBrainMAE":
        """Whose parameters make the encoder: one's own, unless it came pretrained."""
        return self

    def _resolve_pooling(self, cohort: Cohort) -> str:
        """Say what "auto" means: second order for whole scans, states for their moments."""
        if self.pooling != "auto":
            return self.pooling
        return "covariance" if cohort.whole_runs else "state"

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
        cohort = validate_scans(X, missing=self.missing, t_r=t_r, grid=self.t_r).as_runs()
        settings = self._settings()
        check_long_enough(cohort, settings.window)
        with DrawFrom(torch.Generator()):
            network = BrainMAE(**self._architecture(cohort.n_regions))
        return estimate_cost(network, cohort, **settings._asdict())

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
        from sk_brainmae.reporting import generate_report  # upwards, see pyproject.toml

        return generate_report(
            self, scans, networks=networks, names=names, coordinates=coordinates, title=title
        )

    def _architecture(self, n_regions: int) -> dict[str, Any]:
        """Arguments of the network."""
        return {
            "n_regions": n_regions,
            "window": self._settings().window,
            "dim": int(self.embedding_dim),
            "n_heads": int(self.n_heads),
            "n_layers": int(self.n_layers),
            "attention": self.attention,
            "n_states": int(self.n_states) if self.init == "spectral" else 0,
        }

    def _observe_epochs(self, context: CallbackContext) -> Observer:
        """Return a function that runs an epoch between scikit-learn's callback hooks."""

        def observe(run_epoch: Callable[[], None]) -> bool:
            epoch = context.subcontext(task_name="epoch")
            epoch.call_on_fit_task_begin(estimator=self)
            run_epoch()
            return epoch.call_on_fit_task_end(estimator=self)

        return observe

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
