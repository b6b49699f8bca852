import numpy as np
import pytest
import torch

from sk_brainmae.timeseries import validate_scans
from sk_brainmae.training import effective_rank, masked_r2
from sk_brainmae.training.scoring import (
    SCORE_RATIO,
    ScoringCrops,
    compare_with_linear,
    warn_if_worse_than_linear,
)

WINDOW, N_WINDOWS = 5, 3
LAYOUT = {"window": WINDOW, "n_windows": N_WINDOWS, "device": "cpu"}


def test_scoring_crops_are_the_same_in_every_epoch_and_cover_every_frame(cohort):
    batches = ScoringCrops(cohort, WINDOW, N_WINDOWS, 4, "cpu")
    assert len(list(batches)) == len(batches) == 5  # 6 runs, 3 crops each
    for (inputs, target), (again, target_again) in zip(batches, batches, strict=True):
        assert torch.equal(inputs["signal"], again["signal"])
        assert torch.equal(target["hidden"], target_again["hidden"])
    values = torch.cat([i["signal"][i["visible"].any(-1)][:, 0].flatten() for i, _ in batches])
    assert sorted(values.tolist()) == sorted(cohort.frames[:, 0].tolist())


def looped_r2(network, cohort):
    """Compute the R^2 crop by crop, cell by cell, with the masks of the scoring batches."""
    ((_, target),) = ScoringCrops(cohort, WINDOW, N_WINDOWS, 1000, "cpu")
    masks = iter(target["hidden"])
    error = variance = 0.0
    for i in range(len(cohort)):
        starts = list(range(0, len(cohort.sample(i)) - WINDOW + 1, WINDOW))
        for part in np.array_split(starts, -(-len(starts) // N_WINDOWS)):
            crop = np.stack([cohort.sample(i)[s : s + WINDOW].T for s in part])
            hidden = next(masks)[: len(part)]
            with torch.no_grad():
                rebuilt = network(torch.from_numpy(crop)[None], ~hidden[None])[0].numpy()
            for window, region in hidden.nonzero().tolist():
                error += np.sum((rebuilt - crop)[window, region].astype(float) ** 2)
                variance += np.sum(crop[window, region].astype(float) ** 2)
    return 1 - error / variance


def test_masked_r2_equals_a_loop_over_crops_and_cells(network, cohort):
    network.roi.data.mul_(10)  # a score that is not nearly 0
    score = masked_r2(network, cohort, batch_size=4, **LAYOUT)
    assert score == pytest.approx(looped_r2(network, cohort), rel=1e-4)


def test_masked_r2_is_deterministic_and_does_not_depend_on_the_batch_size(network, cohort):
    network.roi.data.mul_(10)  # a score that is not nearly 0
    score = masked_r2(network, cohort, batch_size=4, **LAYOUT)
    assert masked_r2(network, cohort, batch_size=4, **LAYOUT) == score
    for batch_size in (1, 5, 100):
        other = masked_r2(network, cohort, batch_size=batch_size, **LAYOUT)
        assert other == pytest.approx(score, rel=1e-5)


def test_masked_r2_of_a_network_that_says_zero_is_zero(network, cohort):
    torch.nn.init.zeros_(network.decode_window.weight)
    torch.nn.init.zeros_(network.decode_window.bias)
    assert masked_r2(network, cohort, batch_size=4, **LAYOUT) == pytest.approx(0, abs=1e-6)


def test_masked_r2_hides_half_of_the_regions_and_ignores_missing_ones(
    network, cohort_with_a_constant_region
):
    cohort = cohort_with_a_constant_region
    assert SCORE_RATIO == 0.5
    for _, target in ScoringCrops(cohort, WINDOW, N_WINDOWS, 4, "cpu"):
        assert not target["hidden"][..., 3].any()
        assert set(target["hidden"].sum(-1).flatten().tolist()) <= {0, 3}  # 0: padding
    score = masked_r2(network, cohort, batch_size=4, **LAYOUT)
    cohort.frames[:, 3] = 100.0
    assert masked_r2(network, cohort, batch_size=4, **LAYOUT) == score


def test_network_worse_than_the_linear_predictor_warns_with_both_figures(network, make_scans):
    sources = make_scans(n_scans=12, n_regions=2)
    cohort = validate_scans(sources @ make_scans(1, 2)[0] + 0.3 * make_scans(n_scans=12))
    training, held_out = cohort.take(np.arange(8)), cohort.take(np.arange(8, 12))
    scores = compare_with_linear(network, training, held_out, batch_size=4, **LAYOUT)
    assert scores["conditional_gaussian"] > 0.5
    with pytest.warns(Warning, match="worse than a linear predictor") as caught:
        warn_if_worse_than_linear(scores)
    for score in scores.values():
        assert f"{score:.3f}" in str(caught[0].message)


def test_effective_rank_counts_directions_of_equal_variance():
    corners = np.concatenate([np.eye(3), -np.eye(3)])
    assert effective_rank(np.tile(corners, (2, 1))) == pytest.approx(3)


def test_collapsed_embeddings_warn():
    line = np.outer(np.arange(10.0), np.ones(4))
    with pytest.warns(Warning, match="collapsed"):
        assert effective_rank(line) == pytest.approx(1)
    with pytest.warns(Warning, match="collapsed"):
        assert effective_rank(np.ones((10, 4))) == 0
