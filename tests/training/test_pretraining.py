import random
from dataclasses import replace

import joblib
import numpy as np
import pytest
import torch

from sk_brainmae.datasets import make_cohort
from sk_brainmae.timeseries import validate_scans
from sk_brainmae.training import Schedule, masked_r2, pretrain
from sk_brainmae.training.masking import ReconstructionLoss
from sk_brainmae.training.pretraining import Stopped, find_or_pretrain, pretraining_stage
from sk_brainmae.training.scoring import ScoringCrops

WINDOW, N_WINDOWS = 5, 3
LAYOUT = {"window": WINDOW, "n_windows": N_WINDOWS, "device": "cpu"}
SCHEDULE = Schedule(max_epochs=3, batch_size=2, lr=3e-3, weight_decay=0.05, patience=9, verbose=0)


def equal_weights(one, other):
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.fixture
def pretrained(make_network, observe):
    """Return a function that returns a trained network and its history."""

    def run(cohort, valid_cohort=None, seed=0, **schedule):
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
            observe=observe,
        )
        return network, history

    return run


@pytest.fixture
def copies_of_one_source(make_scans):
    """Return a function that makes eight scans whose regions carry one signal, up to its sign."""

    def make(signs):
        source = np.random.default_rng(0).normal(size=(8, 40, 1))
        return validate_scans(source * np.array(signs) + 0.1 * make_scans(n_scans=8))

    return make


# Training


def test_pretraining_learns_to_fill_in_a_region_from_its_copies(
    pretrained, make_network, copies_of_one_source
):
    cohort = copies_of_one_source([1, 1, -1, 1, -1, 1, -1])
    training, unseen = cohort.take(np.arange(6)), cohort.take(np.arange(6, 8))
    network, history = pretrained(training, max_epochs=100, batch_size=6, lr=1e-2)
    untrained = masked_r2(make_network(), unseen, batch_size=8, **LAYOUT)
    trained = masked_r2(network, unseen, batch_size=8, **LAYOUT)
    assert untrained < 0.1
    assert trained > 0.5
    assert history[-1]["train_loss"] < 0.5 * history[0]["train_loss"]


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(pretrained, cohort):
    network, history = pretrained(cohort, seed=3)
    again, same_history = pretrained(cohort, seed=3)
    other, _ = pretrained(cohort, seed=4)
    assert equal_weights(network, again)
    assert history == same_history
    assert not equal_weights(network, other)


def test_no_epochs_leave_the_network_as_it_was(pretrained, make_network, cohort):
    network, history = pretrained(cohort, max_epochs=0)
    assert history == []
    assert equal_weights(network, make_network())


def test_training_leaves_global_random_states_alone(pretrained, cohort):
    before = torch.get_rng_state(), repr(np.random.get_state()), random.getstate()  # noqa: NPY002
    pretrained(cohort, cohort)
    after = torch.get_rng_state(), repr(np.random.get_state()), random.getstate()  # noqa: NPY002
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]


def test_training_leaves_the_cohort_alone(pretrained, cohort):
    frames = cohort.frames.copy()
    pretrained(cohort, cohort)
    np.testing.assert_array_equal(cohort.frames, frames)


def test_a_missing_region_teaches_nothing(pretrained, cohort_with_a_constant_region):
    cohort = cohort_with_a_constant_region
    frames = cohort.frames.copy()
    frames[:, 3] = 50.0
    network, _ = pretrained(cohort)
    again, _ = pretrained(replace(cohort, frames=frames))
    assert equal_weights(network, again)


def test_validation_is_the_masked_loss_of_the_held_out_runs_and_picks_the_best_epoch(
    pretrained, copies_of_one_source
):
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


def test_one_thread_and_two_train_to_the_same_network(pretrained, cohort):
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


# The stage, and a memory in front of it


ARCHITECTURE = {
    "n_regions": 10,
    "window": 10,
    "dim": 8,
    "n_heads": 2,
    "n_layers": 1,
    "attention": "static",
    "n_states": 2,
}
TRAIN, HELD_OUT = np.arange(6), np.arange(6, 8)


def stop_after_epoch(run_epoch):
    run_epoch()
    return True


@pytest.fixture
def arguments(observe):
    """Return a function that makes the arguments of a stage."""

    def make(**changed):
        return {
            "architecture": ARCHITECTURE,
            "n_windows": 3,
            "mask_ratio": (0.0, 0.8),
            "schedule": Schedule(2, 4, 6e-3, 0.05, 10, 0),
            "seed": 0,
            "device": "cpu",
            "observe": observe,
            "verbose": 0,
            **changed,
        }

    return make


@pytest.fixture(scope="module")
def runs():
    cohort = make_cohort(n_scans=8, n_timepoints=60, n_regions=10, random_state=0)
    return validate_scans(cohort.scans)


def test_stage_is_a_function_of_its_arguments(arguments, runs):
    first, again, other = (
        joblib.hash(pretraining_stage(runs, TRAIN, None, version="1", **arguments(seed=seed)))
        for seed in (0, 0, 1)
    )
    assert first == again != other


def test_held_out_runs_give_scores_and_none_gives_none(arguments, runs):
    scored = pretraining_stage(runs, TRAIN, HELD_OUT, version="1", **arguments())
    assert set(scored.held_out_r2) == {"network", "conditional_gaussian"}
    unscored = pretraining_stage(runs, TRAIN, None, version="1", **arguments())
    assert unscored.held_out_r2 == {}
    assert len(unscored.history) == 2


def test_training_ended_early_raises_past_the_memory_with_its_result(arguments, runs, tmp_path):
    stopping = arguments(observe=stop_after_epoch)
    with pytest.raises(Stopped) as caught:
        pretraining_stage(runs, TRAIN, None, version="1", **stopping)
    assert len(caught.value.result.history) == 1
    memory = joblib.Memory(tmp_path, verbose=0)
    assert len(find_or_pretrain(memory, runs, TRAIN, None, **stopping).history) == 1
    assert len(find_or_pretrain(memory, runs, TRAIN, None, **arguments()).history) == 2
    # Found now: nothing is left to stop.
    assert len(find_or_pretrain(memory, runs, TRAIN, None, **stopping).history) == 2
