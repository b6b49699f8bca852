import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from sk_brainmae.network import BrainMAE
from sk_brainmae.timeseries import validate_scans
from sk_brainmae.training import Schedule, masked_r2, pretrain
from sk_brainmae.training.losses import ReconstructionLoss
from sk_brainmae.training.masking import MaskedCrops
from sk_brainmae.training.scoring import SCORE_RATIO, ScoringCrops

WINDOW, N_WINDOWS = 5, 3
LAYOUT = {"window": WINDOW, "n_windows": N_WINDOWS, "device": "cpu"}
SCHEDULE = Schedule(max_epochs=3, batch_size=2, lr=3e-3, weight_decay=0.05, patience=9, verbose=0)


def make_scans(n_scans=6, n_frames=40, n_regions=7, seed=0):
    return np.random.default_rng(seed).normal(size=(n_scans, n_frames, n_regions))


@pytest.fixture
def cohort():
    return validate_scans(make_scans())


def make_network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return BrainMAE(7, WINDOW, dim=8, n_heads=2, n_layers=1, attention="static")


def run_it(run_epoch):
    run_epoch()
    return False


def pretrained(cohort, valid_cohort=None, seed=0, **schedule):
    """Return a trained network and its history."""
    network = make_network()
    history = pretrain(
        network,
        cohort,
        valid_cohort,
        **LAYOUT,
        mask_ratio=(0.0, 0.8),
        schedule=SCHEDULE._replace(**schedule),
        seed=seed,
        generator=torch.Generator(),
        observe=run_it,
    )
    return network, history


def masked_crops(cohort, mask_ratio=(0.2, 0.6), batch_size=2, seed=0):
    return MaskedCrops(cohort, WINDOW, N_WINDOWS, mask_ratio, batch_size, seed, "cpu")


def equal_weights(one, other):
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def first_frames(cohort, batches):
    """Find the first frame of each crop of an epoch in the cohort's frames, batch by batch."""
    frame_of = {value: frame for frame, value in enumerate(cohort.frames[:, 0].tolist())}
    return [
        [frame_of[value] for value in inputs["signal"][:, 0, 0, 0].tolist()]
        for inputs, _ in batches
    ]


# Batches


def test_every_run_is_visited_once_an_epoch_in_another_order_each_time(cohort):
    batches = masked_crops(cohort, batch_size=4)
    assert len(batches) == 2
    orders = set()
    for _ in range(5):
        visited = [frame // 40 for batch in first_frames(cohort, batches) for frame in batch]
        assert sorted(visited) == list(range(6))
        orders.add(tuple(visited))
    assert len(orders) == 5


def test_batches_are_of_nearly_equal_size(cohort):
    assert [len(batch) for batch in first_frames(cohort, masked_crops(cohort))] == [2, 2, 2]
    batches = masked_crops(cohort, batch_size=5)
    assert [len(batch) for batch in first_frames(cohort, batches)] == [3, 3]


def test_random_crops_differ_between_epochs_and_cover_the_run():
    cohort = validate_scans(make_scans(n_scans=1))
    batches = masked_crops(cohort)
    starts = {first_frames(cohort, batches)[0][0] for _ in range(300)}
    assert starts == set(range(40 - N_WINDOWS * WINDOW + 1))


@pytest.fixture(scope="module")
def hidden_shares():
    """Share of hidden regions in each window of 300 batches, (300, B * n)."""
    cohort = validate_scans(make_scans(n_scans=4, n_frames=210, n_regions=200))
    batches = masked_crops(cohort, mask_ratio=(0.2, 0.6))
    return np.array(
        [
            target["hidden"].float().mean(-1).flatten().tolist()
            for _ in range(150)
            for _, target in batches
        ]
    )


def test_all_windows_of_a_batch_share_one_ratio(hidden_shares):
    assert hidden_shares.shape == (300, 2 * N_WINDOWS)
    assert (hidden_shares == hidden_shares[:, :1]).all()


def test_the_ratio_of_batches_is_drawn_uniformly_from_its_range(hidden_shares):
    ratio = hidden_shares[:, 0]
    assert 0.2 <= ratio.min() < 0.22
    assert 0.58 < ratio.max() < 0.601
    assert kstest(ratio, "uniform", args=(0.2, 0.4)).pvalue > 0.01


def test_a_single_ratio_holds_in_every_batch(cohort):
    for _, target in masked_crops(cohort, mask_ratio=(0.3, 0.3)):
        assert (target["hidden"].sum(-1) == 2).all()


def test_every_window_of_every_epoch_has_its_own_mask():
    cohort = validate_scans(make_scans(n_scans=4, n_frames=60, n_regions=50))
    batches = masked_crops(cohort, mask_ratio=(0.5, 0.5))
    masks = [
        tuple(mask)
        for _ in range(5)
        for _, target in batches
        for mask in target["hidden"].flatten(0, 1).tolist()
    ]
    assert len(masks) == len(set(masks)) == 5 * 4 * N_WINDOWS


def test_the_seed_decides_on_the_masks(cohort):
    def masks(seed):
        batches = masked_crops(cohort, mask_ratio=(0.5, 0.5), seed=seed)
        return torch.cat([target["hidden"] for _, target in batches])

    assert torch.equal(masks(1), masks(1))
    assert not torch.equal(masks(1), masks(2))


def test_hidden_regions_are_not_visible_and_all_others_are(cohort):
    for inputs, target in masked_crops(cohort):
        assert torch.equal(inputs["visible"], ~target["hidden"])
        assert torch.equal(inputs["visible"], target["visible"])
        assert torch.equal(inputs["signal"], target["signal"])


def test_missing_regions_and_missing_windows_are_neither_hidden_nor_visible():
    scans = [*make_scans(), make_scans(seed=1)[0, :8]]  # the last has a single window
    for scan in scans:
        scan[:, 3] = 1.0
    with pytest.warns(UserWarning, match="constant regions"):
        cohort = validate_scans(scans)
    batches = masked_crops(cohort, mask_ratio=(0.7, 0.7), batch_size=7)
    for _ in range(5):
        ((inputs, target),) = batches
        known = target["hidden"] | target["visible"]
        assert not known[..., 3].any()
        short = ~known.any(-1)
        assert short.sum() == N_WINDOWS - 1
        assert torch.equal(known.sum(-1), torch.where(short, 0, 6))
        assert not (inputs["visible"] & ~known).any()
        assert (target["hidden"].sum(-1)[~short] == 4).all()


def test_scoring_crops_are_the_same_in_every_epoch_and_cover_every_frame(cohort):
    batches = ScoringCrops(cohort, WINDOW, N_WINDOWS, 4, "cpu")
    assert len(list(batches)) == len(batches) == 5  # 6 runs, 3 crops each
    for (inputs, target), (again, target_again) in zip(batches, batches, strict=True):
        assert torch.equal(inputs["signal"], again["signal"])
        assert torch.equal(target["hidden"], target_again["hidden"])
    values = torch.cat([i["signal"][i["visible"].any(-1)][:, 0].flatten() for i, _ in batches])
    assert sorted(values.tolist()) == sorted(cohort.frames[:, 0].tolist())


# Training


def copies_of_one_source(sign):
    """Return eight scans whose regions all carry one signal, up to its sign and some noise."""
    source = np.random.default_rng(0).normal(size=(8, 40, 1))
    return validate_scans(source * np.array(sign) + 0.1 * make_scans(n_scans=8))


def test_pretraining_learns_to_fill_in_a_region_from_its_copies():
    cohort = copies_of_one_source([1, 1, -1, 1, -1, 1, -1])
    training, unseen = cohort.take(np.arange(6)), cohort.take(np.arange(6, 8))
    network, history = pretrained(training, max_epochs=100, batch_size=6, lr=1e-2)
    untrained = masked_r2(make_network(), unseen, batch_size=8, **LAYOUT)
    trained = masked_r2(network, unseen, batch_size=8, **LAYOUT)
    assert untrained < 0.1
    assert trained > 0.5
    assert history[-1]["train_loss"] < 0.5 * history[0]["train_loss"]


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(cohort):
    network, history = pretrained(cohort, seed=3)
    again, same_history = pretrained(cohort, seed=3)
    other, _ = pretrained(cohort, seed=4)
    assert equal_weights(network, again)
    assert history == same_history
    assert not equal_weights(network, other)


def test_no_epochs_leave_the_network_as_it_was(cohort):
    network, history = pretrained(cohort, max_epochs=0)
    assert history == []
    assert equal_weights(network, make_network())


def test_training_leaves_global_random_states_alone(cohort):
    before = torch.get_rng_state(), repr(np.random.get_state()), random.getstate()  # noqa: NPY002
    pretrained(cohort, cohort)
    after = torch.get_rng_state(), repr(np.random.get_state()), random.getstate()  # noqa: NPY002
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]


def test_training_leaves_the_cohort_alone(cohort):
    frames = cohort.frames.copy()
    pretrained(cohort, cohort)
    np.testing.assert_array_equal(cohort.frames, frames)


def test_a_missing_region_teaches_nothing():
    scans = make_scans()
    scans[:, :, 3] = 1.0
    with pytest.warns(UserWarning, match="constant regions"):
        cohort = validate_scans(scans)
    frames = cohort.frames.copy()
    frames[:, 3] = 50.0
    network, _ = pretrained(cohort)
    again, _ = pretrained(replace(cohort, frames=frames))
    assert equal_weights(network, again)


def test_validation_is_the_masked_loss_of_the_held_out_runs_and_picks_the_best_epoch():
    training = copies_of_one_source([1, 1, -1, 1, -1, 1, -1])
    held_out = copies_of_one_source([1, -1, 1, 1, -1, -1, 1])
    network, history = pretrained(training, held_out, max_epochs=8, lr=3e-2)
    losses = [row["valid_loss"] for row in history]
    assert losses[-1] > 1.02 * min(losses)
    batches = ScoringCrops(held_out, WINDOW, N_WINDOWS, SCHEDULE.batch_size, "cpu")
    with torch.no_grad():
        loss = ReconstructionLoss().eval()  # of hidden regions alone
        again = [loss(network(**inputs), target) for inputs, target in batches]
    n_crops = [len(inputs["signal"]) for inputs, _ in batches]
    assert np.average(again, weights=n_crops) == pytest.approx(min(losses), rel=1e-5)


def test_one_thread_and_two_train_to_the_same_network(cohort):
    # Not to the same bits: the keys' bias cancels in a softmax, so rounding alone moves it.
    n_threads = torch.get_num_threads()
    results = []
    try:
        for n in (1, 2):
            torch.set_num_threads(n)
            network, history = pretrained(cohort, max_epochs=2, batch_size=6)
            score = masked_r2(network, cohort, batch_size=4, **LAYOUT)
            results.append([*(row["train_loss"] for row in history), score])
    finally:
        torch.set_num_threads(n_threads)
    assert results[0] == pytest.approx(results[1], abs=1e-5)


# Score


def looped_r2(network, cohort):
    """Compute the R^2 crop by crop, cell by cell, with the masks of the scoring batches."""
    ((_, target),) = ScoringCrops(cohort, WINDOW, N_WINDOWS, 1000, "cpu")
    masks = iter(target["hidden"])
    error = variance = 0.0
    for i in range(len(cohort)):
        starts = list(range(0, len(cohort.sample(i)) - WINDOW + 1, WINDOW))
        for part in np.array_split(starts, -(-len(starts) // N_WINDOWS)):
            crop = np.stack([cohort.sample(i)[s : s + WINDOW].T for s in part])
            hidden = next(masks)[: len(part)]
            with torch.no_grad():
                rebuilt = network(torch.from_numpy(crop)[None], ~hidden[None])[0].numpy()
            for window, region in hidden.nonzero().tolist():
                error += np.sum((rebuilt - crop)[window, region].astype(float) ** 2)
                variance += np.sum(crop[window, region].astype(float) ** 2)
    return 1 - error / variance


def test_masked_r2_equals_a_loop_over_crops_and_cells(cohort):
    network, _ = pretrained(cohort)
    score = masked_r2(network, cohort, batch_size=4, **LAYOUT)
    assert score == pytest.approx(looped_r2(network, cohort), rel=1e-4)


def test_masked_r2_is_deterministic_and_does_not_depend_on_the_batch_size(cohort):
    network = make_network()
    network.roi.data.mul_(10)  # a score that is not nearly 0
    score = masked_r2(network, cohort, batch_size=4, **LAYOUT)
    assert masked_r2(network, cohort, batch_size=4, **LAYOUT) == score
    for batch_size in (1, 5, 100):
        other = masked_r2(network, cohort, batch_size=batch_size, **LAYOUT)
        assert other == pytest.approx(score, rel=1e-5)


def test_masked_r2_of_a_network_that_says_zero_is_zero(cohort):
    network = make_network()
    torch.nn.init.zeros_(network.decode_window.weight)
    torch.nn.init.zeros_(network.decode_window.bias)
    assert masked_r2(network, cohort, batch_size=4, **LAYOUT) == pytest.approx(0, abs=1e-6)


def test_masked_r2_hides_half_of_the_regions_and_ignores_missing_ones():
    scans = make_scans()
    scans[:, :, 3] = 1.0
    with pytest.warns(UserWarning, match="constant regions"):
        cohort = validate_scans(scans)
    assert SCORE_RATIO == 0.5
    for _, target in ScoringCrops(cohort, WINDOW, N_WINDOWS, 4, "cpu"):
        assert not target["hidden"][..., 3].any()
        assert set(target["hidden"].sum(-1).flatten().tolist()) <= {0, 3}  # 0: padding
    network = make_network()
    score = masked_r2(network, cohort, batch_size=4, **LAYOUT)
    cohort.frames[:, 3] = 100.0
    assert masked_r2(network, cohort, batch_size=4, **LAYOUT) == score
