"""What is under the mask? Hidden regions filled in, beside what simple predictors make of them."""

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import ConvergenceWarning

from sk_brainmae.estimators.transformer import BrainMAETransformer
from sk_brainmae.inspection.checks import fitted_encoder, one_each, region_names
from sk_brainmae.inspection.filling import (
    BRAINMAE,
    INTERPOLATION,
    LINEAR,
    MEAN,
    PREDICTORS,
    fill_batches,
    tile,
    whole_windows,
)
from sk_brainmae.inspection.style import COLOURS, MODEL, OPPONENT, entitle, new_axes, plain
from sk_brainmae.scans.cohort import Cohort

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROW_HEIGHT = 1.1  # inches of a region's signal


class Filled(NamedTuple):
    """A scan whose regions were hidden window by window, and filled in.

    Attributes
    ----------
    time : ndarray of shape (n_timepoints,)
        Of each frame, in the ``unit``: "s", or "frames" where the model has no ``t_r``.
    signal : ndarray of shape (n_timepoints, n_regions)
        What was measured, z-scored over the scan.
    hidden : ndarray of shape (n_timepoints, n_regions), bool
        What no predictor saw.
    rebuilt : dict of str to ndarray of shape (n_timepoints, n_regions)
        What "BrainMAE" and the "conditional Gaussian" of its training scans make of the rest.
    unit : str
        Of time.
    """

    time: NDArray
    signal: NDArray
    hidden: NDArray
    rebuilt: dict[str, NDArray]
    unit: str


def reconstruction_scores(
    model: Any,
    scans: Any,
    ratios: Sequence[float] = (0.2, 0.4, 0.7),
    networks: ArrayLike | None = None,
    names: ArrayLike | None = None,
    random_state: int = 0,
) -> pd.DataFrame:
    """Score a model on filling in hidden regions, beside what it has to beat.

    In every window another random share of the regions is hidden; all predictors see the same.
    "region mean" is 0, as regions are z-scored over their scan; "temporal interpolation" draws a
    line between the visible frames before and after; the "conditional Gaussian" expects each frame
    from its visible regions, C_hv (C_vv + noise I)^-1 x_v, with C the covariance of the scans the
    model was fitted on.

    Parameters
    ----------
    model : BrainMAETransformer, BrainMAEClassifier or BrainMAERegressor
        Fitted. Fine-tuning does not keep the decoder in step: expect less of a fine-tuned model.
    scans : list of scans, or ndarray of shape (n_scans, n_timepoints, n_regions)
        Scans the model has not seen; Windows count as their whole runs. Frames left over after
        the last whole window are not used.
    ratios : sequence of float, default=(0.2, 0.4, 0.7)
        Shares of hidden regions.
    networks : array-like of shape (n_regions,), default=None
        Networks to score separately as well.
    names : array-like of shape (n_regions,), default=None
        Names of the regions; None: their indices.
    random_state : int, default=0
        Seeds the masks.

    Returns
    -------
    DataFrame
        One row for each ratio, predictor and set of regions, with columns

        * ``ratio`` and ``predictor``;
        * ``scope`` and ``name``: "all", "network" or "region", and which one;
        * ``mse``: mean squared error over hidden cells of z-scored signal that were measured;
        * ``r2``: 1 - squared error / sum of squares in hidden cells, so that the mean has 0; both
          are missing where nothing was hidden;
        * ``worse_than_linear``: whether the error is above that of the conditional Gaussian.

    Raises
    ------
    ValueError
        If a ratio is not between 0 and 1, or labels do not fit the regions.

    Warns
    -----
    ConvergenceWarning
        If the model is worse than the conditional Gaussian over all regions at some ratio.
    """
    encoder = fitted_encoder(model)
    n_regions = encoder.n_features_in_
    ratios = [_check_ratio(ratio) for ratio in ratios]
    scopes = {("all", "all"): np.ones(n_regions, dtype=bool)}
    if networks is not None:
        networks = one_each(networks, n_regions, "networks", "region")
        scopes |= {("network", str(k)): networks == k for k in np.unique(networks)}
    own = np.eye(n_regions, dtype=bool)
    scopes |= {("region", name): own[i] for i, name in enumerate(region_names(names, n_regions))}
    cohort = whole_windows(encoder, scans)
    rows = []
    for ratio in ratios:
        errors, variance, count = _sums(encoder, cohort, ratio, random_state)
        for (scope, name), regions in scopes.items():
            of = {"ratio": ratio, "scope": scope, "name": name}
            cells, power = count[regions].sum(), variance[regions].sum()
            linear = errors[LINEAR][regions].sum()
            for predictor in PREDICTORS:
                error = errors[predictor][regions].sum()
                rows.append(
                    {
                        **of,
                        "predictor": predictor,
                        "mse": error / cells if cells else np.nan,
                        "r2": 1 - error / power if power else np.nan,
                        "worse_than_linear": bool(error > linear),
                    }
                )
    columns = ["ratio", "predictor", "scope", "name", "mse", "r2", "worse_than_linear"]
    scores = pd.DataFrame(rows, columns=columns)
    if (worse := _ratios_lost(scores)).size:
        warnings.warn(_announcement(worse), ConvergenceWarning, stacklevel=2)
    return scores


def fill_in(model: Any, scan: Any, ratio: float = 0.5, random_state: int = 0) -> Filled:
    """Hide regions of one scan window by window, and fill them in.

    Parameters
    ----------
    model : BrainMAETransformer, BrainMAEClassifier or BrainMAERegressor
        Fitted.
    scan : array-like of shape (n_timepoints, n_regions)
        One scan; frames left over after the last whole window are not used.
    ratio : float, default=0.5
        Share of the regions to hide in each window.
    random_state : int, default=0
        Seeds the masks.

    Returns
    -------
    Filled
        Signal, mask, and reconstructions by the model and by the linear predictor.
    """
    encoder = fitted_encoder(model)
    cohort = whole_windows(encoder, [scan])
    signal = cohort.sample(0)
    hidden = np.zeros(signal.shape, dtype=bool)
    rebuilt = {name: np.zeros_like(signal) for name in (BRAINMAE, LINEAR)}
    window = encoder._settings().window
    crops = tile(encoder, cohort)
    for rows, target, predictions in fill_batches(
        encoder, cohort, crops, _check_ratio(ratio), random_state
    ):
        own = crops.own[rows]
        frames = crops.starts[rows][own][:, None] + np.arange(window)  # (n_own, tau)
        hidden[frames] = target["hidden"].numpy()[own][:, None, :]
        for name, frames_of in rebuilt.items():
            frames_of[frames] = predictions[name].numpy()[own].swapaxes(1, 2)
    time = np.arange(len(signal)) * (encoder.t_r or 1.0)
    return Filled(time, signal, hidden, rebuilt, "s" if encoder.t_r else "frames")


def plot_reconstruction_scores(scores: pd.DataFrame, ax: "Axes | None" = None) -> "Axes":
    """Draw R2 by mask ratio; the title says so where the linear predictor is better.

    Parameters
    ----------
    scores : DataFrame
        As :func:`reconstruction_scores` returns it.
    ax : matplotlib Axes, default=None
        Where to draw; None makes a new figure.

    Returns
    -------
    matplotlib Axes
        The axes drawn on.
    """
    ax = new_axes(ax, 6.8, 3.8)
    wide = scores[scores["scope"] == "all"].pivot(index="ratio", columns="predictor", values="r2")
    styles = {
        BRAINMAE: (MODEL, "o-"),
        LINEAR: (OPPONENT, "s--"),
        INTERPOLATION: (COLOURS[2], "^:"),
        MEAN: ("0.5", "-"),
    }
    for name in wide.max().sort_values(ascending=False, kind="stable").index:
        colour, style = styles[name]
        ax.plot(wide.index, wide[name], style, color=colour, label=name)
    ax.set_xticks(wide.index)
    ax.set_xlabel("share of hidden regions")
    ax.set_ylabel("R² in hidden cells")
    ax.legend(frameon=False, bbox_to_anchor=(1.01, 1), loc="upper left", fontsize="small")
    worse = _ratios_lost(scores)
    title, note = "Filling in hidden regions", ""
    if worse.size:
        title, note = (
            "BrainMAE fills in worse than a linear predictor",
            f"at {_shares(worse)} hidden",
        )
    entitle(ax, title, note)
    return ax


def plot_region_scores(
    scores: pd.DataFrame, ratio: float | None = None, ax: "Axes | None" = None
) -> "Axes":
    """Draw the R2 of each network, or of each region where there are no networks.

    Parameters
    ----------
    scores : DataFrame
        As :func:`reconstruction_scores` returns it.
    ratio : float, default=None
        The mask ratio; None: the middle one of those in ``scores``.
    ax : matplotlib Axes, default=None
        Where to draw; None makes a new figure, as high as it has to be.

    Returns
    -------
    matplotlib Axes
        The axes drawn on, the best on top.
    """
    measured = np.unique(scores["ratio"])
    ratio = measured[len(measured) // 2] if ratio is None else ratio
    if ratio not in measured:
        raise ValueError(f"no mask ratio {ratio} in these scores; they have {measured.tolist()}")
    scope = "network" if (scores["scope"] == "network").any() else "region"
    some = scores[(scores["scope"] == scope) & (scores["ratio"] == ratio)]
    wide = some.pivot(index="name", columns="predictor", values="r2")
    wide = wide.sort_values(BRAINMAE, ascending=False)
    rows = np.arange(len(wide))
    ax = new_axes(ax, 6.8, 1.3 + (0.3 if len(rows) <= 40 else 0.13) * len(rows))
    ax.hlines(rows, wide[LINEAR], wide[BRAINMAE], color="0.75", linewidth=1.5, zorder=1)
    ax.scatter(wide[LINEAR], rows, color=OPPONENT, marker="s", s=22, label=LINEAR)
    ax.scatter(wide[BRAINMAE], rows, color=MODEL, s=26, label=BRAINMAE)
    ax.set_yticks(
        rows,
        plain(wide.index),
        fontsize="small" if len(rows) <= 40 else "xx-small",
    )
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.set_xlabel(f"R² in hidden cells, {ratio:.0%} of the regions hidden")
    ax.legend(frameon=False, bbox_to_anchor=(1.01, 1), loc="upper left", fontsize="small")
    n_worse = int((wide[BRAINMAE] < wide[LINEAR]).sum())
    note = "" if scope == "network" else "no network labels given: regions one by one"
    title = f"BrainMAE is worse than the linear predictor in {n_worse} of {len(wide)} {scope}s"
    entitle(ax, title, note)
    return ax


def plot_reconstruction(
    filled: Filled,
    regions: ArrayLike | None = None,
    names: ArrayLike | None = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw signal against reconstruction, one region above the other, hidden windows shaded.

    Parameters
    ----------
    filled : Filled
        As :func:`fill_in` returns it.
    regions : array-like of int, default=None
        Indices of the regions to draw; None: five, evenly spaced.
    names : array-like of shape (n_regions,), default=None
        Names of all regions; None: their indices.
    ax : matplotlib Axes, default=None
        Where to draw; None makes a new figure, as high as the regions need.

    Returns
    -------
    matplotlib Axes
        The axes drawn on.
    """
    n_regions = filled.signal.shape[1]
    labels = region_names(names, n_regions)
    if regions is None:
        regions = np.linspace(0, n_regions - 1, min(5, n_regions)).round().astype(int)
    regions = np.asarray(regions)
    if regions.ndim != 1 or not np.isin(regions, np.arange(n_regions)).all():
        raise ValueError(f"regions must be indices from 0 to {n_regions - 1}, got {regions}")
    ax = new_axes(ax, 9.0, 1.4 + ROW_HEIGHT * len(regions))
    step = 2.2 * float(np.abs(filled.signal[:, regions]).max())
    frame = filled.time[1] - filled.time[0] if len(filled.time) > 1 else 1.0
    for k, region in enumerate(regions):
        middle = -k * step
        for first, last in _stretches(filled.hidden[:, region]):
            box = filled.time[first] - frame / 2, filled.time[last] + frame / 2
            low = [middle - step / 2.1, middle + step / 2.1]
            ax.fill_betweenx(low, *box, color="0.92", linewidth=0, zorder=0)
        ax.plot(filled.time, middle + filled.signal[:, region], color="0.25", linewidth=1.1)
        for name, style in ((LINEAR, (OPPONENT, "--")), (BRAINMAE, (MODEL, "-"))):
            # Where nothing is hidden there is nothing to fill in.
            drawn = np.where(filled.hidden[:, region], filled.rebuilt[name][:, region], np.nan)
            ax.plot(filled.time, middle + drawn, style[1], color=style[0], linewidth=1.6)
    ax.set_yticks(-step * np.arange(len(regions)), plain(labels[regions]), fontsize="small")
    ax.set_ylim(-step * (len(regions) - 0.5), step / 2)
    ax.margins(x=0.01)
    ax.set_xlabel(f"time ({filled.unit})")
    _explain_lines(ax)
    note = "no region names given: indices" if names is None else ""
    entitle(ax, "Signal (z-scored) and what fills in its hidden windows", note)
    return ax


def _explain_lines(ax: "Axes") -> None:
    """Add the legend of signal, reconstructions and shading."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles = [
        Line2D([], [], color="0.25", label="signal"),
        Line2D([], [], color=MODEL, label=BRAINMAE),
        Line2D([], [], color=OPPONENT, linestyle="--", label=LINEAR),
        Patch(color="0.92", label="hidden window"),
    ]
    ax.legend(
        handles=handles, bbox_to_anchor=(1.01, 1), loc="upper left", frameon=False, fontsize="small"
    )


def _stretches(hidden: NDArray) -> list[tuple[int, int]]:
    """First and last frames of the stretches that are hidden."""
    change = np.flatnonzero(np.diff(np.concatenate([[0], hidden, [0]])))
    return [(first, last - 1) for first, last in change.reshape(-1, 2)]


def _check_ratio(ratio: float) -> float:
    if not 0 < ratio < 1:
        raise ValueError(f"a mask ratio is a share between 0 and 1, got {ratio}")
    return float(ratio)


def _ratios_lost(scores: pd.DataFrame) -> NDArray:
    """Mask ratios at which the model is worse than the linear predictor over all regions."""
    ours = scores[(scores["scope"] == "all") & (scores["predictor"] == BRAINMAE)]
    return ours.loc[ours["worse_than_linear"], "ratio"].to_numpy()


def _announcement(ratios: NDArray) -> str:
    return (
        f"BrainMAE fills in worse than a linear predictor, the {LINEAR}, at"
        f" {_shares(ratios)} hidden"
    )


def _shares(ratios: NDArray) -> str:
    return ", ".join(f"{ratio:.0%}" for ratio in ratios)


def _sums(
    encoder: BrainMAETransformer, cohort: Cohort, ratio: float, seed: int
) -> tuple[dict[str, NDArray], NDArray, NDArray]:
    """Sum over the hidden cells of each region: squared errors, squared signal, cells, (N,)."""
    errors = {name: np.zeros(cohort.n_regions) for name in PREDICTORS}
    variance, count = np.zeros(cohort.n_regions), np.zeros(cohort.n_regions)
    crops = tile(encoder, cohort)
    for _, target, predictions in fill_batches(encoder, cohort, crops, ratio, seed):
        signal = target["signal"].double()
        hidden = target["hidden"][..., None].expand(signal.shape)  # (B, n, N, tau)
        if "measured" in target:
            hidden = hidden & target["measured"]
        for name, rebuilt in predictions.items():
            squares = (rebuilt - signal).square() * hidden
            errors[name] += squares.sum((0, 1, 3)).numpy()
        variance += (signal.square() * hidden).sum((0, 1, 3)).numpy()
        count += hidden.sum((0, 1, 3)).numpy()
    return errors, variance, count
