"""Moments of scans, and scans with censored frames."""

import numpy as np
import pandas as pd
import pytest

from sk_brainmae.scans import Window, censor

pytestmark = pytest.mark.filterwarnings("error")


def test_moment_is_its_own_frames_as_an_array(scan):
    run = scan()
    window = Window(run, 5, 12)
    assert window.shape == (7, 4)
    assert len(window) == 7
    assert (window.scan is run, window.start, window.stop) == (True, 5, 12)
    np.testing.assert_array_equal(np.asarray(window), run[5:12])
    assert np.asarray(window, dtype=np.float32).dtype == np.float32
    assert "start=5, stop=12" in repr(window)


def test_moment_of_a_dataframe_is_its_own_frames(scan):
    run = scan()
    window = Window(pd.DataFrame(run, index=np.arange(30) * 2.0), 5, 12)
    assert window.shape == (7, 4)
    np.testing.assert_array_equal(np.asarray(window), run[5:12])


@pytest.mark.parametrize(("start", "stop"), [(-1, 5), (5, 5), (6, 5), (0, 31), (30, 31)])
def test_moment_outside_its_scan_raises(scan, start, stop):
    with pytest.raises(ValueError, match=rf"\[{start}, {stop}\).* 30 frames"):
        Window(scan(), start, stop)


def test_moment_at_a_fraction_of_a_frame_raises():
    with pytest.raises(TypeError, match="integer"):
        Window(np.zeros((30, 4)), 1.0, 9)


@pytest.mark.parametrize(
    ("frames", "error", "message"),
    [
        (np.zeros(29, dtype=bool), ValueError, "29 censoring flags for a scan of 30 frames"),
        ([30], IndexError, "30"),
    ],
)
def test_censoring_frames_that_a_scan_does_not_have_raises(scan, frames, error, message):
    with pytest.raises(error, match=message):
        censor(scan(), frames)
