"""Figures of a page: drawn by matplotlib, held inside the HTML file."""

import base64
import io
import re
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sk_brainmae.evaluation.views import percent
from sk_brainmae.inspection.style import MODEL, OPPONENT, PLAIN, entitle

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
    """Draw the losses of a model's ``history_`` by epoch, with axes for each stage.

    They are shares of the held-out loss of the start, where scans were held out.
    """
    import matplotlib.pyplot as plt
    from matplotlib.ticker import MaxNLocator

    stages = stages_of(history)
    size = (5.6 * len(stages), 3.6)
    _, axes = plt.subplots(1, len(stages), figsize=size, layout="constrained", squeeze=False)
    for ax, (stage, rows) in zip(axes[0], stages.items(), strict=True):
        line = {"markersize": 4, "linewidth": 1.3}
        best = epoch_kept(rows)
        start = 1.0 if best is None else rows["valid_loss"].iloc[0]
        losses = rows["train_loss"] / start
        ax.plot(rows["epoch"], losses, "o-", color=MODEL, label="training", **line)
        if best is not None:
            losses = rows["valid_loss"] / start
            ax.axhline(1, color=PLAIN, linewidth=0.8, linestyle=":")
            ax.plot(rows["epoch"], losses, "s-", color=OPPONENT, label="held out", **line)
            ring = {"facecolors": "none", "edgecolors": "black", "zorder": 3}
            ax.scatter(rows["epoch"][best], losses[best], s=110, label="epoch kept", **ring)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.set_xlabel("epoch (0: before training)")
        what = "masked error" if stage == "pretraining" else "loss"
        ax.set_ylabel(what if best is None else f"{what}, share of the start's")
        ax.spines[["top", "right"]].set_visible(False)
        ax.legend(frameon=False, fontsize="small")
        entitle(ax, stage.capitalize(), what_changed(rows))
    return axes[0]


def stages_of(history: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the epochs of each stage of training, in order."""
    of_stage = history["stage"] if "stage" in history else pd.Series("pretraining", history.index)
    return {str(stage): rows for stage, rows in history.groupby(of_stage, sort=False)}


def epoch_kept(rows: pd.DataFrame) -> Any:
    """Return the row of the epoch with the smallest held-out loss; None if no scan was held out."""
    if "valid_loss" not in rows or rows["valid_loss"].isna().all():
        return None
    return rows["valid_loss"].idxmin()


def what_changed(rows: pd.DataFrame) -> str:
    """Say what the epochs of a stage added, by the loss on held-out scans."""
    best = epoch_kept(rows)
    if best is None:
        return "no scan was held out: the last epoch is kept"
    if best == rows.index[0]:
        return "training changed nothing: the start was kept"
    losses = rows["valid_loss"]
    lower = percent(1 - losses[best] / losses.iloc[0])
    return f"epoch {rows['epoch'][best]} is kept: held-out loss {lower} below the start"


def plot_view_weights(weights: dict[str, float], of_network: Collection[str]) -> Any:
    """Draw the share of each view as a bar, the largest on top, and return the axes.

    Those of the trained network have a colour of their own.
    """
    import matplotlib.pyplot as plt

    names = sorted(weights, key=lambda name: -weights[name])
    _, ax = plt.subplots(figsize=(3.5, 1.2 + 0.32 * len(names)), layout="constrained")
    kinds = {"the trained network": MODEL, "the signal alone": PLAIN}
    for (kind, colour), inside in zip(kinds.items(), (True, False), strict=True):
        rows = [k for k, name in enumerate(names) if (name in of_network) == inside]
        shares = [weights[names[k]] for k in rows]
        ax.barh(rows, shares, height=0.65, color=colour, label=kind)
    for k, name in enumerate(names):
        text = percent(weights[name]) if weights[name] else "not read"
        ax.annotate(text, (weights[name], k), (4, 0), textcoords="offset points", va="center")
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_xlim(0, 1.25 * max(weights.values()))
    ax.set_xticks([])
    ax.tick_params(length=0)
    ax.spines[["top", "right", "bottom"]].set_visible(False)
    ax.figure.legend(frameon=False, fontsize="small", loc="outside lower left", ncols=2)
    entitle(ax, "Views")
    return ax
