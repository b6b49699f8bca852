"""The view "innovations": against the formula written out, and what it tells."""

import numpy as np
import pytest
from scipy.linalg import inv, sqrtm
from scipy.stats import special_ortho_group

from sk_brainmae.embedding.connectivity import Connectivity
from sk_brainmae.embedding.innovations import Innovations
from sk_brainmae.embedding.signal import PREDICTION_WINDOWS, SMALLEST_TEMPORAL_VARIANCE
from sk_brainmae.embedding.tangent import SHRINKAGE
from sk_brainmae.timeseries import validate_scans

N_REGIONS, WINDOW = 10, 8


def innovations(scan, covariance):
    """Residual of each frame's regression on those before it, over its standard deviation."""
    out = []
    for t in range(len(scan)):
        p = min(t, len(covariance) - 1)
        weights = np.linalg.solve(covariance[:p, :p], covariance[:p, p])
        variance = covariance[p, p] - weights @ covariance[:p, p]
        out.append((scan[t] - weights @ scan[t - p : t]) / np.sqrt(variance))
    return np.array(out)


def correlation(frames):
    """Correlate around 0: innovations have the mean 0 over the cohort, not over a scan."""
    covariance = frames.T @ frames
    scale = np.sqrt(np.diag(covariance))
    return covariance / np.outer(scale, scale)


def test_embedding_is_the_formula_written_out(scans, embed, written):
    """Everything is computed here from the scans: prediction and whitening, too."""
    z = [written.zscore(scan) for scan in scans.astype(float)]
    n_frames = PREDICTION_WINDOWS * WINDOW
    successive = written.frame_covariance(z, n_frames)
    successive += SMALLEST_TEMPORAL_VARIANCE * np.eye(n_frames)
    news = [correlation(innovations(x, successive)) for x in z]
    whitening = inv(sqrtm(np.mean(news, axis=0)))
    expected = np.array([written.log_vector(new, whitening, SHRINKAGE) for new in news])
    embeddings = embed(Innovations, scans)
    assert embeddings.shape == (12, N_REGIONS * (N_REGIONS + 1) // 2)
    np.testing.assert_allclose(embeddings, expected - expected.mean(axis=0), atol=1e-4)


def test_training_mean_is_0(scans, embed):
    np.testing.assert_allclose(embed(Innovations, scans).mean(axis=0), 0, atol=1e-6)


def test_order_of_frames_matters(scans, embed):
    shuffled = scans[:, np.random.default_rng(0).permutation(80)]
    before, after = (embed(Innovations, X, training=scans) for X in (scans, shuffled))
    assert not np.allclose(after, before, atol=0.1)


def test_subjects_of_weak_individual_signal_are_found_where_connectivity_misses_them(embed):
    """A subject's own mixing acts on fast noise, far below the slow signal."""
    rng = np.random.default_rng(0)
    own = [special_ortho_group.rvs(N_REGIONS, random_state=i) for i in range(8)]
    shared = rng.normal(size=(N_REGIONS, N_REGIONS))
    time = np.arange(120)[:, None]
    scans = []
    for subject in (*range(8), *range(8)):
        slow = sum(
            np.cos(2 * np.pi * k * time / 120 + rng.uniform(0, 2 * np.pi, N_REGIONS))
            for k in range(2, 10)
        )
        fast = (rng.normal(size=(120, N_REGIONS)) * np.geomspace(0.3, 3, N_REGIONS)) @ own[subject]
        scans.append(3 * slow @ shared + fast)
    accuracy = {}
    for kind in (Connectivity, Innovations):
        embeddings = embed(kind, scans)
        apart = np.linalg.norm(embeddings[:8, None] - embeddings[None, 8:], axis=-1)
        accuracy[kind] = np.mean(apart.argmin(axis=1) == np.arange(8))
    assert accuracy[Innovations] == 1, accuracy
    assert accuracy[Connectivity] < 0.7, accuracy


@pytest.mark.filterwarnings("ignore:constant regions")
def test_missing_regions_move_a_scan_less_than_another_subject_is_away(embed, distances, many):
    incomplete = many.copy()
    incomplete[:, :, [3, 8]] = 0
    complete = embed(Innovations, many)
    filled = embed(Innovations, incomplete, training=many)
    to_itself = np.linalg.norm(filled - complete, axis=1)
    assert to_itself.mean() < distances(complete)[np.triu_indices(30, 1)].mean()


def test_resampled_scans_that_meet_a_model_of_others_are_warned_of(scans, source):
    """The training scans are band-passed: their stop-band is what resampling changes."""
    time = np.arange(80) / 80
    slow = np.stack(
        [
            sum(
                np.cos(2 * np.pi * k * time[:, None] + phase)
                for k, phase in enumerate(np.random.default_rng(i).uniform(0, 6, (5, N_REGIONS)), 1)
            )
            for i in range(6)
        ]
    )
    training = source(slow)
    assert training.signal.reads_stop_bands
    view = Innovations.fit(training)
    resampled = validate_scans(slow)
    resampled.resampled[:] = True
    from_elsewhere = type(training)(
        resampled, training.signal, training.load_network, training.layout
    )
    with pytest.warns(UserWarning, match="scans are resampled, but the model learned from"):
        view.embed(from_elsewhere)
