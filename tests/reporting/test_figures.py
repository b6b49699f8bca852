import matplotlib.pyplot as plt
import pandas as pd

from sk_brainmae.reporting.figures import draw, plot_history


def test_figure_is_the_same_bytes_again_and_leaves_no_trace_in_matplotlib():
    history = pd.DataFrame({"epoch": [1, 2], "train_loss": [1.0, 0.5], "lr": 0.1})
    with plt.style.context("dark_background"):
        before, open_figures = dict(plt.rcParams), plt.get_fignums()
        first, second = (draw(lambda: plot_history(history), "alt", "caption") for _ in range(2))
        assert dict(plt.rcParams) == before
    assert first == second == draw(lambda: plot_history(history), "alt", "caption")
    assert plt.get_fignums() == open_figures


def test_history_of_two_stages_has_two_panels_and_rings_the_epoch_kept():
    history = pd.DataFrame(
        {
            "stage": ["pretraining"] * 3 + ["fine-tuning"],
            "epoch": [0, 1, 2, 1],
            "train_loss": [float("nan"), 0.9, 0.8, 0.7],
            "valid_loss": [1.0, 0.6, 0.8, float("nan")],
        }
    )
    first, second = plot_history(history)
    (ring,) = first.collections
    assert ring.get_offsets().tolist() == [[1, 0.6]]
    assert len(second.collections) == 0
    assert [ax.get_title(loc="left") for ax in (first, second)] == ["Pretraining", "Fine-tuning"]
    plt.close("all")
