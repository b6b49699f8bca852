"""Scans for the tests of this folder."""

import numpy as np
import pytest


@pytest.fixture(scope="session")
def scan():
    """Return a function that makes a scan of which every region has its own mean and scale."""

    def make_scan(n_frames=30, n_regions=4, seed=0):
        rng = np.random.default_rng(seed)
        regions = np.arange(1, n_regions + 1)
        return 100.0 * regions + regions * rng.normal(size=(n_frames, n_regions))

    return make_scan


@pytest.fixture(scope="session")
def cohort_of(scan):
    """Return a function that stacks scans of equal length."""
    return lambda n_scans=3: np.stack([scan(seed=seed) for seed in range(n_scans)])
