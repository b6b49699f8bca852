import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from sk_brainmae.reporting.figures import draw, plot_history, plot_view_weights, what_changed


def test_figure_is_the_same_bytes_again_and_leaves_no_trace_in_matplotlib():
    history = pd.DataFrame({"epoch": [1, 2], "train_loss": [1.0, 0.5], "lr": 0.1})
    with plt.style.context("dark_background"):
        before, open_figures = dict(plt.rcParams), plt.get_fignums()
        first, second = (draw(lambda: plot_history(history), "alt", "caption") for _ in range(2))
        assert dict(plt.rcParams) == before
    assert first == second == draw(lambda: plot_history(history), "alt", "caption")
    assert plt.get_fignums() == open_figures


@pytest.fixture
def history():
    return pd.DataFrame(
        {
            "stage": ["pretraining"] * 3 + ["fine-tuning"],
            "epoch": [0, 1, 2, 1],
            "train_loss": [np.nan, 0.9, 0.8, 0.7],
            "valid_loss": [2.0, 1.2, 1.6, np.nan],
        }
    )


def test_history_of_two_stages_has_two_panels_and_rings_the_epoch_kept(history):
    first, second = plot_history(history)
    (ring,) = first.collections
    assert ring.get_offsets().tolist() == [[1, 0.6]]
    assert len(second.collections) == 0
    assert [ax.get_title(loc="left") for ax in (first, second)] == ["Pretraining", "Fine-tuning"]
    plt.close("all")


def test_losses_are_shares_of_the_held_out_one_at_the_start(history):
    first, second = plot_history(history)
    training, start, held_out = first.get_lines()
    np.testing.assert_allclose(training.get_ydata(), [np.nan, 0.45, 0.4])
    np.testing.assert_allclose(held_out.get_ydata(), [1, 0.6, 0.8])
    assert set(start.get_ydata()) == {1}
    assert first.get_ylabel() == "masked error, share of the start's"
    assert second.get_lines()[0].get_ydata() == [0.7]
    assert second.get_ylabel() == "loss"
    plt.close("all")


@pytest.mark.parametrize(
    ("losses", "words"),
    [
        ([2.0, 1.2, 1.6], "epoch 1 is kept: held-out loss 40% below the start"),
        ([2.0, 1.999, 2.1], "epoch 1 is kept: held-out loss <1% below the start"),
        ([2.0, 2.1, 2.2], "training changed nothing: the start was kept"),
        ([np.nan] * 3, "no scan was held out: the last epoch is kept"),
    ],
)
def test_what_training_changed_is_said_beside_its_curve(history, losses, words):
    rows = history[:3].assign(valid_loss=losses)
    assert what_changed(rows) == words
    (ax,) = plot_history(rows)
    assert words in [text.get_text() for text in ax.texts]
    plt.close("all")


def test_bars_of_views_are_their_weights_the_largest_on_top():
    weights = {"states": 0.3, "tempo": 0.0, "connectivity": 0.7}
    ax = plot_view_weights(weights, ["states"])
    top_down = [label.get_text() for label in ax.get_yticklabels()]
    assert top_down == ["connectivity", "states", "tempo"]
    assert [text.get_text() for text in ax.texts] == ["70%", "30%", "not read"]
    bars = {round(bar.get_y() + bar.get_height() / 2): bar.get_width() for bar in ax.patches}
    assert bars == {0: 0.7, 1: 0.3, 2: 0.0}
    of_network, of_signal = ax.containers
    assert of_network.get_label() == "the trained network"
    assert [bar.get_width() for bar in of_network] == [0.3]
    assert [bar.get_width() for bar in of_signal] == [0.7, 0.0]
    plt.close("all")


@pytest.mark.parametrize(("network", "n_bars"), [([], [0, 1]), (["cls"], [1, 0])])
def test_single_view_is_one_bar(network, n_bars):
    ax = plot_view_weights({"cls": 1.0}, network)
    assert [len(bars) for bars in ax.containers] == n_bars
    plt.close("all")
