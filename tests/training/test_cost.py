import numpy as np
import pytest
import torch

from sk_brainmae.scans import runs
from sk_brainmae.timeseries import validate_scans
from sk_brainmae.training import Cost, Schedule, estimate_cost

SCHEDULE = Schedule(max_epochs=5, batch_size=4, lr=1e-3, weight_decay=0.05, patience=9, verbose=0)


@pytest.fixture
def cohort(make_scans):
    return validate_scans(make_scans(n_scans=8))


def estimate(network, cohort, valid_cohort=None, mask_ratio=(0.0, 0.8), **schedule):
    return estimate_cost(
        network,
        cohort,
        valid_cohort,
        window=5,
        n_windows=3,
        mask_ratio=mask_ratio,
        schedule=SCHEDULE._replace(**schedule),
        device="cpu",
    )


def test_seconds_are_all_crops_at_the_measured_rate(network, cohort):
    cost = estimate(network, cohort)
    assert cost.n_crops == 5 * 8
    assert cost.seconds == pytest.approx(cost.n_crops / cost.crops_per_second)


def test_validation_is_counted_in_time_and_memory(network, cohort):
    alone = estimate(network, cohort)
    watched = estimate(network, cohort, cohort.take(np.arange(2)))
    assert watched.seconds > watched.n_crops / watched.crops_per_second
    weights = sum(p.nbytes for p in network.parameters())
    assert watched.memory - alone.memory == weights  # the best epoch's


def test_memory_holds_scans_and_four_copies_of_the_weights_and_grows_with_the_batch(
    network, cohort
):
    weights = sum(p.nbytes for p in network.parameters())
    small, large = (estimate(network, cohort, batch_size=size).memory for size in (2, 8))
    assert small > cohort.frames.nbytes + 4 * weights
    fixed = cohort.frames.nbytes + 4 * weights
    assert 2 < (large - fixed) / (small - fixed) < 5


def test_frames_in_a_file_take_no_memory(network, cohort, make_scans, monkeypatch):
    inside = estimate(network, cohort)
    monkeypatch.setattr(runs, "IN_MEMORY", 0)
    mapped = validate_scans(make_scans(n_scans=8))
    assert inside.memory - estimate(network, mapped).memory == cohort.frames.nbytes


def test_memory_is_that_of_the_lowest_ratio(network, cohort):
    span, low = (estimate(network, cohort, mask_ratio=r).memory for r in [(0.2, 0.8), (0.2, 0.2)])
    high = estimate(network, cohort, mask_ratio=(0.8, 0.8)).memory
    assert span == low > high


def test_estimating_changes_neither_network_nor_global_random_state(network, cohort):
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    state = torch.get_rng_state()
    estimate(network, cohort, cohort)
    assert torch.equal(torch.get_rng_state(), state)
    for name, p in network.named_parameters():
        assert torch.equal(p, before[name])
        assert p.grad is None


@pytest.mark.parametrize(
    ("seconds", "text"), [(4.24, "4.2 s"), (90.0, "1.5 min"), (9000.0, "2.5 h")]
)
def test_cost_prints_time_and_memory_in_fitting_units(seconds, text):
    printed = str(Cost(seconds, 410_000_000, 25.0, 6600, "cpu"))
    assert printed == f"about {text} and 410 MB on cpu (6600 crops, 25 a second)"
