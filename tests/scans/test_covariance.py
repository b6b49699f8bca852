import tracemalloc

import numpy as np
import pytest

from sk_brainmae.scans import Window, validate_scans
from sk_brainmae.scans.covariance import PAIRED_FRAMES, region_covariance, window_covariance


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


@pytest.mark.parametrize("n_frames", [PAIRED_FRAMES + k for k in (-1, 0, 1, 2, 8)] + [1200])
def test_blocks_of_a_long_run_give_the_covariance_of_all_its_windows(n_frames):
    run = np.random.default_rng(0).normal(size=(n_frames, 3)).cumsum(axis=0)
    cohort = validate_scans([run])
    windows = np.lib.stride_tricks.sliding_window_view(cohort.frames.astype(float), 5, axis=0)
    expected = np.einsum("tna,tnb->ab", windows, windows) / (3 * len(windows))
    np.testing.assert_allclose(window_covariance(cohort, 5), expected, rtol=1e-6)


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


@pytest.mark.parametrize("what", ["validate", "resample", "window", "censored window", "region"])
def test_memory_of_a_long_run_grows_with_its_frames(what):
    def peak(n_frames):
        run = np.random.default_rng(0).normal(size=(n_frames, 3))
        cohort = validate_scans([run])
        if what == "censored window":
            run[100:200] = np.nan
            with pytest.warns(UserWarning, match="missing values"):
                cohort = validate_scans([run])
        tracemalloc.start()
        if what == "validate":
            validate_scans([run])
        elif what == "resample":
            validate_scans([run], t_r=1.0, grid=2.0)
        elif what == "region":
            region_covariance(cohort, np.eye(20))
        else:
            window_covariance(cohort, 20)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(1000)  # imports and caches
    assert peak(40_000) < 2.1 * peak(20_000)
