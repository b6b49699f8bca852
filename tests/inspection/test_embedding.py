import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from sk_brainmae.baselines import ConnectivityFeatures
from sk_brainmae.inspection import (
    effective_rank,
    embedding_spectrum,
    identify,
    plot_identification,
    plot_reliability,
    plot_spectrum,
    reliability,
)

# Two of the four judges of Shrout and Fleiss (1979), table 2.
FIRST = np.array([9, 6, 8, 7, 10, 6], dtype=float)[:, None]
SECOND = np.array([2, 1, 4, 1, 5, 2], dtype=float)[:, None]


def icc_by_hand(first, second):
    """Analysis of variance of two runs, written out."""
    table = np.column_stack([first, second])
    n, k = table.shape
    rows, columns = table.mean(axis=1), table.mean(axis=0)
    ms_rows = k * ((rows - table.mean()) ** 2).sum() / (n - 1)
    ms_columns = n * ((columns - table.mean()) ** 2).sum() / (k - 1)
    rest = ((table - rows[:, None] - columns + table.mean()) ** 2).sum()
    ms_error = rest / ((n - 1) * (k - 1))
    icc2 = (ms_rows - ms_error) / (ms_rows + (k - 1) * ms_error + k * (ms_columns - ms_error) / n)
    return icc2, (ms_rows - ms_error) / (ms_rows + (k - 1) * ms_error)


def test_icc_agrees_with_an_analysis_of_variance_by_hand():
    icc = reliability(FIRST, SECOND)
    assert_allclose(icc.iloc[0], icc_by_hand(FIRST, SECOND))


def test_a_shift_of_all_subjects_costs_agreement_but_not_consistency():
    icc = reliability(FIRST, FIRST + 5)
    assert icc["icc_3_1"].item() == pytest.approx(1)
    assert icc["icc_2_1"].item() < 0.5


def test_noise_is_not_reliable_and_repetition_is():
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 40, 300))
    assert abs(reliability(one, other)["icc_2_1"].median()) < 0.1
    assert_allclose(reliability(one, one), 1)


def test_dimension_that_does_not_vary_has_no_icc(texts):
    one = np.column_stack([FIRST, np.ones(6)])
    icc = reliability(one, one)
    assert icc["icc_2_1"].isna().tolist() == [False, True]
    assert "1 of 2 dimensions do not vary" in texts(plot_reliability(icc))
    assert "no dimension varies" in texts(plot_reliability(icc[1:]))


def test_runs_of_different_subjects_raise():
    with pytest.raises(ValueError, match=r"shapes \(6, 1\) and \(5, 1\)"):
        reliability(FIRST, SECOND[1:])


def test_spectrum_gives_the_effective_rank():
    embeddings = np.random.default_rng(0).normal(size=(10, 4)) * [4, 3, 2, 1]
    shares = embedding_spectrum(embeddings)
    assert_allclose(shares.sum(), 1)
    assert_allclose(np.exp(-(shares * np.log(shares)).sum()), effective_rank(embeddings))
    assert len(plot_spectrum(embeddings).patches) == 4


def test_subjects_are_identified_beside_connectivity(spectral, cohort):
    first, second = cohort.scans[:6], cohort.scans[6:]  # the same six subjects
    table = identify(spectral, first, second, cohort.scans)
    assert list(table.index) == ["BrainMAE", "correlation FC", "tangent FC", "whitened-PCA FC"]
    assert_allclose(table["chance"], 1 / 6)
    again = identify(spectral, first, first, cohort.scans)
    assert (again["accuracy"] == 1).all()
    assert (again["margin"] > 0).all()


def test_accuracy_agrees_with_a_search_by_hand(spectral, cohort):
    first, second = cohort.scans[:6], cohort.scans[6:]
    opponents = {"FC": ConnectivityFeatures("correlation")}
    table = identify(spectral, first, second, cohort.scans, opponents)
    centre = spectral.transform(cohort.scans).mean(axis=0)
    one, other = spectral.transform(first) - centre, spectral.transform(second) - centre
    hits = []
    for a, b in ((one, other), (other, one)):
        for i, x in enumerate(a):
            cosine = [x @ y / np.linalg.norm(x) / np.linalg.norm(y) for y in b]
            hits.append(np.argmax(cosine) == i)
    assert table.loc["BrainMAE", "accuracy"] == np.mean(hits)
    assert list(table.index) == ["BrainMAE", "FC"]
    assert not hasattr(opponents["FC"], "n_features_in_")  # a clone was fitted


def test_runs_of_different_number_raise(spectral, cohort):
    with pytest.raises(ValueError, match="6 first and 5 second runs"):
        identify(spectral, cohort.scans[:6], cohort.scans[:5], cohort.scans)


def test_identification_is_drawn_with_chance(texts):
    table = pd.DataFrame(
        {"accuracy": [0.9, 0.5], "chance": 0.1, "n_subjects": 10}, index=["BrainMAE", "FC"]
    )
    ax = plot_identification(table)
    assert "10 subjects; dashed: chance, 0.10" in texts(ax)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["BrainMAE", "FC"]
