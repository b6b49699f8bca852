import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy.stats import pearsonr

from sk_brainmae.inspection import phenotype_correlations, plot_phenotypes
from sk_brainmae.inspection.phenotypes import _holm


@pytest.fixture
def planted():
    """Embeddings whose first component is age."""
    rng = np.random.default_rng(0)
    age = rng.normal(size=30)
    embeddings = rng.normal(size=(30, 6))
    embeddings[:, 2] = 5 * age
    return embeddings, pd.DataFrame({"age": age, "luck": rng.normal(size=30)})


def test_planted_phenotype_is_found_on_its_component_alone(planted):
    table = phenotype_correlations(*planted, n_components=3).set_index(["component", "phenotype"])
    assert abs(table.loc[("PC1", "age"), "r"]) > 0.95
    assert table.loc[("PC1", "age"), "p_holm"] < 1e-6
    assert (table["p_holm"].drop(("PC1", "age")) > 0.05).all()
    assert (table["n"] == 30).all()


def test_holm_agrees_with_a_computation_by_hand():
    p = np.array([0.04, np.nan, 0.01, 0.03])
    assert_allclose(_holm(p), [0.06, np.nan, 0.03, 0.06])


def test_scans_of_a_subject_count_once(planted):
    embeddings, phenotypes = planted
    twice = np.tile(np.arange(30), 2)
    table = phenotype_correlations(
        np.tile(embeddings, (2, 1)), pd.concat([phenotypes] * 2), subjects=twice
    )
    expected = phenotype_correlations(embeddings, phenotypes)
    assert (table["n"] == 30).all()
    assert_allclose(table["p"], expected["p"], rtol=1e-6)


def test_missing_values_are_left_out_pair_by_pair(planted):
    embeddings, phenotypes = planted
    phenotypes.loc[:4, "luck"] = np.nan
    table = phenotype_correlations(embeddings, phenotypes, n_components=1)
    assert table["n"].tolist() == [30, 25]
    centred = embeddings - embeddings.mean(axis=0)
    component = centred @ np.linalg.svd(centred)[2][0]
    r = pearsonr(component[5:], phenotypes["luck"][5:]).statistic
    assert_allclose(abs(table["r"][1]), abs(r))


def test_constant_phenotype_has_no_correlation(planted):
    embeddings, phenotypes = planted
    table = phenotype_correlations(embeddings, phenotypes.assign(luck=1.0))
    assert table.loc[table["phenotype"] == "luck", "r"].isna().all()


def test_bad_phenotypes_raise(planted):
    embeddings, phenotypes = planted
    with pytest.raises(TypeError, match="must be a DataFrame, got ndarray"):
        phenotype_correlations(embeddings, phenotypes.to_numpy())
    with pytest.raises(TypeError, match="'sex' holds no numbers"):
        phenotype_correlations(embeddings, phenotypes.assign(sex="f"))
    with pytest.raises(ValueError, match="phenotypes of 29 scans, but embeddings of 30"):
        phenotype_correlations(embeddings, phenotypes[1:])
    with pytest.raises(ValueError, match="four subjects"):
        phenotype_correlations(embeddings[:3], phenotypes[:3])


def test_significant_cells_are_starred(planted, texts):
    ax = plot_phenotypes(phenotype_correlations(*planted, n_components=2))
    cells = [text.get_text() for text in ax.texts if text.get_text()[-1:] == "*"]
    assert len(cells) == 1
    assert "30 subjects" in texts(ax)
