"""Dynamic connectivity: how connectivity changes over sliding windows of a scan."""

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.special import ndtr
from sklearn.cluster import KMeans

from sk_brainmae.baselines.connectivity import MAX_CORRELATION
from sk_brainmae.baselines.features import ScanFeatures
from sk_brainmae.scans.cohort import Cohort
from sk_brainmae.scans.crops import count_frames

TAPER = 3 / 22  # sigma of the Gaussian taper, over the window's length (Allen et al. 2014)


class SlidingConnectivity(ScanFeatures):
    """Base of features from sliding windows, which slide over the uncensored frames alone."""

    window_size: float
    step: float
    t_r: float | None

    def _slide(self, cohort: Cohort) -> list[NDArray]:
        """Return the windows' Fisher-z correlations, each of shape (n_windows_i, n_edges)."""
        window = count_frames(self.window_size, self.t_r, "window_size")
        step = count_frames(self.step, self.t_r, "step")
        if window < 2:
            raise ValueError(f"window_size={self.window_size} is one frame: correlations need two")
        samples = [cohort.uncensored(i) for i in range(len(cohort))]
        lengths = np.array([len(frames) for frames in samples])
        if (short := np.flatnonzero(lengths < window + step)).size:
            raise ValueError(
                f"sample {short[0]} has {lengths[short[0]]} frames, fewer than two sliding windows"
                f" need ({window} frames, {step} apart): choose a smaller window_size or step, or"
                " leave the sample out"
            )
        return [sliding_correlations(frames, window, step) for frames in samples]


class DynamicConnectivity(SlidingConnectivity):
    """Mean and variability of the connectivity in sliding windows.

    Correlations of the regions are computed in tapered windows [1]_ and Fisher z-transformed. The
    features are their mean and standard deviation over the windows of the sample.

    Parameters
    ----------
    window_size : float, default=44
        Length of a window in seconds, or in frames where ``t_r`` is None; 44 s as in [1]_. Below
        about 30 s, noise outweighs the changes of correlations.
    step : float, default=11
        From the start of a window to the next, in the same unit. Steps of one frame, as in [1]_,
        cost many times more and add little.
    t_r : float, default=None
        Repetition time in seconds; None counts in frames.

    Attributes
    ----------
    n_features_in_ : int
        Number of regions N. There are N (N - 1) features: the means, then the deviations, both
        in the order of the lower triangle without the diagonal.

    References
    ----------
    .. [1] Allen et al. (2014). Tracking whole-brain connectivity dynamics in the resting state.
       Cerebral Cortex, 24, 663-676.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_brainmae.baselines import DynamicConnectivity
    >>> scans = np.random.default_rng(0).normal(size=(6, 100, 4))
    >>> DynamicConnectivity().fit_transform(scans).shape
    (6, 12)
    """

    def __init__(self, window_size: float = 44, step: float = 11, t_r: float | None = None):
        self.window_size = window_size
        self.step = step
        self.t_r = t_r

    def _compute(self, cohort: Cohort) -> NDArray:
        slides = self._slide(cohort)
        return np.stack([np.concatenate([z.mean(axis=0), z.std(axis=0)]) for z in slides])


class StateOccupancy(SlidingConnectivity):
    """Time that a scan spends in states of connectivity, and how often it changes state.

    The states are the k-means clusters of the training scans' sliding-window correlations [1]_.
    The features of a sample are the share of its windows in each state, the mean dwell time in
    each state (in windows, 0 if it is never visited), and the share of steps from window to
    window at which the state changes.

    Parameters
    ----------
    n_states : int, default=5
        Number of clusters; 4 to 7 are usual, and the elbow criterion found 7 in [1]_.
    window_size : float, default=44
        Length of a window in seconds, or in frames where ``t_r`` is None; 44 s as in [1]_.
    step : float, default=11
        From the start of a window to the next, in the same unit; a quarter of a window.
    t_r : float, default=None
        Repetition time in seconds; None counts in frames.
    random_state : int, RandomState instance or None, default=None
        Starts k-means.

    Attributes
    ----------
    n_features_in_ : int
        Number of regions.
    kmeans_ : sklearn.cluster.KMeans
        Fitted on the training windows; ``kmeans_.cluster_centers_`` are the states, of shape
        (n_states, n_regions (n_regions - 1) / 2).

    References
    ----------
    .. [1] Allen et al. (2014). Tracking whole-brain connectivity dynamics in the resting state.
       Cerebral Cortex, 24, 663-676.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_brainmae.baselines import StateOccupancy
    >>> scans = np.random.default_rng(0).normal(size=(6, 100, 4))
    >>> StateOccupancy(n_states=3, random_state=0).fit_transform(scans).shape
    (6, 7)
    """

    def __init__(
        self,
        n_states: int = 5,
        window_size: float = 44,
        step: float = 11,
        t_r: float | None = None,
        random_state: Any = None,
    ):
        self.n_states = n_states
        self.window_size = window_size
        self.step = step
        self.t_r = t_r
        self.random_state = random_state

    def _learn(self, cohort: Cohort) -> None:
        windows = np.concatenate(self._slide(cohort))
        if not 2 <= self.n_states <= len(windows):
            raise ValueError(
                f"n_states={self.n_states} must be from 2 to the {len(windows)} windows of the"
                " training scans"
            )
        self.kmeans_ = KMeans(self.n_states, n_init=10, random_state=self.random_state)
        self.kmeans_.fit(windows)

    def _compute(self, cohort: Cohort) -> NDArray:
        return np.stack([self._describe(self.kmeans_.predict(z)) for z in self._slide(cohort)])

    def _describe(self, states: NDArray) -> NDArray:
        """Return shares, dwell times and the rate of change of a sequence of states, (2 k + 1,)."""
        changes = np.flatnonzero(np.diff(states)) + 1
        visits = np.bincount(states[np.r_[0, changes]], minlength=self.n_states)
        windows = np.bincount(states, minlength=self.n_states)
        rate = len(changes) / (len(states) - 1)
        return np.r_[windows / len(states), windows / np.maximum(visits, 1), rate]


def sliding_correlations(frames: NDArray, window: int, step: int) -> NDArray:
    """Return Fisher-z correlations of frames (T, N) in tapered sliding windows, (n, N (N - 1) / 2).

    They are the lower triangle, row by row. A region that is constant in a window has only zeros.
    """
    weights = _taper(window)
    slides = sliding_window_view(frames.astype(float), window, axis=0)[::step]  # (n, N, window)
    centred = (slides - slides @ weights[:, None]) * np.sqrt(weights)
    covariance = centred @ centred.transpose(0, 2, 1)  # (n, N, N)
    scale = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
    scale = np.where(scale > 1e-6, scale, np.inf)  # frames are z-scored: below is rounding
    correlation = covariance / (scale[:, :, None] * scale[:, None, :])
    rows, columns = np.tril_indices(frames.shape[1], k=-1)
    edges = correlation[:, rows, columns]
    return np.arctanh(np.clip(edges, -MAX_CORRELATION, MAX_CORRELATION))


def _taper(window: int) -> NDArray:
    """Return a rectangle smoothed by a Gaussian, cut to the window, with sum 1, (window,)."""
    centre = np.arange(window) + 0.5
    sigma = TAPER * window
    weights = ndtr(centre / sigma) - ndtr((centre - window) / sigma)
    return weights / weights.sum()
