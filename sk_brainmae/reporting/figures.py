"""Pictures of a page: drawn by matplotlib, carried inside the file."""

import base64
import io
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from sk_brainmae.inspection.style import MODEL, OPPONENT, entitle

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Text becomes outlines, so that it looks the same wherever the file is read; the salt makes the
# same figure the same bytes.
STYLE = {"svg.fonttype": "path", "svg.hashsalt": "sk_brainmae", "savefig.facecolor": "white"}
PX_PER_PT = 96 / 72


class Figure(NamedTuple):
    """A picture and what is said about it.

    Attributes
    ----------
    source : str
        The picture itself, a data URI. As an image, not as part of the page, no text in it can
        be taken for markup.
    width : int
        Its natural width in px.
    alt : str
        What is to be seen, for those who do not see it.
    caption : str
        How to read it.
    """

    source: str
    width: int
    alt: str
    caption: str


def draw(plot: Callable[[], Any], alt: str, caption: str) -> Figure:
    """Draw a figure and close it, whatever style and mode matplotlib is in.

    Parameters
    ----------
    plot : callable
        Makes a figure of its own, and returns its axes.
    alt : str
        What is to be seen, for those who do not see it.
    caption : str
        How to read it.

    Returns
    -------
    Figure
        As SVG.
    """
    import matplotlib.pyplot as plt

    with plt.ioff(), plt.style.context(["default", STYLE]):
        figure = np.ravel(plot())[0].figure
        written = io.StringIO()
        figure.savefig(written, format="svg", bbox_inches="tight", metadata={"Date": None})
        plt.close(figure)
    svg = written.getvalue()
    width = re.search(r'<svg[^>]* width="([\d.]+)pt"', svg)
    assert width is not None  # matplotlib writes it
    source = base64.b64encode(svg.encode()).decode()
    return Figure(
        f"data:image/svg+xml;base64,{source}",
        round(float(width[1]) * PX_PER_PT),
        alt,
        caption,
    )


def plot_history(history: pd.DataFrame) -> "Axes":
    """Draw the losses of training by epoch, each stage on axes of its own.

    Parameters
    ----------
    history : DataFrame
        A model's ``history_``, of one epoch or more.

    Returns
    -------
    ndarray of matplotlib Axes
        One a stage.
    """
    import matplotlib.pyplot as plt
    from matplotlib.ticker import MaxNLocator

    of_stage = history["stage"] if "stage" in history else pd.Series("pretraining", history.index)
    stages = list(of_stage.unique())
    size = (6.4 * len(stages), 3.6)
    _, axes = plt.subplots(1, len(stages), figsize=size, layout="constrained", squeeze=False)
    for ax, stage in zip(axes[0], stages, strict=True):
        rows = history[of_stage == stage]
        line = {"markersize": 4, "linewidth": 1.3}
        ax.plot(rows["epoch"], rows["train_loss"], "o-", color=MODEL, label="training", **line)
        if "valid_loss" in rows and rows["valid_loss"].notna().any():
            losses = rows["valid_loss"]
            ax.plot(rows["epoch"], losses, "s-", color=OPPONENT, label="held out", **line)
            best = losses.idxmin()
            ring = {"facecolors": "none", "edgecolors": "black", "zorder": 3}
            ax.scatter(rows["epoch"][best], losses[best], s=110, label="epoch kept", **ring)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.set_xlabel("epoch (0: before training)")
        ax.set_ylabel("loss")
        ax.spines[["top", "right"]].set_visible(False)
        ax.legend(frameon=False, fontsize="small")
        entitle(ax, stage.capitalize())
    return axes[0]
