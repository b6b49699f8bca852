"""Reconstruction of hidden regions, beside the reconstructions of simple predictors."""

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import ConvergenceWarning

from sk_brainmae.inspection.filling import (
    BRAINMAE,
    INTERPOLATION,
    LINEAR,
    MEAN,
    PREDICTORS,
    fill_batches,
    whole_windows,
)
from sk_brainmae.inspection.model import (
    Encoder,
    fitted_encoder,
    one_each,
    region_names,
    window_length,
)
from sk_brainmae.inspection.style import (
    COLOURS,
    MODEL,
    OPPONENT,
    entitle,
    legend_beside,
    new_axes,
    plain,
)
from sk_brainmae.scans.cohort import Cohort

COLUMNS = ["ratio", "predictor", "scope", "name", "mse", "r2", "worse_than_linear"]
ROW_HEIGHT = 1.1  # inches of a region's signal


class Filled(NamedTuple):
    """A scan whose regions were hidden window by window, and filled in.

    Attributes
    ----------
    time : ndarray of shape (n_timepoints,)
        Time of each frame.
    signal : ndarray of shape (n_timepoints, n_regions)
        The measured signal, z-scored over the scan.
    hidden : ndarray of shape (n_timepoints, n_regions), bool
        True where the signal was hidden from the predictors.
    rebuilt : dict of str to ndarray of shape (n_timepoints, n_regions)
        Reconstructions by "BrainMAE" and by the "conditional Gaussian" of its training scans.
    unit : str
        Unit of ``time``: "s", or "frames" where the model has no ``t_r``.
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
    """Score a model on filling in hidden regions, beside predictors that it has to beat.

    In every window a random share of the regions is hidden, the same for all predictors. "region
    mean" is 0, as regions are z-scored over their scan. "temporal interpolation" draws a line
    between the visible frames before and after. The "conditional Gaussian" is linear: it expects
    each frame from its visible regions, C_hv (C_vv + noise I)^-1 x_v, with C the covariance of
    the scans that the model was fitted on.

    Parameters
    ----------
    model : BrainMAETransformer, BrainMAEClassifier or BrainMAERegressor
        Fitted. Fine-tuning leaves the decoder as it is, so a fine-tuned model fills in worse.
    scans : list of scans, or ndarray of shape (n_scans, n_timepoints, n_regions)
        Scans that the model has not seen; Windows count as their whole runs. Frames after the
        last whole window are not used.
    ratios : sequence of float, default=(0.2, 0.4, 0.7)
        Shares of hidden regions.
    networks : array-like of shape (n_regions,), default=None
        The network of each region; each network is then scored as well.
    names : array-like of shape (n_regions,), default=None
        Names of the regions; None: their indices.
    random_state : int, default=0
        Seeds the masks.

    Returns
    -------
    DataFrame
        One row for each ratio, predictor and set of regions, with columns

        * ``ratio`` and ``predictor``;
        * ``scope`` and ``name``: "all", "network" or "region", and its name;
        * ``mse``: mean squared error over hidden cells of z-scored signal that were measured;
        * ``r2``: 1 - squared error / sum of squares in hidden cells, 0 for the region mean; both
          are missing where nothing was hidden;
        * ``worse_than_linear``: whether the error is larger than the conditional Gaussian's.

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
            cells, power = count[regions].sum(), variance[regions].sum()
            totals = {predictor: error[regions].sum() for predictor, error in errors.items()}
            for predictor, error in totals.items():
                mse = error / cells if cells else np.nan
                r2 = 1 - error / power if power else np.nan
                worse = bool(error > totals[LINEAR])
                rows.append((ratio, predictor, scope, name, mse, r2, worse))
    scores = pd.DataFrame(rows, columns=COLUMNS)
    if ratios_lost := _ratios_lost(scores):
        warnings.warn(
            f"BrainMAE fills in worse than a linear predictor, the {LINEAR}, at {ratios_lost}"
            " hidden",
            ConvergenceWarning,
            stacklevel=2,
        )
    return scores


def fill_in(model: Any, scan: Any, ratio: float = 0.5, random_state: int = 0) -> Filled:
    """Hide regions of one scan window by window, and fill them in.

    Parameters
    ----------
    model : BrainMAETransformer, BrainMAEClassifier or BrainMAERegressor
        Fitted.
    scan : array-like of shape (n_timepoints, n_regions)
        One scan; frames after the last whole window are not used.
    ratio : float, default=0.5
        Share of the regions to hide in each window.
    random_state : int, default=0
        Seeds the masks.

    Returns
    -------
    Filled
        Signal, mask, and reconstructions by the model and by the linear predictor.

    Raises
    ------
    ValueError
        If the ratio is not between 0 and 1.
    """
    encoder = fitted_encoder(model)
    cohort = whole_windows(encoder, [scan])
    signal = cohort.sample(0)
    hidden = np.zeros(signal.shape, dtype=bool)
    rebuilt = {name: np.zeros_like(signal) for name in (BRAINMAE, LINEAR)}
    batches = fill_batches(encoder, cohort, _check_ratio(ratio), random_state)
    for starts, own, target, predictions in batches:
        frames = starts[own][:, None] + np.arange(window_length(encoder))  # (n_own, tau)
        hidden[frames] = target["hidden"].numpy()[own][:, None, :]
        for name, frames_of in rebuilt.items():
            frames_of[frames] = predictions[name].numpy()[own].swapaxes(1, 2)
    time = np.arange(len(signal)) * (encoder.t_r or 1.0)
    return Filled(time, signal, hidden, rebuilt, "s" if encoder.t_r else "frames")


def plot_reconstruction_scores(scores: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw R2 of :func:`reconstruction_scores` by mask ratio on ``ax``, or on a new figure."""
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
    legend_beside(ax)
    if ratios_lost := _ratios_lost(scores):
        title = "BrainMAE fills in worse than a linear predictor"
        entitle(ax, title, f"at {ratios_lost} hidden")
    else:
        entitle(ax, "Filling in hidden regions")
    return ax


def plot_region_scores(
    scores: pd.DataFrame, ratio: float | None = None, ax: Axes | None = None
) -> Axes:
    """Draw R2 by network, else by region, at ``ratio`` (None: the middle one in ``scores``)."""
    measured = np.unique(scores["ratio"])
    ratio = measured[len(measured) // 2] if ratio is None else ratio
    if ratio not in measured:
        raise ValueError(f"no mask ratio {ratio} in these scores: they have {measured.tolist()}")
    scope = "network" if (scores["scope"] == "network").any() else "region"
    some = scores[(scores["scope"] == scope) & (scores["ratio"] == ratio)]
    wide = some.pivot(index="name", columns="predictor", values="r2")
    wide = wide.sort_values(BRAINMAE, ascending=False)
    rows, few = np.arange(len(wide)), len(wide) <= 40
    ax = new_axes(ax, 6.8, 1.3 + (0.3 if few else 0.13) * len(rows))
    ax.hlines(rows, wide[LINEAR], wide[BRAINMAE], color="0.75", linewidth=1.5, zorder=1)
    ax.scatter(wide[LINEAR], rows, color=OPPONENT, marker="s", s=22, label=LINEAR)
    ax.scatter(wide[BRAINMAE], rows, color=MODEL, s=26, label=BRAINMAE)
    ax.set_yticks(rows, plain(wide.index), fontsize="small" if few else "xx-small")
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.set_xlabel(f"R² in hidden cells, {ratio:.0%} of the regions hidden")
    legend_beside(ax)
    n_worse = int((wide[BRAINMAE] < wide[LINEAR]).sum())
    note = "" if scope == "network" else "no network labels given: regions one by one"
    title = f"BrainMAE is worse than the linear predictor in {n_worse} of {len(wide)} {scope}s"
    entitle(ax, title, note)
    return ax


def plot_reconstruction(
    filled: Filled,
    regions: ArrayLike | None = None,
    names: ArrayLike | None = None,
    ax: Axes | None = None,
) -> Axes:
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
            # Only hidden windows are filled in.
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


def _explain_lines(ax: Axes) -> None:
    """Draw the legend of signal, reconstructions and shading."""
    handles = [
        Line2D([], [], color="0.25", label="signal"),
        Line2D([], [], color=MODEL, label=BRAINMAE),
        Line2D([], [], color=OPPONENT, linestyle="--", label=LINEAR),
        Patch(color="0.92", label="hidden window"),
    ]
    legend_beside(ax, handles=handles)


def _stretches(hidden: NDArray) -> list[tuple[int, int]]:
    """Return first and last frame of each stretch of hidden frames."""
    change = np.flatnonzero(np.diff(np.concatenate([[0], hidden, [0]])))
    return [(first, last - 1) for first, last in change.reshape(-1, 2)]


def _check_ratio(ratio: float) -> float:
    if not 0 < ratio < 1:
        raise ValueError(f"a mask ratio is a share between 0 and 1, got {ratio}")
    return float(ratio)


def _ratios_lost(scores: pd.DataFrame) -> str:
    """Name the mask ratios at which the model is worse than the linear predictor: "20%, 40%"."""
    ours = scores[(scores["scope"] == "all") & (scores["predictor"] == BRAINMAE)]
    return ", ".join(f"{ratio:.0%}" for ratio in ours.loc[ours["worse_than_linear"], "ratio"])


def _sums(
    encoder: Encoder, cohort: Cohort, ratio: float, seed: int
) -> tuple[dict[str, NDArray], NDArray, NDArray]:
    """Sum squared errors, squared signal and the number of hidden cells by region, each (N,)."""
    errors = {name: np.zeros(cohort.n_regions) for name in PREDICTORS}
    variance, count = np.zeros(cohort.n_regions), np.zeros(cohort.n_regions)
    for _, _, target, predictions in fill_batches(encoder, cohort, ratio, seed):
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
