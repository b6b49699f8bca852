import numpy as np
import pytest

from sk_brainmae.scans import Window, validate_scans
from sk_brainmae.scans.covariance import region_covariance, window_covariance


@pytest.fixture
def scans():
    return np.random.default_rng(0).normal(size=(3, 40, 4)).cumsum(axis=1)


def test_region_covariance_of_complete_scans_is_that_of_all_frames(scans):
    cohort = validate_scans(scans)
    expected = np.cov(cohort.frames.T, bias=True)
    np.testing.assert_allclose(region_covariance(cohort), expected, atol=1e-6)


def test_region_covariance_counts_a_pair_only_where_both_have_signal(scans):
    scans[0, :, 1] = 0
    with pytest.warns(UserWarning, match="constant regions"):
        cohort = validate_scans(scans)
    frames = cohort.frames[40:].astype(float)
    expected = frames[:, 1] @ frames[:, 2] / len(frames)
    assert region_covariance(cohort)[1, 2] == pytest.approx(expected, abs=1e-6)


def test_window_covariance_is_the_mean_over_all_places_and_regions(scans):
    cohort = validate_scans(scans)
    windows = [
        cohort.sample(i)[start : start + 5, region].astype(float)
        for i in range(3)
        for start in range(36)
        for region in range(4)
    ]
    expected = np.mean([np.outer(w, w) for w in windows], axis=0)
    np.testing.assert_allclose(window_covariance(cohort, 5), expected, atol=1e-6)


def test_window_covariance_leaves_missing_regions_out(scans):
    complete = validate_scans(scans[:, :, [0, 2, 3]])
    scans[:, :, 1] = 0
    with pytest.warns(UserWarning, match="constant regions"):
        cohort = validate_scans(scans)
    np.testing.assert_allclose(window_covariance(cohort, 5), window_covariance(complete, 5))


def test_censored_moment_shorter_than_a_window_counts_nothing(scans):
    run = scans[0]
    run[8] = np.nan
    with pytest.warns(UserWarning, match="missing values"):
        long, both = validate_scans([run]), validate_scans([run, Window(run, 7, 10)])
    ours, theirs = (region_covariance(cohort, np.eye(5)) for cohort in (both, long))
    np.testing.assert_allclose(ours, theirs)
