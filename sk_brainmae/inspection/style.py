"""How the plots look: colours that colour-blind people tell apart, titles that say what lacks."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

# Okabe and Ito (2008), without the yellow, which is hardly seen on white.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000")
MARKERS = ("o", "^", "s", "D", "v", "P", "X")
MODEL, OPPONENT, PLAIN = COLOURS[0], COLOURS[3], "0.55"
SIGNED, UNSIGNED = "RdBu_r", "cividis"
# More labels than this make no legend any more.
MAX_LEGEND = 14


def new_axes(ax: "Axes | None", width: float = 6.4, height: float = 4.2) -> "Axes":
    """Return ``ax``, or the axes of a new figure of this size in inches.

    Parameters
    ----------
    ax : matplotlib Axes or None
        Where to draw.
    width, height : float
        Of the new figure, if there is to be one.

    Returns
    -------
    matplotlib Axes
        Without a frame on the right and on top.
    """
    import matplotlib.pyplot as plt

    if ax is None:
        _, ax = plt.subplots(figsize=(width, height), layout="constrained")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def entitle(ax: "Axes", title: str, *notes: str) -> None:
    """Write a title, and below it in grey what is missing or has to be known.

    Parameters
    ----------
    ax : matplotlib Axes
        Where to write.
    title : str
        The title.
    *notes : str
        Each on a line of its own; empty ones are left out.
    """
    lines = [note for note in notes if note]
    ax.set_title(title, loc="left", fontsize="medium", pad=6 + 12 * len(lines))
    for k, note in enumerate(reversed(lines)):
        ax.annotate(
            note,
            (0, 1),
            (0, 4 + 12 * k),
            xycoords="axes fraction",
            textcoords="offset points",
            fontsize="small",
            color="0.35",
        )


def plain(labels: Iterable) -> list[str]:
    """Return labels that matplotlib writes as they are: dollar signs mean no formula."""
    return [str(label).replace("$", r"\$") for label in labels]


def scatter(ax: "Axes", points: NDArray, values: ArrayLike | None, name: str) -> None:
    """Draw points in the plane, coloured by a number (with a scale) or a label (with a legend).

    Parameters
    ----------
    ax : matplotlib Axes
        Where to draw.
    points : ndarray of shape (n, 2)
        Where the points lie.
    values : array-like of shape (n,) or None
        Floating-point numbers are shown on a scale, anything else by its own colour and marker.
        None: all grey.
    name : str
        What the values are.
    """
    x, y = points.T
    size = float(np.clip(4000 / len(points), 10, 40))
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
    if values is None:
        ax.scatter(x, y, s=size, color=PLAIN, linewidths=0)
        return
    values = np.asarray(values)
    if values.dtype.kind == "f":
        drawn = ax.scatter(x, y, s=size, c=values, cmap=UNSIGNED, linewidths=0)
        ax.figure.colorbar(drawn, ax=ax, label=name, shrink=0.8)
        return
    labels = pd.unique(values)
    for k, label in enumerate(labels):
        marker = MARKERS[k // len(COLOURS) % len(MARKERS)]
        colour = COLOURS[k % len(COLOURS)]
        here = values == label
        drawn = ax.scatter(x[here], y[here], s=size, color=colour, marker=marker, linewidths=0)
        drawn.set(alpha=0.8, label=plain([label])[0])
    if len(labels) <= MAX_LEGEND:
        ax.legend(
            title=name,
            bbox_to_anchor=(1.01, 1),
            loc="upper left",
            frameon=False,
            fontsize="small",
            title_fontsize="small",
            alignment="left",
            markerscale=(30 / size) ** 0.5,
        )
    else:
        ax.set_xlabel(f"{len(labels)} different {name}s, too many for a legend", fontsize="small")


def matrix(
    ax: "Axes", values: NDArray, label: str, *, limit: float | None = None, signed: bool = True
) -> "AxesImage":
    """Draw a square matrix with its scale.

    Parameters
    ----------
    ax : matplotlib Axes
        Where to draw.
    values : ndarray of shape (n, n)
        The matrix; what is not a number stays white.
    label : str
        What the values are.
    limit : float, optional
        Largest value of the scale; None: the largest there is outside the diagonal.
    signed : bool, default=True
        Whether zero is the middle of the scale, or its end.

    Returns
    -------
    matplotlib AxesImage
        The matrix as drawn.
    """
    if limit is None:
        off_diagonal = values[~np.eye(len(values), dtype=bool)]
        limit = float(np.nanmax(np.abs(off_diagonal), initial=0)) or 1.0
    image = ax.imshow(
        values,
        cmap=SIGNED if signed else UNSIGNED,
        vmin=-limit if signed else 0,
        vmax=limit,
        interpolation="nearest",
    )
    ax.figure.colorbar(image, ax=ax, label=label, shrink=0.7)
    ax.spines[:].set_visible(False)
    return image


def mark_networks(ax: "Axes", networks: NDArray | None, *, names: bool) -> None:
    """Part a matrix that is ordered by network with lines, and name the networks.

    Parameters
    ----------
    ax : matplotlib Axes
        Where the matrix is.
    networks : ndarray of shape (n,) or None
        Sorted labels; None: rows and columns are counted.
    names : bool
        Whether to write the names on the left.
    """
    if networks is None:
        ax.set_xlabel("region (index)")
        ax.set_ylabel("region (index)")
        return
    labels, first, count = np.unique(networks, return_index=True, return_counts=True)
    for edge in first[1:]:
        ax.axhline(edge - 0.5, color="0.2", linewidth=0.6)
        ax.axvline(edge - 0.5, color="0.2", linewidth=0.6)
    ax.set_xticks([])
    middle = first + (count - 1) / 2
    ax.set_yticks(middle, plain(labels) if names else [""] * len(labels), fontsize="small")
    ax.tick_params(length=0)


def heatmap(ax: "Axes", table: pd.DataFrame, label: str, marked: Any) -> None:
    """Draw a table of numbers between -1 and 1, each written in its cell.

    Parameters
    ----------
    ax : matplotlib Axes
        Where to draw.
    table : DataFrame
        The numbers; index and columns become the ticks.
    label : str
        What the numbers are.
    marked : DataFrame of bool
        Cells that get a star.
    """
    image = ax.imshow(table, cmap=SIGNED, vmin=-1, vmax=1, aspect="auto")
    ax.set_xticks(range(table.shape[1]), table.columns)
    ax.set_yticks(range(len(table)), plain(table.index))
    for (i, j), value in np.ndenumerate(table.to_numpy()):
        text = f"{value:.2f}" + ("*" if marked.iloc[i, j] else "")
        colour = "white" if abs(value) > 0.6 else "black"
        ax.text(j, i, text, ha="center", va="center", fontsize="small", color=colour)
    ax.figure.colorbar(image, ax=ax, label=label, shrink=0.8)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
