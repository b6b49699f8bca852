import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from distributed import Client, LocalCluster

from sk_brainmae import BrainMAERegressor
from sk_brainmae.baselines import ConnectivityBaseline
from sk_brainmae.datasets import make_cohort
from sk_brainmae.evaluation import Comparison, compare


@pytest.fixture(scope="module")
def cohort():
    return make_cohort(n_scans=12, n_timepoints=90, n_regions=8, random_state=0)


@pytest.fixture(scope="module")
def serial(cohort):
    return run(cohort)


@pytest.fixture(scope="module")
def client():
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with LocalCluster(**options) as cluster, Client(cluster) as client:
        yield client


def run(cohort, **kwargs):
    estimators = {
        "BrainMAE": BrainMAERegressor(
            window_size=15, crop_length=90, embedding_dim=8, max_epochs=1, random_state=0
        ),
        "FC": ConnectivityBaseline("correlation", "regression", random_state=0),
    }
    y = cohort.traits["static"].to_numpy()
    return compare(estimators, cohort.scans, y, cv=3, random_state=0, **kwargs)


def assert_same(found, expected):
    """Bit by bit, but for how long it took."""
    pd.testing.assert_frame_equal(found.predictions, expected.predictions, check_exact=True)
    scores, others = (c.scores.drop(columns="fit_time") for c in (found, expected))
    pd.testing.assert_frame_equal(scores, others, check_exact=True)


def test_processes_find_what_one_process_finds(cohort, serial, one_thread):
    assert_same(run(cohort, n_jobs=2), serial)


def test_workers_of_a_cluster_find_and_write_what_one_process_finds(
    cohort, serial, client, tmp_path
):
    client.run(torch.set_num_threads, 1)
    with joblib.parallel_config("dask"):
        assert_same(run(cohort, folder=tmp_path), serial)
    fitted_by = client.run(lambda dask_worker: len(dask_worker.state.log))
    assert min(fitted_by.values()) > 0
    written = Comparison.from_csv(tmp_path).predictions
    assert len(written) == len(serial.predictions)
    np.testing.assert_array_equal(sorted(written["y_pred"]), sorted(serial.predictions["y_pred"]))


@pytest.fixture
def one_thread(monkeypatch):
    """What processes started from here take for their number of threads."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
