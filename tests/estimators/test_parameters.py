"""Parameters: what they mean in frames, which are refused, and where they are described."""

import re

import numpy as np
import pytest
from numpydoc.docscrape import ClassDoc

from sk_brainmae import BrainMAEClassifier, BrainMAERegressor, BrainMAETransformer

KINDS = [BrainMAETransformer, BrainMAEClassifier, BrainMAERegressor]
BAD = [
    ({"mask_ratio": 1.0}, "mask_ratio"),
    ({"mask_ratio": -0.1}, "mask_ratio"),
    ({"mask_ratio": (0.8, 0.2)}, r"mask_ratio=\(0.8, 0.2\)"),
    ({"mask_ratio": (0.2, 1.0)}, r"mask_ratio=\(0.2, 1.0\)"),
    ({"mask_ratio": (0.2,)}, "mask_ratio"),
    ({"mask_ratio": "half"}, "mask_ratio"),
    ({"attention": "sparse"}, "attention"),
    ({"views": "max"}, "unknown view 'max'"),
    ({"views": ["tempo", "max"]}, "unknown view 'max'"),
    ({"views": []}, "views is empty"),
    ({"views": ("tempo", "tempo")}, "names a view twice"),
    ({"views": 3}, "'views' parameter"),
    ({"views": "dynamics", "init": "random"}, "reads the brain states of the spectral prior"),
    ({"missing": "zero"}, "'missing' parameter"),
    ({"window_size": 40}, "window_size=40 is longer than crop_length=30"),
    ({"window_size": 0.4, "t_r": 2}, "window_size=0.4 is less than one frame"),
    ({"n_heads": 3}, "embedding_dim=8 is not a multiple of n_heads=3"),
    ({"device": "cuda:99"}, "device='cuda:99' cannot be used here"),
    ({"device": "abacus"}, "device='abacus' cannot be used here"),
    ({"max_epochs": -1}, "max_epochs"),
    ({"lr": 0}, "lr"),
    ({"validation_fraction": 1.0}, "validation_fraction"),
    ({"memory": 3}, "memory"),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("params", "message"), BAD)
def test_bad_parameter_raises_before_the_scans_are_looked_at(tiny, target, kind, params, message):
    with pytest.raises(ValueError, match=message):
        tiny(kind, **params).fit(None, target(kind))


@pytest.mark.parametrize("kind", KINDS[1:])
def test_unknown_strategy_raises(tiny, target, kind):
    with pytest.raises(ValueError, match="strategy"):
        tiny(kind, strategy="guess").fit(None, target(kind))


def test_durations_in_seconds_are_durations_in_frames_times_t_r(tiny, scans, encoder):
    model = tiny(t_r=2.5, window_size=25, crop_length=75).fit(scans)
    np.testing.assert_array_equal(model.roi_embeddings_, encoder.roi_embeddings_)
    np.testing.assert_array_equal(model.transform(scans), encoder.transform(scans))


def test_one_mask_ratio_is_a_range_of_one_ratio(tiny, scans):
    a, b = (tiny(mask_ratio=ratio).fit(scans) for ratio in (0.4, (0.4, 0.4)))
    np.testing.assert_array_equal(a.roi_embeddings_, b.roi_embeddings_)


def test_crops_longer_than_all_scans_are_as_long_as_they_are(tiny, scans):
    whole, longer = (tiny(crop_length=length).fit(scans) for length in (60, 60_000_000))
    np.testing.assert_array_equal(longer.transform(scans), whole.transform(scans))
    assert longer.score(scans) == whole.score(scans)


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_is_described_and_checked(kind):
    names = list(kind().get_params())
    described = [entry.name for entry in ClassDoc(kind)["Parameters"]]
    assert sorted(described) == sorted(names) == sorted(kind._parameter_constraints)
    for documented in (kind, kind.fit):
        assert not re.search(r"{[a-z ]+}", documented.__doc__), "a shared text was not put in"


@pytest.mark.parametrize("kind", KINDS)
def test_window_size_set_after_fit_is_refused(tiny, scans, target, kind, tmp_path):
    model = tiny(kind).fit(scans, target(kind))
    model.set_params(window_size=model.window_size + 1)
    use = model.transform if kind is BrainMAETransformer else model.predict
    for call in (use, lambda _: model.save_pretrained(tmp_path)):
        with pytest.raises(ValueError, match="window_size was set after fit"):
            call(scans)


@pytest.mark.parametrize("kind", KINDS)
def test_unfitted_model_says_so_where_it_is_asked_for_its_regions(tiny, kind):
    for attribute in ("n_features_in_", "region_names_"):
        with pytest.raises(AttributeError, match="not fitted yet"):
            getattr(tiny(kind), attribute)
        assert not hasattr(tiny(kind), attribute)
