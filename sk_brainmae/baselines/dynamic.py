"""Dynamic connectivity: how the connectivity of one scan changes, by sliding windows."""

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

# Width of the Gaussian that tapers a window, as a share of it: 3 of 22 frames (Allen et al. 2014).
TAPER = 3 / 22


class SlidingConnectivity(ScanFeatures):
    """Base of the features of sliding windows; its subclasses have the parameters it uses.

    Windows slide over the frames that are left where some are censored.

    Attributes
    ----------
    window_size, step : float
        Length of a window, and from one window to the next.
    t_r : float or None
        What they are counted in.
    """

    window_size: float
    step: float
    t_r: float | None

    def _slide(self, cohort: Cohort) -> list[NDArray]:
        """Return the windows' Fisher-z correlations, each of shape (n_windows_i, n_edges)."""
        window = count_frames(self.window_size, self.t_r, "window_size")
        step = count_frames(self.step, self.t_r, "step")
        if window < 2:
            raise ValueError(f"window_size={self.window_size} is one frame: nothing correlates")
        samples = [cohort.uncensored(i) for i in range(len(cohort))]
        lengths = np.array([len(frames) for frames in samples])
        if (short := np.flatnonzero(lengths < window + step)).size:
            raise ValueError(
                f"sample {short[0]} has {lengths[short[0]]} frames, fewer than two sliding windows"
                f" ({window} frames, {step} apart): choose a smaller window_size or step, or leave"
                " it out"
            )
        return [sliding_correlations(frames, window, step) for frames in samples]


class DynamicConnectivity(SlidingConnectivity):
    """Mean and variability of the connectivity in sliding windows.

    Correlations of the regions are computed in tapered windows [1]_ and Fisher z-transformed; the
    features are their mean and their standard deviation over the windows of the sample.

    Parameters
    ----------
    window_size : float, default=44
        Length of a window in seconds, or in frames where ``t_r`` is None; 44 s are [1]_'s. Below
        some 30 s the noise of the correlations outweighs what changes in them.
    step : float, default=11
        From one window to the next, likewise. A quarter of a window: [1]_ moves by one frame,
        which costs many times more and adds little, since such neighbours share nearly all.
    t_r : float, default=None
        Repetition time in seconds; None counts in frames.

    Attributes
    ----------
    n_features_in_ : int
        Number of regions N; there are N (N - 1) features, first the means, then the deviations,
        both in the order of the lower triangle without the diagonal.

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
    """How a scan moves between states of connectivity that recur over the training scans.

    The states are the k-means clusters of the training scans' sliding-window correlations [1]_.
    The features of a sample are, for each state, the share of its windows and the mean dwell time
    (windows in a row, 0 where it is never visited), and last how often the state changes, as a
    share of the steps from window to window.

    Parameters
    ----------
    n_states : int, default=5
        Number of clusters; 4 to 7 are usual, and the elbow criterion found 7 in [1]_.
    window_size : float, default=44
        Length of a window in seconds, or in frames where ``t_r`` is None; 44 s are [1]_'s.
    step : float, default=11
        From one window to the next, likewise; a quarter of a window.
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
        """Return shares, dwell times and the rate of change of a sequence of states."""
        changes = np.flatnonzero(np.diff(states)) + 1
        visits = np.bincount(states[np.r_[0, changes]], minlength=self.n_states)
        windows = np.bincount(states, minlength=self.n_states)
        rate = len(changes) / (len(states) - 1)
        return np.r_[windows / len(states), windows / np.maximum(visits, 1), rate]


def sliding_correlations(frames: NDArray, window: int, step: int) -> NDArray:
    """Fisher-z correlations of regions in tapered sliding windows.

    The weight of a frame is that of a rectangle as long as the window, convolved with a Gaussian
    of 3/22 of its length and cut off at its ends. A region that is constant in a window correlates
    with none.

    Parameters
    ----------
    frames : ndarray of shape (n_timepoints, n_regions)
        At least ``window`` frames.
    window, step : int
        Frames in a window, and from one window to the next.

    Returns
    -------
    ndarray of shape (n_windows, n_regions (n_regions - 1) / 2)
        The lower triangle without the diagonal, row by row.
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
    """Weights of a window's frames, (window,), of sum 1."""
    centre = np.arange(window) + 0.5
    sigma = TAPER * window
    weights = ndtr(centre / sigma) - ndtr((centre - window) / sigma)
    return weights / weights.sum()
