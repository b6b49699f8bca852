import numpy as np
import pytest
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.linear_model import RidgeClassifier
from sklearn.pipeline import make_pipeline

from sk_brainmae.baselines import ConnectivityFeatures
from sk_brainmae.datasets import make_cohort
from sk_brainmae.evaluation import permutation_test
from sk_brainmae.evaluation.permutation import _shuffle

FC = make_pipeline(ConnectivityFeatures("correlation"), RidgeClassifier(100))


def test_planted_effect_has_the_smallest_p_and_noise_has_not():
    cohort = make_cohort(
        n_scans=40, n_timepoints=200, n_regions=12, static_strength=3, random_state=0
    )
    y = (cohort.traits["static"] > 0).to_numpy().astype(int)
    kwargs = {"cv": 3, "n_permutations": 19, "random_state": 0}
    found = permutation_test(FC, cohort.scans, y, **kwargs)
    assert (found.metric, found.p) == ("roc_auc", 1 / 20)
    assert found.null.mean() == pytest.approx(0.5, abs=0.1)
    shuffled = np.random.default_rng(0).permutation(y)
    assert permutation_test(FC, cohort.scans, shuffled, **kwargs).p > 0.1


def test_ties_with_the_true_score_count_against_it():
    X = np.random.default_rng(0).normal(size=(12, 20, 3))
    found = permutation_test(DummyClassifier(), X, [0, 1] * 6, cv=3, n_permutations=9)
    assert found.p == 1


def test_several_jobs_find_what_one_finds():
    X = np.random.default_rng(0).normal(size=(20, 30, 4))
    kwargs = {"cv": 2, "n_permutations": 3, "random_state": 0}
    one, two = (permutation_test(FC, X, [0, 1] * 10, n_jobs=n, **kwargs) for n in (1, 2))
    np.testing.assert_array_equal(one.null, two.null)


def test_subjects_of_one_label_exchange_labels():
    groups, y = np.repeat(np.arange(6), 2), np.repeat([0, 1, 0, 1, 0, 1], 2)
    shuffled = _shuffle(y, groups, np.random.RandomState(0))
    assert (shuffled[::2] == shuffled[1::2]).all()
    assert sorted(shuffled) == sorted(y)
    assert not np.array_equal(shuffled, y)


def test_labels_that_vary_within_subjects_stay_within_them():
    groups, y = np.repeat([0, 1, 2], 4), np.array([0, 1, 1, 1, 0, 0, 0, 1, 0, 1, 0, 1])
    shuffled = _shuffle(y, groups, np.random.RandomState(0))
    assert [shuffled[groups == g].sum() for g in range(3)] == [3, 1, 2]
    assert not np.array_equal(shuffled, y)


def test_failing_fit_raises_with_its_fold():
    X = np.random.default_rng(0).normal(size=(12, 20, 3))
    X[:, :, :] = X[:, :1]  # constant: connectivity has nothing to say
    with pytest.raises(RuntimeError, match="fold 0: ValueError"):
        permutation_test(FC, X, [0, 1] * 6, cv=2, n_permutations=1)


def test_ties_that_differ_by_rounding_count_against_the_true_score():
    X = np.random.default_rng(0).normal(size=(15, 20, 3))
    y = [0, 1, 1] * 5
    found = permutation_test(
        DummyClassifier(), X, y, cv=4, scoring="accuracy", n_permutations=19, random_state=1
    )
    equal = np.isclose(found.null, found.score)
    assert found.p == (1 + np.sum(equal | (found.null > found.score))) / 20


def test_a_score_that_is_not_defined_raises():
    X = np.random.default_rng(0).normal(size=(12, 20, 3))
    with pytest.raises(ValueError, match="true labels is not defined"):
        permutation_test(DummyRegressor(), X, np.ones(12), cv=3, n_permutations=2)
