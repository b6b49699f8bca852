import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import RepeatedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sk_brainmae.datasets import make_cohort
from sk_brainmae.evaluation import compare, repeated_folds
from sk_brainmae.evaluation.folds import among_kept, make_folds


def test_every_sample_is_tested_once_a_repeat_and_repeats_differ():
    folds = repeated_folds(np.tile([0, 1], 20), n_repeats=3, random_state=0)
    assert len(folds) == 15
    tests = [np.concatenate([test for _, test in folds[5 * r : 5 * r + 5]]) for r in range(3)]
    assert all(sorted(test) == list(range(40)) for test in tests)
    assert not np.array_equal(tests[0], tests[1])


def test_classes_keep_their_shares():
    y = np.repeat([0, 1], [30, 10])
    assert all(y[test].mean() == 0.25 for _, test in repeated_folds(y, random_state=0))


def test_continuous_target_is_stratified_by_its_quantiles():
    y = np.random.default_rng(0).exponential(size=100)
    folds = repeated_folds(y, classification=False, random_state=0)
    spread = np.std([y[test].mean() for _, test in folds])
    rng = np.random.default_rng(0)
    unstratified = np.std([y[rng.permutation(100)[:20]].mean() for _ in folds])
    assert spread < unstratified / 2


def test_groups_stay_together():
    groups = np.repeat(np.arange(12), 3)
    y = np.repeat(np.tile([0, 1], 6), 3)
    for train, test in repeated_folds(y, groups, n_folds=3, random_state=0):
        assert not set(groups[train]) & set(groups[test])
        assert set(y[test]) == {0, 1}


def test_same_random_state_gives_the_same_folds_and_leaves_the_global_one():
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first, second = (repeated_folds(np.tile([0, 1], 10), random_state=3) for _ in range(2))
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(first, second, strict=True))
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002


@pytest.mark.parametrize(
    ("y", "groups", "classification", "message"),
    [
        (np.repeat(["a", "b"], [20, 4]), None, True, "class b has 4 samples, too few for 5 folds"),
        (np.tile([0, 1], 10), np.repeat(np.arange(4), 5), True, "class 0 has 4 groups"),
        (np.arange(4.0), None, False, "there are 4 samples, too few for 5 folds"),
        (np.arange(20.0), np.repeat([0, 1], 10), False, "there are 2 groups, too few"),
    ],
)
def test_too_few_for_the_folds_raises_and_names_the_class(y, groups, classification, message):
    with pytest.raises(ValueError, match=message):
        repeated_folds(y, groups, classification=classification)


def test_repeats_of_any_splitter_are_counted():
    cv = RepeatedKFold(n_splits=4, n_repeats=2, random_state=0)
    folds = make_folds(cv, np.arange(8.0), None, classification=False, random_state=None)
    assert [(fold.repeat, fold.number) for fold in folds] == [
        (r, k) for r in (0, 1) for k in range(4)
    ]


def test_a_number_of_folds_is_the_same_as_a_numpy_integer():
    y = np.array([0, 1] * 8)
    given = [
        make_folds(cv, y, None, classification=True, random_state=0) for cv in (4, np.int64(4))
    ]
    for one, other in zip(*given, strict=True):
        np.testing.assert_array_equal(one.test, other.test)


def test_a_sample_in_both_parts_of_a_fold_raises():
    split = [(np.arange(8), np.arange(6, 12))]
    with pytest.raises(ValueError, match="2 samples are in both"):
        make_folds(split, np.arange(12.0), None, classification=False, random_state=0)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ([-1, 0], "has the index -1; there are 12 samples"),
        ([3, 12], "has the index 12"),
        ([True] * 6 + [False] * 6, "must be a list of sample indices"),
        ([], "has no sample"),
        ([1, 2, 1], "has a sample more than once"),
    ],
)
def test_indices_that_would_mean_other_samples_raise(part, message):
    split = [(np.arange(4, 11), [0, 1]), (np.arange(4, 11), part)]
    with pytest.raises(ValueError, match=f"test part of fold 1 {message}"):
        make_folds(split, np.arange(12.0), None, classification=False, random_state=0)


def test_cv_without_folds_raises():
    with pytest.raises(ValueError, match="cv makes no fold"):
        make_folds([], np.arange(12.0), None, classification=False, random_state=0)


def test_fold_that_loses_all_of_its_samples_raises():
    split = among_kept([([0, 1], [2, 3])], np.array([0, 1, 4]), 5)
    with pytest.raises(ValueError, match="test part of fold 0 has no sample"):
        make_folds(split, np.arange(3.0), None, classification=False, random_state=0)


@pytest.fixture(scope="module")
def sites():
    """Scanners that differ in which regions are noisy; patients come mostly from one of them."""
    rng = np.random.default_rng(0)
    scans = make_cohort(n_scans=60, n_timepoints=100, n_regions=12, random_state=0).scans
    site = np.repeat(np.arange(6), 10)
    noise = rng.uniform(0, 3, (6, 12))[site]
    scans = scans + noise[:, None] * rng.normal(size=scans.shape)
    patient = (rng.uniform(size=60) < np.where(site % 2, 0.9, 0.1)).astype(int)
    return scans, patient, site


def _correlations(X):
    return np.array([np.corrcoef(scan.T)[np.triu_indices(12, 1)] for scan in X])


def test_labels_tied_to_site_are_decoded_until_whole_sites_are_held_out(sites):
    scans, patient, site = sites
    models = {"FC": make_pipeline(FunctionTransformer(_correlations), LogisticRegression())}
    mixed = compare(models, scans, patient, cv=5, random_state=0)
    grouped = compare(models, scans, patient, cv=3, groups=site, random_state=0)
    leaky, honest = (c.table.loc[("roc_auc", "FC"), "mean"] for c in (mixed, grouped))
    assert leaky > 0.75
    assert honest < leaky - 0.15
