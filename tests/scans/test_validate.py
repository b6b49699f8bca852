"""What validate_scans takes and gives."""

import re

import numpy as np
import pandas as pd
import pytest

from sk_brainmae.scans import Window, validate_scans

pytestmark = pytest.mark.filterwarnings("error")
FIELDS = ["frames", "run_start", "run_length", "observed", "mean", "scale", "runs", "start", "stop"]
SCAN = np.random.default_rng(0).normal(size=(30, 4))


def assert_equal_cohorts(ours, theirs):
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(ours, field), getattr(theirs, field), err_msg=field)
        assert getattr(ours, field).dtype == getattr(theirs, field).dtype


def as_object_array(scans):
    box = np.empty(len(scans), dtype=object)
    box[:] = list(scans)
    return box


def as_memory_map(folder, array):
    np.save(folder / "scans.npy", array)
    return np.load(folder / "scans.npy", mmap_mode="r")


def read_only(array):
    array = array.copy()
    array.setflags(write=False)
    return array


CONTAINERS = {
    "list": list,
    "tuple": tuple,
    "object-array": as_object_array,
    "series": lambda X: pd.Series(list(X)),
    "data-frames": lambda X: [pd.DataFrame(x) for x in X],
    "list-of-nested-lists": lambda X: [x.tolist() for x in X],
    "nested-lists": np.ndarray.tolist,
    "object-3d": lambda X: X.astype(object),
    "object-2d": lambda X: [x.astype(object) for x in X],
    "fortran-order": np.asfortranarray,
    "strided": lambda X: [x[:, ::-1].copy()[:, ::-1] for x in X],
    "read-only-3d": read_only,
    "read-only-list": lambda X: [read_only(x) for x in X],
    "whole-windows": lambda X: [Window(x, 0, len(x)) for x in X],
}


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i2", "i8", "u1", "u8", ">f8"])
def test_every_number_type_becomes_the_same_float32_scan(dtype):
    counts = np.random.default_rng(0).integers(0, 200, size=(30, 4))
    expected = validate_scans([counts.astype(float)])
    assert_equal_cohorts(validate_scans([counts.astype(dtype)]), expected)


@pytest.mark.parametrize("name", CONTAINERS)
def test_every_container_gives_the_same_cohort(cohort_of, name):
    X = cohort_of()
    before = X.copy()
    assert_equal_cohorts(validate_scans(CONTAINERS[name](X)), validate_scans(before))
    np.testing.assert_array_equal(X, before)


def test_memory_maps_give_the_same_cohort_and_keep_their_file(cohort_of, tmp_path):
    X = cohort_of()
    mapped = as_memory_map(tmp_path, X)
    assert_equal_cohorts(validate_scans(mapped), validate_scans(X))
    assert_equal_cohorts(validate_scans(list(mapped)), validate_scans(X))
    np.testing.assert_array_equal(np.load(tmp_path / "scans.npy"), X)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_input_is_neither_changed_nor_shared(cohort_of, dtype):
    X = [x.astype(dtype) for x in cohort_of()]
    before = [x.copy() for x in X]
    cohort = validate_scans(X, hidden=[np.eye(30, 4, dtype=bool)] * 3)
    cohort.frames[:] = 7
    for x, b in zip(X, before, strict=True):
        np.testing.assert_array_equal(x, b)


# Runs and moments of them


def test_moments_and_repeats_of_a_run_keep_it_once(scan):
    run, other = scan(), scan(20, seed=1)
    X = [Window(run, 0, 8), other, run, Window(other, 2, 9), Window(run, 8, 16), run]
    cohort = validate_scans(X)
    assert cohort.frames.shape == (50, 4)
    np.testing.assert_array_equal(cohort.runs, [0, 1, 0, 1, 0, 0])
    np.testing.assert_array_equal(cohort.start, [0, 0, 0, 2, 8, 0])
    np.testing.assert_array_equal(cohort.stop, [8, 20, 30, 9, 16, 30])
    np.testing.assert_array_equal(cohort.run_length, [30, 20])
    np.testing.assert_array_equal(cohort.run_start, [0, 30])
    for item, i in zip(X, range(len(X)), strict=True):
        r = cohort.runs[i]
        frames = cohort.sample(i) * cohort.scale[r] + cohort.mean[r]
        np.testing.assert_allclose(frames, np.asarray(item), rtol=1e-5)


def test_equal_but_distinct_runs_are_kept_apart(scan):
    np.testing.assert_array_equal(validate_scans([scan(), scan()]).runs, [0, 1])


def test_moments_of_a_memory_map_keep_the_run_once(scan, tmp_path):
    run = as_memory_map(tmp_path, scan())
    cohort = validate_scans([Window(run, i, i + 5) for i in range(10)])
    assert cohort.frames.shape == (30, 4)


def test_mask_of_a_moment_hides_cells_of_its_run(scan):
    run = scan()
    mask = np.zeros((5, 4), dtype=bool)
    mask[1, 3] = True
    cohort = validate_scans(
        [scan(20, seed=1), Window(run, 10, 15)], hidden=[np.zeros((20, 4), bool), mask]
    )
    np.testing.assert_array_equal(np.argwhere(cohort.hidden), [[20 + 11, 3]])


def test_scan_given_twice_with_masks_keeps_both(scan):
    x = scan()
    masks = [np.eye(30, 4, k=k, dtype=bool) for k in (0, 1)]
    cohort = validate_scans([x, x], hidden=masks)
    np.testing.assert_array_equal(cohort.runs, [0, 1])
    np.testing.assert_array_equal(cohort.hidden, np.concatenate(masks))


# What is not a cohort


@pytest.mark.parametrize(
    "single", [SCAN, pd.DataFrame(SCAN), Window(SCAN, 0, 9)], ids=["array", "frame", "window"]
)
def test_single_scan_alone_raises_saying_how_to_pass_it(single):
    shape = re.escape(str(single.shape))
    with pytest.raises(ValueError, match=rf"single scan of shape {shape}.*pass \[X\]"):
        validate_scans(single)


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
        ({"sub-01": SCAN}, "dict"),
        ((SCAN for _ in range(2)), "generator"),
        (np.zeros((2, 3, 30, 4)), "ndarray"),
    ],
    ids=["string", "None", "number", "dict", "generator", "4d"],
)
def test_what_is_no_cohort_raises_type_error_naming_its_type(X, kind):
    with pytest.raises(TypeError, match=f"list of scans.*got {kind}"):
        validate_scans(X)


def test_unknown_policy_for_missing_values_raises(cohort_of):
    with pytest.raises(ValueError, match="missing='ignore' must be 'mask' or 'raise'"):
        validate_scans(cohort_of(), missing="ignore")


def test_moment_that_was_mostly_censored_raises_naming_it(scan):
    run = scan()
    run[10:15] = np.nan
    X = [Window(run, 0, 9), Window(run, 8, 16)]
    with (
        pytest.warns(UserWarning, match="missing values"),
        pytest.raises(ValueError, match="scan 1 lacks 62% of the values in its frames"),
    ):
        validate_scans(X)
