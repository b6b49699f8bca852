"""Principal components of embeddings against what is known of the subjects."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import pearsonr
from sklearn.decomposition import PCA

from sk_brainmae.inspection.checks import one_each
from sk_brainmae.inspection.style import entitle, heatmap, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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
        Numbers; what is missing (NaN) is left out pair by pair.
    subjects : array-like of shape (n_scans,), default=None
        The subject of each scan: embeddings and phenotypes are averaged over the scans of a
        subject, who would otherwise count several times. None: every scan is of another subject.
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
        If phenotypes are no DataFrame of numbers.
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
        raise ValueError(f"correlations need four subjects or more, got {len(table)}")
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


def plot_phenotypes(correlations: pd.DataFrame, ax: "Axes | None" = None) -> "Axes":
    """Draw the correlations; a star marks those below .05 after Holm's correction.

    Parameters
    ----------
    correlations : DataFrame
        As :func:`phenotype_correlations` returns it.
    ax : matplotlib Axes, default=None
        Where to draw; None makes a new figure.

    Returns
    -------
    matplotlib Axes
        The axes drawn on.
    """
    components = correlations["component"].unique()
    phenotypes = correlations["phenotype"].unique()
    by = {"index": "phenotype", "columns": "component"}
    r = correlations.pivot(**by, values="r").loc[phenotypes, components]
    p = correlations.pivot(**by, values="p_holm").loc[phenotypes, components]
    share = correlations.groupby("component")["explained_variance"].first()
    r.columns = [f"{name}\n{share[name]:.0%}" for name in components]
    ax = new_axes(ax, 2.6 + 0.8 * len(components), 1.8 + 0.42 * len(phenotypes))
    heatmap(ax, r, "r", p < SIGNIFICANT)
    ax.set_xlabel("component of the embedding, share of variance")
    n = correlations["n"]
    subjects = f"{n.min()}" if n.min() == n.max() else f"{n.min()} to {n.max()}"
    note = f"{subjects} subjects; * p < .05 (Holm over all cells)"
    entitle(ax, "Embeddings and phenotypes", note)
    return ax


def _correlate(x: NDArray, y: NDArray) -> tuple[float, float, int]:
    """Pearson's r, its p and the number of pairs; missing where one side does not vary."""
    known = np.isfinite(y)
    x, y = x[known], y[known]
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return np.nan, np.nan, len(x)
    r, p = pearsonr(x, y)
    return float(r), float(p), len(x)


def _holm(p: NDArray) -> NDArray:
    """Holm's step-down correction; what is missing stays so and does not count."""
    corrected = np.full(len(p), np.nan)
    order = np.argsort(p)[: np.isfinite(p).sum()]  # NaN are sorted last
    factors = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1)
    return corrected
