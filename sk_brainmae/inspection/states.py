"""States of windows: what they tell apart, and how they change together."""

import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
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

from sk_brainmae.inspection.checks import assumed_t_r, fitted_encoder, one_each
from sk_brainmae.inspection.style import entitle, matrix, new_axes, scatter
from sk_brainmae.scans.crops import tile_crops

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_FOLDS = 5
MAX_SILHOUETTE = 2000  # windows; distances between all pairs of more take long


class WindowStates(NamedTuple):
    """The states of all windows of some scans.

    Attributes
    ----------
    states : ndarray of shape (n_windows, embedding_dim)
        One state a window, in the context of its crop. Part of it is the window's position in
        the crop: that maps show time is no discovery.
    scan : ndarray of shape (n_windows,)
        Index of the scan each window is from: ``labels_of_scans[scan]`` labels the windows.
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
        States, and where they come from.
    """
    encoder = fitted_encoder(model)
    t_r = assumed_t_r(encoder)
    states = encoder.transform_windows(scans, t_r)
    settings = encoder._settings()
    cohort = encoder._read(scans, t_r=t_r)
    crops = tile_crops(cohort, settings.window, settings.n_windows)
    scan = np.repeat(np.arange(len(states)), [len(s) for s in states])
    first = cohort.run_start[cohort.runs] + cohort.start  # of each sample
    middle = crops.starts[crops.own] + settings.window / 2 - first[scan]
    return WindowStates(np.concatenate(states), scan, middle * (encoder.t_r or 1.0))


def state_map(states: NDArray, method: str = "pca", random_state: int = 0) -> NDArray:
    """Lay states out in the plane.

    Parameters
    ----------
    states : ndarray of shape (n_windows, embedding_dim)
        The states.
    method : {"pca", "tsne"}, default="pca"
        "pca": the two strongest principal components, so that distances mean what they say.
        "tsne": neighbours stay together, and far means nothing.
    random_state : int, default=0
        Seeds t-SNE.

    Returns
    -------
    ndarray of shape (n_windows, 2)
        The map.

    Raises
    ------
    ValueError
        If there are fewer than three states, or the method is another one.
    """
    if len(states) < 3:
        raise ValueError(f"a map needs three states or more, got {len(states)}")
    if method == "pca":
        return PCA(2, svd_solver="full").fit_transform(states)
    if method == "tsne":
        perplexity = min(30.0, max(1.0, (len(states) - 1) / 3))
        return TSNE(perplexity=perplexity, random_state=random_state).fit_transform(states)
    raise ValueError(f"method must be 'pca' or 'tsne', got {method!r}")


def separation(states: NDArray, labels: ArrayLike, groups: ArrayLike) -> pd.Series:
    """Score how well states tell sessions, subjects or tasks apart.

    A linear probe [1]_: linear discriminant analysis with shrunk covariance [2]_ on standardised
    states, cross-validated so that a group is never on both sides. Windows of one scan resemble
    each other, so the scan, or what is larger, has to be the group: of the sessions of several
    subjects, the subject; to find subjects again, the session.

    Parameters
    ----------
    states : ndarray of shape (n_windows, embedding_dim)
        The states.
    labels : array-like of shape (n_windows,)
        What is to be told apart.
    groups : array-like of shape (n_windows,)
        What must not help in it.

    Returns
    -------
    Series
        ``balanced_accuracy``, the mean over folds of groups, and ``std`` over them; ``chance``,
        1 / number of labels; ``silhouette`` [3]_ of the labels without any probe, between -1 and
        1 and 0 where they are mixed (of at most 2000 windows, evenly spaced).

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
        with warnings.catch_warnings():  # a fold need not have all labels
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
    """Correlate the dimensions of states over windows, as connectivity does regions over frames.

    Parameters
    ----------
    states : ndarray of shape (n_windows, embedding_dim)
        The states.
    scan : ndarray of shape (n_windows,), default=None
        The scan of each window: states are centred scan by scan, so that differences between
        scans do not count. None: all windows are of one scan.

    Returns
    -------
    ndarray of shape (embedding_dim, embedding_dim)
        Correlations; 0 for a dimension that does not vary, ones on the diagonal. Dimensions have
        no place in the brain, and another order in every model.
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
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw a map of states, coloured by session, subject, task or time.

    Parameters
    ----------
    points : ndarray of shape (n_windows, 2)
        As :func:`state_map` returns it.
    values : array-like of shape (n_windows,), default=None
        Floating-point numbers (time) get a scale, all else a colour and marker a label. None: all
        grey.
    name : str, default="label"
        What the values are.
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


def plot_latent_connectivity(correlation: NDArray, ax: "Axes | None" = None) -> "Axes":
    """Draw latent connectivity, dimensions ordered so that those that go together are neighbours.

    Parameters
    ----------
    correlation : ndarray of shape (embedding_dim, embedding_dim)
        As :func:`latent_connectivity` returns it.
    ax : matplotlib Axes, default=None
        Where to draw; None makes a new figure.

    Returns
    -------
    matplotlib Axes
        The axes drawn on.
    """
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
    """Raise where a probe could not be tested on groups it has not seen."""
    for name, values in {"labels": labels, "groups": groups}.items():
        if len(np.unique(values)) < 2:
            raise ValueError(f"{name} are all the same: separation needs two at least")
    n_groups = pd.Series(groups).groupby(labels).nunique()
    if (n_groups < 2).any():
        label = n_groups.index[n_groups < 2][0]
        raise ValueError(
            f"label {label} is in one group alone: a probe that has not seen the group has not seen"
            " the label either. To tell subjects apart, group by session"
        )
