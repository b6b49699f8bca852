"""Principal components of embeddings, correlated with phenotypes."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray
from scipy.stats import pearsonr
from sklearn.decomposition import PCA

from sk_brainmae.inspection.model import one_each
from sk_brainmae.inspection.style import SIGNED, entitle, new_axes, plain

SIGNIFICANT = 0.05


def phenotype_correlations(
    embeddings: NDArray,
    phenotypes: Any,
    subjects: ArrayLike | None = None,
    n_components: int = 5,
) -> pd.DataFrame:
    """Correlate the principal components of embeddings with phenotypes, over subjects.

    Parameters
    ----------
    embeddings : ndarray of shape (n_scans, n_features)
        As ``model.transform(scans)`` returns them.
    phenotypes : DataFrame of shape (n_scans, n_phenotypes)
        Numbers; missing values (NaN) are left out pair by pair.
    subjects : array-like of shape (n_scans,), default=None
        The subject of each scan: embeddings and phenotypes are averaged over the scans of a
        subject, so that each subject counts once. None: every scan is of another subject.
    n_components : int, default=5
        Number of components; fewer where there are fewer subjects.

    Returns
    -------
    DataFrame
        One row for each component and phenotype, with columns ``component`` ("PC1", ...),
        ``explained_variance`` (share), ``phenotype``, ``r`` (Pearson; the sign of a component is
        arbitrary), ``p``, ``p_holm`` (corrected over all rows [1]_) and ``n`` subjects. ``r`` is
        missing where a phenotype does not vary.

    Raises
    ------
    TypeError
        If phenotypes are not a DataFrame of numbers.
    ValueError
        If lengths differ, or there are fewer than four subjects.

    References
    ----------
    .. [1] Holm (1979). A simple sequentially rejective multiple test procedure. Scandinavian
       Journal of Statistics 6, 65-70.
    """
    if not isinstance(phenotypes, pd.DataFrame):
        raise TypeError(f"phenotypes must be a DataFrame, got {type(phenotypes).__name__}")
    if text := [c for c in phenotypes if not pd.api.types.is_numeric_dtype(phenotypes[c])]:
        raise TypeError(f"phenotype {text[0]!r} holds no numbers: encode it as numbers first")
    if len(phenotypes) != len(embeddings):
        raise ValueError(
            f"there are phenotypes of {len(phenotypes)} scans, but embeddings of {len(embeddings)}"
        )
    table = phenotypes.astype(float).reset_index(drop=True)
    if subjects is not None:
        subjects = one_each(subjects, len(table), "subjects", "scan")
        table = table.groupby(subjects).mean()
        embeddings = pd.DataFrame(embeddings).groupby(subjects).mean().to_numpy()
    if len(table) < 4:
        raise ValueError(f"correlations need at least four subjects, got {len(table)}")
    n_components = min(n_components, len(table) - 1, embeddings.shape[1])
    pca = PCA(n_components, svd_solver="full").fit(embeddings)
    components = pca.transform(embeddings)  # (n_subjects, n_components)
    rows = []
    for k, share in enumerate(pca.explained_variance_ratio_):
        for phenotype in table:
            values = table[phenotype].to_numpy()
            r, p, n = _correlate(components[:, k], values)
            row = {"component": f"PC{k + 1}", "explained_variance": share, "phenotype": phenotype}
            rows.append({**row, "r": r, "p": p, "n": n})
    correlations = pd.DataFrame(rows)
    correlations.insert(5, "p_holm", _holm(correlations["p"].to_numpy()))
    return correlations


def plot_phenotypes(correlations: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw :func:`phenotype_correlations`, starred if p (Holm) < .05, on ``ax`` or a new figure."""
    components = correlations["component"].unique()
    phenotypes = correlations["phenotype"].unique()
    by = {"index": "phenotype", "columns": "component"}
    r = correlations.pivot(**by, values="r").loc[phenotypes, components]
    p = correlations.pivot(**by, values="p_holm").loc[phenotypes, components].to_numpy()
    share = correlations.groupby("component")["explained_variance"].first()
    ax = new_axes(ax, 2.6 + 0.8 * len(components), 1.8 + 0.42 * len(phenotypes))
    image = ax.imshow(r, cmap=SIGNED, vmin=-1, vmax=1, aspect="auto")
    ax.set_xticks(range(len(components)), [f"{name}\n{share[name]:.0%}" for name in components])
    ax.set_yticks(range(len(phenotypes)), plain(phenotypes))
    for (i, j), value in np.ndenumerate(r.to_numpy()):
        text = f"{value:.2f}" + ("*" if p[i, j] < SIGNIFICANT else "")
        colour = "white" if abs(value) > 0.6 else "black"
        ax.text(j, i, text, ha="center", va="center", fontsize="small", color=colour)
    ax.figure.colorbar(image, ax=ax, label="r", shrink=0.8)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    ax.set_xlabel("component of the embedding, share of variance")
    n = correlations["n"]
    subjects = f"{n.min()}" if n.min() == n.max() else f"{n.min()} to {n.max()}"
    note = f"{subjects} subjects; * p < .05 (Holm over all cells)"
    entitle(ax, "Embeddings and phenotypes", note)
    return ax


def _correlate(x: NDArray, y: NDArray) -> tuple[float, float, int]:
    """Return Pearson's r, its p and the number of pairs; NaN where one side does not vary."""
    known = np.isfinite(y)
    x, y = x[known], y[known]
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return np.nan, np.nan, len(x)
    r, p = pearsonr(x, y)
    return float(r), float(p), len(x)


def _holm(p: NDArray) -> NDArray:
    """Return p after Holm's step-down correction; NaN stays NaN and does not count."""
    corrected = np.full(len(p), np.nan)
    order = np.argsort(p)[: np.isfinite(p).sum()]  # NaN are sorted last
    factors = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1)
    return corrected
