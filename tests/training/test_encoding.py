import numpy as np
import pytest
import torch

from sk_brainmae.timeseries import Window, validate_scans
from sk_brainmae.training import encode, reconstruct

WINDOW, N_WINDOWS, DIM = 5, 3, 8
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


@pytest.fixture
def scans():
    """Six scans of 7 regions and of different lengths, from 8 to 42 frames."""
    rng = np.random.default_rng(0)
    return [rng.normal(size=(n, 7)) for n in (40, 42, 15, 8, 33, 40)]


def encoded(network, cohort, batch_size=4):
    layout = {"window": WINDOW, "n_windows": N_WINDOWS, "device": "cpu"}
    return encode(network, cohort, batch_size=batch_size, **layout)


def rebuilt(network, cohort, batch_size=4):
    layout = {"window": WINDOW, "n_windows": N_WINDOWS, "device": "cpu"}
    return reconstruct(network, cohort, batch_size=batch_size, **layout)


def crops_of_a_run(n_frames):
    """Return the starts of the windows that cover a run, crop by crop."""
    starts = list(range(0, n_frames - WINDOW + 1, WINDOW))
    if starts[-1] + WINDOW < n_frames:
        starts.append(n_frames - WINDOW)
    return np.array_split(starts, -(-len(starts) // N_WINDOWS))


def inputs_of(frames, starts, hidden=None):
    """Return one crop as the network takes it, cut by plain slices."""
    signal = np.stack([frames[s : s + WINDOW].T for s in starts])
    visible = np.ones(signal.shape[:2], dtype=bool)
    if hidden is not None:
        visible = np.stack([~hidden[s : s + WINDOW].any(axis=0) for s in starts])
    return torch.from_numpy(signal)[None], torch.from_numpy(visible)[None]


# States


def test_states_and_cls_of_runs_equal_a_loop_over_their_crops(network, scans):
    cohort = validate_scans(scans)
    states, cls = encoded(network, cohort)
    assert [len(s) for s in states] == [8, 9, 3, 2, 7, 8]
    assert cls.shape == (6, DIM)
    for i in range(6):
        crops = crops_of_a_run(len(scans[i]))
        with torch.no_grad():
            by_hand = [network.encode(*inputs_of(cohort.sample(i), crop)) for crop in crops]
        own_states = np.concatenate([s[0].numpy() for s, _ in by_hand])
        np.testing.assert_allclose(states[i], own_states, **CLOSE)
        mean_cls = np.mean([c[0].numpy() for _, c in by_hand], axis=0)
        np.testing.assert_allclose(cls[i], mean_cls, **CLOSE)


def test_a_window_of_a_run_gives_its_own_states_in_the_context_of_its_neighbours(network, scans):
    run = scans[0]
    cohort = validate_scans([Window(run, 12, 17), run])
    (states, _), cls = encoded(network, cohort)
    with torch.no_grad():
        context, crop_cls = network.encode(*inputs_of(cohort.sample(1), [7, 12, 17]))
        alone, _ = network.encode(*inputs_of(cohort.sample(1), [12]))
    assert states.shape == (1, DIM)
    np.testing.assert_allclose(states, context[0, 1:2], **CLOSE)
    np.testing.assert_allclose(cls[0], crop_cls[0], **CLOSE)
    assert np.abs(states - alone[0].numpy()).max() > 1e-2


@pytest.mark.parametrize(
    ("start", "stop", "crop", "own"),
    [
        (0, 5, [0, 5, 10], [0]),  # nothing before it
        (35, 40, [25, 30, 35], [2]),  # nothing after it
        (20, 30, [20, 25, 30], [0, 1]),
        (11, 18, [11, 13, 18], [0, 1]),
    ],
)
def test_context_is_taken_from_where_the_run_has_it(network, scans, start, stop, crop, own):
    cohort = validate_scans([scans[5], Window(scans[5], start, stop)])
    states = encoded(network, cohort)[0][1]
    with torch.no_grad():
        by_hand, _ = network.encode(*inputs_of(cohort.sample(0), crop))
    np.testing.assert_allclose(states, by_hand[0, own], **CLOSE)


def mixed(scans):
    """Return runs, overlapping moments of them, and moments shorter than a window."""
    moments = [(0, 3, 9), (0, 6, 31), (4, 20, 33), (0, 0, 2), (0, 7, 10)]
    return [*scans, *(Window(scans[i], start, stop) for i, start, stop in moments)]


@pytest.mark.parametrize("batch_size", [1, 3, 1000])
def test_states_do_not_depend_on_the_batch_size(network, scans, batch_size):
    cohort = validate_scans(mixed(scans))
    states, cls = encoded(network, cohort)
    others, other_cls = encoded(network, cohort, batch_size)
    for one, other in zip(states, others, strict=True):
        np.testing.assert_allclose(one, other, **CLOSE)
    np.testing.assert_allclose(cls, other_cls, **CLOSE)


def test_states_do_not_depend_on_what_else_is_encoded(network, scans):
    samples = mixed(scans)
    states, cls = encoded(network, validate_scans(samples))
    for i, sample in enumerate(samples):
        (alone,), alone_cls = encoded(network, validate_scans([sample]))
        np.testing.assert_allclose(states[i], alone, **CLOSE)
        np.testing.assert_allclose(cls[i], alone_cls[0], **CLOSE)


def test_a_missing_region_is_not_looked_at(network, scans):
    scans[1][:, 2] = 3.0
    with pytest.warns(UserWarning, match="constant regions"):
        cohort = validate_scans(scans)
    states, cls = encoded(network, cohort)
    run = slice(cohort.run_start[1], cohort.run_start[2])
    cohort.frames[run, 2] = 50.0
    again, again_cls = encoded(network, cohort)
    np.testing.assert_array_equal(np.concatenate(states), np.concatenate(again))
    np.testing.assert_array_equal(cls, again_cls)


def test_encoding_changes_no_weight_and_keeps_no_gradient(network, scans):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    encoded(network, validate_scans(scans))
    rebuilt(network, validate_scans(scans))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


# Reconstruction


def looped_reconstruction(network, frames, hidden=None):
    """Rebuild a run window by window; where two overlap the later one counts."""
    result = np.full_like(frames, np.nan)
    for crop in crops_of_a_run(len(frames)):
        with torch.no_grad():
            windows = network(*inputs_of(frames, crop, hidden))[0].numpy()
        for start, window in zip(crop, windows, strict=True):
            result[start : start + WINDOW] = window.T
    return result


def test_reconstructions_cover_every_frame_of_ragged_scans(network, scans):
    cohort = validate_scans(scans)
    frames = rebuilt(network, cohort)
    for i in range(6):
        assert frames[i].shape == scans[i].shape
        by_hand = looped_reconstruction(network, cohort.sample(i))
        np.testing.assert_allclose(frames[i], by_hand, **CLOSE)


def random_masks(scans):
    rng = np.random.default_rng(1)
    return [rng.random(np.shape(scan)) < 0.03 for scan in scans]


def test_a_hidden_frame_hides_its_regions_window_from_the_reconstruction(network, scans):
    masks = random_masks(scans)
    cohort = validate_scans(scans, hidden=masks)
    frames = rebuilt(network, cohort)
    for i in range(6):
        by_hand = looped_reconstruction(network, cohort.sample(i), masks[i])
        np.testing.assert_allclose(frames[i], by_hand, **CLOSE)


def test_hidden_values_leave_no_trace_in_the_reconstruction(network, scans):
    masks = random_masks(scans)
    frames = rebuilt(network, validate_scans(scans, hidden=masks))
    for scan, mask in zip(scans, masks, strict=True):
        scan[mask] = 1e3
    again = rebuilt(network, validate_scans(scans, hidden=masks))
    np.testing.assert_array_equal(np.concatenate(frames), np.concatenate(again))


def test_a_wholly_hidden_scan_is_still_rebuilt(network, scans):
    masks = [np.zeros((40, 7), dtype=bool), np.ones((42, 7), dtype=bool)]
    frames = rebuilt(network, validate_scans(scans[:2], hidden=masks))
    assert frames[1].shape == (42, 7)
    assert np.isfinite(frames[1]).all()


def test_reconstructions_of_overlapping_windows_do_not_depend_on_each_other(network, scans):
    samples = mixed(scans)
    together = rebuilt(network, validate_scans(samples))
    for i, sample in enumerate(samples):
        assert together[i].shape == sample.shape
        (alone,) = rebuilt(network, validate_scans([sample]))
        np.testing.assert_allclose(together[i], alone, **CLOSE)


def test_reconstructions_do_not_depend_on_the_batch_size(network, scans):
    cohort = validate_scans(scans, hidden=random_masks(scans))
    for one, other in zip(rebuilt(network, cohort), rebuilt(network, cohort, 1), strict=True):
        np.testing.assert_allclose(one, other, **CLOSE)
