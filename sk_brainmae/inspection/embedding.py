"""Are embeddings any good? Their rank, their reliability, and how well they identify subjects."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray
from sklearn.base import TransformerMixin, clone

from sk_brainmae.baselines import ConnectivityFeatures, GroupPCAConnectivity
from sk_brainmae.inspection.model import assumed_t_r, fitted_encoder
from sk_brainmae.inspection.style import COLOURS, MODEL, PLAIN, entitle, new_axes
from sk_brainmae.training import effective_rank

# Cicchetti (1994); the lowest ICC of each grade.
GRADES = {0.4: "fair", 0.6: "good", 0.75: "excellent"}


def embedding_spectrum(embeddings: NDArray) -> NDArray:
    """Return the share of the variance of embeddings in each of their directions.

    Parameters
    ----------
    embeddings : ndarray of shape (n_scans, n_features)
        One embedding a scan.

    Returns
    -------
    ndarray of shape (min(n_scans - 1, n_features),)
        Shares, the largest first, with sum 1; zeros where all embeddings are the same. The
        exponential of their entropy is :func:`~sk_brainmae.inspection.effective_rank`.
    """
    centred = embeddings - embeddings.mean(axis=0, dtype=float)
    energy = np.linalg.svd(centred, compute_uv=False)[: len(embeddings) - 1] ** 2
    return energy / (energy.sum() or 1)


def reliability(first: NDArray, second: NDArray) -> pd.DataFrame:
    """Return the test-retest reliability of each dimension: intraclass correlations of two runs.

    With mean squares MS_s between subjects, MS_r between runs and MS_e of the error, of n subjects
    and k = 2 runs [1]_,

        ICC(2,1) = (MS_s - MS_e) / (MS_s + (k - 1) MS_e + k (MS_r - MS_e) / n),
        ICC(3,1) = (MS_s - MS_e) / (MS_s + (k - 1) MS_e):

    ICC(2,1) asks for the same values in both runs, and is the one to report [2]_; ICC(3,1) ignores
    a change that is the same for all subjects.

    Parameters
    ----------
    first, second : ndarray of shape (n_subjects, n_features)
        Embeddings of two runs of the same subjects, in the same order.

    Returns
    -------
    DataFrame
        One row a dimension, columns ``icc_2_1`` and ``icc_3_1``; missing for a dimension that
        does not vary. ``reliability(...).describe()`` sums them up.

    Raises
    ------
    ValueError
        If the shapes differ, or there are fewer than three subjects.

    References
    ----------
    .. [1] Shrout and Fleiss (1979). Intraclass correlations: uses in assessing rater reliability.
       Psychological Bulletin 86, 420-428.
    .. [2] Noble, Scheinost and Constable (2021). A guide to the measurement and interpretation of
       fMRI test-retest reliability. Current Opinion in Behavioral Sciences 40, 27-32.
    """
    first, second = np.asarray(first, float), np.asarray(second, float)
    if first.shape != second.shape or first.ndim != 2 or len(first) < 3:
        raise ValueError(
            f"embeddings have shapes {first.shape} and {second.shape}: both must be (n_subjects,"
            " n_features), of the same subjects, and of at least three"
        )
    runs = np.stack([first, second])
    k, n, _ = runs.shape
    mean = runs.mean(axis=(0, 1))
    of_subject, of_run = runs.mean(axis=0), runs.mean(axis=1)  # (n, d), (k, d)
    subjects = k * np.square(of_subject - mean).sum(axis=0) / (n - 1)
    between = n * np.square(of_run - mean).sum(axis=0) / (k - 1)
    residual = runs - of_subject - of_run[:, None] + mean
    error = np.square(residual).sum(axis=(0, 1)) / ((n - 1) * (k - 1))
    consistent = subjects + (k - 1) * error
    agreeing = consistent + k * (between - error) / n
    with np.errstate(divide="ignore", invalid="ignore"):
        table = {
            "icc_2_1": (subjects - error) / agreeing,
            "icc_3_1": (subjects - error) / consistent,
        }
    icc = pd.DataFrame(table)
    icc[np.ptp(runs, axis=(0, 1)) == 0] = np.nan
    return icc


def identify(
    model: Any,
    first: Any,
    second: Any,
    training_scans: Any,
    opponents: Mapping[str, TransformerMixin] | None = None,
) -> pd.DataFrame:
    """Identify subjects across two runs (fingerprinting [1]_), beside connectivity.

    A subject is identified where the most similar embedding of the other run is the subject's own.
    Similarity is the cosine of embeddings that are centred on the training scans.

    Parameters
    ----------
    model : BrainMAETransformer, BrainMAEClassifier or BrainMAERegressor
        Fitted on the training scans. Embeddings are its encoder's.
    first, second : list of scans, or ndarray of shape (n_subjects, n_timepoints, n_regions)
        Two runs of the same subjects, in the same order, none of them in the training scans.
    training_scans : list of scans, or ndarray of shape (n_scans, n_timepoints, n_regions)
        The opponents learn from them, and embeddings are centred on their mean.
    opponents : dict of str to transformer, default=None
        Other embeddings to compare with, cloned and fitted; None: correlation and tangent
        connectivity, and connectivity of whitened principal components.

    Returns
    -------
    DataFrame
        One row an embedding, BrainMAE first, with columns ``accuracy`` (mean of both directions),
        ``chance`` (1 / number of subjects), ``margin`` (similarity to oneself minus similarity to
        the most similar other, mean), ``n_subjects`` and ``n_features``.

    Raises
    ------
    ValueError
        If the runs differ in number, or are fewer than three.

    References
    ----------
    .. [1] Finn et al. (2015). Functional connectome fingerprinting: identifying individuals using
       patterns of brain connectivity. Nature Neuroscience 18, 1664-1671.
    """
    encoder = fitted_encoder(model)
    if len(first) != len(second) or len(first) < 3:
        raise ValueError(
            f"there are {len(first)} first and {len(second)} second runs: give two runs of the same"
            " subjects, in the same order, and at least three subjects"
        )
    if opponents is None:
        opponents = {
            "correlation FC": ConnectivityFeatures("correlation"),
            "tangent FC": ConnectivityFeatures("tangent"),
            "whitened-PCA FC": GroupPCAConnectivity(),
        }
    fitted = {name: clone(opponent).fit(training_scans) for name, opponent in opponents.items()}
    rows = {}
    ours = partial(encoder.transform, t_r=assumed_t_r(encoder))
    for name, embed in {"BrainMAE": ours, **{k: o.transform for k, o in fitted.items()}}.items():
        centre = np.asarray(embed(training_scans)).mean(axis=0)
        one, other = (np.asarray(embed(run)) - centre for run in (first, second))
        rows[name] = {**_identification(one, other), "n_features": one.shape[1]}
    table = pd.DataFrame.from_dict(rows, orient="index")
    return table.astype({"n_subjects": int, "n_features": int})


def plot_spectrum(embeddings: NDArray, ax: Axes | None = None) -> Axes:
    """Draw :func:`embedding_spectrum` and the effective rank on ``ax``, or on a new figure."""
    shares = embedding_spectrum(embeddings)
    rank = effective_rank(embeddings)
    ax = new_axes(ax, 6.4, 3.4)
    ax.bar(np.arange(1, len(shares) + 1), shares, color=MODEL, width=0.85)
    ax.axvline(rank, color=COLOURS[3], linewidth=2)
    ax.set_xlabel("direction")
    ax.set_ylabel("share of variance")
    note = f"{len(embeddings)} scans vary in at most {len(shares)} directions"
    entitle(ax, f"Effective rank {rank:.1f} (red)", note)
    return ax


def plot_reliability(icc: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw how ICC(2,1) of :func:`reliability` is distributed on ``ax``, or on a new figure."""
    ax = new_axes(ax, 6.4, 3.6)
    values = icc["icc_2_1"].dropna()
    lowest = min(-0.5, float(values.quantile(0.005))) if len(values) else -0.5
    ax.hist(values, bins=np.linspace(lowest, 1, 41).tolist(), color=MODEL)
    ax.set_xlim(lowest, 1)
    for threshold, grade in GRADES.items():
        ax.axvline(threshold, color="0.4", linewidth=0.8, linestyle=":")
        label = ax.text(threshold, 0.99, f" {grade}", va="top", fontsize="x-small", color="0.35")
        label.set_transform(ax.get_xaxis_transform())
    if len(values):
        ax.axvline(values.median(), color=COLOURS[3], linewidth=2)
    ax.set_xlabel("ICC(2,1)")
    ax.set_ylabel("dimensions")
    n_missing = len(icc) - len(values)
    note = f"{n_missing} of {len(icc)} dimensions do not vary and are left out" if n_missing else ""
    median = f"median {values.median():.2f} (red)" if len(values) else "no dimension varies"
    entitle(ax, f"Test-retest reliability of {len(values)} dimensions: {median}", note)
    return ax


def plot_identification(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw the accuracies of :func:`identify` and chance on ``ax``, or on a new figure."""
    ax = new_axes(ax, 6.4, 1.4 + 0.42 * len(table))
    rows = np.arange(len(table))
    colours = [MODEL] + [PLAIN] * (len(table) - 1)
    bars = ax.barh(rows, table["accuracy"], color=colours, height=0.6)
    ax.bar_label(bars, fmt="{:.2f}", padding=4, fontsize="small")
    chance = table["chance"].iloc[0]
    ax.axvline(chance, color="0.2", linestyle="--", linewidth=1)
    ax.set_yticks(rows, table.index)
    ax.set_ylim(len(table) - 0.5, -0.5)
    ax.set_xlim(0, 1.08)
    ax.set_xlabel("share of subjects identified")
    note = f"{table['n_subjects'].iloc[0]} subjects; dashed: chance, {chance:.2f}"
    entitle(ax, "Identification across runs", note)
    return ax


def _identification(one: NDArray, other: NDArray) -> dict[str, float]:
    """Return accuracy and margin of nearest neighbours by cosine, over both directions."""
    lengths = (np.linalg.norm(side, axis=1, keepdims=True) for side in (one, other))
    one, other = (
        side / np.where(length == 0, 1, length)
        for side, length in zip((one, other), lengths, strict=True)
    )
    similarity = one @ other.T  # (n_subjects, n_subjects)
    own = np.diag(similarity)
    others = similarity - np.diag(np.full(len(own), np.inf))
    nearest = np.concatenate([others.max(axis=1), others.max(axis=0)])
    margin = np.tile(own, 2) - nearest
    return {
        "accuracy": float((margin > 0).mean()),
        "chance": 1 / len(own),
        "margin": float(margin.mean()),
        "n_subjects": len(own),
    }
