import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d
from sklearn.cluster import KMeans

from sk_brainmae.baselines import DynamicConnectivity, StateOccupancy
from sk_brainmae.baselines.dynamic import sliding_correlations
from sk_brainmae.datasets import make_cohort


def weighted_correlation(frames, weights):
    """Correlation of the regions by numpy's weighted covariance, lower triangle."""
    covariance = np.cov(frames.T, aweights=weights)
    scale = np.sqrt(np.diag(covariance))
    return (covariance / np.outer(scale, scale))[np.tril_indices(len(scale), k=-1)]


def tapered_weights(window, oversampling=200):
    """A rectangle filtered by a Gaussian of 3/22 of its length, on a fine grid."""
    n = window * oversampling
    rectangle = np.r_[np.zeros(n), np.ones(n), np.zeros(n)]
    smooth = gaussian_filter1d(rectangle, 3 / 22 * n, truncate=6)[n : 2 * n]
    return smooth[oversampling // 2 :: oversampling]


@pytest.fixture
def frames():
    rng = np.random.default_rng(0)
    return rng.normal(size=(60, 4)) @ rng.normal(size=(4, 4))


def test_sliding_correlations_are_weighted_correlations_of_each_window(frames):
    weights = tapered_weights(22)
    expected = [weighted_correlation(frames[s : s + 22], weights) for s in range(0, 39, 5)]
    np.testing.assert_allclose(sliding_correlations(frames, 22, 5), np.arctanh(expected), atol=1e-3)


def test_region_that_is_constant_in_a_window_correlates_with_none(frames):
    frames[:30, 0] = frames[0, 0]
    edges = sliding_correlations(frames, 20, 10)
    of_region_0 = [0, 1, 3]  # (1, 0), (2, 0), (3, 0)
    assert (edges[:2, of_region_0] == 0).all()
    assert (edges[3:, of_region_0] != 0).all()


def test_dynamic_connectivity_is_mean_and_deviation_over_windows(frames):
    scan = (frames - frames.mean(0)) / frames.std(0)
    edges = sliding_correlations(scan, 20, 5)
    features = DynamicConnectivity(20, 5).fit_transform([frames])
    np.testing.assert_allclose(features[0], np.r_[edges.mean(0), edges.std(0)], atol=1e-5)


def test_seconds_and_frames_give_the_same_windows(frames):
    in_seconds = DynamicConnectivity(40, 10, t_r=2.0).fit_transform([frames])
    np.testing.assert_array_equal(in_seconds, DynamicConnectivity(20, 5).fit_transform([frames]))


@pytest.mark.filterwarnings("ignore:.* missing values")
@pytest.mark.parametrize(
    "features", [DynamicConnectivity(12, 4), StateOccupancy(2, 12, 4, random_state=0)]
)
def test_windows_slide_over_uncensored_frames(frames, features):
    censored = np.insert(frames, [20] * 15, np.nan, axis=0)
    expected = features.fit_transform([frames])
    np.testing.assert_allclose(features.fit_transform([censored]), expected, atol=1e-5)


def test_occupancy_counts_windows_visits_and_changes():
    features = StateOccupancy(3)._describe(np.array([0, 0, 2, 2, 2, 0, 0, 0, 0, 0]))
    np.testing.assert_allclose(features[:3], [0.7, 0, 0.3])
    np.testing.assert_allclose(features[3:6], [3.5, 0, 3])
    assert features[6] == pytest.approx(2 / 9)


def test_states_are_the_clusters_of_the_training_windows_alone():
    scans = make_cohort(n_scans=8, n_timepoints=100, n_regions=6, random_state=0).scans
    model = StateOccupancy(3, 20, 5, random_state=0).fit(scans[:6])
    windows = np.concatenate(
        [sliding_correlations((s - s.mean(0)) / s.std(0), 20, 5) for s in scans[:6]]
    )
    expected = KMeans(3, n_init=10, random_state=0).fit(windows)
    np.testing.assert_allclose(model.kmeans_.cluster_centers_, expected.cluster_centers_, atol=1e-4)
    occupied = model.transform(scans)[:, :3]
    np.testing.assert_allclose(occupied.sum(axis=1), 1)


def test_variability_shows_switching_that_connectivity_hides():
    """Both groups have the same covariance over a scan; one switches between two."""
    rng = np.random.default_rng(0)
    signal = rng.normal(size=(20, 400, 2))
    sign = np.repeat([1, -1], 200)
    switching = np.arange(20) < 10
    scans = signal.copy()
    scans[switching, :, 1] += 2 * sign[None, :] * signal[switching, :, 0]
    scans[~switching, :, 1] *= np.sqrt(5)
    deviation = DynamicConnectivity().fit_transform(scans)[:, 1]
    assert deviation[switching].min() > 2 * deviation[~switching].max()


def test_same_seed_gives_same_states(frames):
    scans = [frames, frames[::-1]]
    first, second = (StateOccupancy(2, 20, 5, random_state=1).fit_transform(scans) for _ in "ab")
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("features", [DynamicConnectivity(), StateOccupancy()])
def test_scan_of_less_than_two_windows_raises(features, frames):
    with pytest.raises(ValueError, match="sample 1 has 50 frames, fewer than two sliding windows"):
        features.fit([frames, frames[:50]])


def test_impossible_windows_and_states_raise(frames):
    with pytest.raises(ValueError, match="window_size=1 is one frame"):
        DynamicConnectivity(1, 1).fit([frames])
    with pytest.raises(ValueError, match=r"step=0\.2 is less than one frame"):
        DynamicConnectivity(20, 0.2).fit([frames])
    with pytest.raises(ValueError, match="n_states=9 must be from 2 to the 4 windows"):
        StateOccupancy(9, 30, 10).fit([frames])
