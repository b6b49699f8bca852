"""Cheaper heads, for tests that do not ask how finely a head is tuned."""

import numpy as np
import pytest


@pytest.fixture
def coarse_heads(monkeypatch):
    """Linear heads try 3 strengths instead of 17, forests have 25 trees instead of 100."""
    strengths = np.logspace(2, -2, 3)
    monkeypatch.setattr("sk_brainmae.heads.linear.STRENGTHS", strengths)
    monkeypatch.setattr("sk_brainmae.baselines.heads.STRENGTHS", strengths)
    monkeypatch.setattr("sk_brainmae.baselines.heads.N_TREES", 25)
