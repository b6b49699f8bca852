"""Each region is z-scored over its known frames, and what has no signal is missing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sk_brainmae.scans import Window, resample_scan, validate_scans

pytestmark = pytest.mark.filterwarnings("error")
seeded = settings(max_examples=40, deadline=None, derandomize=True)


@seeded
@given(
    st.lists(st.integers(5, 40), min_size=1, max_size=5),
    st.integers(1, 5),
    st.integers(0, 10**6),
)
def test_ragged_cohort_is_zscored_per_run_in_float32(scan, lengths, n_regions, seed):
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


def test_mean_and_scale_give_the_input_back(cohort_of):
    X = cohort_of()
    cohort = validate_scans(X)
    for i, x in enumerate(X):
        np.testing.assert_allclose(
            cohort.sample(i) * cohort.scale[i] + cohort.mean[i], x, rtol=1e-5
        )


def test_runs_are_standardised_each_by_itself(scan):
    alone = validate_scans([scan(seed=0)])
    beside = validate_scans([scan(seed=0), 1000 * scan(seed=1)])
    np.testing.assert_array_equal(beside.sample(0), alone.sample(0))


def test_moments_are_standardised_by_their_whole_run(scan):
    run = scan()
    cohort = validate_scans([Window(run, 5, 12), Window(run, 10, 30)])
    expected = (run - run.mean(axis=0)) / run.std(axis=0)
    np.testing.assert_allclose(cohort.sample(0), expected[5:12], atol=1e-5)
    np.testing.assert_allclose(cohort.sample(1), expected[10:30], atol=1e-5)


# Constant regions


@pytest.mark.parametrize("value", [0, 1, 0.1, 123456.7, -1e-5])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_constant_regions_warn_and_are_missing_never_signal(scan, value, dtype):
    X = [scan(n, seed=n).astype(dtype) for n in (30, 33, 50)]
    X[1][:, [0, 2]] = value
    with pytest.warns(UserWarning, match=r"constant .* missing: scan 1: \[0, 2\]$"):
        cohort = validate_scans(X)
    np.testing.assert_array_equal(cohort.observed[1], [False, True, False, True])
    assert cohort.observed[[0, 2]].all()
    assert not cohort.sample(1)[:, [0, 2]].any()
    np.testing.assert_array_equal(cohort.scale[1, [0, 2]], 1)
    np.testing.assert_allclose(cohort.mean[1, [0, 2]], value, rtol=1e-6)


def test_moment_constant_in_itself_alone_is_no_missing_region(scan):
    run = scan()
    run[:10, 1] = run[:, 1].mean()
    assert validate_scans([Window(run, 0, 10)]).observed.all()


@pytest.mark.parametrize("unit", [1e-310, 1e-200, 1e-40, 1e90])
def test_signal_in_any_unit_is_signal(unit):
    scan = np.random.default_rng(0).normal(size=(40, 3))
    ours, theirs = validate_scans([unit * scan]), validate_scans([scan])
    assert ours.observed.all()
    np.testing.assert_allclose(ours.frames, theirs.frames, atol=1e-6)
    np.testing.assert_allclose(ours.scale / unit, theirs.scale)


def test_region_of_nothing_but_numerical_noise_is_missing(scan):
    x = scan()
    x[:, 1] = 1e-8 * x[:, 1]
    with pytest.warns(UserWarning, match=r"scan 0: \[1\]"):
        assert not validate_scans([x]).observed[0, 1]


def test_quiet_region_is_no_missing_one(scan):
    x = scan()
    x[:, 0] = 1e4 + 1e-3 * x[:, 0]
    assert validate_scans([x]).observed.all()


# Hidden cells


@seeded
@given(st.integers(0, 10**6), st.floats(0.05, 0.95), st.sampled_from([0.0, -1e3, 1e6]))
def test_hidden_values_influence_nothing_that_is_visible(scan, seed, share, rubbish):
    X = [scan(25, seed=seed), scan(30, seed=seed + 1)]
    rng = np.random.default_rng(seed)
    hidden = [rng.random(x.shape) < share for x in X]
    other = [np.where(h, rubbish, x) for x, h in zip(X, hidden, strict=True)]
    ours, theirs = (validate_scans(scans, hidden=hidden) for scans in (X, other))
    for field in ("observed", "mean", "scale"):
        np.testing.assert_array_equal(getattr(ours, field), getattr(theirs, field))
    np.testing.assert_array_equal(ours.hidden, np.concatenate(hidden))
    np.testing.assert_array_equal(theirs.hidden, ours.hidden)
    visible = ~ours.hidden
    np.testing.assert_array_equal(ours.frames[visible], theirs.frames[visible])


def test_visible_values_alone_are_standardised(scan):
    x = scan()
    hidden = np.zeros((30, 4), dtype=bool)
    hidden[10:20, 1] = True
    cohort = validate_scans([x], hidden=[hidden])
    visible = np.r_[x[:10, 1], x[20:, 1]]
    assert cohort.mean[0, 1] == pytest.approx(visible.mean())
    assert cohort.scale[0, 1] == pytest.approx(visible.std())
    np.testing.assert_allclose(cohort.mean[0, [0, 2, 3]], x[:, [0, 2, 3]].mean(axis=0))


@pytest.mark.parametrize("rubbish", [1e25, 1e160, -1e300])
def test_huge_hidden_values_influence_no_mean_nor_scale(scan, rubbish):
    x, hidden = scan(), np.eye(30, 4, dtype=bool)
    ours = validate_scans([np.where(hidden, rubbish, x)], hidden=[hidden])
    theirs = validate_scans([x], hidden=[hidden])
    np.testing.assert_array_equal(ours.mean, theirs.mean)
    np.testing.assert_array_equal(ours.scale, theirs.scale)
    np.testing.assert_array_equal(ours.frames[~hidden], theirs.frames[~hidden])


def test_region_hidden_throughout_is_missing_without_warning(scan):
    hidden = np.zeros((30, 4), dtype=bool)
    hidden[:, 2] = True
    cohort = validate_scans([scan()], hidden=[hidden])
    np.testing.assert_array_equal(cohort.observed, [[True, True, False, True]])
    assert not cohort.frames[:, 2].any()


# --- values that come standardised --------------------------------------------------------------


@pytest.fixture
def trials():
    """Return trials of 8 frames, cut from z-scored runs: every second one evokes a response."""
    runs = np.random.default_rng(0).normal(size=(3, 80, 4))
    runs[:, :, 1] += np.tile(np.repeat([0, 2], 8), 5)
    runs = (runs - runs.mean(axis=1, keepdims=True)) / runs.std(axis=1, keepdims=True)
    return runs, [Window(run, i, i + 8) for run in runs for i in range(0, 80, 8)]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", ["list", "3-D array"])
def test_standardised_trials_that_are_kept_are_the_moments_of_their_runs(trials, kind):
    _, moments = trials
    arrays = [np.asarray(moment) for moment in moments]
    kept = validate_scans(np.stack(arrays) if kind == "3-D array" else arrays, standardize=False)
    expected = validate_scans(moments)
    assert kept.frames.dtype == np.float32
    for i in range(len(moments)):
        np.testing.assert_allclose(kept.sample(i), expected.sample(i), atol=1e-5)
    assert (kept.mean == 0).all()
    assert (kept.scale == 1).all()


def test_trials_that_are_z_scored_by_themselves_lose_what_they_evoked(trials):
    _, moments = trials
    alone, kept = (
        validate_scans([np.asarray(moment) for moment in moments], standardize=how)
        for how in ("scan", False)
    )
    response = [np.ptp([c.sample(i)[:, 1].mean() for i in range(30)]) for c in (alone, kept)]
    assert response[0] < 1e-6
    assert response[1] > 1


def test_kept_values_are_masked_and_resampled_as_others(trials):
    run = trials[0][0].copy()
    run[3, 1], run[:, 2] = np.nan, 5
    hidden = np.zeros((80, 4), dtype=bool)
    hidden[10:20, 3] = True
    with pytest.warns(UserWarning, match="missing values"):
        cohort = validate_scans([run], hidden=[hidden], standardize=False)
    assert cohort.observed[0].tolist() == [True, True, False, True]
    assert (cohort.frames[3, 1], cohort.frames[:, 2].any(), cohort.frames[10:20, 3].any()) == (
        0,
        False,
        False,
    )
    np.testing.assert_array_equal(cohort.frames[:, 0], run[:, 0].astype(np.float32))
    grid = validate_scans([trials[0][0]], t_r=1.0, grid=2.0, standardize=False)
    np.testing.assert_allclose(grid.frames, resample_scan(trials[0][0], 1.0, 2.0), rtol=1e-5)


def test_kept_values_that_are_not_standardised_are_warned_of(trials):
    runs, _ = trials
    raw = 500 + 10 * runs
    with pytest.warns(UserWarning, match=r"3 of 3 scans are not standardised \(scan 0: .* 500\)"):
        validate_scans(raw, standardize=False)
    with pytest.warns(UserWarning, match=r"1 of 3 scans are not standardised \(scan 2"):
        validate_scans([*runs[:2], runs[2] / 100], standardize=False)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_kept_values_that_float32_cannot_square_raise(trials, dtype):
    run = trials[0][0].astype(dtype) * dtype(1e20)
    assert len(validate_scans([run])) == 1
    with pytest.raises(ValueError, match=r"at frame 0, region 0 .* beyond 1e\+15\): clean it"):
        validate_scans([run], standardize=False)


@pytest.mark.parametrize("standardize", [True, None, "zscore", "zscore_sample", 2])
def test_other_ways_to_standardise_raise(cohort_of, standardize):
    with pytest.raises(ValueError, match=r"standardize=.* must be 'scan' or False"):
        validate_scans(cohort_of(), standardize=standardize)
