"""What scans are refused for, and what is warned of."""

import numpy as np
import pytest

from sk_brainmae.scans import Window, validate_scans

pytestmark = pytest.mark.filterwarnings("error")


@pytest.mark.parametrize("odd", [0, 1, 4])
@pytest.mark.parametrize("n_regions", [3, 9])
def test_one_odd_scan_is_named_with_its_region_count(scan, cohort_of, odd, n_regions):
    X = list(cohort_of(5))
    X[odd] = scan(30, n_regions)
    with pytest.raises(ValueError, match=f"scan {odd} has {n_regions} regions, the others have 4"):
        validate_scans(X)


def test_odd_moment_is_named_by_its_place_in_the_input(scan):
    run = scan()
    X = [Window(run, 0, 9), Window(run, 9, 18), scan(20), Window(scan(30, 5), 0, 9)]
    with pytest.raises(ValueError, match="scan 3 has 5 regions"):
        validate_scans(X)


def test_other_region_count_than_the_model_raises_with_both(cohort_of):
    with pytest.raises(ValueError, match="have 4 regions, but the model was fitted on 7"):
        validate_scans(cohort_of(), n_regions=7)
    assert validate_scans(cohort_of(), n_regions=4).n_regions == 4


def test_scan_that_differs_from_the_model_is_the_one_that_is_named():
    scans = [np.random.default_rng(0).normal(size=(30, n)) for n in (5, 5, 4)]
    with pytest.raises(ValueError, match="scan 0 has 5 regions, the model was fitted on 4"):
        validate_scans(scans, n_regions=4)


@pytest.mark.parametrize(
    "mask",
    [np.zeros((29, 4), dtype=bool), np.zeros((30, 4)), np.zeros(30, dtype=bool)],
    ids=["shape", "dtype", "1d"],
)
def test_mask_unlike_its_scan_raises_naming_it(scan, mask):
    with pytest.raises(ValueError, match=r"mask 1 .* shape \(30, 4\)"):
        validate_scans([scan(), scan()], hidden=[np.zeros((30, 4), dtype=bool), mask])


def test_wrong_number_of_masks_raises(scan):
    with pytest.raises(ValueError, match="1 masks for 2 scans"):
        validate_scans([scan(), scan()], hidden=[np.zeros((30, 4), dtype=bool)])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, object])
def test_value_that_is_not_finite_raises_naming_scan_frame_and_region(cohort_of, value, dtype):
    X = list(cohort_of())
    X[1][[17, 20], [3, 1]] = value
    X[1] = X[1].astype(dtype)
    where = rf"scan 1 has {value} at frame 17, region 3 \(2 values"
    with pytest.raises(ValueError, match=where):
        validate_scans(X, missing="raise")


def test_infinite_value_raises_even_where_missing_ones_are_masked(cohort_of):
    X = cohort_of()
    X[1, 3, 2], X[1, 17, 3] = np.nan, -np.inf
    with pytest.raises(ValueError, match=r"scan 1 has -inf at frame 17, region 3 \(2 values"):
        validate_scans(X)


def test_nan_outside_the_moments_of_a_run_raises_too(scan):
    run = scan()
    run[25, 2] = np.nan
    with pytest.raises(ValueError, match=r"scan 1 has nan at frame 25, region 2.*missing='mask'"):
        validate_scans([scan(seed=1), Window(run, 0, 9)], missing="raise")


def test_masked_values_of_a_masked_array_raise_as_missing(scan):
    masked = np.ma.masked_array(scan(), np.eye(30, 4, dtype=bool))
    with pytest.raises(ValueError, match="scan 0 has nan"):
        validate_scans([masked], missing="raise")


@pytest.mark.parametrize(("missing", "share"), [(np.s_[:16], "53%"), (np.s_[:, :3], "75%")])
def test_scan_that_lacks_more_than_half_raises_naming_it_and_its_share(scan, missing, share):
    x = scan()
    x[missing] = np.nan
    with pytest.raises(ValueError, match=f"scan 1 lacks {share} .*more than the 50%.*leave it out"):
        validate_scans([scan(), x])


def test_fill_values_too_large_to_square_raise():
    scan = np.random.default_rng(0).normal(size=(20, 3))
    scan[4, 1] = -1e300
    with pytest.raises(ValueError, match=r"scan 0 has -1e\+300 at frame 4, region 1 \(1 values"):
        validate_scans([scan])


@pytest.mark.parametrize("value", [0, 1, 0.1, 123456.7])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_frames", [30, 50, 97])
def test_scan_constant_in_every_region_raises(scan, value, dtype, n_frames):
    """The sum of many 0.1 is not a multiple of 0.1: rounding must not pass for signal."""
    with pytest.raises(ValueError, match="scan 1 is constant in every region"):
        validate_scans([scan(), np.full((n_frames, 4), value, dtype=dtype)])


# Warnings


def test_short_moments_of_a_long_run_are_no_transposed_scans(scan):
    run = scan(30, 20)
    assert len(validate_scans([Window(run, 0, 5), Window(run, 5, 10)])) == 2


def test_constant_regions_of_moments_warn_once_a_run(scan):
    run = scan()
    run[:, 3] = 0
    with pytest.warns(UserWarning, match=r"missing: scan 0: \[3\]$") as caught:
        validate_scans([Window(run, i, i + 5) for i in range(10)])
    assert len(caught) == 1


def test_many_scans_with_constant_regions_are_listed_in_short(cohort_of):
    X = cohort_of(9)
    X[:, :, 1] = 0
    with pytest.warns(UserWarning, match="scan 4.*; and 4 more scans$") as caught:
        validate_scans(X)
    assert "scan 5" not in str(caught[0].message)


def test_scans_coarser_than_the_grid_warn_with_what_they_lack(cohort_of):
    with pytest.warns(UserWarning, match=r"1 of 3 scans .* up to 2.0 s.*above 0.25 Hz"):
        validate_scans(cohort_of(), t_r=[0.72, 2.0, 0.72], grid=0.72)
