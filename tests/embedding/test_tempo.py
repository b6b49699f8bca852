"""The view "tempo": against the formula written out, and what it tells."""

import numpy as np

from sk_brainmae.embedding.tempo import SHRINKAGE, Tempo, _component_variance, _expected_variance

N_REGIONS, WINDOW = 10, 8


def test_embedding_is_the_formula_written_out(scans, embed, written):
    z = [written.zscore(scan) for scan in scans.astype(float)]
    strength, axes = np.linalg.eigh(written.frame_covariance(z, WINDOW))
    components = (axes / np.sqrt(strength))[:, ::-1]
    expected = []
    for x in z:
        tempo = np.diag(components.T @ written.frame_covariance([x], WINDOW) @ components)
        expected.append(np.log((1 - SHRINKAGE) * tempo / tempo.mean() + SHRINKAGE))
    embeddings = embed(Tempo, scans)
    assert embeddings.shape == (12, WINDOW)
    np.testing.assert_allclose(embeddings, expected - np.mean(expected, axis=0), atol=1e-4)
    assert SHRINKAGE == 0.03, "as documented"


def test_training_mean_is_0(scans, embed):
    np.testing.assert_allclose(embed(Tempo, scans).mean(axis=0), 0, atol=1e-6)


def test_slow_signal_is_told_from_fast_where_correlation_is_the_same(embed):
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(20, 300, N_REGIONS))
    slow = np.arange(20) % 2 == 0
    scans = noise.copy()
    scans[slow] += np.roll(noise[slow], 1, axis=1) + np.roll(noise[slow], 2, axis=1)
    tempo = embed(Tempo, scans)
    assert tempo[slow, 0].min() > tempo[~slow, 0].max(), "the strongest component is the slowest"


def test_order_of_frames_matters(scans, embed):
    shuffled = scans[:, np.random.default_rng(0).permutation(80)]
    before, after = (embed(Tempo, X, training=scans) for X in (scans, shuffled))
    assert not np.allclose(after, before, atol=0.1)


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
