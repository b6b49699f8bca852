"""Window states: what they separate, and how their dimensions vary together."""

import warnings
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray
from scipy.cluster.hierarchy import leaves_list, linkage
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.manifold import TSNE
from sklearn.metrics import balanced_accuracy_score, silhouette_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_brainmae.inspection.model import (
    assumed_t_r,
    fitted_encoder,
    one_each,
    tile,
    window_times,
)
from sk_brainmae.inspection.style import entitle, matrix, new_axes, scatter
from sk_brainmae.training import encode

MAX_FOLDS = 5
MAX_SILHOUETTE = 2000  # windows; it takes the distances between all pairs


class WindowStates(NamedTuple):
    """The window states of some scans.

    Attributes
    ----------
    states : ndarray of shape (n_windows, embedding_dim)
        One state a window, in the context of its crop. States include positional encodings, so
        time structure in a map is expected.
    scan : ndarray of shape (n_windows,)
        Index of each window's scan: ``labels_of_scans[scan]`` labels the windows.
    time : ndarray of shape (n_windows,)
        Middle of the window, from the start of its scan, in seconds (frames without ``t_r``).
    """

    states: NDArray
    scan: NDArray
    time: NDArray


def window_states(model: Any, scans: Any) -> WindowStates:
    """Encode all windows of all scans.

    Parameters
    ----------
    model : BrainMAETransformer, BrainMAEClassifier or BrainMAERegressor
        Fitted.
    scans : list of scans, or ndarray of shape (n_scans, n_timepoints, n_regions)
        Scans or Windows.

    Returns
    -------
    WindowStates
        States, with the scan and the time of each.
    """
    encoder = fitted_encoder(model)
    cohort = encoder._read(scans, t_r=assumed_t_r(encoder))
    states, _ = encode(encoder._network(), cohort, **encoder._layout())
    crops = tile(encoder, cohort)
    scan = np.repeat(np.arange(len(states)), [len(s) for s in states])
    time = window_times(encoder, cohort, crops)[crops.own]
    return WindowStates(np.concatenate(states), scan, time)


def state_map(states: NDArray, method: str = "pca", random_state: int = 0) -> NDArray:
    """Map window states to the plane.

    Parameters
    ----------
    states : ndarray of shape (n_windows, embedding_dim)
        The states.
    method : {"pca", "tsne"}, default="pca"
        "pca": the two strongest principal components, which keep distances as far as two
        dimensions can. "tsne": neighbours stay together; large distances mean nothing.
    random_state : int, default=0
        Seeds t-SNE.

    Returns
    -------
    ndarray of shape (n_windows, 2)
        The map.

    Raises
    ------
    ValueError
        If there are fewer than three states, or there is no such method.
    """
    if len(states) < 3:
        raise ValueError(f"a map needs at least three states, got {len(states)}")
    if method == "pca":
        return PCA(2, svd_solver="full").fit_transform(states)
    if method == "tsne":
        perplexity = min(30.0, max(1.0, (len(states) - 1) / 3))
        return TSNE(perplexity=perplexity, random_state=random_state).fit_transform(states)
    raise ValueError(f"method must be 'pca' or 'tsne', got {method!r}")


def separation(states: NDArray, labels: ArrayLike, groups: ArrayLike) -> pd.Series:
    """Score how well window states separate sessions, subjects or tasks.

    A linear probe [1]_: linear discriminant analysis with shrunk covariance [2]_ on standardised
    states, cross-validated so that a group is never on both sides. Windows of one scan resemble
    each other, so a group must hold whole scans. To separate sessions of several subjects, group
    by subject; to separate subjects, group by session.

    Parameters
    ----------
    states : ndarray of shape (n_windows, embedding_dim)
        The states.
    labels : array-like of shape (n_windows,)
        What to separate.
    groups : array-like of shape (n_windows,)
        What stays on one side of every fold.

    Returns
    -------
    Series
        ``balanced_accuracy``, mean over folds, and its ``std``; ``chance``, 1 / number of labels;
        ``silhouette`` [3]_ of the labels without a probe, from -1 to 1, and 0 where labels are
        mixed (over at most 2000 windows, evenly spaced).

    Raises
    ------
    ValueError
        If there are fewer than two labels or groups, or a label is in one group alone.

    References
    ----------
    .. [1] Alain and Bengio (2017). Understanding intermediate layers using linear classifier
       probes. ICLR workshop, arXiv:1610.01644.
    .. [2] Ledoit and Wolf (2004). A well-conditioned estimator for large-dimensional covariance
       matrices. Journal of Multivariate Analysis 88, 365-411.
    .. [3] Rousseeuw (1987). Silhouettes: a graphical aid to the interpretation and validation of
       cluster analysis. Journal of Computational and Applied Mathematics 20, 53-65.
    """
    labels = one_each(labels, len(states), "labels", "window")
    groups = one_each(groups, len(states), "groups", "window")
    _check_separable(labels, groups)
    probe = make_pipeline(
        StandardScaler(), LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
    )
    folds = StratifiedGroupKFold(min(MAX_FOLDS, len(np.unique(groups))))
    accuracy = []
    for train, test in folds.split(states, labels, groups):
        predicted = clone(probe).fit(states[train], labels[train]).predict(states[test])
        with warnings.catch_warnings():  # a test fold may lack a label
            warnings.filterwarnings("ignore", message="y_pred contains classes not in y_true")
            accuracy.append(balanced_accuracy_score(labels[test], predicted))
    spaced = np.linspace(0, len(states) - 1, min(len(states), MAX_SILHOUETTE)).astype(int)
    return pd.Series(
        {
            "balanced_accuracy": np.mean(accuracy),
            "std": np.std(accuracy, ddof=1),
            "chance": 1 / len(np.unique(labels)),
            "silhouette": silhouette_score(states[spaced], labels[spaced]),
        }
    )


def latent_connectivity(states: NDArray, scan: NDArray | None = None) -> NDArray:
    """Correlate the dimensions of window states over windows.

    Parameters
    ----------
    states : ndarray of shape (n_windows, embedding_dim)
        The states.
    scan : ndarray of shape (n_windows,), default=None
        The scan of each window; states are centred by scan, so that differences between scans
        do not count. None: all windows are of one scan.

    Returns
    -------
    ndarray of shape (embedding_dim, embedding_dim)
        Correlations, with ones on the diagonal; 0 for a dimension that does not vary.
        Dimensions have no place in the brain, and differ between models.
    """
    scan = np.zeros(len(states), dtype=int) if scan is None else scan
    scan = one_each(scan, len(states), "scan", "window")
    centred = states.astype(float)
    for k in np.unique(scan):
        centred[scan == k] -= centred[scan == k].mean(axis=0)
    scale = np.sqrt(np.square(centred).sum(axis=0))
    scale[scale <= 1e-9 * scale.max()] = np.inf
    correlation = np.clip(centred.T @ centred / scale / scale[:, None], -1, 1)
    np.fill_diagonal(correlation, 1)
    return correlation


def plot_states(
    points: NDArray,
    values: ArrayLike | None = None,
    name: str = "label",
    title: str = "States of windows",
    ax: Axes | None = None,
) -> Axes:
    """Draw a map of window states, coloured by session, subject, task or time.

    Parameters
    ----------
    points : ndarray of shape (n_windows, 2)
        As :func:`state_map` returns it.
    values : array-like of shape (n_windows,), default=None
        Floating-point numbers (time) are drawn on a scale, others as labels, each with its own
        colour and marker. None: all grey.
    name : str, default="label"
        Name of the values.
    title : str, default="States of windows"
        The title.
    ax : matplotlib Axes, default=None
        Where to draw; None makes a new figure.

    Returns
    -------
    matplotlib Axes
        The axes drawn on.
    """
    if values is not None:
        values = one_each(values, len(points), "values", "window")
    ax = new_axes(ax, 6.4, 4.4)
    scatter(ax, points, values, name)
    entitle(ax, title, "no labels given" if values is None else "")
    return ax


def plot_latent_connectivity(correlation: NDArray, ax: Axes | None = None) -> Axes:
    """Draw :func:`latent_connectivity`, dimensions clustered, on ``ax`` or on a new figure."""
    ax = new_axes(ax, 5.4, 4.6)
    order = np.arange(len(correlation))
    if len(order) > 1:
        order = leaves_list(linkage(correlation, "average", optimal_ordering=True))
    matrix(ax, correlation[np.ix_(order, order)], "correlation over windows")
    ax.set_xlabel("dimension of the state (clustered)")
    ax.set_xticks([])
    ax.set_yticks([])
    entitle(ax, "Latent connectivity")
    return ax


def _check_separable(labels: NDArray, groups: NDArray) -> None:
    """Raise where a probe could not be tested on unseen groups."""
    for name, values in {"labels": labels, "groups": groups}.items():
        if len(np.unique(values)) < 2:
            raise ValueError(f"{name} are all the same: separation needs at least two")
    n_groups = pd.Series(groups).groupby(labels).nunique()
    if (n_groups < 2).any():
        label = n_groups.index[n_groups < 2][0]
        raise ValueError(
            f"label {label} is in one group alone: without that group a probe cannot learn it. To"
            " separate subjects, group by session"
        )
