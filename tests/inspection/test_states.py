import numpy as np
import pytest
from numpy.testing import assert_allclose

from sk_brainmae import BrainMAETransformer
from sk_brainmae.inspection import (
    latent_connectivity,
    plot_latent_connectivity,
    plot_states,
    separation,
    state_map,
    window_states,
)
from sk_brainmae.timeseries import Window

GROUPS = np.repeat(np.arange(6), 20)


@pytest.fixture
def noise():
    return np.random.default_rng(0).normal(size=(120, 5))


def test_states_come_with_their_scan_and_time(spectral, cohort):
    result = window_states(spectral, cohort.scans[:2])
    # 125 frames, windows of 10: the last one ends with the scan.
    assert_allclose(result.time[:13], [*range(5, 120, 10), 120])
    assert (result.scan == np.repeat([0, 1], 13)).all()
    expected = spectral.transform_windows(cohort.scans[:2])
    assert_allclose(result.states, np.concatenate(expected))


def test_time_is_in_seconds_with_t_r(cohort):
    model = BrainMAETransformer(
        t_r=2.0, window_size=20, crop_length=120, embedding_dim=8, max_epochs=0
    ).fit(cohort.scans)
    assert_allclose(window_states(model, cohort.scans[:1]).time[:2], [10, 30])


def test_time_of_a_moment_counts_from_its_start(spectral, cohort):
    moments = [Window(cohort.scans[0], 30, 50)]
    assert_allclose(window_states(spectral, moments).time, [5, 15])


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_map_is_two_dimensional_and_reproducible(noise, method):
    points = state_map(noise, method)
    assert points.shape == (120, 2)
    assert_allclose(points, state_map(noise, method))


def test_unknown_method_and_too_few_states_raise(noise):
    with pytest.raises(ValueError, match="'pca' or 'tsne'"):
        state_map(noise, "umap")
    with pytest.raises(ValueError, match="three states"):
        state_map(noise[:2])


def test_planted_sessions_are_separated_and_noise_is_not(noise):
    session = np.tile([0, 1], 60)
    found = separation(noise + 3 * session[:, None], session, GROUPS)
    assert found["balanced_accuracy"] > 0.95
    assert found["silhouette"] > 0.3
    not_found = separation(noise, session, GROUPS)
    assert abs(not_found["balanced_accuracy"] - not_found["chance"]) < 0.15
    assert not_found["chance"] == 0.5


def test_differences_between_groups_are_not_separation():
    """Windows of a group resemble each other: that must not count."""
    rng = np.random.default_rng(0)
    session = np.repeat(np.arange(12) % 2, 10)  # two halves a group, each with its own offset
    offset = np.repeat(rng.normal(size=(12, 40)), 10, axis=0)
    score = separation(offset + 0.1 * rng.normal(size=(120, 40)), session, GROUPS)
    assert score["balanced_accuracy"] < 0.7


def test_label_of_one_group_alone_raises(noise):
    with pytest.raises(ValueError, match="label 0 is in one group alone"):
        separation(noise, GROUPS, GROUPS)


def test_bad_labels_raise(noise):
    with pytest.raises(ValueError, match="labels are all the same"):
        separation(noise, np.zeros(120), GROUPS)
    with pytest.raises(ValueError, match=r"labels has shape \(119,\)"):
        separation(noise, np.zeros(119), GROUPS)


def test_latent_connectivity_is_the_correlation_over_windows_of_a_scan(noise):
    assert_allclose(latent_connectivity(noise), np.corrcoef(noise.T))


def test_differences_between_scans_are_no_latent_connectivity(noise):
    scan = GROUPS
    shifted = noise + 100 * scan[:, None]
    assert_allclose(latent_connectivity(shifted, scan), latent_connectivity(noise, scan))
    assert latent_connectivity(shifted)[0, 1] > 0.9


def test_dimension_that_does_not_vary_correlates_with_none(noise):
    noise[:, 2] = 7
    connectivity = latent_connectivity(noise)
    assert_allclose(np.delete(connectivity[2], 2), 0)
    assert connectivity[2, 2] == 1


def test_states_are_coloured_by_label_or_number(noise, texts):
    points = noise[:, :2]
    ax = plot_states(points, np.tile(["rest", "task"], 60), "session")
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["rest", "task"]
    ax = plot_states(points, np.linspace(0, 60, 120), "time (s)")
    assert "time (s)" in texts(ax)
    assert ax.get_legend() is None


def test_many_labels_are_counted_instead_of_named(noise, texts):
    ax = plot_states(noise[:, :2], np.repeat(np.arange(40), 3), "subject")
    assert "40 different subjects" in texts(ax)


def test_states_without_labels_are_drawn_and_say_so(noise, texts):
    assert "no labels given" in texts(plot_states(noise[:, :2]))


def test_latent_connectivity_is_drawn(noise):
    ax = plot_latent_connectivity(latent_connectivity(noise))
    assert ax.images[0].get_array().shape == (5, 5)
