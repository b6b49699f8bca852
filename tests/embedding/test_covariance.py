"""Second-order pooling: against formulas written independently, and what it must not depend on."""

import numpy as np
import pytest
from scipy.linalg import inv, logm, sqrtm
from scipy.stats import special_ortho_group

from sk_brainmae.datasets import make_cohort
from sk_brainmae.embedding.covariance import (
    PREDICTION_WINDOWS,
    SHRINKAGE,
    SIGNAL_WEIGHT,
    SMALLEST_TEMPORAL_VARIANCE,
    TEMPO_SHRINKAGE,
    _component_variance,
    _expected_variance,
    _innovations,
    _innovations_of_seen,
    fit_latent_space,
    pool_covariance,
)
from sk_brainmae.timeseries import Window, validate_scans

N_REGIONS, N_LATENTS, WINDOW = 10, 6, 8
N_FEATURES = N_LATENTS * (N_LATENTS + 1) + WINDOW


def embed(scans, roi, training=None, n_components=None):
    training = validate_scans(scans if training is None else training)
    space = fit_latent_space(training, roi, WINDOW, n_components)
    return pool_covariance(validate_scans(scans), space)


def distances(embeddings):
    return np.linalg.norm(embeddings[:, None] - embeddings, axis=-1)


def frame_covariance(scans, n_frames):
    """Mean over all places and regions, as written."""
    places = [
        np.outer(z[t : t + n_frames, j], z[t : t + n_frames, j])
        for z in scans
        for t in range(len(z) - n_frames + 1)
        for j in range(z.shape[1])
    ]
    return np.mean(places, axis=0)


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
    covariance = frames.T @ frames
    scale = np.sqrt(np.diag(covariance))
    return covariance / np.outer(scale, scale)


def log_vector(correlation, whitening, shrinkage):
    latent = whitening.T @ correlation @ whitening
    latent = latent / np.trace(latent) * len(latent)
    log = logm((1 - shrinkage) * latent + shrinkage * np.eye(len(latent)))
    rows, columns = np.triu_indices(len(log))
    return log[rows, columns] * np.where(rows == columns, 1, np.sqrt(2))


def test_embedding_is_the_formula_written_out(scans, roi):
    """Everything is computed here from the scans: whitening and temporal components, too."""
    z = [(scan - scan.mean(axis=0)) / scan.std(axis=0) for scan in scans.astype(float)]
    n_frames = PREDICTION_WINDOWS * WINDOW
    successive = frame_covariance(z, n_frames) + SMALLEST_TEMPORAL_VARIANCE * np.eye(n_frames)
    signals = [(1 - SHRINKAGE) * correlation(x) + SHRINKAGE * np.eye(N_REGIONS) for x in z]
    news = [correlation(innovations(x, successive)) for x in z]
    Q, _ = np.linalg.qr(roi)
    W, V = (Q @ inv(sqrtm(Q.T @ np.mean(mean, axis=0) @ Q)) for mean in (signals, news))
    strength, axes = np.linalg.eigh(frame_covariance(z, WINDOW))
    components = (axes / np.sqrt(strength))[:, ::-1]
    expected = []
    for x, signal, new in zip(z, signals, news, strict=True):
        tempo = np.diag(components.T @ frame_covariance([x], WINDOW) @ components)
        tempo = (1 - TEMPO_SHRINKAGE) * tempo / tempo.mean() + TEMPO_SHRINKAGE
        views = (
            SIGNAL_WEIGHT * log_vector(signal, W, 0),
            log_vector(new, V, SHRINKAGE),
            np.log(tempo),
        )
        expected.append(np.concatenate(views))
    embeddings = embed(scans, roi)
    assert embeddings.shape == (12, N_FEATURES)
    np.testing.assert_allclose(embeddings, expected - np.mean(expected, axis=0), atol=1e-4)
    assert (SIGNAL_WEIGHT, SHRINKAGE, TEMPO_SHRINKAGE) == (0.25, 0.2, 0.03), "as documented"


def test_temporal_components_of_the_training_windows_are_white(scans, roi):
    cohort = validate_scans(scans)
    components = fit_latent_space(cohort, roi, WINDOW).temporal_components
    covariance = frame_covariance([cohort.sample(i) for i in range(12)], WINDOW)
    np.testing.assert_allclose(components.T @ covariance @ components, np.eye(WINDOW), atol=1e-4)
    strength = np.linalg.norm(components, axis=0)
    assert (np.diff(strength) > 0).all(), "strongest component, smallest factor, first"


def test_latents_of_the_mean_shrunk_correlation_are_white(scans, roi):
    space = fit_latent_space(validate_scans(scans), roi, WINDOW)
    mean = np.mean([np.corrcoef(scan, rowvar=False) for scan in scans], axis=0)
    shrunk = (1 - SHRINKAGE) * mean + SHRINKAGE * np.eye(N_REGIONS)
    white = space.signal_whitening.T @ shrunk @ space.signal_whitening
    np.testing.assert_allclose(white, np.eye(N_LATENTS), atol=1e-4)


def test_training_embeddings_have_zero_mean(scans, roi):
    np.testing.assert_allclose(embed(scans, roi).mean(axis=0), 0, atol=1e-6)


def test_rotating_roi_embeddings_within_their_span_changes_no_distance(scans, roi):
    mixing = np.random.default_rng(1).normal(size=(N_LATENTS, N_LATENTS))
    expected = distances(embed(scans, roi))
    np.testing.assert_allclose(
        distances(embed(scans, roi @ mixing)), expected, rtol=1e-3, atol=1e-4
    )
    another_span = np.random.default_rng(1).normal(size=roi.shape)
    assert not np.allclose(distances(embed(scans, another_span)), expected, rtol=0.05)


def test_more_embedding_dimensions_than_regions_span_all_regions(scans):
    wide = np.random.default_rng(0).normal(size=(N_REGIONS, 16))
    embeddings = embed(scans, wide)
    assert embeddings.shape == (12, N_REGIONS * (N_REGIONS + 1) + WINDOW)
    expected = distances(embed(scans, np.eye(N_REGIONS)))
    np.testing.assert_allclose(distances(embeddings), expected, rtol=1e-3, atol=1e-4)


def test_roi_embeddings_of_full_rank_give_one_embedding_whatever_they_are(scans):
    # A head that standardises features sees their basis: it must not be that of the start.
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, N_REGIONS, N_REGIONS))
    axes = np.linalg.qr(one)[0] * np.logspace(0, -3, N_REGIONS)  # of a spectral start
    np.testing.assert_allclose(embed(scans, one), embed(scans, other), atol=1e-5)
    np.testing.assert_allclose(embed(scans, one), embed(scans, axes), atol=1e-5)


def test_embedding_of_a_scan_does_not_depend_on_what_else_is_embedded(scans, roi):
    together = embed(scans[6:], roi, training=scans[:6])
    for i, scan in enumerate(scans[6:]):
        alone = embed([scan], roi, training=scans[:6])
        np.testing.assert_array_equal(together[i : i + 1], alone)


def test_units_do_not_matter(scans, roi):
    units = np.geomspace(0.1, 1e3, N_REGIONS)
    other = 40 + units * scans
    np.testing.assert_allclose(embed(other, roi, training=scans), embed(scans, roi), atol=1e-4)


def test_a_moment_is_the_scan_it_would_be_alone_but_for_the_scale_of_its_tempo(scans):
    """What the rest of its run does to a moment, through z-scoring, cancels out."""
    roi = np.eye(N_REGIONS)
    space = fit_latent_space(validate_scans(scans), roi, WINDOW)
    alone = pool_covariance(validate_scans([scan[20:60] for scan in scans]), space)
    moment = pool_covariance(validate_scans([Window(scan, 20, 60) for scan in scans]), space)
    np.testing.assert_allclose(moment[:, :-WINDOW], alone[:, :-WINDOW], atol=1e-4)


def test_order_of_frames_matters_to_innovations_and_tempo_alone(scans, roi):
    shuffled = scans[:, np.random.default_rng(0).permutation(80)]
    before, after = embed(scans, roi), embed(shuffled, roi, training=scans)
    n_signal = N_LATENTS * (N_LATENTS + 1) // 2
    np.testing.assert_allclose(after[:, :n_signal], before[:, :n_signal], atol=1e-4)
    assert not np.allclose(after[:, n_signal:-WINDOW], before[:, n_signal:-WINDOW], atol=0.1)
    assert not np.allclose(after[:, -WINDOW:], before[:, -WINDOW:], atol=0.1)


def test_tempo_tells_slow_signal_from_fast_where_correlation_is_the_same():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(20, 300, N_REGIONS))
    slow = np.arange(20) % 2 == 0
    scans = noise.copy()
    scans[slow] += np.roll(noise[slow], 1, axis=1) + np.roll(noise[slow], 2, axis=1)
    tempo = embed(scans, np.eye(N_REGIONS))[:, -WINDOW:]
    assert tempo[slow, 0].min() > tempo[~slow, 0].max(), "the strongest component is the slowest"


def test_scans_of_one_subject_lie_closer_than_those_of_others(roi):
    cohort = make_cohort(n_scans=24, n_timepoints=300, n_regions=N_REGIONS, n_subjects=12,
                         random_state=0)  # fmt: skip
    apart = distances(embed(cohort.scans, np.eye(N_REGIONS)))
    np.fill_diagonal(apart, np.inf)
    nearest = cohort.subjects[apart.argmin(axis=1)]
    assert np.mean(nearest == cohort.subjects) > 4 / 23, "chance is 1/23"


def test_subjects_of_weak_individual_signal_are_found_in_innovations():
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
    embeddings = embed(scans, np.eye(N_REGIONS))
    n_signal = N_REGIONS * (N_REGIONS + 1) // 2
    accuracy = []
    for part in (slice(n_signal), slice(n_signal, -WINDOW)):
        apart = np.linalg.norm(embeddings[:8, None, part] - embeddings[None, 8:, part], axis=-1)
        accuracy.append(np.mean(apart.argmin(axis=1) == np.arange(8)))
    assert accuracy[1] == 1, accuracy
    assert accuracy[0] < 0.7, accuracy


# --- compact form -------------------------------------------------------------------------------


def test_compact_embedding_is_the_principal_components_of_the_whole_one(scans, roi):
    whole, compact = embed(scans, roi), embed(scans, roi, n_components=4)
    assert compact.shape == (12, 4)
    u, s, _ = np.linalg.svd(whole.astype(float), full_matrices=False)
    np.testing.assert_allclose(np.abs(compact), np.abs(u * s)[:, :4], atol=1e-4)


def test_all_components_keep_the_distances_of_training_scans(scans, roi):
    compact = embed(scans, roi, n_components=12)
    np.testing.assert_allclose(distances(compact), distances(embed(scans, roi)), atol=1e-4)


def test_axes_are_learned_from_the_training_scans_alone(scans, roi):
    together = embed(scans[6:], roi, training=scans[:6], n_components=3)
    alone = embed(scans[8:9], roi, training=scans[:6], n_components=3)
    np.testing.assert_allclose(together[2:3], alone, atol=1e-5)


def test_more_components_than_training_scans_raise(scans, roi):
    with pytest.raises(ValueError, match=r"n_components=13 .* need as many training scans.* 12"):
        embed(scans, roi, n_components=13)


# --- few frames, few regions, few scans ---------------------------------------------------------


def test_a_moment_shorter_than_a_window_is_widened_evenly(scans, roi):
    space = fit_latent_space(validate_scans(scans), roi, WINDOW)
    short = [Window(scans[0], 21, 23), Window(scans[0], 0, 1), Window(scans[0], 79, 80)]
    wide = [Window(scans[0], 18, 26), Window(scans[0], 0, 8), Window(scans[0], 72, 80)]
    embeddings = [pool_covariance(validate_scans(moments), space) for moments in (short, wide)]
    np.testing.assert_array_equal(*embeddings)


@pytest.mark.filterwarnings("ignore:.*more regions than frames")
def test_a_run_shorter_than_a_window_raises(scans, roi):
    space = fit_latent_space(validate_scans(scans), roi, WINDOW)
    short = validate_scans([scans[0, :7, :]] * 2, n_regions=N_REGIONS)
    with pytest.raises(ValueError, match="7 frames, fewer than one window of 8"):
        pool_covariance(short, space)
    with pytest.raises(ValueError, match="7 frames, fewer than one window of 8"):
        fit_latent_space(short, roi, WINDOW)


def test_single_frames_raise(scans, roi):
    space = fit_latent_space(validate_scans(scans), roi, 1)
    with pytest.raises(ValueError, match="two frames or more"):
        pool_covariance(validate_scans([Window(scans[0], 5, 6)]), space)


def test_training_scans_shorter_than_the_prediction_use_the_frames_they_have(scans, roi):
    space = fit_latent_space(validate_scans(scans[:, :12]), roi, WINDOW)
    assert len(space.innovation_filters) == 12
    assert np.isfinite(pool_covariance(validate_scans(scans), space)).all()


ODD = {
    "fewer frames than regions": lambda s: s[:, :WINDOW],
    "one scan": lambda s: s[:1],
    "one subject": lambda s: np.concatenate([s[:1], s[:1] + 1]),
    "two regions": lambda s: s[:, :, :2],
    "duplicate regions": lambda s: s[:, :, [0, 0, 1, 2, 2, 3]],
    "region missing in all scans": lambda s: s * (np.arange(s.shape[2]) != 3),
    "one region with signal": lambda s: s * (np.arange(s.shape[2]) == 3),
    "random walks": lambda s: np.cumsum(s, axis=1),
    "straight lines": lambda s: np.arange(s.shape[1])[:, None] + 0 * s,
}


@pytest.mark.filterwarnings("ignore:constant regions", "ignore:.*more regions than frames")
@pytest.mark.parametrize("case", ODD)
def test_odd_cohorts_embed_finitely(scans, case):
    odd = ODD[case](scans.astype(float))
    space = fit_latent_space(validate_scans(odd), np.eye(odd.shape[2]), WINDOW)
    assert np.isfinite(pool_covariance(validate_scans(odd), space)).all()
    new = ODD[case](scans[::-1].astype(float) + np.random.default_rng(0).normal(size=scans.shape))
    embeddings = pool_covariance(validate_scans(new), space)
    assert np.isfinite(embeddings).all()


def test_a_moment_without_any_change_embeds_finitely(scans, roi):
    flat = scans.copy()
    flat[0, 20:40] = scans[0].mean(axis=0)
    space = fit_latent_space(validate_scans(scans), roi, WINDOW)
    moments = validate_scans([Window(flat[0], 20, 40)])
    assert np.isfinite(pool_covariance(moments, space)).all()


# --- missing regions ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def redundant():
    """Scans whose regions 0 and 1 are much alike (r = .9), and a copy without region 0 in some."""
    rng = np.random.default_rng(0)
    scans = rng.normal(size=(12, 200, N_REGIONS)) @ rng.normal(size=(N_REGIONS, N_REGIONS))
    scans[:, :, 0] = scans[:, :, 1] + 0.5 * scans[:, :, 1].std() * rng.normal(size=(12, 200))
    incomplete = scans.copy()
    incomplete[:4, :, 0] = 0
    return scans, incomplete


@pytest.mark.filterwarnings("ignore:constant regions")
def test_a_missing_region_is_filled_in_from_the_others(redundant):
    scans, incomplete = redundant
    roi = np.eye(N_REGIONS)
    complete = embed(scans, roi)
    filled = embed(incomplete, roi, training=scans)
    np.testing.assert_array_equal(filled[4:], complete[4:])
    to_itself = np.linalg.norm(filled[:4] - complete[:4], axis=1)
    assert (to_itself < distances(complete)[:4, 4:].min(axis=1)).all()


@pytest.mark.filterwarnings("ignore:constant regions")
def test_missing_regions_move_a_scan_less_than_another_subject_is_away():
    scans = make_cohort(n_scans=12, n_timepoints=200, n_regions=20, random_state=0).scans
    incomplete = scans.copy()
    incomplete[:, :, [3, 8, 13]] = 0
    complete = embed(scans, np.eye(20))
    to_itself = np.linalg.norm(embed(incomplete, np.eye(20), training=scans) - complete, axis=1)
    assert to_itself.mean() < 0.6 * distances(complete)[np.triu_indices(12, 1)].mean()


@pytest.mark.filterwarnings("ignore:constant regions")
@pytest.mark.parametrize("value", [-3.3, 1e5])
def test_the_constant_of_a_missing_region_never_matters(redundant, value):
    _, incomplete = redundant
    other = incomplete.copy()
    other[:4, :, 0] = value
    np.testing.assert_array_equal(
        embed(other, np.eye(N_REGIONS)), embed(incomplete, np.eye(N_REGIONS))
    )


@pytest.mark.filterwarnings("ignore:constant regions")
def test_training_covariance_counts_the_runs_that_have_both_regions(redundant):
    _, incomplete = redundant
    covariance = fit_latent_space(validate_scans(incomplete), np.eye(N_REGIONS), WINDOW).covariance
    expected = np.mean([np.corrcoef(scan, rowvar=False) for scan in incomplete[4:]], axis=0)
    np.testing.assert_allclose(covariance[0], expected[0], atol=1e-5)


@pytest.mark.filterwarnings("ignore:constant regions")
def test_a_region_missing_in_all_scans_leaves_distances_between_the_others(scans):
    empty = scans.copy()
    empty[:, :, 3] = 0
    others = np.delete(scans, 3, axis=2)
    with_it, without = embed(empty, np.eye(N_REGIONS)), embed(others, np.eye(N_REGIONS - 1))
    np.testing.assert_allclose(distances(with_it), distances(without), rtol=0.05)


# --- censored frames ----------------------------------------------------------------------------


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
