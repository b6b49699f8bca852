"""The view "connectivity": against the formula written out, and what it must not depend on."""

import numpy as np
import pytest
from scipy.linalg import inv, sqrtm

from sk_brainmae.datasets import make_cohort
from sk_brainmae.embedding.connectivity import ENOUGH_SCANS, Connectivity
from sk_brainmae.embedding.tangent import SHRINKAGE
from sk_brainmae.timeseries import Window

N_REGIONS, WINDOW = 10, 8
N_FEATURES = N_REGIONS * (N_REGIONS + 1) // 2


def z_scored(scan):
    return (scan - scan.mean(axis=0)) / scan.std(axis=0)


def shrunk_correlation(frames):
    """Correlate z-scored frames, or a part of them, which is not centred again."""
    moment = frames.T.astype(float) @ frames.astype(float)
    scale = np.sqrt(np.diag(moment))
    correlation = moment / np.outer(scale, scale)
    return (1 - SHRINKAGE) * correlation + SHRINKAGE * np.eye(len(correlation))


def logarithms(scans, training, written):
    """The features before mean and weight, of scans in the tangent space of others."""
    whitening = inv(sqrtm(np.mean([shrunk_correlation(x) for x in training], axis=0)))
    return np.array([written.log_vector(shrunk_correlation(x), whitening, 0) for x in scans])


def test_embedding_of_few_scans_is_the_formula_written_out(scans, embed, written):
    z = [z_scored(scan) for scan in scans]
    logs = logarithms(z, z, written)
    embeddings = embed(Connectivity, scans)
    assert embeddings.shape == (12, N_FEATURES)
    np.testing.assert_allclose(embeddings, logs - logs.mean(axis=0), atol=1e-4)
    assert SHRINKAGE == 0.2, "as documented"


def test_features_are_weighed_by_the_root_of_the_correlation_of_halves(
    many, source, embed, written
):
    z = np.stack([z_scored(scan) for scan in many])
    halves = [logarithms(half, z, written) for half in (z[:, :60], z[:, 60:])]
    reliability = [
        np.corrcoef(first, second)[0, 1]
        for first, second in zip(*np.swapaxes(halves, 1, 2), strict=True)
    ]
    expected = np.sqrt(np.clip(reliability, 0, 1))
    view = Connectivity.fit(source(many))
    np.testing.assert_allclose(view.weight, expected, atol=1e-3)
    assert view.weight.std() > 0.05, "features differ"
    logs = logarithms(z, z, written)
    expected = (logs - logs.mean(axis=0)) * expected
    np.testing.assert_allclose(embed(Connectivity, many), expected, atol=2e-3)


def test_halves_of_scans_of_unequal_lengths_are_their_own(many, source, written):
    ragged = [scan[: 120 - 2 * i] for i, scan in enumerate(many)]
    z = [z_scored(scan) for scan in ragged]
    halves = [
        logarithms(half, z, written)
        for half in ([x[: len(x) // 2] for x in z], [x[len(x) // 2 :] for x in z])
    ]
    reliability = [
        np.corrcoef(first, second)[0, 1]
        for first, second in zip(*np.swapaxes(halves, 1, 2), strict=True)
    ]
    weight = Connectivity.fit(source(ragged)).weight
    np.testing.assert_allclose(weight, np.sqrt(np.clip(reliability, 0, 1)), atol=1e-3)


def test_too_few_scans_to_tell_weigh_all_features_the_same(many, source):
    few, enough = (Connectivity.fit(source(many[:n])) for n in (ENOUGH_SCANS - 1, ENOUGH_SCANS))
    assert (few.weight == 1).all()
    assert (enough.weight < 1).all()


def test_scans_without_two_halves_of_a_window_do_not_count_as_scans_that_tell(many, source):
    mixed = [
        scan if i < ENOUGH_SCANS - 1 else scan[: 2 * WINDOW - 1] for i, scan in enumerate(many)
    ]
    assert (Connectivity.fit(source(mixed)).weight == 1).all()


def test_features_of_noise_weigh_less_than_those_of_a_persons_own_connectivity(source):
    own = make_cohort(n_scans=40, n_timepoints=300, n_regions=N_REGIONS, random_state=0).scans
    rng = np.random.default_rng(0)
    noise = rng.normal(size=own.shape)
    weights = [Connectivity.fit(source(scans)).weight.mean() for scans in (own, noise)]
    assert weights[0] > 2 * weights[1], weights


def test_training_mean_is_0(scans, many, embed):
    for training in (scans, many):
        np.testing.assert_allclose(embed(Connectivity, training).mean(axis=0), 0, atol=1e-6)


def test_mean_shrunk_correlation_is_white(scans, source):
    whitening = Connectivity.fit(source(scans)).whitening
    mean = np.mean([shrunk_correlation(z_scored(scan)) for scan in scans], axis=0)
    np.testing.assert_allclose(whitening.T @ mean @ whitening, np.eye(N_REGIONS), atol=1e-4)


def test_order_of_frames_does_not_matter(scans, embed):
    shuffled = scans[:, np.random.default_rng(0).permutation(80)]
    before, after = (embed(Connectivity, X, training=scans) for X in (scans, shuffled))
    np.testing.assert_allclose(after, before, atol=1e-4)


def test_a_moment_keeps_its_mean_in_the_run(scans, embed, written):
    z = [z_scored(scan) for scan in scans]
    moment = embed(Connectivity, [Window(scan, 20, 60) for scan in scans], training=scans)
    logs = logarithms([x[20:60] for x in z], z, written)
    mean = logarithms(z, z, written).mean(axis=0)
    np.testing.assert_allclose(moment, logs - mean, atol=1e-4)


def test_scans_of_one_subject_lie_closer_than_those_of_others(embed, distances):
    cohort = make_cohort(
        n_scans=24, n_timepoints=300, n_regions=N_REGIONS, n_subjects=12, random_state=0
    )
    apart = distances(embed(Connectivity, cohort.scans))
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
def test_a_missing_region_is_filled_in_from_the_others(redundant, embed, distances):
    scans, incomplete = redundant
    complete = embed(Connectivity, scans)
    filled = embed(Connectivity, incomplete, training=scans)
    np.testing.assert_array_equal(filled[4:], complete[4:])
    to_itself = np.linalg.norm(filled[:4] - complete[:4], axis=1)
    assert (to_itself < distances(complete)[:4, 4:].min(axis=1)).all()


@pytest.mark.filterwarnings("ignore:constant regions")
def test_a_region_missing_in_all_scans_leaves_distances_between_the_others(scans, embed, distances):
    empty = scans.copy()
    empty[:, :, 3] = 0
    with_it, without = (embed(Connectivity, X) for X in (empty, np.delete(scans, 3, axis=2)))
    np.testing.assert_allclose(distances(with_it), distances(without), rtol=0.05)
