from itertools import combinations

import pytest
import torch
from scipy.stats import chisquare

from sk_brainmae.training.masking import hide_regions


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
