"""A cohort gives samples, runs and their frames."""

import numpy as np
import pytest

from sk_brainmae.scans import Window, validate_scans


def test_take_and_as_runs_share_the_frames(scan):
    run = scan()
    cohort = validate_scans([Window(run, 3, 9), scan(20, seed=1), Window(run, 20, 30)])
    some = cohort.take(np.array([2, 0]))
    assert np.shares_memory(some.frames, cohort.frames)
    np.testing.assert_array_equal(some.sample(0), cohort.sample(2))
    np.testing.assert_array_equal(some.sample(1), cohort.sample(0))
    whole = cohort.as_runs()
    assert len(whole) == 2
    assert whole.whole_runs
    assert not cohort.whole_runs
    np.testing.assert_array_equal(whole.sample(0)[3:9], cohort.sample(0))
    np.testing.assert_array_equal(whole.sample(1), cohort.sample(1))


def test_frames_of_a_run_are_its_sample_and_any_part_of_it(scan):
    cohort = validate_scans([scan(), scan(20, seed=1)])
    np.testing.assert_array_equal(cohort.run_frames(1), cohort.sample(1))
    np.testing.assert_array_equal(cohort.run_frames(1, 5), cohort.sample(1)[5:])
    np.testing.assert_array_equal(cohort.run_frames(0, 4, 9), cohort.sample(0)[4:9])


def test_what_is_known_has_one_row_where_only_whole_regions_are_missing(scan):
    run = scan()
    run[:, 1], run[12:14], run[20, 0] = np.nan, np.nan, np.nan
    with pytest.warns(UserWarning, match="missing values"):
        cohort = validate_scans([run, Window(run, 0, 10)])
    np.testing.assert_array_equal(cohort.known(0), np.isfinite(run))
    np.testing.assert_array_equal(cohort.known(1), [True, False, True, True])
    np.testing.assert_array_equal(cohort.uncensored(0), np.delete(cohort.sample(0), [12, 13], 0))
    np.testing.assert_array_equal(cohort.uncensored(1), cohort.sample(1))


def test_samples_of_shared_runs_are_held_out_together_unless_groups_say_more(scan):
    run, groups = scan(), np.array([4, 4])
    moments = validate_scans([Window(run, 0, 5), Window(run, 5, 9)])
    assert moments.units().tolist() == [0, 0]
    assert moments.units(groups) is groups
    assert validate_scans([scan(), scan()]).units() is None


def test_spaced_samples_reach_from_the_first_to_the_last(cohort_of):
    cohort = validate_scans(cohort_of(n_scans=7))
    assert cohort.spaced(3).runs.tolist() == [0, 3, 6]
    assert cohort.spaced(9).runs.tolist() == list(range(7))
