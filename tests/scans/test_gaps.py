"""Masked values are missing, and lines bridge gaps."""

import numpy as np
import pytest

from sk_brainmae.scans import Window, censor, resample_scan
from sk_brainmae.scans.gaps import bridge_gaps
from sk_brainmae.scans.validate import as_list

MASKED = np.ma.masked_greater(np.random.default_rng(0).normal(size=(30, 4)), 1.5)


class ReadMasked:
    """A variable of a netCDF file: no array, but its scans are read as masked ones."""

    ndim, shape = 3, (1, 30, 4)

    def __len__(self):
        return 1

    def __getitem__(self, i):
        return MASKED


@pytest.mark.parametrize(
    "pass_on",
    [
        lambda masked: censor(masked, []),
        lambda masked: resample_scan(masked, 2.0, 2.0),
        lambda masked: np.asarray(Window(masked, 0, 30)),
        lambda masked: np.asarray(as_list(ReadMasked())[0]),
    ],
    ids=["censor", "resample", "window", "file"],
)
def test_masked_values_stay_missing(pass_on):
    np.testing.assert_array_equal(pass_on(MASKED), MASKED.filled(np.nan))


def test_lines_bridge_gaps_and_the_ends_stay_level():
    signal = np.array([[9.0], [1.0], [9.0], [9.0], [4.0], [9.0]])
    known = np.array([[False], [True], [False], [False], [True], [False]])
    np.testing.assert_allclose(bridge_gaps(signal, known)[:, 0], [1, 1, 2, 3, 4, 4])
    np.testing.assert_array_equal(bridge_gaps(signal, known & False), np.zeros((6, 1)))
