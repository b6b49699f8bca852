import joblib
import numpy as np
import pytest
from scipy.linalg import logm, sqrtm
from sklearn.covariance import LedoitWolf

from sk_brainmae.baselines import ConnectivityFeatures, GroupPCAConnectivity
from sk_brainmae.timeseries import Window

LOWER = np.tril_indices(5, -1)


@pytest.fixture
def scans():
    rng = np.random.default_rng(0)
    return [rng.normal(size=(60 + i, 5)) @ rng.normal(size=(5, 5)) for i in range(6)]


def covariance(frames):
    return LedoitWolf().fit(frames).covariance_


def z_scored(scan):
    return (scan - scan.mean(0)) / scan.std(0)


def test_correlation_is_the_fisher_z_of_the_shrunk_correlation(scans):
    features = ConnectivityFeatures("correlation").fit_transform(scans)
    for row, scan in zip(features, scans, strict=True):
        shrunk = covariance(z_scored(scan))
        scale = np.sqrt(np.diag(shrunk))
        np.testing.assert_allclose(np.tanh(row), (shrunk / np.outer(scale, scale))[LOWER], 1e-4)


def test_partial_correlation_is_the_fisher_z_of_the_scaled_precision(scans):
    features = ConnectivityFeatures("partial correlation").fit_transform(scans)
    for row, scan in zip(features, scans, strict=True):
        precision = np.linalg.inv(covariance(z_scored(scan)))
        scale = np.sqrt(np.diag(precision))
        np.testing.assert_allclose(np.tanh(row), (-precision / np.outer(scale, scale))[LOWER], 1e-4)


def test_tangent_is_the_logarithm_seen_from_the_training_scans_mean(scans):
    fitted = ConnectivityFeatures("tangent").fit(scans[:4])
    covariances = np.array([covariance(z_scored(scan)) for scan in scans])
    whitening = np.linalg.inv(sqrtm(fitted.measure_.mean_).real)
    logs = np.array([logm(whitening @ c @ whitening).real for c in covariances])
    # The geometric mean is where the training scans' logarithms cancel.
    np.testing.assert_allclose(logs[:4].mean(axis=0), 0, atol=1e-5)
    rows = fitted.transform(scans[4:])
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), _norm(logs[4:]) / np.sqrt(2), 1e-4)


def _norm(matrices):
    return np.sqrt((matrices**2).sum(axis=(1, 2)))


@pytest.mark.parametrize("kind", ["correlation", "partial correlation", "tangent"])
@pytest.mark.filterwarnings("ignore:Maximum number of iterations")
def test_few_frames_and_duplicate_regions_stay_finite(kind, scans):
    scans = [np.c_[scan, scan[:, 0]] for scan in scans]
    windows = [Window(scan, 10, 10 + n) for scan, n in zip(scans, [2, 3, 4, 6, 8, 50], strict=True)]
    assert np.isfinite(ConnectivityFeatures(kind).fit_transform(windows)).all()


@pytest.mark.parametrize("kind", ["correlation", "partial correlation"])
def test_missing_region_connects_to_nothing_and_leaves_the_others_alone(kind, scans):
    without = ConnectivityFeatures(kind).fit_transform([scan[:, :4] for scan in scans])
    scans = [np.c_[scan[:, :4], np.full(len(scan), 7.0)] for scan in scans]
    with pytest.warns(UserWarning, match="constant regions"):
        features = ConnectivityFeatures(kind).fit_transform(scans)
    np.testing.assert_allclose(features[:, LOWER[0] < 4], without, rtol=1e-6)
    np.testing.assert_array_equal(features[:, LOWER[0] == 4], 0)


def test_unknown_kind_raises(scans):
    with pytest.raises(ValueError, match="unknown kind of connectivity 'tangens'"):
        ConnectivityFeatures("tangens").fit(scans)


@pytest.mark.parametrize("features", [ConnectivityFeatures(), GroupPCAConnectivity()], ids=repr)
def test_sample_of_one_frame_raises(features, scans):
    with pytest.raises(ValueError, match="sample 1 does not vary over its 1 frames"):
        features.fit([scans[0], Window(scans[1], 3, 4)])


def test_group_pca_connectivity_is_the_log_covariance_of_whitened_components(scans):
    fitted = GroupPCAConnectivity(n_components=3).fit(scans[:4])
    frames = np.concatenate([z_scored(scan) for scan in scans[:4]])
    _, singular, axes = np.linalg.svd(frames, full_matrices=False)
    components = (axes[:3].T / singular[:3]) * np.sqrt(len(frames))
    for row, scan in zip(fitted.transform(scans), scans, strict=True):
        plain = np.cov(z_scored(scan) @ components, rowvar=False, bias=True)
        log = logm(0.9 * plain + 0.1 * np.trace(plain) / 3 * np.eye(3)).real
        # Components have no sign; sizes of entries and the matrix norm do not depend on it.
        on, below = np.diag(log), log[np.tril_indices(3, -1)]
        expected = np.array([on[0], below[0] * 2**0.5, on[1], *(below[1:] * 2**0.5), on[2]])
        np.testing.assert_allclose(np.abs(row), np.abs(expected), rtol=1e-3, atol=1e-5)


def test_group_pca_components_are_white_over_the_training_frames(scans):
    whitening = GroupPCAConnectivity().fit(scans).whitening_
    frames = np.concatenate([z_scored(scan) for scan in scans]) @ whitening
    np.testing.assert_allclose(frames.T @ frames / len(frames), np.eye(5), atol=1e-5)


def test_group_pca_keeps_no_more_components_than_the_training_frames_span(scans):
    scans = [np.c_[scan, scan[:, :2]] for scan in scans]
    assert GroupPCAConnectivity().fit(scans).whitening_.shape == (7, 5)
    assert GroupPCAConnectivity().fit_transform(scans).shape == (6, 15)


def test_group_pca_of_no_components_raises(scans):
    with pytest.raises(ValueError, match="at least 1"):
        GroupPCAConnectivity(0).fit(scans)


@pytest.mark.parametrize("kind", ["correlation", "partial correlation", "tangent"])
def test_transform_does_not_change_the_fitted_model(scans, kind):
    model = ConnectivityFeatures(kind).fit(scans)
    before = joblib.hash(model)  # what one thread changed, another would read
    model.transform(scans[:2])
    assert joblib.hash(model) == before


def test_censored_frames_do_not_change_the_components(scans):
    added = [np.vstack([scan, np.full((20, 5), np.nan)]) for scan in scans]
    with pytest.warns(UserWarning, match="missing values"):
        model = GroupPCAConnectivity(3).fit(added)
    np.testing.assert_allclose(model.whitening_, GroupPCAConnectivity(3).fit(scans).whitening_)
