"""What a fitted encoder says of scans besides their embeddings."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from sk_brainmae.estimators.base import BaseBrainMAE
from sk_brainmae.network import BrainMAE
from sk_brainmae.scans.regions import region_orders, reorder_columns
from sk_brainmae.scans.resampling import resample_scan
from sk_brainmae.scans.window import Window
from sk_brainmae.training import encode, masked_r2, reconstruct


class ScanReadout(BaseBrainMAE):
    """Window states, reconstructions and the masked score, of the network of a subclass."""

    _network: Callable[[], BrainMAE]
    _layout: Callable[[], dict[str, Any]]

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
        check_is_fitted(self)
        cohort = self._validate_scans(X, reset=False, t_r=t_r)
        return encode(self._network(), cohort, **self._layout())[0]

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
        check_is_fitted(self)
        cohort = self._validate_scans(X, reset=False, hidden=mask, t_r=t_r)
        times = np.broadcast_to(np.asarray(self.t_r if t_r is None else t_r), len(cohort))
        for i, (scan, time) in enumerate(zip(X, times, strict=True)):
            if isinstance(scan, Window) and time != self.t_r:
                raise ValueError(
                    f"scan {i} is a Window with t_r={time} s, and the model's is {self.t_r} s:"
                    " rebuild the whole scan, and take its frames"
                )
        rebuilt = [
            z * cohort.scale[run] + cohort.mean[run]
            for z, run in zip(
                reconstruct(self._network(), cohort, **self._layout()), cohort.runs, strict=True
            )
        ]
        for i, (scan, time) in enumerate(zip(X, times, strict=True)):
            if self.t_r is not None and time != self.t_r:
                rebuilt[i] = resample_scan(rebuilt[i], self.t_r, time)[: len(scan)]
        _, orders = region_orders(X, self.region_names_)
        return reorder_columns(rebuilt, orders, back=True)

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
        check_is_fitted(self)
        cohort = self._validate_scans(X, reset=False, t_r=t_r)
        layout = self._layout()
        return masked_r2(self._network().to(layout["device"]).eval(), cohort, **layout)
