"""The region graph: which regions attend to which, whatever the signal."""

import warnings
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike, NDArray

from sk_brainmae.inspection.model import (
    Encoder,
    fitted_encoder,
    one_each,
    region_names,
    was_finetuned,
)
from sk_brainmae.inspection.style import COLOURS, entitle, mark_networks, matrix, new_axes, plain
from sk_brainmae.network.attention import RegionGraphAttention

SMALLEST_RATIO = 2.0**-10  # of attention to uniform attention; the matrix shows less as this


@torch.inference_mode()
def region_graph(model: Any) -> NDArray:
    """Return the static attention S between regions, as if all of them were visible.

    S_ij is how much region i attends ("listens") to region j: A_ij = s(W_q e_i, W_k e_j)
    without its diagonal, S = softmax of A over j (arXiv 2406.17086, section 3.1). It is averaged
    over attention heads and over the blocks that use the graph (three with
    ``attention="static"``, one with "adaptive").

    Parameters
    ----------
    model : BrainMAETransformer, BrainMAEClassifier or BrainMAERegressor
        Fitted.

    Returns
    -------
    ndarray of shape (n_regions, n_regions)
        Not negative, with zero diagonal and rows of sum 1. Directed: S_ij is not S_ji.

    Raises
    ------
    ValueError
        If the model has no such graph: ``attention="vanilla"``.

    Warns
    -----
    UserWarning
        If the graph has not been trained. After a spectral start it then has no influence.
    """
    encoder = fitted_encoder(model)
    network = encoder._network()
    blocks = network.state_encoder.blocks
    graphs = [b.attention for b in blocks if isinstance(b.attention, RegionGraphAttention)]
    if not graphs:
        raise ValueError(
            f"attention={encoder.attention!r} has no static graph between regions; fit with"
            " attention='static' or 'adaptive'"
        )
    silent = not network.state_encoder.readout.weight.any()
    if silent or (encoder.init == "random" and not _trained(model, encoder)):
        warnings.warn(
            "the region graph has not been trained (max_epochs=0, or the closed-form start was"
            " kept): it shows random weights, not what a model has learned",
            stacklevel=3,
        )
    heads = torch.cat([graph.scores(network.roi).softmax(-1) for graph in graphs])
    mean = heads.double().mean(0).numpy()  # (N, N)
    return mean / mean.sum(axis=1, keepdims=True)


def _trained(model: Any, encoder: Encoder) -> bool:
    """Tell whether an epoch of pretraining or fine-tuning has changed the weights."""
    history = encoder.history_
    if was_finetuned(model):
        return True
    if "valid_loss" in history:
        return bool(history["valid_loss"].argmin() > 0)  # row 0 is the start
    return not history.empty


def strongest_edges(graph: NDArray, n: int = 20, names: ArrayLike | None = None) -> pd.DataFrame:
    """List the strongest edges of a directed graph.

    Parameters
    ----------
    graph : ndarray of shape (n_regions, n_regions)
        As :func:`region_graph` returns it.
    n : int, default=20
        How many edges; fewer where there are not as many.
    names : array-like of shape (n_regions,), default=None
        Names of the regions; None: their indices.

    Returns
    -------
    DataFrame
        Columns ``region``, ``listens_to`` and ``weight``, the strongest first; ``ratio`` is the
        weight over 1 / (n_regions - 1), the weight of uniform attention.
    """
    n_regions = len(graph)
    names = region_names(names, n_regions)
    listener, source = np.nonzero(~np.eye(n_regions, dtype=bool))
    weight = graph[listener, source]
    order = np.argsort(-weight, kind="stable")[:n]
    return pd.DataFrame(
        {
            "region": names[listener[order]],
            "listens_to": names[source[order]],
            "weight": weight[order],
            "ratio": weight[order] * (n_regions - 1),
        }
    )


def plot_region_graph(
    graph: NDArray,
    coordinates: ArrayLike | None = None,
    networks: ArrayLike | None = None,
    n_edges: int = 30,
    ax: Axes | None = None,
) -> Axes:
    """Draw the strongest edges on the glass brain, or, without coordinates, the whole matrix.

    Parameters
    ----------
    graph : ndarray of shape (n_regions, n_regions)
        As :func:`region_graph` returns it.
    coordinates : array-like of shape (n_regions, 3), default=None
        Centres of the regions in MNI space, in mm. None: the matrix is drawn.
    networks : array-like of shape (n_regions,), default=None
        The network of each region: its colour on the glass brain, its place in the matrix.
    n_edges : int, default=30
        How many edges the glass brain shows. An arrow points to the region that attends.
    ax : matplotlib Axes, default=None
        Where to draw; None makes a new figure.

    Returns
    -------
    matplotlib Axes
        The axes drawn on; of the glass brain, the frame around its three views.
    """
    if networks is not None:
        networks = one_each(networks, len(graph), "networks", "region")
    if coordinates is None:
        return _plot_matrix(graph, networks, ax)
    coordinates = np.asarray(coordinates, dtype=float)
    if coordinates.shape != (len(graph), 3):
        raise ValueError(
            f"coordinates has shape {coordinates.shape}; {len(graph)} regions need"
            f" ({len(graph)}, 3): x, y and z in mm"
        )
    if n_edges < 1:
        raise ValueError(f"n_edges must be at least 1, got {n_edges}")
    return _plot_glass_brain(graph, coordinates, networks, n_edges, ax)


def _plot_matrix(graph: NDArray, networks: NDArray | None, ax: Axes | None) -> Axes:
    ax = new_axes(ax, 5.8, 4.8)
    order = np.arange(len(graph)) if networks is None else np.argsort(networks, kind="stable")
    ratio = np.where(np.eye(len(graph), dtype=bool), np.nan, graph * (len(graph) - 1))
    doublings = np.log2(np.maximum(ratio, SMALLEST_RATIO))[np.ix_(order, order)]
    # A few strong edges must not stretch the scale.
    limit = float(np.nanpercentile(np.abs(doublings), 99)) or 1.0
    matrix(ax, doublings, "log2 of attention over uniform attention", limit=limit)
    mark_networks(ax, None if networks is None else networks[order], names=True)
    note = "no coordinates given" + (", no network labels" if networks is None else "")
    strongest = f"strongest edge: {np.nanmax(ratio):.3g} times uniform attention"
    entitle(ax, "Region graph: a row attends to its columns", strongest, note)
    return ax


def _plot_glass_brain(
    graph: NDArray,
    coordinates: NDArray,
    networks: NDArray | None,
    n_edges: int,
    ax: Axes | None,
) -> Axes:
    from nilearn.plotting import plot_connectome  # takes a second to import

    ax = new_axes(ax, 9.0, 4.0)
    strongest = np.zeros_like(graph)
    place = np.argsort(-graph, axis=None, kind="stable")[:n_edges]
    strongest.flat[place] = graph.flat[place] * (len(graph) - 1)
    colours: Any = "0.3"
    handles, note = [], "no network labels given"
    if networks is not None:
        labels, index = np.unique(networks, return_inverse=True)
        note = f"{len(labels)} networks: colours repeat" if len(labels) > len(COLOURS) else ""
        palette = [COLOURS[k % len(COLOURS)] for k in range(len(labels))]
        colours = [palette[k] for k in index]
        handles = [
            Line2D([], [], color=c, marker="o", linestyle="", label=label)
            for c, label in zip(palette, plain(labels), strict=True)
        ]
    weights = strongest[strongest > 0]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="'adjacency_matrix' is not symmetric")
        display = plot_connectome(
            strongest.T,  # nilearn's arrows point from row to column, ours to who attends
            coordinates,
            node_color=colours,
            node_size=14,
            edge_cmap="viridis_r",
            edge_vmin=float(weights.min()),
            edge_vmax=float(weights.max()),
            edge_kwargs={"linewidth": 0, "alpha": 0.7},
            axes=ax,
            # nilearn rounds the ends of the scale to two digits, and fails where they agree.
            colorbar=f"{weights.min():.2g}" != f"{weights.max():.2g}",
        )
    frame = display.frame_axes
    entitle(
        frame,
        f"Region graph: the {len(weights)} strongest edges",
        "times uniform attention; arrows point to the region that attends",
        note,
    )
    if handles:
        frame.legend(
            handles=handles,
            loc="upper center",
            bbox_to_anchor=(0.5, 0.02),
            ncols=4,
            frameon=False,
            fontsize="small",
        )
    return frame
