import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sk_brainmae.scans import Window, validate_scans
from sk_brainmae.scans.crops import check_long_enough, count_frames, random_crops, tile_crops

seeded = settings(max_examples=40, deadline=None, derandomize=True)
window_sizes = st.integers(1, 9)
crop_sizes = st.integers(1, 6)


def scan(n_frames, seed=0):
    return np.random.default_rng(seed).normal(size=(n_frames, 2))


@st.composite
def cohorts(draw, window, windows_of_runs=True):
    """Return a cohort of runs of at least one window, whole or as Windows of any length."""
    X = []
    for seed in range(draw(st.integers(1, 3))):
        run = scan(draw(st.integers(max(window, 3), 60)), seed)
        X.append(run)
        for _ in range(draw(st.integers(0, 2)) if windows_of_runs else 0):
            start = draw(st.integers(0, len(run) - 1))
            X.append(Window(run, start, draw(st.integers(start + 1, len(run)))))
    order = draw(st.permutations(range(len(X))))
    return validate_scans([X[i] for i in order])


def places(cohort, crops):
    """Return for each crop the first frames of its windows inside their run, and which are own."""
    for starts, run, own in zip(crops.starts, crops.run, crops.own, strict=True):
        present = starts >= 0
        assert not own[~present].any()
        assert not present[np.argmin(present) :].any() or present.all()  # absent ones come last
        yield starts[present] - cohort.run_start[run], own[present]


def assert_inside_their_run(cohort, crops, window):
    np.testing.assert_array_equal(crops.run, cohort.runs[crops.sample])
    for (first, _), run in zip(places(cohort, crops), crops.run, strict=True):
        assert len(first)
        assert first.min() >= 0
        assert first.max() + window <= cohort.run_length[run]


# count_frames


@pytest.mark.parametrize(
    ("duration", "t_r", "n_frames"),
    [
        (15, None, 15),
        (15, 1.0, 15),
        (15, 0.72, 21),
        (300, 0.72, 417),
        (16, 2.0, 8),
        (15, 2.5, 6),
        (0.6, 1.0, 1),
        (15.4, None, 15),
    ],
)
def test_duration_becomes_the_nearest_number_of_frames(duration, t_r, n_frames):
    frames = count_frames(duration, t_r, "window_size")
    assert frames == n_frames
    assert isinstance(frames, int)


@pytest.mark.parametrize(("duration", "t_r"), [(0.4, None), (0, None), (1, 2.5), (-3, None)])
def test_duration_of_less_than_a_frame_raises_naming_the_parameter(duration, t_r):
    with pytest.raises(ValueError, match=rf"window_size={duration} .*t_r={t_r}"):
        count_frames(duration, t_r, "window_size")


# check_long_enough


def test_run_shorter_than_a_window_raises_naming_it():
    cohort = validate_scans([scan(10), scan(7), scan(9), scan(5)])
    with pytest.raises(ValueError, match=r"scan 1 has 7 frames.* window of 8 .*2 of 4"):
        check_long_enough(cohort, 8)
    check_long_enough(cohort, 5)


def test_trial_shorter_than_a_window_is_long_enough_where_its_run_is():
    check_long_enough(validate_scans([Window(scan(10), 2, 5)]), 8)


# random_crops


@seeded
@given(st.data(), window_sizes, crop_sizes, st.integers(0, 10**6))
def test_random_crops_are_consecutive_windows_inside_their_sample(data, window, n_windows, seed):
    cohort = data.draw(cohorts(window)).as_runs()
    crops = random_crops(cohort, window, n_windows, np.random.default_rng(seed))
    room = min(n_windows, cohort.run_length.max() // window)
    assert crops.starts.shape == crops.own.shape == (len(cohort), room)
    np.testing.assert_array_equal(crops.sample, range(len(cohort)))
    assert_inside_their_run(cohort, crops, window)
    for i, (first, own) in enumerate(places(cohort, crops)):
        assert own.all()
        assert len(first) == min(n_windows, cohort.run_length[i] // window)
        assert (np.diff(first) == window).all()


def test_random_crops_of_windows_stay_inside_them():
    run = scan(60)
    cohort = validate_scans([Window(run, 20, 33), Window(run, 33, 60)])
    rng = np.random.default_rng(0)
    for _ in range(50):
        crops = random_crops(cohort, 4, 2, rng)
        assert (crops.starts.min(axis=1) >= cohort.start).all()
        assert (crops.starts.max(axis=1) + 4 <= cohort.stop).all()


def test_random_crops_reach_every_place_equally_often():
    cohort = validate_scans([scan(15), scan(20, 1)])
    rng = np.random.default_rng(0)
    first = np.array([random_crops(cohort, 4, 3, rng).starts[:, 0] for _ in range(3000)])
    for column, run_start, n_places in [(0, 0, 4), (1, 15, 9)]:
        values, counts = np.unique(first[:, column] - run_start, return_counts=True)
        np.testing.assert_array_equal(values, range(n_places))
        np.testing.assert_allclose(counts, 3000 / n_places, rtol=0.25)


def test_random_crop_of_a_short_scan_uses_it_whole_at_a_random_place():
    cohort = validate_scans([scan(10), scan(21, 1)])
    rng = np.random.default_rng(0)
    seen = {tuple(random_crops(cohort, 4, 5, rng).starts[0]) for _ in range(60)}
    assert seen == {(k, k + 4, -1, -1, -1) for k in range(3)}


@pytest.mark.parametrize("n_windows", [1000, 10**300], ids=["many", "endless"])
def test_crops_have_no_more_room_than_the_longest_sample_needs(n_windows):
    run = scan(47)
    cohort = validate_scans([run, scan(23, 1), Window(run, 4, 16)])
    drawn = random_crops(cohort, 10, n_windows, np.random.default_rng(0))
    np.testing.assert_array_equal(drawn.own.sum(axis=1), [4, 2, 1])
    assert drawn.own.shape == (3, 4)
    tiled = tile_crops(cohort, 10, n_windows)
    np.testing.assert_array_equal(tiled.starts[1], [47, 57, 60, -1, -1])


def test_random_crops_are_drawn_sample_by_sample():
    cohort = validate_scans([scan(60, seed) for seed in range(8)])
    crops = random_crops(cohort, 4, 3, np.random.default_rng(0))
    assert len(set(crops.starts[:, 0] - cohort.run_start)) > 3


def test_random_crops_with_the_same_seed_are_the_same():
    cohort = validate_scans([scan(60, seed) for seed in range(4)])
    ours, theirs, others = (
        random_crops(cohort, 4, 3, np.random.default_rng(s)).starts for s in (5, 5, 6)
    )
    np.testing.assert_array_equal(ours, theirs)
    assert (ours != others).any()


# tile_crops


@seeded
@given(st.data(), window_sizes, crop_sizes)
def test_tiling_covers_every_frame_of_every_sample_inside_its_run(data, window, n_windows):
    cohort = data.draw(cohorts(window))
    crops = tile_crops(cohort, window, n_windows)
    room = min(n_windows, -(-cohort.run_length.max() // window))
    assert crops.starts.shape == crops.own.shape == (len(crops.run), room)
    assert (np.diff(crops.sample) >= 0).all()
    assert_inside_their_run(cohort, crops, window)
    covered = [set() for _ in range(len(cohort))]
    for (first, own), i in zip(places(cohort, crops), crops.sample, strict=True):
        assert own.any()
        for f in first[own]:
            covered[i].update(range(f, f + window))
    for frames, start, stop in zip(covered, cohort.start, cohort.stop, strict=True):
        assert frames >= set(range(start, stop))
        if stop - start >= window:
            assert frames == set(range(start, stop))
        else:
            assert len(frames) == window


@seeded
@given(st.data(), window_sizes, crop_sizes)
def test_windows_of_a_tiled_crop_follow_one_another_without_gaps(data, window, n_windows):
    """Positions tell the network that the next window comes next in time."""
    cohort = data.draw(cohorts(window))
    for first, own in places(cohort, tile_crops(cohort, window, n_windows)):
        assert (np.diff(first) > 0).all()
        assert (np.diff(first) <= window).all()
        assert (np.diff(np.flatnonzero(own)) == 1).all()


@seeded
@given(st.data(), window_sizes, crop_sizes)
def test_own_windows_are_as_few_as_cover_the_sample_in_balanced_crops(data, window, n_windows):
    cohort = data.draw(cohorts(window))
    crops = tile_crops(cohort, window, n_windows)
    for i in range(len(cohort)):
        counts = crops.own[crops.sample == i].sum(axis=1)
        needed = -(-(cohort.stop[i] - cohort.start[i]) // window)
        assert counts.sum() == needed
        assert len(counts) == -(-needed // n_windows)
        assert counts.max() - counts.min() <= 1


def test_tiling_of_a_whole_run_overlaps_at_the_end_only():
    crops = tile_crops(validate_scans([scan(30)]), 8, 5)
    np.testing.assert_array_equal(crops.starts, [[0, 8, 16, 22]])
    assert crops.own.all()


def test_long_run_becomes_crops_of_nearly_equal_length():
    crops = tile_crops(validate_scans([scan(88)]), 8, 10)
    np.testing.assert_array_equal(crops.own.sum(axis=1), [6, 5])


@pytest.mark.parametrize(
    ("start", "starts", "own"),
    [
        (40, [24, 32, 40, 48, 56], 2),
        (0, [0, 8, 16, 24, 32], 0),
        (3, [3, 11, 19, 27, 35], 0),
        (10, [2, 10, 18, 26, 34], 1),
        (72, [40, 48, 56, 64, 72], 4),
        (70, [38, 46, 54, 62, 70], 4),
    ],
)
def test_trial_lies_in_the_middle_of_its_context_where_the_run_allows(start, starts, own):
    cohort = validate_scans([scan(80), Window(scan(80, 1), start, start + 8)])
    crops = tile_crops(cohort.take(np.array([1])), 8, 5)
    np.testing.assert_array_equal(crops.starts, [80 + np.array(starts)])
    np.testing.assert_array_equal(np.flatnonzero(crops.own), [own])


def test_context_never_reaches_into_the_neighbouring_runs():
    runs = [scan(20, seed) for seed in range(3)]
    cohort = validate_scans([Window(run, 8, 12) for run in runs])
    crops = tile_crops(cohort, 4, 9)
    for i, row in enumerate(crops.starts):
        np.testing.assert_array_equal(row[:5], 20 * i + np.array([0, 4, 8, 12, 16]))
        assert (row[5:] == -1).all()


@pytest.mark.parametrize(("start", "stop", "window_start"), [(20, 24, 18), (0, 3, 0), (37, 40, 32)])
def test_trial_shorter_than_a_window_is_widened_evenly_inside_its_run(start, stop, window_start):
    crops = tile_crops(validate_scans([Window(scan(40), start, stop)]), 8, 1)
    np.testing.assert_array_equal(crops.starts, [[window_start]])
    assert crops.own.all()
