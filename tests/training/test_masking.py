from itertools import combinations

import numpy as np
import pytest
import torch
from scipy.stats import chisquare, kstest

from sk_brainmae.timeseries import validate_scans
from sk_brainmae.training.masking import MaskedCrops, hide_regions

WINDOW, N_WINDOWS = 5, 3


# Masks


def draw(observed, ratio, seed=0):
    return hide_regions(observed, ratio, torch.Generator().manual_seed(seed))


def everywhere(n_regions, n_windows=50):
    return torch.ones(4, n_windows, n_regions, dtype=torch.bool)


@pytest.mark.parametrize(
    ("n_regions", "ratio", "n_hidden"),
    [
        (10, 0.2, 2),
        (10, 0.7, 7),
        (100, 0.29, 29),
        (7, 0.5, 4),  # 3.5, rounded to even
        (7, 0.0, 0),
        (7, 0.01, 1),  # at least one is hidden
        (7, 0.999, 6),  # at least one stays visible
        (2, 0.9, 1),
    ],
)
def test_every_window_hides_the_ratio_of_its_regions(n_regions, ratio, n_hidden):
    hidden = draw(everywhere(n_regions), ratio)
    assert hidden.dtype == torch.bool
    assert (hidden.sum(-1) == n_hidden).all()


def test_only_observed_regions_are_hidden_and_the_ratio_is_a_share_of_them():
    observed = everywhere(20)
    observed[0, :, 5:15] = False
    observed[1, ::2, :15] = False
    hidden = draw(observed, 0.4)
    assert not (hidden & ~observed).any()
    assert torch.equal(hidden.sum(-1), (0.4 * observed.sum(-1)).round().long())
    assert {4, 2, 8} == set(hidden.sum(-1).flatten().tolist())


@pytest.mark.parametrize("n_observed", [0, 1])
def test_a_window_with_at_most_one_observed_region_hides_nothing(n_observed):
    observed = torch.arange(7).expand(1, 3, 7) < n_observed
    assert not draw(observed, 0.8).any()


def test_every_window_has_its_own_mask():
    hidden = draw(everywhere(40), 0.5)
    masks = {tuple(mask) for mask in hidden.flatten(0, 1).tolist()}
    assert len(masks) == 4 * 50


def test_every_subset_of_regions_is_equally_likely():
    observed = torch.arange(7).expand(1, 6000, 7) != 3  # one region is missing
    hidden = draw(observed, 0.5, seed=1)[0]
    drawn = [set(mask.nonzero()[:, 0].tolist()) for mask in hidden]
    triples = [set(triple) for triple in combinations([0, 1, 2, 4, 5, 6], 3)]
    counts = [drawn.count(triple) for triple in triples]
    assert sum(counts) == 6000
    assert chisquare(counts).pvalue > 0.01


def test_the_draw_follows_its_generator_and_leaves_its_input_alone():
    observed = everywhere(7)
    assert torch.equal(draw(observed, 0.5), draw(observed, 0.5))
    assert not torch.equal(draw(observed, 0.5), draw(observed, 0.5, seed=1))
    assert observed.all()


# Batches


def masked_crops(cohort, mask_ratio=(0.2, 0.6), batch_size=2, seed=0):
    return MaskedCrops(cohort, WINDOW, N_WINDOWS, mask_ratio, batch_size, seed, "cpu")


def first_frames(cohort, batches):
    """Find the first frame of each crop of an epoch in the cohort's frames, batch by batch."""
    frame_of = {value: frame for frame, value in enumerate(cohort.frames[:, 0].tolist())}
    return [
        [frame_of[value] for value in inputs["signal"][:, 0, 0, 0].tolist()]
        for inputs, _ in batches
    ]


def test_every_run_is_visited_once_an_epoch_in_another_order_each_time(cohort):
    batches = masked_crops(cohort, batch_size=4)
    assert len(batches) == 2
    orders = set()
    for _ in range(5):
        visited = [frame // 40 for batch in first_frames(cohort, batches) for frame in batch]
        assert sorted(visited) == list(range(6))
        orders.add(tuple(visited))
    assert len(orders) == 5


def test_batches_are_of_nearly_equal_size(cohort):
    assert [len(batch) for batch in first_frames(cohort, masked_crops(cohort))] == [2, 2, 2]
    batches = masked_crops(cohort, batch_size=5)
    assert [len(batch) for batch in first_frames(cohort, batches)] == [3, 3]


def test_random_crops_differ_between_epochs_and_cover_the_run(make_scans):
    cohort = validate_scans(make_scans(n_scans=1))
    batches = masked_crops(cohort)
    starts = {first_frames(cohort, batches)[0][0] for _ in range(300)}
    assert starts == set(range(40 - N_WINDOWS * WINDOW + 1))


@pytest.fixture(scope="module")
def hidden_shares(make_scans):
    """Share of hidden regions in each window of 300 batches, (300, B * n)."""
    cohort = validate_scans(make_scans(n_scans=4, n_frames=210, n_regions=200))
    batches = masked_crops(cohort, mask_ratio=(0.2, 0.6))
    return np.array(
        [
            target["hidden"].float().mean(-1).flatten().tolist()
            for _ in range(150)
            for _, target in batches
        ]
    )


def test_all_windows_of_a_batch_share_one_ratio(hidden_shares):
    assert hidden_shares.shape == (300, 2 * N_WINDOWS)
    assert (hidden_shares == hidden_shares[:, :1]).all()


def test_the_ratio_of_batches_is_drawn_uniformly_from_its_range(hidden_shares):
    ratio = hidden_shares[:, 0]
    assert 0.2 <= ratio.min() < 0.22
    assert 0.58 < ratio.max() < 0.601
    assert kstest(ratio, "uniform", args=(0.2, 0.4)).pvalue > 0.01


def test_a_single_ratio_holds_in_every_batch(cohort):
    for _, target in masked_crops(cohort, mask_ratio=(0.3, 0.3)):
        assert (target["hidden"].sum(-1) == 2).all()


def test_every_window_of_every_epoch_has_its_own_mask(make_scans):
    cohort = validate_scans(make_scans(n_scans=4, n_frames=60, n_regions=50))
    batches = masked_crops(cohort, mask_ratio=(0.5, 0.5))
    masks = [
        tuple(mask)
        for _ in range(5)
        for _, target in batches
        for mask in target["hidden"].flatten(0, 1).tolist()
    ]
    assert len(masks) == len(set(masks)) == 5 * 4 * N_WINDOWS


def test_the_seed_decides_on_the_masks(cohort):
    def masks(seed):
        batches = masked_crops(cohort, mask_ratio=(0.5, 0.5), seed=seed)
        return torch.cat([target["hidden"] for _, target in batches])

    assert torch.equal(masks(1), masks(1))
    assert not torch.equal(masks(1), masks(2))


def test_hidden_regions_are_not_visible_and_all_others_are(cohort):
    for inputs, target in masked_crops(cohort):
        assert torch.equal(inputs["visible"], ~target["hidden"])
        assert torch.equal(inputs["visible"], target["visible"])
        assert torch.equal(inputs["signal"], target["signal"])


def test_missing_regions_and_missing_windows_are_neither_hidden_nor_visible(make_scans):
    scans = [*make_scans(), make_scans(seed=1)[0, :8]]  # the last has a single window
    for scan in scans:
        scan[:, 3] = 1.0
    with pytest.warns(UserWarning, match="constant regions"):
        cohort = validate_scans(scans)
    batches = masked_crops(cohort, mask_ratio=(0.7, 0.7), batch_size=7)
    for _ in range(5):
        ((inputs, target),) = batches
        known = target["hidden"] | target["visible"]
        assert not known[..., 3].any()
        short = ~known.any(-1)
        assert short.sum() == N_WINDOWS - 1
        assert torch.equal(known.sum(-1), torch.where(short, 0, 6))
        assert not (inputs["visible"] & ~known).any()
        assert (target["hidden"].sum(-1)[~short] == 4).all()
