"""What a model knows of its scans: learned once, and asked of every later scan."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from sk_brainmae.scans import Window, validate_scans
from sk_brainmae.scans.record import ScanRecord

NAMES = list("abcd")


@pytest.fixture
def record():
    return ScanRecord(t_r=2.0, window=10, missing="mask")


@pytest.fixture
def named(cohort_of):
    return [pd.DataFrame(scan, columns=NAMES) for scan in cohort_of()]


def test_new_record_knows_no_regions_and_learning_leaves_it_as_it_is(record, named):
    learned, _ = record.learn(named)
    assert (record.n_regions, record.region_names, record.resampled) == (None, None, False)
    assert (learned.n_regions, learned.region_names, learned.resampled) == (4, NAMES, False)
    assert (learned.t_r, learned.window, learned.missing) == (2.0, 10, "mask")


def test_scans_are_those_that_validation_gives(record, cohort_of):
    X = [*cohort_of(), Window(cohort_of()[0], 3, 20)]
    learned, cohort = record.learn(X)
    for ours in (cohort, learned.read(X)):
        theirs = validate_scans(X)
        np.testing.assert_array_equal(ours.frames, theirs.frames)
        np.testing.assert_array_equal(ours.stop, theirs.stop)


def test_arrays_have_no_names(record, cohort_of):
    assert record.learn(cohort_of())[0].region_names is None


# --- regions ------------------------------------------------------------------------------------


def test_named_columns_are_read_in_the_learned_order_and_restored(record, named):
    learned, cohort = record.learn(named)
    moved = [scan[list("dacb")] for scan in named]
    np.testing.assert_array_equal(learned.read(moved).frames, cohort.frames)
    parts = [cohort.sample(i) for i in range(3)]
    for back, scan in zip(learned.restore_order(moved, parts), moved, strict=True):
        expected = (scan - scan.mean()) / scan.std(ddof=0)
        np.testing.assert_allclose(back, expected, atol=1e-5)


def test_parts_of_scans_in_order_are_restored_as_they_are(record, cohort_of):
    learned, cohort = record.learn(cohort_of())
    parts = [cohort.sample(i) for i in range(3)]
    for back, part in zip(learned.restore_order(cohort_of(), parts), parts, strict=True):
        assert back is part


def test_hidden_columns_are_those_of_the_scan(record, named):
    learned, _ = record.learn(named)
    hidden = np.zeros((30, 4), dtype=bool)
    hidden[:5, 0] = True  # of "d"
    cohort = learned.read([named[0][list("dacb")]], hidden=[hidden])
    assert np.argwhere(cohort.hidden).tolist() == [[frame, 3] for frame in range(5)]


def test_record_of_a_pretrained_encoder_keeps_its_regions_in_the_next_fit(record, named):
    learned, _ = record.learn(named)
    again, cohort = learned.learn([scan[list("dacb")] for scan in named])
    assert again.region_names == NAMES
    np.testing.assert_array_equal(cohort.frames, validate_scans(named).frames)


def test_names_are_learned_where_a_pretrained_encoder_had_none(record, named, cohort_of):
    learned, _ = record.learn(cohort_of())
    again, _ = learned.learn(named)
    assert (again.region_names, learned.region_names) == (NAMES, None)


@pytest.mark.parametrize("use", ["learn", "read"])
def test_other_regions_are_refused_by_count_and_by_name(record, named, cohort_of, use):
    learned, _ = record.learn(named)
    with pytest.raises(ValueError, match="have 3 regions, but the model was fitted on 4"):
        getattr(learned, use)(cohort_of()[:, :, :3])
    with pytest.raises(ValueError, match="it lacks 'a' and it has in addition 'z'"):
        getattr(learned, use)([scan.rename(columns={"a": "z"}) for scan in named])


def test_scans_without_names_are_read_as_those_of_fit_with_one_warning(record, named, cohort_of):
    learned, cohort = record.learn(named)
    plain = [pd.DataFrame(scan) for scan in cohort_of()]
    for X in (cohort_of(), list(cohort_of()), plain, [Window(cohort_of()[0], 0, 20)]):
        with pytest.warns(UserWarning, match="X does not have valid feature names, but") as caught:
            read = learned.read(X)
        assert len(caught) == 1
        np.testing.assert_array_equal(read.frames, cohort.frames[: len(read.frames)])


def test_names_that_fit_did_not_see_are_told_in_one_warning(record, named, cohort_of):
    learned, cohort = record.learn(cohort_of())
    with pytest.warns(UserWarning, match="X has feature names, but .* without") as caught:
        read = learned.read(named)
    assert len(caught) == 1
    np.testing.assert_array_equal(read.frames, cohort.frames)


@pytest.mark.filterwarnings("error")
def test_named_use_of_named_scans_and_unnamed_use_of_unnamed_ones_warn_of_nothing(
    record, named, cohort_of
):
    for X in (named, cohort_of(), [pd.DataFrame(scan) for scan in cohort_of()]):
        learned, cohort = record.learn(X)
        learned.read(X)
        learned.restore_order(X, [cohort.sample(i) for i in range(3)])


# --- lengths, missing values and repetition times -----------------------------------------------


@pytest.mark.parametrize("use", ["learn", "read"])
def test_scan_shorter_than_a_window_is_refused(record, scan, use):
    learned, _ = record.learn([scan()])
    with pytest.raises(ValueError, match="scan 1 has 9 frames, fewer than one window of 10"):
        getattr(learned, use)([scan(), scan(n_frames=9)])


@pytest.mark.parametrize("use", ["learn", "read"])
def test_missing_values_are_refused_where_the_record_says_so(scan, use):
    learned, _ = ScanRecord(2.0, 10, "raise").learn([scan()])
    gaps = scan()
    gaps[3] = np.nan
    with pytest.raises(ValueError, match="scan 0 has nan at frame 3"):
        getattr(learned, use)([gaps])


def test_scans_of_another_repetition_time_are_read_on_the_grid_and_remembered(record, scan):
    X = [scan(60, seed=0), scan(30, seed=1)]
    learned, cohort = record.learn(X, t_r=[1.0, 2.0])
    assert learned.resampled
    assert cohort.run_length.tolist() == [30, 30]
    np.testing.assert_array_equal(learned.read(X, t_r=[1.0, 2.0]).frames, cohort.frames)


def test_told_repetition_time_of_the_model_itself_counts_as_none_resampled(record, scan):
    learned, _ = record.learn([scan()], t_r=2.0)
    assert not learned.resampled
    learned.read([scan()])


@pytest.mark.parametrize("use", ["learn", "read"])
def test_repetition_time_is_never_guessed_where_scans_were_resampled(record, scan, use):
    learned, _ = record.learn([scan(60)], t_r=1.0)
    with pytest.raises(ValueError, match=r"pass t_r \(the model's is 2.0 s\).*resample_scan"):
        getattr(learned, use)([scan()])


def test_repetition_time_and_window_of_a_model_are_those_of_its_fit(record):
    window = record.window
    record.check_unchanged(2.0, window)
    for t_r in (1.0, None):
        with pytest.raises(ValueError, match=rf"t_r={t_r} was set after fit, which had t_r=2\.0"):
            record.check_unchanged(t_r, window)
    with pytest.raises(ValueError, match=rf"window has {window + 1} frames now, and had {window}"):
        record.check_unchanged(2.0, window + 1)


# --- trials -------------------------------------------------------------------------------------


@pytest.mark.parametrize("use", ["learn", "read"])
@pytest.mark.parametrize("n_frames", [10, 19])
def test_whole_scans_as_short_as_trials_are_told_how_to_be_cut(record, scan, use, n_frames):
    learned, _ = record.learn([scan()])
    trials = [scan(n_frames, seed=seed) for seed in range(3)]
    with pytest.warns(UserWarning, match=r"two windows of 10 frames .*Window\(.*standardize=False"):
        getattr(learned, use)(trials)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("n_frames", "window"), [([20, 20], 10), ([10, 30], 10), ([120, 120], 100), ([60, 61], 50)]
)
def test_scans_that_are_no_trials_are_not_warned_of(scan, n_frames, window):
    record = ScanRecord(2.0, window, "mask")
    record.learn([scan(n, seed=seed) for seed, n in enumerate(n_frames)])


@pytest.mark.filterwarnings("error")
def test_windows_and_standardised_trials_are_not_warned_of(record, scan):
    record.learn([Window(scan(), 0, 12), Window(scan(), 12, 24)])
    record.learn([Window(scan(12, seed=seed), 0, 12) for seed in range(3)])
    trials = [(scan(12, seed=seed) - [100, 200, 300, 400]) / 2 for seed in range(3)]
    kept, cohort = replace(record, standardize=False).learn(trials)
    np.testing.assert_array_equal(kept.read(trials).frames, cohort.frames)
    np.testing.assert_array_equal(cohort.sample(0), trials[0].astype(np.float32))


def test_standardisation_of_a_model_is_that_of_its_fit(record):
    record.check_unchanged(2.0, record.window, "scan")
    with pytest.raises(ValueError, match="standardize=False was set after fit, which had 'scan'"):
        record.check_unchanged(2.0, record.window, False)
