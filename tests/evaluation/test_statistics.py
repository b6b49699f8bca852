from itertools import combinations

import baycomp
import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from sk_brainmae.evaluation.statistics import bayesian_t_test, corrected_t_test, holm


@pytest.mark.parametrize("seed", range(10))
def test_bayesian_t_test_agrees_with_baycomp(seed):
    rng = np.random.default_rng(seed)
    runs, n_folds = rng.integers(1, 11), rng.integers(2, 11)
    opponent = rng.uniform(0.5, 1, size=runs * n_folds)
    ours = opponent + rng.normal(0.01, 10 ** rng.uniform(-3, -1), size=runs * n_folds)
    rope = rng.uniform(0.001, 0.05)
    worse, equivalent, better = baycomp.two_on_single(opponent, ours, rope, runs=int(runs))
    found = bayesian_t_test(ours - opponent, 1 / (n_folds - 1), rope)
    assert_allclose(found, (better, equivalent, worse), rtol=0, atol=1e-9)


def test_bayesian_t_test_without_rope_agrees_with_baycomp():
    rng = np.random.default_rng(0)
    ours, opponent = rng.normal(0.8, 0.02, size=(2, 10))
    worse, better = baycomp.two_on_single(opponent, ours)
    found = bayesian_t_test(ours - opponent, 1 / 9, rope=0)
    assert_allclose(found, (better, 0, worse), rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("value", "expected"), [(0.2, (1, 0, 0)), (-0.2, (0, 0, 1)), (0.1, (0, 1, 0)), (0, (0, 1, 0))]
)
def test_bayesian_t_test_of_equal_differences_is_certain(value, expected):
    assert bayesian_t_test([value] * 3, test_train_ratio=0.25, rope=0.1) == expected


@pytest.mark.parametrize("differences", [[], [0.1], [0.1, np.nan, 0.2]])
def test_undefined_tests_are_nan_without_a_warning(differences, recwarn):
    assert np.isnan(bayesian_t_test(differences, 0.25, 0.01)).all()
    found = corrected_t_test(differences, 0.25)
    assert np.isnan([found.std_error, found.t, found.p, found.low, found.high]).all()
    assert not recwarn


def test_corrected_t_test_of_one_difference_gives_its_mean():
    assert corrected_t_test([0.1], 0.25).mean == 0.1


def test_corrected_t_test_matches_values_worked_out_by_hand():
    # Mean 0.03, s^2 = 0.00025, std_error = sqrt(0.00025 (1/5 + 1/4)); t(4) at 2.828: p = .0474.
    found = corrected_t_test([0.02, 0.05, 0.01, 0.04, 0.03], 1 / 4)
    assert found.df == 4
    assert_allclose(found.std_error, 0.0106066017, rtol=1e-8)
    assert_allclose(found.t, np.sqrt(8), rtol=1e-12)
    assert_allclose(found.p, 0.0474206556, rtol=1e-8)
    assert_allclose([found.low, found.high], 0.03 + np.array([-1, 1]) * 2.7764451052 * 0.0106066017)


@pytest.mark.parametrize("seed", range(3))
def test_corrected_t_test_of_a_vanishing_test_part_is_the_ordinary_one(seed):
    differences = np.random.default_rng(seed).normal(0.5, size=8)
    found, ordinary = corrected_t_test(differences, 1e-15), stats.ttest_1samp(differences, 0)
    assert_allclose([found.t, found.p], [ordinary.statistic, ordinary.pvalue], rtol=1e-9)
    assert_allclose([found.low, found.high], ordinary.confidence_interval(), rtol=1e-9)


def test_corrected_t_test_interval_excludes_zero_just_when_p_is_below_5_percent():
    rng = np.random.default_rng(0)
    found = [corrected_t_test(rng.normal(1, size=10), 1 / 9) for _ in range(100)]
    significant = [test.p < 0.05 for test in found]
    assert significant == [test.low > 0 or test.high < 0 for test in found]
    assert 0 < sum(significant) < 100


def test_corrected_t_test_keeps_its_level_where_the_ordinary_does_not():
    # Folds correlated by rho = n_test / (n_test + n_train) = 1 / 10, no true difference.
    rng = np.random.default_rng(0)
    shared, own = rng.normal(size=(2000, 1)), rng.normal(size=(2000, 30))
    differences = np.sqrt(0.1) * shared + np.sqrt(0.9) * own
    corrected = np.mean([corrected_t_test(d, 1 / 9).p < 0.05 for d in differences])
    ordinary = np.mean(stats.ttest_1samp(differences, 0, axis=1).pvalue < 0.05)
    assert 0.04 < corrected < 0.06
    assert ordinary > 0.2


@pytest.mark.parametrize(("value", "t", "p"), [(0, 0, 1), (0.1, np.inf, 0), (-0.1, -np.inf, 0)])
def test_corrected_t_test_of_equal_differences_is_certain(value, t, p, recwarn):
    # 0.1 * 3 is not 0.3 in floating point: rounding must not pass for variance.
    found = corrected_t_test([value] * 3, 0.25)
    assert found == (value, 0, t, 2, p, value, value)
    assert not recwarn


@pytest.mark.parametrize("ratio", [0, -1, np.inf, np.nan])
def test_ratio_that_is_no_positive_number_raises(ratio):
    with pytest.raises(ValueError, match="n_test / n_train"):
        corrected_t_test([0.1, 0.2], ratio)


def test_differences_that_are_not_one_per_fold_raise():
    with pytest.raises(ValueError, match="1-D"):
        bayesian_t_test(np.ones((2, 3)), 0.25, 0.01)


@pytest.mark.parametrize("rope", [-0.01, np.nan])
def test_rope_that_is_no_width_raises(rope):
    with pytest.raises(ValueError, match="rope"):
        bayesian_t_test([0.1, 0.2], 0.25, rope)


def test_holm_matches_a_textbook_example():
    found = holm([0.01, 0.04, 0.03, 0.005])
    assert_allclose(found, [0.03, 0.06, 0.06, 0.02])


@pytest.mark.parametrize("seed", range(5))
def test_holm_is_the_closure_of_bonferroni(seed):
    # Each hypothesis falls when every intersection with it falls by Bonferroni: all 2^m sets.
    p = np.random.default_rng(seed).uniform(size=6) ** 3
    sets = [list(s) for size in range(1, 7) for s in combinations(range(6), size)]
    closure = [max(min(1, len(s) * p[s].min()) for s in sets if i in s) for i in range(6)]
    assert_allclose(holm(p), closure, rtol=1e-12)


def test_holm_passes_nan_through_uncounted():
    assert_allclose(holm([np.nan, 0.01, np.nan, 0.04]), [np.nan, 0.02, np.nan, 0.04])
    assert holm([]).shape == (0,)


def test_holm_leaves_its_input_alone():
    p = np.array([0.01, 0.04])
    holm(p)
    assert p.tolist() == [0.01, 0.04]


@pytest.mark.parametrize("p", [[1.2], [-0.1, 0.5], [[0.1, 0.2]]])
def test_holm_of_what_are_no_p_values_raises(p):
    with pytest.raises(ValueError, match="from 0 to 1"):
        holm(p)
