"""Missing values in validated scans: means, counts, warnings, covariances."""

import numpy as np
import pytest

from sk_brainmae.datasets import make_cohort
from sk_brainmae.scans.covariance import region_covariance, window_covariance
from sk_brainmae.timeseries import censor, validate_scans

pytestmark = pytest.mark.filterwarnings("ignore:.*scans have missing values")
N_REGIONS, WINDOW = 20, 8


@pytest.fixture(scope="module")
def scans():
    cohort = make_cohort(n_scans=30, n_timepoints=160, n_regions=N_REGIONS, t_r=2.0, random_state=0)
    cohort.scans.flags.writeable = False
    return cohort.scans


def censor_some(scan, seed, share=0.1):
    return censor(scan, np.random.default_rng(seed).random(len(scan)) < share)


def test_mean_and_scale_are_those_of_the_measured_values(scans):
    x = scans[0].astype(float)
    x[10:30] = np.nan
    x[50:53, 4] = np.nan
    cohort = validate_scans([x])
    np.testing.assert_allclose(cohort.mean[0], np.nanmean(x, axis=0), rtol=1e-12)
    np.testing.assert_allclose(cohort.scale[0], np.nanstd(x, axis=0), rtol=1e-12)
    np.testing.assert_array_equal(cohort.missing, np.isnan(x))
    assert not cohort.frames[cohort.missing].any()
    assert cohort.observed.all()


def test_region_that_lacks_more_than_half_of_its_frames_is_missing_and_no_gap(scans):
    x = scans[0].copy()
    x[:81, 3] = np.nan
    x[:, 7] = np.nan
    x[:80, 5] = np.nan
    cohort = validate_scans([x])
    assert np.flatnonzero(~cohort.observed[0]).tolist() == [3, 7]
    assert not cohort.frames[:, [3, 7]].any()
    assert np.argwhere(cohort.missing)[:, 1].tolist() == [5] * 80


def test_complete_cohort_and_one_of_missing_regions_alone_hold_no_gaps(scans):
    x = scans[0].copy()
    x[:, 2] = np.nan
    assert validate_scans(scans[:2]).missing is None
    cohort = validate_scans([x])
    assert cohort.missing is None
    assert cohort.known(0).shape == (N_REGIONS,)


@pytest.mark.filterwarnings("error")
def test_one_warning_counts_what_is_missing_in_which_scans(scans):
    X = list(scans[:4])
    X[1] = censor(X[1], [3, 4, 90])
    X[1][:, 5] = np.nan
    X[3] = X[3].copy()
    X[3][7, 7] = np.nan
    match = "2 of 4 scans .* scan 1: 3 frames, 1 regions; scan 3: 1 other values$"
    with pytest.warns(UserWarning, match=match) as caught:
        validate_scans(X)
    assert len(caught) == 1


def test_constant_and_missing_regions_are_told_apart(scans):
    x = scans[0].copy()
    x[:, 2], x[:, 4] = np.nan, 7.0
    with (
        pytest.warns(UserWarning, match=r"constant regions.*: scan 0: \[4\]$"),
        pytest.warns(UserWarning, match="missing values.*: scan 0: 1 regions$"),
    ):
        cohort = validate_scans([x])
    assert np.flatnonzero(~cohort.observed[0]).tolist() == [2, 4]


def test_masked_array_is_a_scan_with_gaps(scans):
    mask = np.random.default_rng(0).random(scans[0].shape) < 0.1
    masked = np.ma.array(scans[0], mask=mask)
    ours, theirs = validate_scans([masked]), validate_scans([np.where(mask, np.nan, scans[0])])
    np.testing.assert_array_equal(ours.frames, theirs.frames)
    np.testing.assert_array_equal(ours.missing, mask)


@pytest.mark.parametrize("dtype", [np.int16, np.float32, np.float64])
def test_censor_returns_a_copy_with_nan_rows(dtype):
    scan = np.arange(12).reshape(4, 3).astype(dtype)
    before = scan.copy()
    flags = np.array([False, True, False, True])
    for frames in (flags, [1, 3], np.array([1, 3])):
        censored = censor(scan, frames)
        assert np.isnan(censored[[1, 3]]).all()
        np.testing.assert_array_equal(censored[[0, 2]], scan[[0, 2]])
    np.testing.assert_array_equal(censor(scan, []), scan)
    np.testing.assert_array_equal(scan, before)


# --- covariances --------------------------------------------------------------------------------


def test_region_covariance_is_that_of_the_frames_that_are_there(scans):
    censored = [censor(scan, np.arange(seed, 160, 9)) for seed, scan in enumerate(scans[:3])]
    kept = [scan[~np.isnan(scan).any(axis=1)] for scan in censored]
    np.testing.assert_allclose(
        region_covariance(validate_scans(censored)),
        region_covariance(validate_scans(kept)),
        rtol=1e-5,
        atol=1e-6,
    )


def test_region_covariance_counts_pairs_of_regions_that_are_there(scans):
    x = scans[0].astype(float)
    x[:40, 3] = np.nan
    z = (x - np.nanmean(x, axis=0)) / np.nanstd(x, axis=0)
    expected = (z[40:].T @ z[40:] / 120)[3]
    np.testing.assert_allclose(region_covariance(validate_scans([x]))[3], expected, atol=1e-6)


def test_whitened_region_covariance_of_censored_scans_is_near_that_of_complete_ones(scans):
    precision = np.linalg.inv(window_covariance(validate_scans(scans), WINDOW))
    complete, ours, cut = (
        region_covariance(validate_scans(X), precision)
        for X in (
            scans,
            [censor_some(scan, seed) for seed, scan in enumerate(scans)],
            scans[:, :144],
        )
    )
    assert np.abs(ours - complete).max() < 2.5 * np.abs(cut - complete).max()


@pytest.mark.parametrize("n_scans", [1, 30], ids=["pairs", "whole windows"])
def test_window_covariance_of_censored_scans_is_positive_and_near_the_complete_one(scans, n_scans):
    complete = window_covariance(validate_scans(scans[:n_scans]), 12)
    censored = [censor_some(scan, seed) for seed, scan in enumerate(scans[:n_scans])]
    for x in censored:
        x[:, 7] = np.nan
    ours = window_covariance(validate_scans(censored), 12)
    np.testing.assert_allclose(ours, ours.T, atol=1e-12)
    assert np.linalg.eigvalsh(ours)[0] > -1e-12
    assert np.abs(ours - complete).max() < 0.1


# --- scans of another repetition time -----------------------------------------------------------


def test_constant_and_missing_regions_stay_so_when_resampled():
    x = np.random.default_rng(0).normal(size=(500, 12)).cumsum(axis=0)
    x[:, 3], x[:, 5], x[100:110] = 1e5, np.nan, np.nan
    with (
        pytest.warns(UserWarning, match=r"constant .*: scan 0: \[3\]$"),
        pytest.warns(UserWarning, match="10 frames, 1 regions"),
    ):
        cohort = validate_scans([x], t_r=0.72, grid=2.0)
    assert np.flatnonzero(~cohort.observed[0]).tolist() == [3, 5]
    assert np.flatnonzero(cohort.missing[:, 0]).tolist() == [36, 37, 38, 39]  # 72 to 79.2 s
