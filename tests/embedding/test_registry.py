"""The tables of poolings and spaces say what is true of what they hold."""

import numpy as np
import pytest

from sk_brainmae.embedding import POOLINGS, SPACES, Pooling
from sk_brainmae.embedding.registry import (
    check_finetunable,
    count_features,
    embed,
    fit_spaces,
    reads_cls,
    resolve_pooling,
)
from sk_brainmae.timeseries import Window, validate_scans

WINDOW, DIM = 8, 4


@pytest.fixture(scope="module")
def cohort(scans):
    return validate_scans(scans)


@pytest.fixture(scope="module", params=[None, 3], ids=["whole", "compact"])
def n_components(request):
    return request.param


@pytest.fixture(scope="module")
def spaces(cohort, roi, n_components):
    return fit_spaces(cohort, roi, WINDOW, n_components)


def encode(cohort):
    """Stand for the network: two window states of each sample, and its CLS token."""
    states = [np.stack([np.full(DIM, i), np.full(DIM, i + 2.0)]) for i in range(len(cohort))]
    return states, np.full((len(cohort), DIM), 7.0)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_every_pooling_makes_as_many_features_as_it_says(cohort, spaces, pooling):
    embeddings = embed(pooling, cohort, spaces, encode)
    assert embeddings.shape == (12, count_features(pooling, spaces, DIM))
    assert np.isfinite(embeddings).all()


def test_the_network_is_read_by_its_mean_window_state_or_cls_token(cohort, spaces):
    mean, cls = (embed(pooling, cohort, spaces, encode) for pooling in ("mean", "cls"))
    np.testing.assert_array_equal(mean, np.arange(1.0, 13)[:, None] + np.zeros(DIM))
    np.testing.assert_array_equal(cls, np.full((12, DIM), 7.0))
    assert [reads_cls(pooling) for pooling in ("mean", "cls")] == [False, True]


@pytest.mark.parametrize("name", SPACES)
def test_every_space_has_the_arrays_and_shapes_that_the_table_tells(spaces, n_components, name):
    arrays = {key: array for key, array in vars(spaces[name]).items() if array is not None}
    shapes = SPACES[name].shapes
    expected = {key for key, letters in shapes.items() if n_components or "C" not in letters}
    assert set(arrays) == expected
    sizes = {"N": 10, "T": WINDOW, "L": 6, "C": n_components}
    for key, array in arrays.items():
        known = [sizes.setdefault(k, n) for k, n in zip(shapes[key], array.shape, strict=True)]
        assert known == list(array.shape), key


def test_auto_is_covariance_of_whole_scans_and_state_of_moments(scans, cohort):
    moments = validate_scans([Window(scan, 10, 20) for scan in scans])
    assert resolve_pooling("auto", cohort) == "covariance"
    assert resolve_pooling("auto", moments) == "state"
    assert resolve_pooling("auto", moments, finetuned=True) == "mean"
    assert resolve_pooling("cls", cohort, finetuned=True) == "cls"


def test_only_poolings_of_the_network_can_be_fine_tuned():
    for pooling in ("auto", "mean", "cls"):
        check_finetunable(pooling)
    for pooling in ("covariance", "state"):
        with pytest.raises(ValueError, match="cannot be fine-tuned: use 'mean' or 'cls'"):
            check_finetunable(pooling)


def test_a_new_pooling_is_one_line_in_the_table(cohort, spaces, monkeypatch):
    first = Pooling(lambda cohort, space, encode: np.stack([s[0] for s in encode(cohort)[0]]))
    monkeypatch.setitem(POOLINGS, "first", first)
    embeddings = embed("first", cohort, spaces, encode)
    np.testing.assert_array_equal(embeddings, np.arange(12.0)[:, None] + np.zeros(DIM))
