import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.exceptions import NotFittedError

from sk_brainmae import BrainMAEClassifier
from sk_brainmae.inspection import (
    attention_agreement,
    average_over_time,
    cls_attention,
    plot_over_time,
)
from sk_brainmae.network.autoencoder import positions
from sk_brainmae.scans.crops import tile_crops
from sk_brainmae.timeseries import Window, validate_scans
from sk_brainmae.training.tensors import CohortTensors


def test_attention_sums_to_one_over_all_windows_of_a_sample(finetuned, cohort):
    table = cls_attention(finetuned, cohort.scans[:3])
    assert_allclose(table.groupby("sample")["attention"].sum(), 1)
    assert_allclose(table["time"][:13], [*range(5, 120, 10), 120])
    assert (table["attention"] > 0).all()


def test_attention_is_the_mean_over_blocks_and_heads(finetuned, cohort):
    """The same, from the tokens that enter each block, computed block by block."""
    scan = cohort.scans[0][:60]  # a crop
    network = finetuned.encoder_._network().eval()
    tensors = CohortTensors(validate_scans([scan]), 10, "cpu")
    crops = tile_crops(validate_scans([scan]), 10, 6)
    signal, visible = tensors.gather(crops, slice(None))
    rows = []
    with torch.inference_mode():
        states = network.state_encoder(signal, visible, network.roi)
        states = states + positions(*states.shape[1:])
        x = torch.cat([network.cls.expand(1, 1, -1), states], dim=1)
        seen = torch.ones(1, 7, dtype=torch.bool)
        for block in network.sequence_blocks:
            q, k, _ = block.attention.heads(block.attention_norm(x))
            rows.append((q @ k.mT / q.shape[-1] ** 0.5).softmax(-1)[0, :, 0, 1:].mean(0))
            x = block(x, seen)
    expected = torch.stack(rows).mean(0)
    expected = expected / expected.sum()
    assert_allclose(cls_attention(finetuned, [scan])["attention"], expected, rtol=1e-4)


def test_context_of_a_moment_lies_outside_it(finetuned, cohort):
    table = cls_attention(finetuned, [Window(cohort.scans[0], 50, 60)])
    assert (table["time"] == 5).sum() == 1
    assert table["time"].min() < 0
    assert table["time"].max() > 10
    assert_allclose(table["attention"].sum(), 1)


def test_model_whose_prediction_does_not_read_the_cls_token_raises(probe, regressor, cohort):
    for model in (probe, regressor):
        with pytest.raises(ValueError, match=r"no part in this model's prediction.*occlusion"):
            cls_attention(model, cohort.scans)


def test_model_that_predicts_nothing_raises(spectral, cohort):
    with pytest.raises(TypeError, match="predicts nothing"):
        cls_attention(spectral, cohort.scans)
    with pytest.raises(NotFittedError):
        cls_attention(BrainMAEClassifier(), cohort.scans)


def test_agreement_is_the_rank_correlation_within_samples():
    time = [5.0, 15.0, 25.0]
    attention = pd.DataFrame(
        {"sample": np.repeat([0, 1, 2], 3), "time": time * 3, "attention": [1, 2, 3] * 3}
    )
    occlusion = pd.DataFrame(
        {
            "sample": np.repeat([0, 1, 2], 3),
            "time": time * 3,
            "change": [0.1, -0.2, 0.3, 3, 2, 1, 1, 1, 1],
        }
    )
    assert_allclose(attention_agreement(attention, occlusion), [1, -1, np.nan])


def test_average_leaves_out_samples_without_the_time():
    table = pd.DataFrame(
        {"sample": [0, 0, 1], "time": [5.0, 15.0, 5.0], "attention": [0.2, 0.8, 0.4]}
    )
    mean = average_over_time(table)
    assert_allclose(mean["mean"], [0.3, 0.8])
    assert mean["n"].tolist() == [2, 1]


def test_plot_shows_mean_spread_and_uniform_attention(finetuned, cohort, texts):
    table = cls_attention(finetuned, cohort.scans)
    ax = plot_over_time(table, events=[30])
    assert "12 samples" in texts(ax)
    assert_allclose(ax.lines[12].get_ydata(), average_over_time(table)["mean"])
    assert_allclose(ax.lines[13].get_ydata(), 1 / 13)
    assert ax.lines[14].get_xdata()[0] == 30
