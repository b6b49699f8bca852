"""Scans whose columns name their regions: brought into the model's order, and back."""

import numpy as np
import pandas as pd
import pytest

from sk_brainmae import BrainMAERegressor

NAMES = list("abcdefghij")
SHUFFLED = list("jbadchgfei")
METHODS = ("transform", "transform_windows", "score")


def named(scans):
    return [pd.DataFrame(scan, columns=NAMES) for scan in scans]


def shuffled(scans):
    """The same scans with their columns in another order."""
    return [scan[SHUFFLED] for scan in named(scans)]


@pytest.fixture(scope="module")
def fitted(tiny, scans):
    return tiny().fit(named(scans))


def test_model_knows_the_names_of_its_regions(fitted, encoder):
    assert fitted.region_names_ == NAMES
    assert encoder.region_names_ is None
    assert fitted.n_features_in_ == encoder.n_features_in_ == 10


def test_names_change_nothing_that_is_learned(fitted, encoder):
    np.testing.assert_array_equal(fitted.roi_embeddings_, encoder.roi_embeddings_)


@pytest.mark.parametrize("method", METHODS)
def test_order_of_columns_does_not_matter(scans, fitted, method):
    ours, theirs = (getattr(fitted, method)(X) for X in (shuffled(scans), named(scans)))
    np.testing.assert_array_equal(ours, theirs)


def test_reconstruction_and_masks_have_the_columns_of_the_scan(scans, fitted):
    mask = np.zeros((60, 10), dtype=bool)
    mask[:, NAMES.index("c")] = True
    moved = mask[:, [NAMES.index(name) for name in SHUFFLED]]
    (ours,) = fitted.reconstruct(shuffled(scans[:1]), [moved])
    (theirs,) = fitted.reconstruct(named(scans[:1]), [mask])
    np.testing.assert_array_equal(
        pd.DataFrame(ours, columns=SHUFFLED)[NAMES], pd.DataFrame(theirs, columns=NAMES)
    )


def test_fit_takes_the_order_of_its_first_scan(tiny, scans):
    model = tiny().fit([named(scans)[0], *shuffled(scans)[1:]])
    assert model.region_names_ == NAMES
    np.testing.assert_array_equal(model.transform(named(scans)), model.transform(shuffled(scans)))


@pytest.mark.parametrize("given", ["named", "nameless"])
def test_predictor_has_the_order_of_its_encoder_or_else_of_its_scans(
    scans, values, fitted, encoder, given
):
    model = BrainMAERegressor(pretrained=fitted if given == "named" else encoder)
    model.fit(shuffled(scans), values)
    assert model.region_names_ == (NAMES if given == "named" else SHUFFLED)
    assert encoder.region_names_ is None
    np.testing.assert_array_equal(model.predict(named(scans)), model.predict(shuffled(scans)))


@pytest.mark.parametrize("use", ["fit", "transform", "pretrained", "cost"])
def test_other_regions_are_refused_by_name(tiny, scans, values, fitted, use):
    other = [scan.rename(columns={"d": "z"}) for scan in named(scans)]
    actions = {
        "fit": lambda: tiny().fit([*named(scans), other[0]]),
        "transform": lambda: fitted.transform(other),
        "pretrained": lambda: BrainMAERegressor(pretrained=fitted).fit(other, values),
        "cost": lambda: tiny().estimate_cost([*named(scans), other[0]]),
    }
    with pytest.raises(ValueError, match="it lacks 'd' and it has in addition 'z'"):
        actions[use]()


def test_features_are_named_by_the_regions_and_other_names_are_refused(tiny, scans):
    names = [f"region{i}" for i in range(scans.shape[2])]
    named = tiny(max_epochs=0).fit([pd.DataFrame(scan, columns=names) for scan in scans])
    out = named.get_feature_names_out()
    assert out[1] == "connectivity_region0_region1"
    assert list(out) == list(named.get_feature_names_out(names))
    with pytest.raises(ValueError, match="not equal to feature_names_in_"):
        named.get_feature_names_out(names[::-1])
    with pytest.raises(ValueError, match="should have length equal"):
        named.get_feature_names_out(names[1:])
    unnamed = tiny(max_epochs=0).fit(scans)
    assert unnamed.get_feature_names_out()[1] == "connectivity_0_1"
    assert unnamed.get_feature_names_out(names)[1] == "connectivity_region0_region1"
