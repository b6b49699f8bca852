import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge

from sk_brainmae import BrainMAEClassifier, BrainMAETransformer
from sk_brainmae.inspection import fill_in, identify, occlusion, window_states
from sk_brainmae.inspection.model import fitted_encoder, one_each, region_names


def test_transformer_is_its_own_encoder_and_a_classifier_has_one(spectral, probe):
    assert fitted_encoder(spectral) is spectral
    assert fitted_encoder(probe) is probe.encoder_


@pytest.mark.parametrize("model", [BrainMAETransformer(), BrainMAEClassifier()])
def test_unfitted_model_raises(model):
    with pytest.raises(NotFittedError):
        fitted_encoder(model)


def test_other_estimator_raises():
    with pytest.raises(TypeError, match="got Ridge"):
        fitted_encoder(Ridge())


def test_wrong_number_of_labels_raises():
    with pytest.raises(ValueError, match=r"networks has shape \(3,\), but there are 4 regions"):
        one_each(["a", "b", "c"], 4, "networks", "region")


@pytest.mark.parametrize("missing", [None, np.nan])
def test_missing_label_raises(missing):
    with pytest.raises(ValueError, match="networks has no label for region 1"):
        one_each(np.array(["a", missing, "c"], dtype=object), 3, "networks", "region")


def test_regions_without_names_are_numbered():
    assert region_names(None, 3).tolist() == ["0", "1", "2"]


def test_repeated_region_name_raises():
    with pytest.raises(ValueError, match="'a' stands for several regions"):
        region_names(["a", "b", "a"], 3)


@pytest.fixture(scope="module")
def of_two_t_r():
    """Scans, and a classifier fitted on scans of two repetition times, the second its own."""
    scans = np.random.default_rng(0).normal(size=(6, 60, 5)).cumsum(axis=1)
    model = BrainMAEClassifier(
        t_r=2.0, window_size=16, crop_length=64, embedding_dim=4, max_epochs=0, random_state=0
    )
    return scans, model.fit(scans, [0, 1] * 3, t_r=[1.0, 1.0, 1.0, 2.0, 2.0, 2.0])


@pytest.mark.parametrize(
    "inspect",
    [
        window_states,
        occlusion,
        lambda model, scans: fill_in(model, scans[0]),
        lambda model, scans: identify(model, scans[:3], scans[3:], scans, opponents={}),
        lambda model, scans: model.generate_report(scans),
    ],
    ids=["window_states", "occlusion", "fill_in", "identify", "generate_report"],
)
def test_model_fitted_on_several_t_r_warns_that_scans_need_its_own(of_two_t_r, inspect):
    scans, model = of_two_t_r
    with pytest.warns(UserWarning, match=r"taken to have the model's, 2\.0 s"):
        inspect(model, scans)
