"""Scans and ROI embeddings of ten regions."""

import numpy as np
import pytest

from sk_brainmae.datasets import make_cohort


@pytest.fixture(scope="session")
def scans():
    """Twelve scans of 80 frames."""
    return make_cohort(n_scans=12, n_timepoints=80, n_regions=10, random_state=0).scans


@pytest.fixture(scope="session")
def roi():
    """ROI embeddings that span six dimensions."""
    return np.random.default_rng(0).normal(size=(10, 6))
