import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from sk_brainmae import BrainMAETransformer
from sk_brainmae.datasets import make_cohort
from sk_brainmae.inspection import (
    group_connectivity,
    network_agreement,
    plot_roi_map,
    plot_roi_similarity,
    roi_map,
    roi_similarity,
)


def test_similarity_is_the_cosine_of_roi_embeddings(paper):
    similarity = roi_similarity(paper)
    a, b = paper.roi_embeddings_[[3, 7]].astype(float)
    assert_allclose(similarity[3, 7], a @ b / np.sqrt(a @ a * (b @ b)))
    assert_allclose(np.diag(similarity), 1)


def test_spectral_start_resembles_connectivity(spectral, cohort):
    table = network_agreement(spectral, cohort.networks, cohort.scans)
    assert table.loc["ROI embeddings", "correlation_with_connectivity"] > 0.9


def test_group_connectivity_of_equally_long_scans_is_the_mean_correlation(cohort):
    expected = np.mean([np.corrcoef(scan.T) for scan in cohort.scans], axis=0)
    assert_allclose(group_connectivity(cohort.scans), expected, atol=1e-5)


def test_networks_are_recovered_from_the_spectral_start(spectral, cohort):
    table = network_agreement(spectral, cohort.networks, cohort.scans)
    assert list(table.index) == ["ROI embeddings", "connectivity", "chance"]
    for measure in ("ari", "nmi", "knn_purity"):
        assert table.loc["ROI embeddings", measure] > 0.95
    assert_allclose(table.loc["chance", "knn_purity"], 5 / 17)


def test_connectivity_is_in_the_region_order_of_the_model(cohort):
    frames = [pd.DataFrame(scan).add_prefix("region ") for scan in cohort.scans]
    model = BrainMAETransformer(window_size=10, crop_length=60, max_epochs=0, random_state=0)
    model.fit(frames)
    other = [frame.iloc[:, ::-1] for frame in frames]
    expected = network_agreement(model, cohort.networks, frames)
    pd.testing.assert_frame_equal(network_agreement(model, cohort.networks, other), expected)
    assert_allclose(group_connectivity([frames[0], *other[1:]]), group_connectivity(frames))
    one, reordered = (plot_roi_similarity(model, scans=scans)[1] for scans in (frames, other))
    assert_allclose(reordered.images[0].get_array(), one.images[0].get_array())


def test_shuffled_networks_are_not_found(spectral, cohort):
    shuffled = np.random.default_rng(0).permutation(cohort.networks)
    table = network_agreement(spectral, shuffled)
    assert abs(table.loc["ROI embeddings", "ari"]) < 0.2
    assert abs(table.loc["ROI embeddings", "knn_purity"] - 5 / 17) < 0.15
    assert "connectivity" not in table.index


def test_hardly_trained_random_embeddings_do_not_agree_with_networks(paper, cohort):
    table = network_agreement(paper, cohort.networks)
    assert table.loc["ROI embeddings", "ari"] < 0.5


def test_region_alone_in_its_network_does_not_count_for_purity(spectral, cohort):
    networks = cohort.networks.astype(str)
    networks[0] = "alone"
    assert network_agreement(spectral, networks).loc["ROI embeddings", "knn_purity"] > 0.9


def test_networks_of_another_length_raise(spectral, cohort):
    with pytest.raises(ValueError, match=r"shape \(17,\), but there are 18 regions"):
        network_agreement(spectral, cohort.networks[:-1])
    with pytest.raises(ValueError, match="18 regions"):
        plot_roi_similarity(spectral, cohort.networks[:-1])
    with pytest.raises(ValueError, match="18 regions"):
        plot_roi_map(spectral, cohort.networks[:-1])


def test_single_network_raises(spectral):
    with pytest.raises(ValueError, match="one network"):
        network_agreement(spectral, np.zeros(18))


def test_map_is_reproducible_and_puts_networks_together(spectral, cohort):
    points = roi_map(spectral)
    assert points.shape == (18, 2)
    assert_allclose(points, roi_map(spectral))
    distance = np.linalg.norm(points[:, None] - points, axis=2) + np.diag(np.full(18, np.inf))
    nearest = cohort.networks[distance.argmin(axis=1)]
    assert (nearest == cohort.networks).mean() > 0.8


def test_similarity_is_drawn_ordered_by_network_beside_connectivity(spectral, cohort):
    shuffled = np.random.default_rng(0).permutation(18)
    axes = plot_roi_similarity(spectral, cohort.networks[np.argsort(shuffled)], cohort.scans)
    assert len(axes) == 2
    order = np.argsort(cohort.networks[np.argsort(shuffled)], kind="stable")
    drawn = axes[0].images[0].get_array()
    assert_allclose(drawn, roi_similarity(spectral)[np.ix_(order, order)])
    assert [label.get_text() for label in axes[0].get_yticklabels()] == ["0", "1", "2"]


def test_similarity_without_labels_is_drawn_and_says_so(spectral, texts):
    (ax,) = plot_roi_similarity(spectral)
    assert "no network labels given" in texts(ax)
    assert ax.get_ylabel() == "region (index)"


def test_map_without_labels_numbers_the_regions(spectral, texts):
    written = texts(plot_roi_map(spectral))
    assert "no network labels given" in written
    assert "| 17 |" in written


def test_map_names_networks_and_regions(spectral, cohort):
    names = [f"${name}$" for name in cohort.region_names]
    ax = plot_roi_map(spectral, cohort.networks, names)
    ax.figure.canvas.draw()  # dollars are no formula, which "network_0" would break
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["0", "1", "2"]


def test_a_random_start_learns_the_networks_in_a_few_epochs():
    cohort = make_cohort(n_scans=30, n_timepoints=150, n_regions=24, random_state=0)
    model = BrainMAETransformer(
        init="random",
        embedding_dim=16,
        crop_length=75,
        batch_size=4,
        max_epochs=12,
        validation_fraction=0.0,
        random_state=0,
    )
    found = network_agreement(model.fit(cohort.scans), cohort.networks)["knn_purity"]
    assert found["ROI embeddings"] > 2 * found["chance"]
