"""Signal, gaps and lengths of scans at another repetition time."""

import numpy as np
import pytest

from sk_brainmae.scans import Window, resample_scan, validate_scans
from sk_brainmae.scans.resampling import share_of_frames


def sinusoid(frequency, t_r, n_frames, phase=0.3):
    time = t_r * np.arange(n_frames)
    return np.sin(2 * np.pi * frequency * time + phase)[:, None]


@pytest.mark.parametrize(("t_r", "to"), [(0.72, 2.0), (2.0, 0.72), (1.302, 2.0), (0.8, 0.735)])
@pytest.mark.parametrize("share", [0.05, 0.4, 0.75])
def test_sinusoid_below_both_nyquist_frequencies_survives_to_two_percent(t_r, to, share):
    frequency = share * 0.5 / max(t_r, to)
    n_frames = round(600 / t_r)
    resampled = resample_scan(sinusoid(frequency, t_r, n_frames), t_r, to)
    expected = sinusoid(frequency, to, len(resampled))
    inside = slice(20, -20)  # the ends can only be guessed
    np.testing.assert_allclose(resampled[inside], expected[inside], atol=0.02)


@pytest.mark.parametrize("frequency", [0.31, 0.4, 0.5, 0.69])
def test_sinusoid_above_the_new_nyquist_frequency_is_removed_and_not_aliased(frequency):
    scan = sinusoid(frequency, 0.72, 1200)
    resampled = resample_scan(scan, 0.72, 2.0)
    assert np.abs(resampled[20:-20]).max() < 0.02
    assert np.abs(scan[::3]).max() > 0.9  # what dropping frames would leave


def test_slow_signal_has_no_transients_at_its_ends():
    scan = 3 + sinusoid(0.01, 0.72, 400)
    resampled = resample_scan(scan, 0.72, 2.0)
    np.testing.assert_allclose(resampled, 3 + sinusoid(0.01, 2.0, len(resampled)), atol=0.01)


@pytest.mark.parametrize("n_frames", [1, 2, 25, 1200])
@pytest.mark.parametrize(("t_r", "to"), [(0.72, 2.0), (2.0, 0.72), (1.0, 1.0), (1.302, 2.0)])
def test_length_covers_the_same_time(n_frames, t_r, to):
    resampled = resample_scan(np.ones((n_frames, 2)), t_r, to)
    assert len(resampled) == np.ceil(round(n_frames * t_r / to, 9))
    np.testing.assert_allclose(resampled, 1)


@pytest.mark.parametrize("value", [0.1, 1e6])
def test_constant_region_stays_constant_next_to_one_that_is_not(value):
    scan = np.hstack([np.full((100, 1), value), sinusoid(0.05, 0.72, 100)])
    resampled = resample_scan(scan, 0.72, 1.3)
    assert np.ptp(resampled[:, 0]) < 1e-12 * value


def test_resampling_there_and_back_returns_slow_signal():
    scan = sinusoid(0.03, 0.72, 500)
    back = resample_scan(resample_scan(scan, 0.72, 2.0), 2.0, 0.72)
    np.testing.assert_allclose(back[30:470], scan[30:470], atol=1e-3)


def test_gap_is_a_gap_again_and_what_was_in_it_is_never_read():
    scan = np.hstack([sinusoid(0.02, 1.0, 100), sinusoid(0.03, 1.0, 100)])
    scan[40:50, 0] = np.nan
    resampled = resample_scan(scan, 1.0, 2.0)
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(resampled[:, 0])), np.arange(20, 25))
    assert np.isfinite(resampled[:, 1]).all()


def test_region_without_any_value_stays_without():
    scan = np.hstack([sinusoid(0.02, 1.0, 50), np.full((50, 1), np.nan)])
    resampled = resample_scan(scan, 1.0, 2.0)
    assert np.isnan(resampled[:, 1]).all()
    assert np.isfinite(resampled[:, 0]).all()


def test_share_of_frames_is_the_share_of_their_time():
    cells = np.zeros((10, 1), dtype=bool)
    cells[3:5] = True  # from 2.5 s to 4.5 s; frames of 2 s begin at -1, 1, 3, 5 and 7 s
    np.testing.assert_allclose(share_of_frames(cells, 1.0, 2.0)[:, 0], [0, 0.25, 0.75, 0, 0])
    np.testing.assert_allclose(share_of_frames(cells, 1.0, 4.0)[:, 0], [0, 0.5, 0])
    np.testing.assert_array_equal(share_of_frames(cells[:5], 1.0, 0.25)[-3:, 0], [1, 1, 1])


def test_what_is_known_beside_a_gap_is_signal_and_no_bridge():
    errors = []
    for n_before in range(60, 80):
        scan = sinusoid(0.05, 2.0, 200)
        scan[n_before : n_before + 5] = np.nan
        resampled = resample_scan(scan, 2.0, 0.72)
        errors.append((resampled - sinusoid(0.05, 0.72, len(resampled)))[20:-20])
    assert np.nanmax(np.abs(errors)) < 0.3  # 0.47 where a frame counts from its time on


@pytest.mark.parametrize("times", [(0.0, 2.0), (-1.0, 2.0), (2.0, 0.0), (2.0, np.inf), (0.05, 2.0)])
def test_repetition_times_that_make_no_sense_raise(times):
    with pytest.raises(ValueError, match="repetition time"):
        resample_scan(np.zeros((30, 2)), *times)


@pytest.mark.parametrize(
    ("t_r", "grid", "error", "message"),
    [
        ([0.7, 2.0], None, ValueError, "the model has none: set its t_r"),
        ([0.7], 2.0, ValueError, "1 values of t_r for 3 scans"),
        ([0.7] * 4, 2.0, ValueError, "4 values of t_r for 3 scans"),
        ([2.0, -0.7, 2.0], 2.0, ValueError, "t_r of scan 1 must be a positive number.*-0.7"),
        ([2.0, 2.0, 0.0], 2.0, ValueError, "t_r of scan 2 must be a positive"),
        ([2.0, np.nan, 2.0], 2.0, ValueError, "t_r of scan 1 must be a positive.*nan"),
        ([2.0, None, 2.0], 2.0, TypeError, "t_r of scan 1 must be a number of seconds, got None"),
        ([2.0, "2", 2.0], 2.0, TypeError, "t_r of scan 1 must be a number of seconds, got '2'"),
        ("2", 2.0, TypeError, "t_r must be a number of seconds, got '2'"),
        (True, 2.0, TypeError, "t_r must be a number of seconds, got True"),
        ([720, 720, 720], 2.0, ValueError, "t_r of scan 0 is 720 s.*milliseconds"),
        (-1.0, 2.0, ValueError, "t_r must be a positive"),
    ],
)
def test_repetition_times_that_cannot_be_used_raise_naming_the_scan(
    cohort_of, t_r, grid, error, message
):
    with pytest.raises(error, match=message):
        validate_scans(cohort_of(), t_r=t_r, grid=grid)


def test_moments_of_one_run_with_two_repetition_times_raise(scan):
    run = scan()
    with pytest.raises(ValueError, match=r"t_r of scan 1 is 1.0 s, but scan 0.*has 2.0 s"):
        validate_scans([Window(run, 0, 9), Window(run, 9, 18)], t_r=[2.0, 1.0], grid=2.0)
