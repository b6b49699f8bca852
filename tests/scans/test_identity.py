"""Samples cut from one memory, or from equal copies, are of one run; others are not."""

import numpy as np
import pandas as pd
import pytest

from sk_brainmae.scans import Window, validate_scans
from sk_brainmae.scans.identity import keys_of

pytestmark = pytest.mark.filterwarnings("error")


def n_runs(X, **options):
    cohort = validate_scans(X, **options)
    assert len(cohort) == len(X)
    return len(cohort.run_length)


@pytest.fixture
def array(cohort_of):
    return cohort_of()


def mapped(array, tmp_path, mode):
    np.save(tmp_path / "scans.npy", array)
    return np.load(tmp_path / "scans.npy", mmap_mode=mode)


def as_series(array):
    return pd.DataFrame({f"r{k}": column for k, column in enumerate(array.T)})


def cut_table(array, _):
    table = pd.DataFrame(array.reshape(90, 4))
    return lambda i: table.iloc[30 * i : 30 * i + 30]


# What cuts run i out of an array (3, 30, 4), as a new object each time.
CUTS = {
    "rows of an array": lambda array, _: array.__getitem__,
    "rows of a list": lambda array, _: list(array).__getitem__,
    "slices": lambda array, _: lambda i: array.reshape(90, 4)[30 * i : 30 * i + 30],
    "other strides": lambda array, _: np.asfortranarray(array).__getitem__,
    "masked array": lambda array, _: np.ma.masked_equal(array, 0).__getitem__,
    "mapped file": lambda array, path: mapped(array, path, "r").__getitem__,
    "file mapped again": lambda array, path: lambda i: mapped(array, path, "r")[i],
    "copies": lambda array, _: lambda i: array[i].copy(),
    "lists": lambda array, _: lambda i: array[i].tolist(),
    "table": cut_table,
    "tables of series": lambda array, _: lambda i: as_series(array[i]),
}


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
def test_moments_of_views_and_copies_share_their_run(array, tmp_path, cut):
    run = cut(array, tmp_path)
    X = [Window(run(i), start, start + 10) for start in (0, 10, 20) for i in range(3)]
    cohort = validate_scans(X)
    assert cohort.runs.tolist() == [0, 1, 2] * 3
    expected = validate_scans(array)
    np.testing.assert_array_equal(cohort.frames, expected.frames)
    assert cohort.units() is cohort.runs


def test_moments_of_turned_tables_share_their_run_too(array):
    table = pd.DataFrame(array[0], columns=list("dcba"))
    X = [Window(table.iloc[:, :], i, i + 10) for i in range(3)]
    assert n_runs(X, region_names=list("abcd")) == 1


def test_other_runs_stay_apart(array):
    assert n_runs([Window(array[0], 0, 9), Window(array[1], 0, 9)]) == 2
    assert n_runs([Window(array[0], 0, 9), Window(array[0, :20], 0, 9)]) == 2
    assert n_runs([Window(array[0], 0, 9), Window(array[0][::-1], 0, 9)]) == 2
    one_value = array[0].copy()
    one_value[29, 3] += 1e-9
    assert n_runs([Window(array[0], 0, 9), Window(one_value, 0, 9)]) == 2
    gaps = np.ma.masked_array(array[0], np.arange(120).reshape(30, 4) == 3)
    with pytest.warns(UserWarning, match="1 of 2 scans have missing values"):
        assert n_runs([Window(array[0], 0, 9), Window(gaps, 0, 9)]) == 2


def test_whole_scans_given_twice_are_duplicates_and_share_the_run_of_moments(array):
    for again in (array[0], array[0].copy()):
        assert n_runs([array[0], again]) == 2
    scan = array[0]
    assert n_runs([scan, scan]) == 1
    assert n_runs([array[0], Window(array[0], 0, 9), array[0]]) == 1


def test_tables_of_one_memory_under_other_names_are_two(array):
    table, other = (pd.DataFrame(array[0], columns=list(names)) for names in ("abcd", "dcba"))
    first, second, again = keys_of([Window(t, 0, 3) for t in (table, other, table.iloc[:, :])])
    assert first != second
    assert first == again


def test_samples_with_cells_hidden_have_runs_of_their_own(array):
    X = [Window(array[0], 0, 9), Window(array[0], 9, 18)]
    assert n_runs(X, hidden=[np.zeros((9, 4), dtype=bool)] * 2) == 2
