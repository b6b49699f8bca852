"""What a model knows of its scans: ``fit`` learns it, every other method uses it."""

from dataclasses import dataclass, replace
from typing import Any

from sk_brainmae.scans.cohort import Cohort
from sk_brainmae.scans.crops import check_long_enough, warn_if_short
from sk_brainmae.scans.regions import region_orders, reorder_columns
from sk_brainmae.scans.validate import validate_scans
from sk_brainmae.scans.window import Window


@dataclass(frozen=True)
class ScanRecord:
    """The regions and the repetition time of a model's scans; reads other scans like those.

    Attributes
    ----------
    t_r : float or None
        Seconds between the frames of the model; None where it only counts frames.
    window : int
        Frames in a window: no scan may be shorter.
    missing : {"mask", "raise"}
        What to do about missing values.
    n_regions : int or None
        How many regions a scan has; None before :meth:`learn`.
    region_names : list of str or None
        Their names, in order; None where scans do not name them.
    resampled : bool
        Whether scans of another repetition time were learned.
    standardize : {"scan", False}
        Whether scans are z-scored, or come standardised and keep their values.
    """

    t_r: float | None
    window: int
    missing: str
    n_regions: int | None = None
    region_names: list[str] | None = None
    resampled: bool = False
    standardize: str | bool = "scan"

    def learn(self, X: Any, t_r: Any = None) -> tuple["ScanRecord", Cohort]:
        """Validate the scans of a fit and note what they are.

        Parameters
        ----------
        X : list of scans, or ndarray of shape (n_scans, n_timepoints, n_regions)
            Scans or Windows. The record of a pretrained encoder knows its regions already: it
            refuses scans of other regions.
        t_r : float or array-like of shape (n_scans,), default=None
            Repetition time of the scans, or of each, in seconds; None: the model's.

        Returns
        -------
        record : ScanRecord
            With the regions of these scans.
        cohort : Cohort
            The scans, z-scored, at the model's repetition time.

        Raises
        ------
        ValueError
            If scans cannot be used, see :func:`~sk_brainmae.scans.validate_scans`; if one is
            shorter than a window.
        """
        cohort = self._validate(X, t_r, None)
        learned = replace(
            self,
            n_regions=cohort.n_regions,
            region_names=cohort.region_names,
            resampled=bool(cohort.resampled.any()),
        )
        return learned, cohort

    def read(self, X: Any, t_r: Any = None, hidden: Any = None) -> Cohort:
        """Validate scans that must be like those of ``fit``.

        Parameters
        ----------
        X, t_r
            As in :meth:`learn`. DataFrames are brought into the order of the regions.
        hidden : list of bool array-like, each of shape (n_timepoints_i, n_regions), default=None
            True where the model must not look; columns as in the scan.

        Returns
        -------
        Cohort
            The scans, z-scored, at the model's repetition time.

        Raises
        ------
        ValueError
            As in :meth:`learn`; if ``fit`` was told the ``t_r`` of its scans and this is not.
        """
        return self._validate(X, t_r, hidden)

    def restore_order(self, X: Any, parts: list) -> list:
        """Bring the columns of arrays (T_i, N) back into the order that each scan has them in."""
        _, orders = region_orders(X, self.region_names, tell=False)
        return reorder_columns(parts, orders, back=True)

    def check_unchanged(
        self, t_r: float | None, window: int, standardize: str | bool | None = None
    ) -> None:
        """Raise where parameters were changed after fit.

        Parameters
        ----------
        t_r : float or None
            Seconds between the frames of the model.
        window : int
            Frames in a window.
        standardize : {"scan", False}, default=None
            Whether scans are z-scored; None is not checked.

        Raises
        ------
        ValueError
            If one of them is not that of the fit.
        """
        if standardize not in (None, self.standardize):
            raise ValueError(
                f"standardize={standardize!r} was set after fit, which had {self.standardize!r}:"
                " fit again"
            )
        if t_r != self.t_r:
            raise ValueError(f"t_r={t_r} was set after fit, which had t_r={self.t_r}: fit again")
        if window != self.window:
            raise ValueError(
                f"window_size was set after fit: a window has {window} frames now, and had"
                f" {self.window} in fit. Fit again"
            )

    def _validate(self, X: Any, t_r: Any, hidden: Any) -> Cohort:
        if self.resampled and t_r is None:
            raise ValueError(
                "fit was told the t_r of its scans, and these come without one: pass t_r (the"
                f" model's is {self.t_r} s). A scorer cannot pass it: bring the scans to the"
                " model's t_r first, with sk_brainmae.resampling.resample_scan"
            )
        cohort = validate_scans(
            X,
            n_regions=self.n_regions,
            region_names=self.region_names,
            hidden=hidden,
            missing=self.missing,
            t_r=t_r,
            grid=self.t_r,
            standardize=self.standardize,
        )
        check_long_enough(cohort, self.window)
        if self.standardize and not any(isinstance(item, Window) for item in X):
            warn_if_short(cohort, self.window)
        return cohort
