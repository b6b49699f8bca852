"""The pretraining stage: a function of its arguments, and a memory in front of it."""

import joblib
import numpy as np
import pytest

from sk_brainmae.datasets import make_cohort
from sk_brainmae.timeseries import validate_scans
from sk_brainmae.training import Schedule, find_or_pretrain
from sk_brainmae.training.pretraining import Stopped, pretraining_stage

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


def run_epoch(run):
    run()
    return False


def stop_after_epoch(run):
    run()
    return True


def arguments(**changed):
    return {
        "architecture": ARCHITECTURE,
        "n_windows": 3,
        "mask_ratio": (0.0, 0.8),
        "schedule": Schedule(2, 4, 6e-3, 0.05, 10, 0),
        "seed": 0,
        "device": "cpu",
        "observe": run_epoch,
        "verbose": 0,
        **changed,
    }


@pytest.fixture(scope="module")
def runs():
    cohort = make_cohort(n_scans=8, n_timepoints=60, n_regions=10, random_state=0)
    return validate_scans(cohort.scans)


def test_stage_is_a_function_of_its_arguments(runs):
    first, again, other = (
        joblib.hash(pretraining_stage(runs, TRAIN, None, version="1", **arguments(seed=seed)))
        for seed in (0, 0, 1)
    )
    assert first == again != other


def test_held_out_runs_give_scores_and_none_gives_none(runs):
    scored = pretraining_stage(runs, TRAIN, HELD_OUT, version="1", **arguments())
    assert set(scored.held_out_r2) == {"network", "conditional_gaussian"}
    unscored = pretraining_stage(runs, TRAIN, None, version="1", **arguments())
    assert unscored.held_out_r2 == {}
    assert len(unscored.history) == 2


def test_training_ended_early_raises_past_the_memory_with_its_result(runs, tmp_path):
    stopping = arguments(observe=stop_after_epoch)
    with pytest.raises(Stopped) as caught:
        pretraining_stage(runs, TRAIN, None, version="1", **stopping)
    assert len(caught.value.result.history) == 1
    memory = joblib.Memory(tmp_path, verbose=0)
    assert len(find_or_pretrain(memory, runs, TRAIN, None, **stopping).history) == 1
    assert len(find_or_pretrain(memory, runs, TRAIN, None, **arguments()).history) == 2
    # Found now: nothing is left to stop.
    assert len(find_or_pretrain(memory, runs, TRAIN, None, **stopping).history) == 2
