"""A small network, scans that fit it, and an observer that lets every epoch run."""

import numpy as np
import pytest
import torch

from sk_brainmae.network import BrainMAE
from sk_brainmae.timeseries import validate_scans


@pytest.fixture(scope="session")
def observe():
    """Run an epoch and go on."""

    def run(run_epoch):
        run_epoch()
        return False

    return run


@pytest.fixture(scope="session")
def make_network():
    """Make the same small network of 7 regions and windows of 5 frames each time."""

    def make():
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return BrainMAE(7, 5, dim=8, n_heads=2, n_layers=1, attention="static")

    return make


@pytest.fixture
def network(make_network):
    return make_network()


@pytest.fixture(scope="session")
def make_scans():
    """Draw scans of 7 regions, white noise."""

    def make(n_scans=6, n_frames=40, n_regions=7, seed=0):
        return np.random.default_rng(seed).normal(size=(n_scans, n_frames, n_regions))

    return make


@pytest.fixture
def cohort(make_scans):
    return validate_scans(make_scans())


@pytest.fixture
def cohort_with_a_constant_region(make_scans):
    """Six scans in which region 3 is missing."""
    scans = make_scans()
    scans[:, :, 3] = 1.0
    with pytest.warns(UserWarning, match="constant regions"):
        return validate_scans(scans)
