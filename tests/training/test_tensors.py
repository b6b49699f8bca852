import numpy as np
import pytest
import torch

from sk_brainmae.scans.crops import random_crops, tile_crops
from sk_brainmae.timeseries import Window, validate_scans
from sk_brainmae.training.tensors import CohortTensors, bridge

WINDOW = 5


@pytest.fixture
def scans():
    """Six scans of 40 frames and 7 regions."""
    return list(np.random.default_rng(0).normal(size=(6, 40, 7)))


def sliced(cohort, crops):
    """Cut the windows of crops with plain slices; zeros where there is none."""
    signal = np.zeros((*crops.starts.shape, cohort.n_regions, WINDOW), dtype=np.float32)
    for crop, window in np.argwhere(crops.starts >= 0):
        start = crops.starts[crop, window]
        signal[crop, window] = cohort.frames[start : start + WINDOW].T
    return signal


def test_gathered_windows_equal_slices_of_each_sample(scans):
    cohort = validate_scans([*scans, Window(scans[2], 7, 24)])
    crops = random_crops(cohort, WINDOW, 3, np.random.default_rng(1))
    signal, observed = CohortTensors(cohort, WINDOW, "cpu").gather(crops, slice(None))
    assert signal.shape == (7, 3, 7, WINDOW)
    assert observed.all()
    np.testing.assert_array_equal(signal, sliced(cohort, crops))
    for i in range(len(cohort)):
        frames = cohort.sample(i)
        first = crops.starts[i, 0] - cohort.run_start[cohort.runs[i]] - cohort.start[i]
        crop = frames[first : first + 3 * WINDOW].reshape(3, WINDOW, 7).swapaxes(1, 2)
        np.testing.assert_array_equal(signal[i], crop)


def test_rows_choose_crops_and_keep_their_order(scans):
    cohort = validate_scans(scans)
    crops = tile_crops(cohort, WINDOW, 4)
    tensors = CohortTensors(cohort, WINDOW, "cpu")
    everything, _ = tensors.gather(crops, slice(None))
    rows = np.array([9, 0, 4])
    chosen, observed = tensors.gather(crops, rows)
    torch.testing.assert_close(chosen, everything[rows], rtol=0, atol=0)
    assert observed.shape == (3, 4, 7)


def test_windows_that_a_shorter_crop_lacks_are_observed_nowhere(scans):
    cohort = validate_scans([scans[0], scans[1][:13], scans[2][:40]])
    crops = tile_crops(cohort, WINDOW, 8)
    signal, observed = CohortTensors(cohort, WINDOW, "cpu").gather(crops, slice(None))
    present = np.repeat([[True] * 8, [True] * 3 + [False] * 5, [True] * 8], 7).reshape(3, 8, 7)
    np.testing.assert_array_equal(observed, present)
    np.testing.assert_array_equal(signal[observed], sliced(cohort, crops)[present])


def test_missing_regions_are_observed_in_no_window_of_their_run(scans):
    scans[1][:, 3] = 2.5
    with pytest.warns(UserWarning, match=r"constant regions .* scan 1: \[3\]"):
        cohort = validate_scans([*scans[:3], Window(scans[1], 0, 20)])
    crops = tile_crops(cohort, WINDOW, 4)
    _, observed = CohortTensors(cohort, WINDOW, "cpu").gather(crops, slice(None))
    of_run = torch.from_numpy(crops.run == 1)
    assert of_run.sum() == 3  # two crops of the run, one of its Window
    assert not observed[of_run][:, :, 3].any()
    observed[of_run, :, 3] = True
    assert observed.all()


def test_one_hidden_frame_hides_the_window_of_its_region_and_no_other(scans):
    hidden = [np.zeros((40, 7), dtype=bool) for _ in range(2)]
    hidden[1][12, 4] = True
    cohort = validate_scans(scans[:2], hidden=hidden)
    crops = tile_crops(cohort, WINDOW, 8)
    signal, observed = CohortTensors(cohort, WINDOW, "cpu").gather(crops, slice(None))
    assert torch.nonzero(~observed).tolist() == [[1, 2, 4]]
    np.testing.assert_array_equal(signal, sliced(cohort, crops))


def test_parts_of_a_cohort_share_their_frames_and_other_cohorts_do_not(scans):
    cohort = validate_scans(scans)
    training = CohortTensors(cohort.take(np.arange(4)), WINDOW, "cpu")
    held_out = CohortTensors(cohort.take(np.arange(4, 6)), WINDOW, "cpu", training)
    assert held_out.frames is training.frames
    other = validate_scans(scans[:3])
    strangers = CohortTensors(other, WINDOW, "cpu", training)
    np.testing.assert_array_equal(strangers.frames, other.frames)
    assert strangers.frames is not training.frames


@pytest.mark.filterwarnings("ignore:.*missing values")
def test_gaps_of_half_a_window_are_bridged_and_longer_ones_hide_it(scans):
    scans[1][10:12, 4] = np.nan
    scans[1][21:24, 2] = np.nan
    cohort = validate_scans(scans[:2])
    crops = tile_crops(cohort, WINDOW, 8)
    tensors = CohortTensors(cohort, WINDOW, "cpu")
    signal, observed = tensors.gather(crops, slice(None))
    assert torch.nonzero(~observed).tolist() == [[1, 4, 2]]
    assert torch.nonzero(~tensors.measured(crops, slice(None))).tolist() == [
        *([1, 2, 4, frame] for frame in (0, 1)),
        *([1, 4, 2, frame] for frame in (1, 2, 3)),
    ]
    held = cohort.sample(1)[12, 4]
    np.testing.assert_array_equal(signal[1, 2, 4, :3], [held] * 3)


def test_complete_cohort_has_nothing_to_measure(scans):
    cohort = validate_scans(scans)
    crops = tile_crops(cohort, WINDOW, 8)
    assert CohortTensors(cohort, WINDOW, "cpu").measured(crops, slice(None)) is None


@pytest.mark.parametrize("rubbish", [0.0, 1e6])
def test_bridge_draws_lines_inside_a_window_and_levels_at_its_ends(rubbish):
    x = rubbish
    signal = torch.tensor([[x, 1, x, x, 4], [2, x, x, x, x], [1, 2, 3, 4, 5]])
    bridged = bridge(signal, signal != x if x else signal > 0)
    expected = torch.tensor([[1.0, 1, 2, 3, 4], [2, 2, 2, 2, 2], [1, 2, 3, 4, 5]])
    torch.testing.assert_close(bridged, expected)
    nothing = torch.zeros(1, 5, dtype=torch.bool)
    assert torch.isfinite(bridge(torch.zeros(1, 5), nothing)).all()
