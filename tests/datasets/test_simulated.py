import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.cluster import AgglomerativeClustering
from sklearn.linear_model import RidgeCV
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import cross_val_predict

from sk_brainmae.datasets import make_cohort


@pytest.fixture(scope="module")
def cohort():
    return make_cohort(n_scans=200, random_state=0)


def connectivity(scans):
    """Correlations of the regions of each scan, (n_scans, n_edges)."""
    full = np.array([np.corrcoef(scan.T) for scan in scans])
    return full[:, *np.triu_indices(full.shape[1], k=1)]


def out_of_fold_r(features, trait):
    ridge = RidgeCV(np.logspace(0, 4, 5))
    return np.corrcoef(cross_val_predict(ridge, features, trait, cv=5), trait)[0, 1]


def switching_rate(cohort):
    return (np.diff(cohort.states, axis=1) != 0).mean(axis=1)


def test_make_cohort_returns_truth_of_documented_shapes():
    cohort = make_cohort(6, 40, 10, 3, 2, n_subjects=4, t_r=2.0, random_state=0)
    assert cohort.scans.shape == (6, 40, 10)
    assert cohort.scans.dtype == np.float32
    assert cohort.t_r == 2.0
    assert_array_equal(cohort.networks, [0, 0, 0, 0, 1, 1, 1, 2, 2, 2])
    assert len(set(cohort.region_names)) == 10
    assert cohort.region_names[4] == "network1_region0"
    assert cohort.states.shape == (6, 40)
    assert set(np.unique(cohort.states)) == {0, 1}
    assert cohort.traits.shape == (6, 2)
    assert cohort.loadings.shape == (2, 10, 3)
    assert cohort.couplings.shape == (6, 3, 3)
    assert cohort.covariances.shape == (2, 10, 10)


def test_scans_of_one_subject_share_traits_and_coupling():
    cohort = make_cohort(6, 40, 10, 3, 2, n_subjects=4, random_state=0)
    assert_array_equal(cohort.subjects, [f"sub-{i}" for i in (1, 2, 3, 4, 1, 2)])
    assert_array_equal(cohort.traits.iloc[0], cohort.traits.iloc[4])
    assert_array_equal(cohort.couplings[1], cohort.couplings[5])
    assert not np.allclose(cohort.scans[0], cohort.scans[4])
    assert not np.allclose(cohort.couplings[0], cohort.couplings[1])


def test_frames_of_a_state_have_the_covariance_of_that_state(cohort):
    for state, truth in enumerate(cohort.covariances):
        frames = cohort.scans[cohort.states == state]
        measured = frames.T @ frames / len(frames)
        assert np.abs(measured - truth).mean() < 0.05
        others = np.abs(measured - np.delete(cohort.covariances, state, axis=0))
        assert others.mean(axis=(1, 2)).min() > 0.15


def test_noiseless_frames_follow_loadings_and_coupling_exactly():
    cohort = make_cohort(4, 50, noise=0, random_state=0)
    for scan, states, coupling in zip(cohort.scans, cohort.states, cohort.couplings, strict=True):
        for state in np.unique(states):
            basis = cohort.loadings[state] @ coupling  # (n_regions, n_networks)
            frames = scan[states == state].T
            fit = basis @ np.linalg.lstsq(basis, frames, rcond=None)[0]
            assert_allclose(fit, frames, atol=1e-5)


def test_networks_are_recovered_from_group_connectivity(cohort):
    group = np.mean([np.corrcoef(scan.T) for scan in cohort.scans], axis=0)
    found = AgglomerativeClustering(6).fit_predict(group)
    assert adjusted_rand_score(cohort.networks, found) > 0.9


def test_signal_without_noise_stays_in_the_band_within_a_state():
    cohort = make_cohort(20, 400, n_states=1, noise=0, dynamic_strength=0, random_state=0)
    tapered = cohort.scans * np.hanning(400)[:, None]
    power = (np.abs(np.fft.rfft(tapered, axis=1)) ** 2).mean(axis=(0, 2))
    frequencies = np.fft.rfftfreq(400, cohort.t_r)
    assert power[frequencies > 0.11].sum() < 0.01 * power.sum()


def test_states_are_equally_likely_and_stay_for_the_dwell_time():
    cohort = make_cohort(200, 400, 4, 2, dwell_time=20, t_r=2, dynamic_strength=0, random_state=0)
    assert_allclose(np.bincount(cohort.states.ravel()) / cohort.states.size, 1 / 4, atol=0.02)
    assert 1 / switching_rate(cohort).mean() == pytest.approx(10, rel=0.05)  # frames


def test_static_trait_is_in_connectivity_and_not_in_switching(cohort):
    assert out_of_fold_r(connectivity(cohort.scans), cohort.traits["static"]) > 0.5
    assert abs(np.corrcoef(switching_rate(cohort), cohort.traits["static"])[0, 1]) < 0.2


def test_dynamic_trait_is_in_switching_and_not_in_connectivity(cohort):
    assert np.corrcoef(switching_rate(cohort), cohort.traits["dynamic"])[0, 1] < -0.8
    assert out_of_fold_r(connectivity(cohort.scans), cohort.traits["dynamic"]) < 0.2


def test_traits_are_drawn_but_without_effect_at_strength_0(cohort):
    null = make_cohort(n_scans=200, static_strength=0, dynamic_strength=0, random_state=0)
    assert_array_equal(null.traits, cohort.traits)
    assert out_of_fold_r(connectivity(null.scans), null.traits["static"]) < 0.2
    assert abs(np.corrcoef(switching_rate(null), null.traits["dynamic"])[0, 1]) < 0.2


def test_strengths_change_nothing_but_their_own_trait():
    weak, strong = (make_cohort(5, 60, static_strength=s, random_state=0) for s in (0, 2))
    assert_array_equal(weak.states, strong.states)
    assert_array_equal(weak.loadings, strong.loadings)
    assert not np.allclose(weak.scans, strong.scans)


def test_same_seed_gives_same_cohort_and_leaves_global_rng_alone():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first, second = (make_cohort(3, 50, random_state=7) for _ in range(2))
    assert_array_equal(first.scans, second.scans)
    assert not np.allclose(first.scans, make_cohort(3, 50, random_state=8).scans)
    assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_scans": 0}, "n_scans == 0"),
        ({"n_networks": 1}, "n_networks == 1"),
        ({"n_regions": 5, "n_networks": 6}, "n_regions == 5"),
        ({"n_subjects": 101}, "n_subjects == 101"),
        ({"t_r": 0}, "t_r == 0"),
        ({"dwell_time": 0.5}, "dwell_time == 0.5"),
        ({"noise": -1}, "noise == -1"),
        ({"noise": float("nan")}, "noise must be finite"),
        ({"static_strength": -0.1}, "static_strength == -0.1"),
        ({"n_states": 1}, "n_states >= 2"),
        ({"n_timepoints": 5, "t_r": 0.5}, "no signal of"),
    ],
)
def test_make_cohort_with_parameter_out_of_range_raises(parameters, message):
    with pytest.raises(ValueError, match=message):
        make_cohort(**parameters)


def test_make_cohort_with_fractional_count_raises():
    with pytest.raises(TypeError, match="n_scans must be an instance of"):
        make_cohort(n_scans=2.5)
