"""What embeddings are made of, where frames are censored: innovations and tempo."""

import numpy as np

from sk_brainmae.embedding.covariance import (
    _component_variance,
    _expected_variance,
    _innovations,
    _innovations_of_seen,
)

WINDOW = 8


def test_innovations_across_gaps_are_those_of_complete_scans_where_there_are_none():
    frames = np.random.default_rng(0).normal(size=(60, 3)).cumsum(axis=0)
    covariance = np.exp(-np.abs(np.subtract.outer(np.arange(10), np.arange(10))) / 5)
    filters = np.linalg.inv(np.linalg.cholesky(covariance))
    complete = _innovations(frames, filters)
    seen = np.ones(60, dtype=bool)
    np.testing.assert_allclose(_innovations_of_seen(frames, seen, filters), complete)
    seen[30] = False
    ours = _innovations_of_seen(np.where(seen[:, None], frames, 0), seen, filters)
    # This process has no memory but its last frame: only the frame after the gap differs,
    # predicted from the one before by r^2.
    r = np.exp(-1 / 5)
    expected = (frames[31] - r**2 * frames[29]) / np.sqrt(1 - r**4)
    np.testing.assert_allclose(ours[30], expected)
    np.testing.assert_allclose(np.delete(ours, 30, axis=0), np.delete(complete, [30, 31], axis=0))


def test_tempo_across_gaps_is_unbiased():
    """Expected frames alone would lack the variance that they cannot know."""
    covariance = np.exp(-np.abs(np.subtract.outer(np.arange(400), np.arange(400))) / 3)
    rng = np.random.default_rng(0)
    frames = np.linalg.cholesky(covariance) @ rng.normal(size=(400, 200))
    variance, axes = np.linalg.eigh(covariance[:WINDOW, :WINDOW])
    components = axes / np.sqrt(variance)
    seen = rng.random(400) < 0.6
    ours = _expected_variance(np.where(seen[:, None], frames, 0), seen, components, covariance)
    np.testing.assert_allclose(ours, _component_variance(frames, components), rtol=0.1)
