"""Figures of a page: drawn by matplotlib, held inside the HTML file."""

import base64
import io
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sk_brainmae.inspection.style import MODEL, OPPONENT, entitle

# Text becomes outlines, so that it looks the same on every machine. With a fixed salt, the same
# figure gives the same bytes.
STYLE = {"svg.fonttype": "path", "svg.hashsalt": "sk_brainmae", "savefig.facecolor": "white"}
PX_PER_PT = 96 / 72


class Figure(NamedTuple):
    """A picture and its words."""

    source: str  # data URI of an image: no browser takes text in an image for markup
    width: int  # natural width in px
    alt: str  # what the picture shows, for readers who cannot see it
    caption: str  # how to read it


def draw(plot: Callable[[], Any], alt: str, caption: str) -> Figure:
    """Call ``plot``, which makes a figure and returns its axes; keep it as SVG and close it."""
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


def plot_history(history: pd.DataFrame) -> NDArray:
    """Draw the losses of a model's ``history_`` by epoch, with axes for each stage."""
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
