"""Predictors on a pretrained encoder: it is data, and what it was fitted with counts."""

import copy

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from sk_brainmae import BrainMAEClassifier, BrainMAERegressor, BrainMAETransformer
from sk_brainmae.embedding import VIEWS
from sk_brainmae.timeseries import Window

KINDS = [BrainMAEClassifier, BrainMAERegressor]
STRATEGIES = ["probe", "finetune"]


@pytest.fixture
def unchanged(encoder):
    """The fitted encoder; a test that changes it fails."""
    before = joblib.hash(encoder)
    yield encoder
    assert joblib.hash(encoder) == before


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("kind", KINDS)
def test_fit_and_predict_leave_the_pretrained_encoder_as_it_is(
    scans, target, unchanged, kind, strategy
):
    params = {"max_epochs": 2, "validation_fraction": 0, "random_state": 0}
    model = kind(pretrained=unchanged, strategy=strategy, **params)
    model.fit(scans, target(kind)).predict(scans)
    same = np.array_equal(model.encoder_.roi_embeddings_, unchanged.roi_embeddings_)
    assert same == (strategy == "probe")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_clones_share_the_pretrained_encoder_and_nothing_changes_it(
    scans, values, unchanged, strategy
):
    model = BrainMAERegressor(pretrained=unchanged, strategy=strategy, max_epochs=1, random_state=0)
    assert clone(model).pretrained is unchanged
    assert clone(make_pipeline(model))[0].pretrained is unchanged
    grid = {"views": ["state_mean", "auto"], "lr": [0.01]}
    search = GridSearchCV(model, grid, cv=2, error_score="raise").fit(scans, values)
    assert search.best_estimator_.pretrained is unchanged


def test_what_is_set_at_the_pretrained_encoder_later_changes_no_prediction(tiny, scans, values):
    encoder = tiny(t_r=2.0, window_size=20, crop_length=60).fit(scans)
    model = BrainMAERegressor(pretrained=encoder).fit(scans, values)
    expected = model.predict(scans, t_r=2.0)
    encoder.set_params(t_r=1.0, window_size=4)
    np.testing.assert_array_equal(model.predict(scans, t_r=2.0), expected)


@pytest.mark.parametrize("view", [view for view in VIEWS if view != "cls"])
def test_head_reads_the_view_that_was_asked_for(scans, values, encoder, n_features, view):
    model = BrainMAERegressor(pretrained=encoder, views=view).fit(scans, values)
    assert model.view_weights_ == {view: 1.0}
    assert model.views_ == (view,)
    assert model.head_.n_features_in_ == n_features[view]


def test_view_that_the_pretrained_encoder_lacks_raises(scans, values, encoder, by_view):
    with pytest.raises(ValueError, match="has no view 'cls': it was fitted with views='auto'"):
        BrainMAERegressor(pretrained=encoder, views=["tempo", "cls"]).fit(scans, values)
    with pytest.raises(ValueError, match=r"has no view 'states'.* and has tempo"):
        BrainMAERegressor(pretrained=by_view["tempo"], views="states").fit(scans, values)
    model = BrainMAERegressor(pretrained=by_view["tempo"]).fit(scans, values)
    assert model.views_ == ("tempo",), "with 'auto' the head reads what there is"


def test_windows_are_as_long_as_the_pretrained_encoders(scans, values, encoder):
    short = scans[:, :12]  # one window of the encoder, none of the default's 15 frames
    model = BrainMAERegressor(pretrained=encoder).fit(short, values)
    assert model.predict(short).shape == (12,)
    with pytest.raises(ValueError, match="fewer than one window of 10"):
        model.predict(scans[:, :9])


@pytest.mark.parametrize("kind", KINDS)
def test_unlabelled_scans_warn_with_their_count(scans, encoder, kind):
    labelled = np.arange(12) % 4 > 0
    y = np.where(labelled, np.arange(12) % 2, -1 if kind is BrainMAEClassifier else np.nan)
    with pytest.warns(UserWarning, match="3 of 12 scans are unlabelled and have no effect"):
        model = kind(pretrained=encoder).fit(scans, y)
    alone = kind(pretrained=encoder).fit(scans[labelled], y[labelled])
    np.testing.assert_array_equal(model.predict(scans), alone.predict(scans))


@pytest.mark.filterwarnings("ignore:.*scans have missing values")
def test_predictor_treats_missing_values_as_it_says_itself_and_may_change_that(
    scans, values, encoder
):
    gaps = scans.copy()
    gaps[0, 3:5] = np.nan
    model = BrainMAERegressor(pretrained=encoder, missing="raise").fit(scans, values)
    with pytest.raises(ValueError, match="scan 0 has nan at frame"):
        model.predict(gaps)
    assert np.isfinite(encoder.transform(gaps)).all(), "the given encoder masks"
    assert np.isfinite(model.set_params(missing="mask").predict(gaps)).all()


# --- what is refused ----------------------------------------------------------------------------


def test_unfitted_pretrained_encoder_raises(scans, values):
    with pytest.raises(NotFittedError, match="pretrained must be a fitted"):
        BrainMAERegressor(pretrained=BrainMAETransformer()).fit(scans, values)


def test_pretrained_that_is_no_encoder_raises(scans, values):
    with pytest.raises(ValueError, match="'pretrained' parameter"):
        BrainMAERegressor(pretrained=3).fit(scans, values)
    with pytest.raises(FileNotFoundError, match="no model folder 'nowhere'"):
        BrainMAERegressor(pretrained="nowhere").fit(scans, values)


@pytest.mark.parametrize(
    "params", [{"window_size": 12}, {"embedding_dim": 16}, {"attention": "vanilla"}, {"t_r": 2}]
)
def test_parameter_that_the_pretrained_encoder_overrides_raises(scans, values, encoder, params):
    name = next(iter(params))
    with pytest.raises(ValueError, match=f"{name}=.* would have no effect"):
        BrainMAERegressor(pretrained=encoder, **params).fit(scans, values)


def test_checkpoint_beside_a_pretrained_encoder_raises(scans, values, encoder, tmp_path):
    with pytest.raises(ValueError, match="checkpoint would have no effect"):
        BrainMAERegressor(pretrained=encoder, checkpoint=tmp_path).fit(scans, values)


def test_setting_a_parameter_of_the_pretrained_encoder_raises(unchanged):
    model = BrainMAERegressor(pretrained=unchanged)
    with pytest.raises(ValueError, match="fitted already"):
        model.set_params(pretrained__max_epochs=5)
    assert "pretrained__max_epochs" not in model.get_params(deep=True)


def test_scans_of_other_regions_than_the_pretrained_encoders_raise(scans, values, encoder):
    with pytest.raises(ValueError, match="have 9 regions, but the model was fitted on 10"):
        BrainMAERegressor(pretrained=encoder).fit(scans[:, :, :9], values)


def test_encoder_whose_repetition_time_was_set_after_fit_is_refused(scans, values, encoder):
    changed = copy.copy(encoder).set_params(t_r=1.0)
    with pytest.raises(ValueError, match=r"t_r=1\.0 was set after fit, which had t_r=None"):
        BrainMAERegressor(pretrained=changed).fit(scans, values)


def test_auto_reads_the_views_that_a_pretrained_encoder_was_asked_for(tiny, scans):
    encoder = tiny(max_epochs=0, views="tempo").fit(scans)
    moments = [Window(scan, start, start + 20) for scan in scans for start in (0, 30)]
    model = BrainMAEClassifier(pretrained=encoder).fit(moments, np.tile([0, 1], len(scans)))
    assert model.views_ == ("tempo",)
