"""ROI embeddings: do they show the brain's networks, and more than connectivity does?

A spectral start computes ROI embeddings from the covariance of the training scans, so agreement
with functional connectivity is expected. With ``init="random"`` agreement is learned.
"""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray
from sklearn.cluster import KMeans
from sklearn.manifold import TSNE
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from sk_brainmae.inspection.model import fitted_encoder, one_each, region_names
from sk_brainmae.inspection.style import entitle, mark_networks, matrix, new_axes, plain, scatter
from sk_brainmae.scans.covariance import region_covariance
from sk_brainmae.scans.regions import in_order
from sk_brainmae.scans.validate import validate_scans

N_NEIGHBOURS = 5  # fewer for regions of a small network
N_STARTS = 20  # of k-means
NO_NETWORKS = "no network labels given: regions in their own order"


def roi_similarity(model: Any) -> NDArray:
    """Return the cosine between the ROI embeddings of any two regions.

    Parameters
    ----------
    model : BrainMAETransformer, BrainMAEClassifier or BrainMAERegressor
        Fitted. With a spectral start E E' of the embeddings E is the covariance of the training
        scans, whitened over the frames of a window, and the cosines are its correlations.

    Returns
    -------
    ndarray of shape (n_regions, n_regions)
        Between -1 and 1, with ones on the diagonal.
    """
    directions = _directions(model)
    return np.clip(directions @ directions.T, -1, 1)


def group_connectivity(scans: Any) -> NDArray:
    """Return the functional connectivity of a cohort: correlations over the frames of all scans.

    Parameters
    ----------
    scans : list of scans, or ndarray of shape (n_scans, n_timepoints, n_regions)
        Each region is z-scored over its scan; Windows count as their whole runs.

    Returns
    -------
    ndarray of shape (n_regions, n_regions)
        For each pair of regions over the scans that have both; 0 where no scan has.
    """
    _, scans = in_order(scans)
    covariance = region_covariance(validate_scans(scans).as_runs())
    scale = np.sqrt(np.diag(covariance))
    scale[scale == 0] = 1
    correlation = np.clip(covariance / scale / scale[:, None], -1, 1)
    np.fill_diagonal(correlation, 1)
    return correlation


def network_agreement(model: Any, networks: ArrayLike, scans: Any = None) -> pd.DataFrame:
    """Compare ROI embeddings, and beside them connectivity, with known networks.

    Both are similarity matrices, and treated alike. Clusters are found by k-means in their k
    strongest principal coordinates, with k the number of networks.

    Parameters
    ----------
    model : BrainMAETransformer, BrainMAEClassifier or BrainMAERegressor
        Fitted.
    networks : array-like of shape (n_regions,)
        The network of each region.
    scans : list of scans, or ndarray of shape (n_scans, n_timepoints, n_regions), default=None
        Scans for the connectivity. None leaves it out.

    Returns
    -------
    DataFrame
        Rows "ROI embeddings", "connectivity" (where there are scans) and "chance", with columns

        * ``ari``: adjusted Rand index [1]_ of clusters and networks; 1: the same, 0: chance;
        * ``nmi``: their normalised mutual information; its chance level depends on the sizes of
          the networks, and is not given;
        * ``knn_purity``: share of a region's 5 most similar regions that are in its network (in
          a smaller network, of as many as it has others), mean over the regions that are not
          alone in their network;
        * ``correlation_with_connectivity``: over pairs of regions (Pearson).

    Raises
    ------
    ValueError
        If there is not one label a region, or only one network.

    References
    ----------
    .. [1] Hubert and Arabie (1985). Comparing partitions. Journal of Classification 2, 193-218.
    """
    similarity = roi_similarity(model)
    networks = one_each(networks, len(similarity), "networks", "region")
    if len(np.unique(networks)) < 2:
        raise ValueError("all regions are in one network: agreement needs at least two")
    views = {"ROI embeddings": similarity}
    if scans is not None:
        views["connectivity"] = _connectivity_beside(model, scans)
    rows = {name: _agreement(view, networks) for name, view in views.items()}
    rows["chance"] = {"ari": 0.0, "knn_purity": _chance_purity(networks)}
    table = pd.DataFrame.from_dict(rows, orient="index")
    table["correlation_with_connectivity"] = np.nan
    if scans is not None:
        pairs = np.triu_indices(len(similarity), k=1)
        for name, view in views.items():
            correlation = np.corrcoef(view[pairs], views["connectivity"][pairs])[0, 1]
            table.loc[name, "correlation_with_connectivity"] = correlation
    return table


def _connectivity_beside(model: Any, scans: Any) -> NDArray:
    """Return the connectivity of scans, with regions in the order of the model."""
    return group_connectivity(in_order(scans, fitted_encoder(model).region_names_)[1])


def roi_map(model: Any, random_state: int = 0) -> NDArray:
    """Map the regions to the plane: those with similar ROI embeddings lie near each other.

    Parameters
    ----------
    model : BrainMAETransformer, BrainMAEClassifier or BrainMAERegressor
        Fitted.
    random_state : int, default=0
        Seeds t-SNE.

    Returns
    -------
    ndarray of shape (n_regions, 2)
        t-SNE [1]_ of the embeddings' directions. Near means similar; distances between far
        regions mean nothing.

    References
    ----------
    .. [1] van der Maaten and Hinton (2008). Visualizing data using t-SNE. Journal of Machine
       Learning Research 9, 2579-2605.
    """
    directions = _directions(model)
    perplexity = min(30.0, max(1.0, (len(directions) - 1) / 3))
    return TSNE(perplexity=perplexity, random_state=random_state).fit_transform(directions)


def plot_roi_similarity(
    model: Any, networks: ArrayLike | None = None, scans: Any = None
) -> NDArray | Axes:
    """Draw the similarity of ROI embeddings, ordered by network, beside connectivity.

    Parameters
    ----------
    model : BrainMAETransformer, BrainMAEClassifier or BrainMAERegressor
        Fitted.
    networks : array-like of shape (n_regions,), default=None
        The network of each region, to order regions by. None: in their own order.
    scans : list of scans, or ndarray of shape (n_scans, n_timepoints, n_regions), default=None
        Scans for the connectivity. None: similarity alone.

    Returns
    -------
    ndarray of matplotlib Axes
        One of the similarity and, with scans, one of the connectivity.
    """
    similarity = roi_similarity(model)
    views = {"Similarity of ROI embeddings": ("cosine", similarity)}
    if scans is not None:
        views["Functional connectivity"] = ("correlation", _connectivity_beside(model, scans))
    order, labels = np.arange(len(similarity)), None
    if networks is not None:
        networks = one_each(networks, len(similarity), "networks", "region")
        order = np.argsort(networks, kind="stable")
        labels = networks[order]
    size = (5.2 * len(views) + 0.6, 4.6)
    _, axes = plt.subplots(1, len(views), figsize=size, layout="constrained", squeeze=False)
    for k, (ax, (title, (unit, view))) in enumerate(zip(axes[0], views.items(), strict=True)):
        matrix(ax, view[np.ix_(order, order)], unit)
        mark_networks(ax, labels, names=k == 0)
        entitle(ax, title, NO_NETWORKS if networks is None and k == 0 else "")
    return axes[0]


def plot_roi_map(
    model: Any,
    networks: ArrayLike | None = None,
    names: ArrayLike | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the map of :func:`roi_map`, coloured by network.

    Parameters
    ----------
    model : BrainMAETransformer, BrainMAEClassifier or BrainMAERegressor
        Fitted.
    networks : array-like of shape (n_regions,), default=None
        The network of each region, shown by colour. None: all grey, with names or indices.
    names : array-like of shape (n_regions,), default=None
        Written beside the regions. None: indices where ``networks`` is None, else nothing.
    ax : matplotlib Axes, default=None
        Where to draw; None makes a new figure.

    Returns
    -------
    matplotlib Axes
        The axes drawn on.
    """
    points = roi_map(model)
    if networks is not None:
        networks = one_each(networks, len(points), "networks", "region").astype(str)
    texts = plain(region_names(names, len(points)))
    ax = new_axes(ax, 6.8, 4.6)
    scatter(ax, points, networks, "network")
    if names is not None or networks is None:
        for point, text in zip(points, texts, strict=True):
            ax.annotate(text, point, (3, 2), textcoords="offset points", fontsize="x-small")
    note = "no network labels given" if networks is None else ""
    entitle(ax, "ROI embeddings (t-SNE): near means alike", note)
    return ax


def _directions(model: Any) -> NDArray:
    """Return the ROI embeddings at unit length, (n_regions, d)."""
    roi = fitted_encoder(model).roi_embeddings_.astype(float)
    length = np.linalg.norm(roi, axis=1, keepdims=True)
    return roi / np.where(length == 0, 1, length)


def _agreement(similarity: NDArray, networks: NDArray) -> dict[str, float]:
    clusters = _cluster(similarity, len(np.unique(networks)))
    return {
        "ari": adjusted_rand_score(networks, clusters),
        "nmi": normalized_mutual_info_score(networks, clusters),
        "knn_purity": _purity(similarity, networks),
    }


def _cluster(similarity: NDArray, k: int) -> NDArray:
    """Cluster regions by k-means in the k strongest principal coordinates, (n_regions,)."""
    variance, axes = np.linalg.eigh(similarity)
    coordinates = axes[:, -k:] * np.sqrt(np.maximum(variance[-k:], 0))
    return KMeans(k, n_init=N_STARTS, random_state=0).fit_predict(coordinates)


def _purity(similarity: NDArray, networks: NDArray) -> float:
    """Return the mean share of a region's nearest regions that are in its network."""
    others = similarity - 3 * np.eye(len(similarity))  # a region is not its own neighbour
    nearest = np.argsort(-others, axis=1, kind="stable")
    shares = []
    for i, n_others in enumerate(_network_sizes(networks) - 1):
        if n_others:
            near = nearest[i, : min(n_others, N_NEIGHBOURS)]
            shares.append(np.mean(networks[near] == networks[i]))
    return float(np.mean(shares)) if shares else np.nan


def _chance_purity(networks: NDArray) -> float:
    """Return the purity to expect where similarity has nothing to do with networks."""
    n_others = _network_sizes(networks) - 1
    shares = n_others[n_others > 0] / (len(networks) - 1)
    return float(shares.mean()) if len(shares) else np.nan


def _network_sizes(networks: NDArray) -> NDArray:
    """Return the size of each region's network, (n_regions,)."""
    _, index, count = np.unique(networks, return_inverse=True, return_counts=True)
    return count[index]
