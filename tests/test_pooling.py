"""Second-order pooling: against formulas written independently, and what it must not depend on."""

import numpy as np
import pytest
from scipy.linalg import logm

from sk_brainmae.datasets import make_cohort
from sk_brainmae.pooling import SHRINKAGE, fit_latent_space, pool_covariance
from sk_brainmae.timeseries import Window, validate_scans

N_REGIONS, N_LATENTS = 10, 6


@pytest.fixture(scope="module")
def scans():
    return make_cohort(n_scans=12, n_timepoints=80, n_regions=N_REGIONS, random_state=0).scans


@pytest.fixture(scope="module")
def roi():
    return np.random.default_rng(0).normal(size=(N_REGIONS, N_LATENTS))


def embed(scans, roi, training=None):
    space = fit_latent_space(validate_scans(scans if training is None else training), roi)
    return pool_covariance(validate_scans(scans), space)


def distances(embeddings):
    return np.linalg.norm(embeddings[:, None] - embeddings, axis=-1)


def log_covariances(scans, whitening):
    """The formula as written, one scan at a time, by numpy's and scipy's own routines."""
    logs = []
    for scan in scans:
        z = (scan - scan.mean(axis=0)) / scan.std(axis=0)
        covariance = np.cov(z @ whitening, rowvar=False)
        shape = covariance / np.trace(covariance) * len(covariance)
        logs.append(logm((1 - SHRINKAGE) * shape + SHRINKAGE * np.eye(len(shape))))
    return np.array(logs)


def test_embedding_is_the_log_covariance_of_an_independent_computation(scans, roi):
    space = fit_latent_space(validate_scans(scans), roi)
    logs = log_covariances(scans.astype(float), space.whitening)
    centred = logs - logs.mean(axis=0)
    rows, columns = np.triu_indices(N_LATENTS)
    expected = centred[:, rows, columns] * np.where(rows == columns, 1, np.sqrt(2))
    embeddings = pool_covariance(validate_scans(scans), space)
    assert embeddings.shape == (12, 21)
    np.testing.assert_allclose(embeddings, expected, atol=1e-4)


def test_distances_are_those_between_log_covariances(scans, roi):
    space = fit_latent_space(validate_scans(scans), roi)
    logs = log_covariances(scans.astype(float), space.whitening)
    expected = np.linalg.norm(logs[:, None] - logs, axis=(2, 3))
    np.testing.assert_allclose(distances(embed(scans, roi)), expected, atol=1e-4)


def test_latents_of_the_training_frames_are_white(scans, roi):
    cohort = validate_scans(scans)
    latents = cohort.frames @ fit_latent_space(cohort, roi).whitening
    np.testing.assert_allclose(np.cov(latents, rowvar=False), np.eye(N_LATENTS), atol=2e-3)


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
    assert embeddings.shape == (12, N_REGIONS * (N_REGIONS + 1) // 2)
    expected = distances(embed(scans, np.eye(N_REGIONS)))
    np.testing.assert_allclose(distances(embeddings), expected, rtol=1e-3, atol=1e-4)


def test_embedding_of_a_scan_does_not_depend_on_what_else_is_embedded(scans, roi):
    together = embed(scans[6:], roi, training=scans[:6])
    for i, scan in enumerate(scans[6:]):
        alone = embed([scan], roi, training=scans[:6])
        np.testing.assert_array_equal(together[i : i + 1], alone)


def test_units_and_order_of_frames_do_not_matter(scans, roi):
    shuffled = 40 + 7 * scans[:, np.random.default_rng(0).permutation(80)]
    np.testing.assert_allclose(embed(shuffled, roi, training=scans), embed(scans, roi), atol=1e-4)


def test_scans_of_one_subject_lie_closer_than_those_of_others(roi):
    cohort = make_cohort(n_scans=24, n_timepoints=300, n_regions=N_REGIONS, n_subjects=12,
                         random_state=0)  # fmt: skip
    apart = distances(embed(cohort.scans, np.eye(N_REGIONS)))
    np.fill_diagonal(apart, np.inf)
    nearest = cohort.subjects[apart.argmin(axis=1)]
    assert np.mean(nearest == cohort.subjects) > 4 / 23, "chance is 1/23"


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
    covariance = fit_latent_space(validate_scans(incomplete), np.eye(N_REGIONS)).covariance
    expected = np.mean([np.corrcoef(scan, rowvar=False) for scan in incomplete[4:]], axis=0)
    np.testing.assert_allclose(covariance[0], expected[0], atol=1e-5)


def test_windows_of_a_single_frame_raise(scans, roi):
    space = fit_latent_space(validate_scans(scans), roi)
    with pytest.raises(ValueError, match="two frames or more"):
        pool_covariance(validate_scans([Window(scans[0], 5, 6)]), space)
