"""The signal of the training cohort, and samples as second-order views read them."""

import numpy as np
import pytest

from sk_brainmae.embedding.signal import (
    PREDICTION_WINDOWS,
    SMALLEST_TEMPORAL_VARIANCE,
    _innovations,
    _innovations_of_seen,
    fit_signal,
    frame_covariance,
    innovations,
    read_sample,
)
from sk_brainmae.timeseries import Window, censor, validate_scans

N_REGIONS, WINDOW = 10, 8


@pytest.fixture(scope="module")
def signal(scans):
    return fit_signal(validate_scans(scans), WINDOW)


# --- what is learned ----------------------------------------------------------------------------


def test_covariance_is_the_mean_correlation_of_scans_of_one_length(scans, signal):
    expected = np.mean([np.corrcoef(scan, rowvar=False) for scan in scans], axis=0)
    np.testing.assert_allclose(signal.covariance, expected, atol=1e-5)


def test_temporal_components_of_the_training_windows_are_white(scans, signal, written):
    z = [written.zscore(scan) for scan in scans.astype(float)]
    covariance = written.frame_covariance(z, WINDOW)
    components = signal.temporal_components
    np.testing.assert_allclose(components.T @ covariance @ components, np.eye(WINDOW), atol=1e-4)
    strength = np.linalg.norm(components, axis=0)
    assert (np.diff(strength) > 0).all(), "strongest component, smallest factor, first"
    assert signal.window == WINDOW


def test_innovation_filters_are_made_from_the_covariance_of_successive_frames(
    scans, signal, written
):
    n_frames = PREDICTION_WINDOWS * WINDOW
    z = [written.zscore(scan) for scan in scans.astype(float)]
    expected = written.frame_covariance(z, n_frames) + SMALLEST_TEMPORAL_VARIANCE * np.eye(n_frames)
    np.testing.assert_allclose(frame_covariance(signal.innovation_filters), expected, atol=1e-4)


def test_training_scans_shorter_than_the_prediction_use_the_frames_they_have(scans):
    short = fit_signal(validate_scans(scans[:, :12]), WINDOW)
    assert len(short.innovation_filters) == 12


@pytest.mark.filterwarnings("ignore:constant regions")
def test_covariance_counts_the_runs_that_have_both_regions(scans):
    incomplete = scans.copy()
    incomplete[:4, :, 0] = 0
    covariance = fit_signal(validate_scans(incomplete), WINDOW).covariance
    expected = np.mean([np.corrcoef(scan, rowvar=False) for scan in scans[4:]], axis=0)
    np.testing.assert_allclose(covariance[0], expected[0], atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*more regions than frames")
def test_a_run_shorter_than_a_window_raises(scans, signal):
    short = validate_scans([scans[0, :7, :]] * 2, n_regions=N_REGIONS)
    with pytest.raises(ValueError, match="7 frames, fewer than one window of 8"):
        fit_signal(short, WINDOW)


# --- samples ------------------------------------------------------------------------------------


def test_a_moment_is_float64_complete_and_keeps_its_mean_in_the_run(scans, signal):
    cohort = validate_scans([Window(scans[0], 20, 50)])
    sample = read_sample(cohort, 0, signal)
    assert sample.frames.dtype == float
    z = (scans[0] - scans[0].mean(axis=0)) / scans[0].std(axis=0)
    np.testing.assert_allclose(sample.frames, z[20:50], atol=1e-4)
    assert sample.seen is None
    assert sample.observed.all()


def test_a_moment_shorter_than_a_window_is_widened_evenly(scans, signal):
    short = [Window(scans[0], 21, 23), Window(scans[0], 0, 1), Window(scans[0], 79, 80)]
    wide = [Window(scans[0], 18, 26), Window(scans[0], 0, 8), Window(scans[0], 72, 80)]
    for a, b in zip(short, wide, strict=True):
        ours, theirs = (read_sample(validate_scans([moment]), 0, signal) for moment in (a, b))
        np.testing.assert_array_equal(ours.frames, theirs.frames)


def test_a_single_frame_raises_by_the_number_of_its_scan(scans):
    signal = fit_signal(validate_scans(scans), 1)
    cohort = validate_scans([scans[0], Window(scans[0], 5, 6)])
    with pytest.raises(ValueError, match=r"scan 1 has a single frame.*two frames or more"):
        read_sample(cohort, 1, signal)


@pytest.mark.filterwarnings("ignore:.*missing values")
def test_censored_frames_are_not_seen_and_are_0(scans, signal):
    cohort = validate_scans([censor(scans[0], [3, 40])])
    sample = read_sample(cohort, 0, signal)
    assert np.flatnonzero(~sample.seen).tolist() == [3, 40]
    assert not sample.frames[[3, 40]].any()
    np.testing.assert_allclose(sample.frames[sample.seen].mean(axis=0), 0, atol=1e-6)
    assert innovations(sample, signal).shape == (78, N_REGIONS)


@pytest.mark.filterwarnings("ignore:constant regions")
def test_a_missing_region_is_expected_from_the_others_with_what_is_unexplained(scans, signal):
    incomplete = scans[0].copy()
    incomplete[:, 3] = 0
    sample = read_sample(validate_scans([incomplete]), 0, signal)
    others = np.delete(np.arange(N_REGIONS), 3)
    C = signal.covariance
    weights = np.linalg.solve(C[np.ix_(others, others)] + 0.05 * np.eye(9), C[others, 3])
    np.testing.assert_allclose(sample.frames[:, 3], sample.frames[:, others] @ weights, atol=1e-4)
    assert sample.unexplained[3, 3] == pytest.approx(C[3, 3] - weights @ C[others, 3], rel=1e-4)
    assert sample.observed.tolist() == [i != 3 for i in range(N_REGIONS)]


# --- innovations --------------------------------------------------------------------------------


def test_innovations_are_residuals_of_a_regression_on_the_frames_before(scans, signal):
    """Over their standard deviation, from the covariance of successive frames."""
    sample = read_sample(validate_scans(scans[:1]), 0, signal)
    K = frame_covariance(signal.innovation_filters)
    ours = innovations(sample, signal)
    for t in (0, 1, 5, 40, 79):
        p = min(t, len(K) - 1)
        weights = np.linalg.solve(K[:p, :p], K[:p, p])
        variance = K[p, p] - weights @ K[:p, p]
        residual = sample.frames[t] - weights @ sample.frames[t - p : t]
        np.testing.assert_allclose(ours[t], residual / np.sqrt(variance), atol=1e-6)


def test_innovations_across_gaps_are_those_of_complete_scans_where_there_are_none():
    frames = np.random.default_rng(0).normal(size=(60, 3)).cumsum(axis=0)
    covariance = np.exp(-np.abs(np.subtract.outer(np.arange(10), np.arange(10))) / 5)
    filters = np.linalg.inv(np.linalg.cholesky(covariance))
    complete = _innovations(frames, filters)
    seen = np.ones(60, dtype=bool)
    np.testing.assert_allclose(_innovations_of_seen(frames, seen, filters), complete)
    seen[30] = False
    ours = _innovations_of_seen(np.where(seen[:, None], frames, 0), seen, filters)
    # This process has no memory but its last frame: only the frame after the gap differs,
    # predicted from the one before by r^2.
    r = np.exp(-1 / 5)
    expected = (frames[31] - r**2 * frames[29]) / np.sqrt(1 - r**4)
    np.testing.assert_allclose(ours[30], expected)
    np.testing.assert_allclose(np.delete(ours, 30, axis=0), np.delete(complete, [30, 31], axis=0))
