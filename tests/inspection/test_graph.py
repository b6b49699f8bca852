import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from sk_brainmae import BrainMAETransformer
from sk_brainmae.inspection import plot_region_graph, region_graph, strongest_edges

GRAPH = np.array([[0, 0.7, 0.3], [0.5, 0, 0.5], [0.1, 0.9, 0]])


def test_graph_is_directed_without_self_loops_and_sums_to_one(paper):
    graph = region_graph(paper)
    assert graph.shape == (18, 18)
    assert_allclose(graph.sum(axis=1), 1)
    assert (np.diag(graph) == 0).all()
    assert (graph >= 0).all()
    assert np.abs(graph - graph.T).max() > 1e-4


def test_graph_is_the_attention_of_the_blocks_with_all_regions_visible(paper):
    network = paper._network()
    visible = torch.ones(1, 18, dtype=torch.bool)
    graphs = [b.attention.graph(network.roi, visible)[0] for b in network.state_encoder.blocks]
    expected = torch.stack(graphs).mean((0, 1)).detach()
    assert_allclose(region_graph(paper), expected, atol=1e-6)


def test_graph_of_an_adaptive_model_comes_from_its_only_static_block(cohort, params):
    model = BrainMAETransformer(
        **params, attention="adaptive", init="random", max_epochs=1, validation_fraction=0
    ).fit(cohort.scans)
    network = model._network()
    block = network.state_encoder.blocks[0].attention
    expected = block.scores(network.roi).softmax(-1).mean(0).detach()
    assert_allclose(region_graph(model), expected, atol=1e-6)


def test_vanilla_model_has_no_graph(cohort, params):
    model = BrainMAETransformer(**params, attention="vanilla", max_epochs=0).fit(cohort.scans)
    with pytest.raises(ValueError, match="attention='vanilla' has no static graph"):
        region_graph(model)


def test_untrained_graph_warns(spectral, cohort, params):
    with pytest.warns(UserWarning, match="has not been trained"):
        region_graph(spectral)
    start = BrainMAETransformer(**params, init="random", max_epochs=0).fit(cohort.scans)
    with pytest.warns(UserWarning, match="has not been trained"):
        region_graph(start)


@pytest.mark.filterwarnings("error")
def test_graph_of_a_trained_or_finetuned_model_does_not_warn(paper, finetuned):
    region_graph(paper)
    region_graph(finetuned)


def test_strongest_edges_come_first_and_say_who_listens():
    edges = strongest_edges(GRAPH, 2, ["a", "b", "c"])
    assert edges["region"].tolist() == ["c", "a"]
    assert edges["listens_to"].tolist() == ["b", "b"]
    assert_allclose(edges["weight"], [0.9, 0.7])
    assert_allclose(edges["ratio"], [1.8, 1.4])


def test_asking_for_too_many_edges_gives_all_but_the_diagonal():
    edges = strongest_edges(GRAPH, 100)
    assert len(edges) == 6
    assert (edges["region"] != edges["listens_to"]).all()


def test_graph_without_coordinates_is_a_matrix_that_says_so(texts):
    ax = plot_region_graph(GRAPH)
    written = texts(ax)
    assert "no coordinates given, no network labels" in written
    assert "1.8 times uniform" in written
    drawn = ax.images[0].get_array()
    assert_allclose(drawn[2, 1], np.log2(1.8))


def test_arrows_on_the_glass_brain_point_to_the_region_that_listens():
    centres = np.array([[0, 0, 0], [30, 20, 10], [-30, -20, 30]])
    graph = np.zeros((3, 3))
    graph[2, 1] = 1
    ax = plot_region_graph(graph, centres, networks=["x", "y", "y"], n_edges=1)
    views = [v for v in ax.figure.axes if v.patches]
    arrow = next(p for v in views for p in v.patches if type(p).__name__ == "FancyArrow")
    # In the first view (sagittal) x is the body's y: from region 1 (20) to region 2 (-20).
    assert arrow._dx < 0


def test_glass_brain_tells_when_labels_are_missing(texts):
    centres = np.eye(3) * 20
    assert "no network labels given" in texts(plot_region_graph(GRAPH, centres))


def test_glass_brain_of_an_almost_uniform_graph_is_drawn_without_a_scale():
    graph = np.array([[0, 0.501, 0.499], [0.5, 0, 0.5], [0.499, 0.501, 0]])
    ax = plot_region_graph(graph, np.eye(3), n_edges=6)
    assert not ax.figure.findobj(lambda artist: artist.get_label() == "<colorbar>")


@pytest.mark.parametrize("shape", [(2, 3), (3, 2)])
def test_coordinates_of_another_shape_raise(shape):
    with pytest.raises(ValueError, match=r"3 regions need \(3, 3\)"):
        plot_region_graph(GRAPH, np.zeros(shape))


def test_networks_of_another_length_raise():
    with pytest.raises(ValueError, match="3 regions"):
        plot_region_graph(GRAPH, networks=["a", "b"])
