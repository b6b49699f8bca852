import numpy as np
import pytest
from joblib import parallel_config
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sk_brainmae.evaluation import permutation_test
from sk_brainmae.evaluation.permutation import _shuffle

LINEAR = make_pipeline(FunctionTransformer(np.mean, kw_args={"axis": 1}), RidgeClassifier())


def test_planted_effect_has_the_smallest_p_and_noise_has_not():
    rng = np.random.default_rng(1)
    y = np.array([0, 1] * 20)
    X = rng.normal(size=(40, 20, 4)) + 0.4 * y[:, None, None]
    kwargs = {"cv": 3, "n_permutations": 19, "random_state": 0}
    found = permutation_test(LINEAR, X, y, **kwargs)
    assert (found.metric, found.p) == ("roc_auc", 1 / 20)
    assert found.null.mean() == pytest.approx(0.5, abs=0.1)
    assert permutation_test(LINEAR, rng.normal(size=X.shape), y, **kwargs).p > 0.1


def test_folds_of_an_iterator_serve_every_permutation():
    X, y = np.random.default_rng(0).normal(size=(12, 20, 3)), [0, 1] * 6
    folds = list(StratifiedKFold(3).split(X, y))
    kwargs = {"scoring": "accuracy", "n_permutations": 1, "random_state": 1}
    one, two = (permutation_test(LINEAR, X, y, cv=cv, **kwargs) for cv in (folds, iter(folds)))
    assert one == two


def test_ties_with_the_true_score_count_against_it():
    X = np.random.default_rng(0).normal(size=(12, 20, 3))
    found = permutation_test(DummyClassifier(), X, [0, 1] * 6, cv=3, n_permutations=9)
    assert found.p == 1


def test_several_jobs_find_what_one_finds():
    X = np.random.default_rng(0).normal(size=(20, 30, 4))
    kwargs = {"cv": 2, "n_permutations": 3, "random_state": 0}
    with parallel_config("threading"):  # processes are tested in test_scale_out
        one, two = (permutation_test(LINEAR, X, [0, 1] * 10, n_jobs=n, **kwargs) for n in (1, 2))
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


def test_labels_that_vary_within_a_minority_of_subjects_are_refused():
    groups, y = np.repeat(np.arange(6), 2), np.repeat([0, 1, 0, 1, 0, 1], 2)
    y[5] = 1
    X = np.random.default_rng(0).normal(size=(12, 20, 3))
    with pytest.raises(ValueError, match="vary within 1 of 6 groups, the first is 2, and"):
        permutation_test(DummyClassifier(), X, y, cv=2, groups=groups, n_permutations=2)


def test_several_metrics_raise():
    X = np.random.default_rng(0).normal(size=(12, 20, 3))
    with pytest.raises(ValueError, match="one metric is tested at a time"):
        permutation_test(DummyClassifier(), X, [0, 1] * 6, cv=2, scoring=["f1", "accuracy"])


def test_shuffled_labels_that_leave_a_fold_without_a_class_raise_before_any_fit():
    X, y = np.random.default_rng(0).normal(size=(12, 20, 3)), [0, 1] * 6
    unfittable = RidgeClassifier()  # of scans
    with pytest.raises(ValueError, match="has no sample of class"):
        permutation_test(unfittable, X, y, cv=KFold(4), random_state=0)


def test_confounds_that_are_not_taken_raise():
    X = np.random.default_rng(0).normal(size=(12, 20, 3))
    with pytest.raises(ValueError, match="no estimator takes confounds"):
        permutation_test(DummyClassifier(), X, [0, 1] * 6, cv=2, confounds=np.arange(12.0))


def test_failing_fit_raises_with_its_fold():
    X = np.random.default_rng(0).normal(size=(12, 20, 3))
    with pytest.raises(RuntimeError, match="fold 0: ValueError"):
        permutation_test(RidgeClassifier(), X, [0, 1] * 6, cv=2, n_permutations=1)


def test_ties_that_differ_by_rounding_count_against_the_true_score():
    X = np.random.default_rng(0).normal(size=(15, 20, 3))
    y = [0, 1, 1] * 5
    found = permutation_test(
        DummyClassifier(), X, y, cv=4, scoring="accuracy", n_permutations=19, random_state=1
    )
    equal = np.isclose(found.null, found.score)
    assert found.p == (1 + np.sum(equal | (found.null > found.score))) / 20


def test_a_score_that_is_not_defined_raises_before_labels_are_shuffled(monkeypatch):
    X = np.random.default_rng(0).normal(size=(12, 20, 3))
    monkeypatch.setattr("sk_brainmae.evaluation.permutation.Parallel", None)
    with pytest.raises(ValueError, match="true labels is NaN"):
        permutation_test(DummyRegressor(), X, np.ones(12), cv=3, n_permutations=2)
