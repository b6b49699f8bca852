"""How the plots look: colours for the colour-blind, titles with notes, matrices, maps."""

from collections.abc import Iterable
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

# Okabe and Ito (2008), without the yellow, which is hardly seen on white.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000")
MARKERS = ("o", "^", "s", "D", "v", "P", "X")
MODEL, OPPONENT, PLAIN = COLOURS[0], COLOURS[3], "0.55"
SIGNED, UNSIGNED = "RdBu_r", "cividis"
MAX_LEGEND = 14  # labels; more are only counted


def new_axes(ax: Axes | None, width: float = 6.4, height: float = 4.2) -> Axes:
    """Return ``ax``, or the axes of a new figure of this size in inches, framed left and below."""
    if ax is None:
        _, ax = plt.subplots(figsize=(width, height), layout="constrained")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def entitle(ax: Axes, title: str, *notes: str) -> None:
    """Write a title, and below it in grey a line for each note that is not empty."""
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
    """Return labels as text in which matplotlib takes no dollar sign for a formula."""
    return [str(label).replace("$", r"\$") for label in labels]


def legend_beside(ax: Axes, **settings: Any) -> None:
    """Draw the legend to the right of the axes."""
    settings |= {"bbox_to_anchor": (1.01, 1), "loc": "upper left"}
    ax.legend(frameon=False, fontsize="small", **settings)


def scatter(ax: Axes, points: NDArray, values: ArrayLike | None, name: str) -> None:
    """Draw points (n, 2): values of type float on a scale, others as labels, None in grey."""
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
        legend_beside(
            ax,
            title=name,
            title_fontsize="small",
            alignment="left",
            markerscale=(30 / size) ** 0.5,
        )
    else:
        ax.set_xlabel(f"{len(labels)} different {name}s, too many for a legend", fontsize="small")


def matrix(ax: Axes, values: NDArray, label: str, *, limit: float | None = None) -> None:
    """Draw a matrix (n, n) on a scale from -limit to limit, by default the largest off-diagonal."""
    if limit is None:
        off_diagonal = values[~np.eye(len(values), dtype=bool)]
        limit = float(np.nanmax(np.abs(off_diagonal), initial=0)) or 1.0
    image = ax.imshow(values, cmap=SIGNED, vmin=-limit, vmax=limit, interpolation="nearest")
    ax.figure.colorbar(image, ax=ax, label=label, shrink=0.7)
    ax.spines[:].set_visible(False)


def mark_networks(ax: Axes, networks: NDArray | None, *, names: bool) -> None:
    """Draw lines between the sorted networks of a matrix, with their names on the left if asked."""
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
