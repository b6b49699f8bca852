"""What validate_scans refuses or warns about; test_timeseries.py has what it returns."""

import re

import numpy as np
import pandas as pd
import pytest

from sk_brainmae.resampling import resample_scan
from sk_brainmae.scans.validate import as_list
from sk_brainmae.timeseries import Window, censor, validate_scans

pytestmark = pytest.mark.filterwarnings("error")


def scan(n_frames=30, n_regions=4, seed=0):
    return np.random.default_rng(seed).normal(size=(n_frames, n_regions))


def cohort_of(n_scans=3):
    return np.stack([scan(seed=seed) for seed in range(n_scans)])


@pytest.mark.parametrize(
    "single", [scan(), pd.DataFrame(scan()), Window(scan(), 0, 9)], ids=["array", "frame", "window"]
)
def test_single_scan_alone_raises_saying_how_to_pass_it(single):
    shape = re.escape(str(single.shape))
    with pytest.raises(ValueError, match=rf"single scan of shape {shape}.*pass \[X\]"):
        validate_scans(single)


@pytest.mark.parametrize("odd", [0, 1, 4])
@pytest.mark.parametrize("n_regions", [3, 9])
def test_one_odd_scan_is_named_with_its_region_count(odd, n_regions):
    X = list(cohort_of(5))
    X[odd] = scan(30, n_regions)
    with pytest.raises(ValueError, match=f"scan {odd} has {n_regions} regions, the others have 4"):
        validate_scans(X)


def test_odd_window_is_named_by_its_place_in_the_input():
    run = scan()
    X = [Window(run, 0, 9), Window(run, 9, 18), scan(20), Window(scan(30, 5), 0, 9)]
    with pytest.raises(ValueError, match="scan 3 has 5 regions"):
        validate_scans(X)


def test_other_region_count_than_the_model_raises_with_both():
    with pytest.raises(ValueError, match="have 4 regions, but the model was fitted on 7"):
        validate_scans(cohort_of(), n_regions=7)
    assert validate_scans(cohort_of(), n_regions=4).n_regions == 4


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, object])
def test_value_that_is_not_finite_raises_naming_scan_frame_and_region(value, dtype):
    X = list(cohort_of())
    X[1][[17, 20], [3, 1]] = value
    X[1] = X[1].astype(dtype)
    where = rf"scan 1 has {value} at frame 17, region 3 \(2 values"
    with pytest.raises(ValueError, match=where):
        validate_scans(X, missing="raise")


def test_infinite_value_raises_even_where_missing_ones_are_masked():
    X = cohort_of()
    X[1, 3, 2], X[1, 17, 3] = np.nan, -np.inf
    with pytest.raises(ValueError, match=r"scan 1 has -inf at frame 17, region 3 \(2 values"):
        validate_scans(X)


def test_nan_outside_the_windows_of_a_run_raises_too():
    run = scan()
    run[25, 2] = np.nan
    with pytest.raises(ValueError, match=r"scan 1 has nan at frame 25, region 2.*missing='mask'"):
        validate_scans([scan(seed=1), Window(run, 0, 9)], missing="raise")


def test_transposed_scans_warn_naming_the_first():
    X = [scan(), scan(seed=1)[:3]]
    with pytest.warns(UserWarning, match=r"1 of 2 scans .* scan 1 \(4 and 3\).*transpose"):
        validate_scans(X)


def test_short_windows_of_a_long_run_are_no_transposed_scans():
    run = scan(30, 20)
    assert len(validate_scans([Window(run, 0, 5), Window(run, 5, 10)])) == 2


@pytest.mark.parametrize(
    "empty", [[], (), np.empty((0, 30, 4)), np.empty(0), pd.Series([], dtype=object)]
)
def test_empty_cohort_raises(empty):
    with pytest.raises(ValueError, match="holds no scans"):
        validate_scans(empty)


@pytest.mark.parametrize(
    ("X", "kind"),
    [
        ("scans.npy", "str"),
        (None, "NoneType"),
        (3.5, "float"),
        ({"sub-01": scan()}, "dict"),
        ((scan() for _ in range(2)), "generator"),
        (np.zeros((2, 3, 30, 4)), "ndarray"),
    ],
    ids=["string", "None", "number", "dict", "generator", "4d"],
)
def test_what_is_no_cohort_raises_type_error_naming_its_type(X, kind):
    with pytest.raises(TypeError, match=f"list of scans.*got {kind}"):
        validate_scans(X)


@pytest.mark.parametrize(
    "bad",
    [
        "sub-01.npy",
        scan().astype(str),
        np.zeros((30, 4), dtype="M8[s]"),
        pd.DataFrame({"a": ["x"]}),
    ],
    ids=["path", "strings", "dates", "frame-of-strings"],
)
def test_scan_that_holds_no_numbers_raises_type_error_naming_it(bad):
    with pytest.raises(TypeError, match="scan 1 holds"):
        validate_scans([scan(), bad])


def test_complex_scan_raises_naming_it():
    with pytest.raises(ValueError, match="Complex data not supported: scan 1"):
        validate_scans([scan(), scan() + 1j])


@pytest.mark.parametrize(
    ("bad", "shape"),
    [
        (np.zeros(30), "(30,)"),
        (np.zeros((2, 30, 4)), "(2, 30, 4)"),
        (np.zeros((0, 4)), "(0, 4)"),
        (np.zeros((30, 0)), "(30, 0)"),
        (3.5, "()"),
    ],
)
def test_scan_that_is_no_matrix_raises_with_its_shape(bad, shape):
    with pytest.raises(ValueError, match=rf"scan 1 has shape {re.escape(shape)}"):
        validate_scans([scan(), bad])


def test_scan_of_rows_of_unequal_length_raises():
    with pytest.raises(ValueError, match=r"scan 0 is no matrix.*inhomogeneous"):
        validate_scans([[[1.0, 2.0], [3.0]]])


def test_masked_values_of_a_masked_array_raise_as_missing():
    masked = np.ma.masked_greater(scan(), 1.5)
    with pytest.raises(ValueError, match="scan 0 has nan"):
        validate_scans([masked], missing="raise")


class ReadMasked:
    """A variable of a netCDF file: no array, but its scans are read as masked ones."""

    ndim, shape = 3, (1, 30, 4)

    def __len__(self):
        return 1

    def __getitem__(self, i):
        return np.ma.masked_greater(scan(), 1.5)


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
    masked = np.ma.masked_greater(scan(), 1.5)
    np.testing.assert_array_equal(pass_on(masked), masked.filled(np.nan))


def test_unknown_policy_for_missing_values_raises():
    with pytest.raises(ValueError, match="missing='ignore' must be 'mask' or 'raise'"):
        validate_scans(cohort_of(), missing="ignore")


def mostly_missing(what):
    x = scan()
    if what == "frames":
        x[:16] = np.nan
    else:
        x[:, :3] = np.nan
    return x


@pytest.mark.parametrize(("what", "share"), [("frames", "53%"), ("regions", "75%")])
def test_scan_that_lacks_more_than_half_raises_naming_it_and_its_share(what, share):
    with pytest.raises(ValueError, match=f"scan 1 lacks {share} .*more than the 50%.*leave it out"):
        validate_scans([scan(), mostly_missing(what)])


def test_window_that_was_mostly_censored_raises_naming_it():
    run = scan()
    run[10:15] = np.nan
    X = [Window(run, 0, 9), Window(run, 8, 16)]
    with (
        pytest.warns(UserWarning, match="missing values"),
        pytest.raises(ValueError, match="scan 1 lacks 62% of the values in its frames"),
    ):
        validate_scans(X)


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
def test_repetition_times_that_cannot_be_used_raise_naming_the_scan(t_r, grid, error, message):
    with pytest.raises(error, match=message):
        validate_scans(cohort_of(), t_r=t_r, grid=grid)


def test_windows_of_one_run_with_two_repetition_times_raise():
    run = scan()
    with pytest.raises(ValueError, match=r"t_r of scan 1 is 1.0 s, but scan 0.*has 2.0 s"):
        validate_scans([Window(run, 0, 9), Window(run, 9, 18)], t_r=[2.0, 1.0], grid=2.0)


def test_scans_coarser_than_the_grid_warn_with_what_they_lack():
    with pytest.warns(UserWarning, match=r"1 of 3 scans .* up to 2.0 s.*above 0.25 Hz"):
        validate_scans(cohort_of(), t_r=[0.72, 2.0, 0.72], grid=0.72)


@pytest.mark.parametrize(
    ("frames", "error", "message"),
    [
        (np.zeros(29, dtype=bool), ValueError, "29 censoring flags for a scan of 30 frames"),
        ([30], IndexError, "30"),
    ],
)
def test_censoring_frames_that_a_scan_does_not_have_raises(frames, error, message):
    with pytest.raises(error, match=message):
        censor(scan(), frames)


@pytest.mark.parametrize("value", ["1.5", b"1.5", np.complex64(1 + 2j)])
def test_objects_that_numpy_would_turn_into_numbers_raise(value):
    odd = scan().astype(object)
    odd[3, 1] = value
    with pytest.raises(TypeError, match=r"scan 0 holds values that are not numbers: .* no real"):
        validate_scans([odd])


def test_scan_that_differs_from_the_model_is_the_one_that_is_named():
    scans = [np.random.default_rng(0).normal(size=(30, n)) for n in (5, 5, 4)]
    with pytest.raises(ValueError, match="scan 0 has 5 regions, the model was fitted on 4"):
        validate_scans(scans, n_regions=4)


def test_window_at_a_fraction_of_a_frame_raises():
    with pytest.raises(TypeError, match="integer"):
        Window(np.zeros((30, 4)), 1.0, 9)


def test_fill_values_too_large_to_square_raise():
    scan = np.random.default_rng(0).normal(size=(20, 3))
    scan[4, 1] = -1e300
    with pytest.raises(ValueError, match=r"scan 0 has -1e\+300 at frame 4, region 1 \(1 values"):
        validate_scans([scan])
