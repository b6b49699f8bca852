import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sk_brainmae.timeseries import Window, validate_scans

pytestmark = pytest.mark.filterwarnings("error")
seeded = settings(max_examples=40, deadline=None, derandomize=True)
FIELDS = ["frames", "run_start", "run_length", "observed", "mean", "scale", "runs", "start", "stop"]


def scan(n_frames=30, n_regions=4, seed=0):
    """Return a scan of which every region has its own mean and scale."""
    rng = np.random.default_rng(seed)
    regions = np.arange(1, n_regions + 1)
    return 100.0 * regions + regions * rng.normal(size=(n_frames, n_regions))


def cohort_of(n_scans=3, n_frames=30, n_regions=4):
    return np.stack([scan(n_frames, n_regions, seed) for seed in range(n_scans)])


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


# What a cohort holds


@seeded
@given(
    st.lists(st.integers(5, 40), min_size=1, max_size=5),
    st.integers(1, 5),
    st.integers(0, 10**6),
)
def test_ragged_cohort_is_zscored_per_run_in_float32(lengths, n_regions, seed):
    X = [scan(n, n_regions, seed + i) for i, n in enumerate(lengths)]
    cohort = validate_scans(X)
    assert len(cohort) == len(X)
    assert cohort.n_regions == n_regions
    assert cohort.frames.dtype == np.float32
    assert cohort.frames.shape == (sum(lengths), n_regions)
    assert cohort.observed.all()
    assert cohort.whole_runs
    np.testing.assert_array_equal(cohort.runs, range(len(X)))
    for i, x in enumerate(X):
        expected = (x - x.mean(axis=0)) / x.std(axis=0)
        np.testing.assert_allclose(cohort.sample(i), expected, atol=1e-5)
        np.testing.assert_allclose(cohort.mean[i], x.mean(axis=0))
        np.testing.assert_allclose(cohort.scale[i], x.std(axis=0))


def test_mean_and_scale_give_the_input_back():
    X = cohort_of()
    cohort = validate_scans(X)
    for i, x in enumerate(X):
        np.testing.assert_allclose(
            cohort.sample(i) * cohort.scale[i] + cohort.mean[i], x, rtol=1e-5
        )


def test_runs_are_standardised_each_by_itself():
    alone = validate_scans([scan(seed=0)])
    beside = validate_scans([scan(seed=0), 1000 * scan(seed=1)])
    np.testing.assert_array_equal(beside.sample(0), alone.sample(0))


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i2", "i8", "u1", "u8", ">f8"])
def test_every_number_type_becomes_the_same_float32_scan(dtype):
    counts = np.random.default_rng(0).integers(0, 200, size=(30, 4))
    expected = validate_scans([counts.astype(float)])
    assert_equal_cohorts(validate_scans([counts.astype(dtype)]), expected)


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


@pytest.mark.parametrize("name", CONTAINERS)
def test_every_container_gives_the_same_cohort(name):
    X = cohort_of()
    before = X.copy()
    assert_equal_cohorts(validate_scans(CONTAINERS[name](X)), validate_scans(before))
    np.testing.assert_array_equal(X, before)


def test_memory_maps_give_the_same_cohort_and_keep_their_file(tmp_path):
    X = cohort_of()
    mapped = as_memory_map(tmp_path, X)
    assert_equal_cohorts(validate_scans(mapped), validate_scans(X))
    assert_equal_cohorts(validate_scans(list(mapped)), validate_scans(X))
    np.testing.assert_array_equal(np.load(tmp_path / "scans.npy"), X)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_input_is_neither_changed_nor_shared(dtype):
    X = [x.astype(dtype) for x in cohort_of()]
    before = [x.copy() for x in X]
    cohort = validate_scans(X, hidden=[np.eye(30, 4, dtype=bool)] * 3)
    cohort.frames[:] = 7
    for x, b in zip(X, before, strict=True):
        np.testing.assert_array_equal(x, b)


def test_take_and_as_runs_share_the_frames():
    run = scan()
    cohort = validate_scans([Window(run, 3, 9), scan(20, seed=1), Window(run, 20, 30)])
    some = cohort.take(np.array([2, 0]))
    assert np.shares_memory(some.frames, cohort.frames)
    np.testing.assert_array_equal(some.sample(0), cohort.sample(2))
    np.testing.assert_array_equal(some.sample(1), cohort.sample(0))
    whole = cohort.as_runs()
    assert len(whole) == 2
    assert whole.whole_runs
    assert not cohort.whole_runs
    np.testing.assert_array_equal(whole.sample(0)[3:9], cohort.sample(0))
    np.testing.assert_array_equal(whole.sample(1), cohort.sample(1))


# Windows


def test_window_is_its_own_frames_as_an_array():
    run = scan()
    window = Window(run, 5, 12)
    assert window.shape == (7, 4)
    assert len(window) == 7
    assert (window.scan is run, window.start, window.stop) == (True, 5, 12)
    np.testing.assert_array_equal(np.asarray(window), run[5:12])
    assert np.asarray(window, dtype=np.float32).dtype == np.float32
    assert "start=5, stop=12" in repr(window)


def test_window_of_a_dataframe_is_its_own_frames():
    run = scan()
    window = Window(pd.DataFrame(run, index=np.arange(30) * 2.0), 5, 12)
    assert window.shape == (7, 4)
    np.testing.assert_array_equal(np.asarray(window), run[5:12])


@pytest.mark.parametrize(("start", "stop"), [(-1, 5), (5, 5), (6, 5), (0, 31), (30, 31)])
def test_window_outside_its_scan_raises(start, stop):
    with pytest.raises(ValueError, match=rf"\[{start}, {stop}\).* 30 frames"):
        Window(scan(), start, stop)


def test_windows_are_standardised_by_their_whole_run():
    run = scan()
    cohort = validate_scans([Window(run, 5, 12), Window(run, 10, 30)])
    expected = (run - run.mean(axis=0)) / run.std(axis=0)
    np.testing.assert_allclose(cohort.sample(0), expected[5:12], atol=1e-5)
    np.testing.assert_allclose(cohort.sample(1), expected[10:30], atol=1e-5)


def test_windows_and_repeats_of_a_run_keep_it_once():
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


def test_equal_but_distinct_runs_are_kept_apart():
    np.testing.assert_array_equal(validate_scans([scan(), scan()]).runs, [0, 1])


def test_windows_of_a_memory_map_keep_the_run_once(tmp_path):
    run = as_memory_map(tmp_path, scan())
    cohort = validate_scans([Window(run, i, i + 5) for i in range(10)])
    assert cohort.frames.shape == (30, 4)


# Missing regions


@pytest.mark.parametrize("value", [0, 1, 0.1, 123456.7, -1e-5])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_constant_regions_warn_and_are_missing_never_signal(value, dtype):
    X = [scan(n, seed=n).astype(dtype) for n in (30, 33, 50)]
    X[1][:, [0, 2]] = value
    with pytest.warns(UserWarning, match=r"constant .* missing: scan 1: \[0, 2\]$"):
        cohort = validate_scans(X)
    np.testing.assert_array_equal(cohort.observed[1], [False, True, False, True])
    assert cohort.observed[[0, 2]].all()
    assert not cohort.sample(1)[:, [0, 2]].any()
    np.testing.assert_array_equal(cohort.scale[1, [0, 2]], 1)
    np.testing.assert_allclose(cohort.mean[1, [0, 2]], value, rtol=1e-6)


def test_constant_regions_of_windows_warn_once_a_run():
    run = scan()
    run[:, 3] = 0
    with pytest.warns(UserWarning, match=r"missing: scan 0: \[3\]$") as caught:
        validate_scans([Window(run, i, i + 5) for i in range(10)])
    assert len(caught) == 1


@pytest.mark.parametrize("dtype", ["Float64", "Int64", object])
def test_missing_values_of_pandas_are_missing(dtype):
    scan = np.random.default_rng(0).integers(0, 1000, size=(40, 3)).astype(float)
    scan[5], scan[7, 1] = np.nan, np.nan
    frame = pd.DataFrame(scan, dtype="Float64").astype(dtype)
    assert frame.isna().to_numpy().sum() == 4
    with pytest.warns(UserWarning, match="scan 0: 1 frames, 1 other values"):
        ours, theirs = validate_scans([frame]), validate_scans([scan])
    np.testing.assert_array_equal(ours.frames, theirs.frames)
    np.testing.assert_array_equal(ours.missing, theirs.missing)


@pytest.mark.parametrize("unit", [1e-310, 1e-200, 1e-40, 1e90])
def test_signal_in_any_unit_is_signal(unit):
    scan = np.random.default_rng(0).normal(size=(40, 3))
    ours, theirs = validate_scans([unit * scan]), validate_scans([scan])
    assert ours.observed.all()
    np.testing.assert_allclose(ours.frames, theirs.frames, atol=1e-6)
    np.testing.assert_allclose(ours.scale / unit, theirs.scale)


def test_window_constant_in_itself_alone_is_no_missing_region():
    run = scan()
    run[:10, 1] = run[:, 1].mean()
    assert validate_scans([Window(run, 0, 10)]).observed.all()


def test_many_scans_with_constant_regions_are_listed_in_short():
    X = cohort_of(9)
    X[:, :, 1] = 0
    with pytest.warns(UserWarning, match="scan 4.*; and 4 more scans$") as caught:
        validate_scans(X)
    assert "scan 5" not in str(caught[0].message)


@pytest.mark.parametrize("value", [0, 1, 0.1, 123456.7])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_frames", [30, 50, 97])
def test_scan_constant_in_every_region_raises(value, dtype, n_frames):
    """The sum of many 0.1 is no multiple of 0.1: rounding must not pass for signal."""
    with pytest.raises(ValueError, match="scan 1 is constant in every region"):
        validate_scans([scan(), np.full((n_frames, 4), value, dtype=dtype)])


def test_region_of_nothing_but_numerical_noise_is_missing():
    x = scan()
    x[:, 1] = 1e-8 * x[:, 1]
    with pytest.warns(UserWarning, match=r"scan 0: \[1\]"):
        assert not validate_scans([x]).observed[0, 1]


def test_quiet_region_is_no_missing_one():
    x = scan()
    x[:, 0] = 1e4 + 1e-3 * x[:, 0]
    assert validate_scans([x]).observed.all()


# Hidden cells


@seeded
@given(st.integers(0, 10**6), st.floats(0.05, 0.95), st.sampled_from([0.0, -1e3, 1e6]))
def test_hidden_values_influence_nothing_that_is_visible(seed, share, rubbish):
    X = [scan(25, seed=seed), scan(30, seed=seed + 1)]
    rng = np.random.default_rng(seed)
    hidden = [rng.random(x.shape) < share for x in X]
    other = [np.where(h, rubbish, x) for x, h in zip(X, hidden, strict=True)]
    ours, theirs = (validate_scans(scans, hidden=hidden) for scans in (X, other))
    for field in set(FIELDS) - {"frames"}:
        np.testing.assert_array_equal(getattr(ours, field), getattr(theirs, field))
    np.testing.assert_array_equal(ours.hidden, np.concatenate(hidden))
    np.testing.assert_array_equal(theirs.hidden, ours.hidden)
    visible = ~ours.hidden
    np.testing.assert_array_equal(ours.frames[visible], theirs.frames[visible])


def test_visible_values_alone_are_standardised():
    x = scan()
    hidden = np.zeros((30, 4), dtype=bool)
    hidden[10:20, 1] = True
    cohort = validate_scans([x], hidden=[hidden])
    visible = np.r_[x[:10, 1], x[20:, 1]]
    assert cohort.mean[0, 1] == pytest.approx(visible.mean())
    assert cohort.scale[0, 1] == pytest.approx(visible.std())
    np.testing.assert_allclose(cohort.mean[0, [0, 2, 3]], x[:, [0, 2, 3]].mean(axis=0))


@pytest.mark.parametrize("rubbish", [1e25, 1e160, -1e300])
def test_huge_hidden_values_influence_no_mean_nor_scale(rubbish):
    x, hidden = scan(), np.eye(30, 4, dtype=bool)
    ours = validate_scans([np.where(hidden, rubbish, x)], hidden=[hidden])
    theirs = validate_scans([x], hidden=[hidden])
    np.testing.assert_array_equal(ours.mean, theirs.mean)
    np.testing.assert_array_equal(ours.scale, theirs.scale)
    np.testing.assert_array_equal(ours.frames[~hidden], theirs.frames[~hidden])


def test_region_hidden_throughout_is_missing_without_warning():
    hidden = np.zeros((30, 4), dtype=bool)
    hidden[:, 2] = True
    cohort = validate_scans([scan()], hidden=[hidden])
    np.testing.assert_array_equal(cohort.observed, [[True, True, False, True]])
    assert not cohort.frames[:, 2].any()


def test_mask_of_a_window_hides_cells_of_its_run():
    run = scan()
    mask = np.zeros((5, 4), dtype=bool)
    mask[1, 3] = True
    cohort = validate_scans(
        [scan(20, seed=1), Window(run, 10, 15)], hidden=[np.zeros((20, 4), bool), mask]
    )
    np.testing.assert_array_equal(np.argwhere(cohort.hidden), [[20 + 11, 3]])


def test_scan_given_twice_with_masks_keeps_both():
    x = scan()
    masks = [np.eye(30, 4, k=k, dtype=bool) for k in (0, 1)]
    cohort = validate_scans([x, x], hidden=masks)
    np.testing.assert_array_equal(cohort.runs, [0, 1])
    np.testing.assert_array_equal(cohort.hidden, np.concatenate(masks))


@pytest.mark.parametrize(
    "mask",
    [np.zeros((29, 4), dtype=bool), np.zeros((30, 4)), np.zeros(30, dtype=bool)],
    ids=["shape", "dtype", "1d"],
)
def test_mask_unlike_its_scan_raises_naming_it(mask):
    with pytest.raises(ValueError, match=r"mask 1 .* shape \(30, 4\)"):
        validate_scans([scan(), scan()], hidden=[np.zeros((30, 4), dtype=bool), mask])


def test_wrong_number_of_masks_raises():
    with pytest.raises(ValueError, match="1 masks for 2 scans"):
        validate_scans([scan(), scan()], hidden=[np.zeros((30, 4), dtype=bool)])


def test_spaced_samples_reach_from_the_first_to_the_last():
    cohort = validate_scans(cohort_of(n_scans=7))
    assert cohort.spaced(3).runs.tolist() == [0, 3, 6]
    assert cohort.spaced(9).runs.tolist() == list(range(7))
