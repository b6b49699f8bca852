import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils import get_tags

from sk_brainmae.baselines import (
    ConnectivityFeatures,
    DynamicConnectivity,
    FlatWindow,
    GroupPCAConnectivity,
    MeanActivation,
    StateOccupancy,
)
from sk_brainmae.timeseries import Window

FEATURES = [
    ConnectivityFeatures("correlation"),
    ConnectivityFeatures("partial correlation"),
    ConnectivityFeatures("tangent"),
    DynamicConnectivity(6, 2),
    FlatWindow(),
    GroupPCAConnectivity(3),
    MeanActivation(),
    StateOccupancy(3, 6, 2, random_state=0),
]


@pytest.fixture
def runs():
    rng = np.random.default_rng(0)
    return [rng.normal(size=(40 + i, 6)) @ rng.normal(size=(6, 6)) + 5 for i in range(4)]


@pytest.fixture
def windows(runs):
    return [Window(run, start, start + 12) for run in runs for start in (2, 20)]


def z_scored(window):
    run = window.scan
    return ((run - run.mean(0)) / run.std(0))[window.start : window.stop]


@pytest.mark.parametrize("features", FEATURES, ids=repr)
def test_each_row_depends_on_its_own_sample_alone(features, windows):
    fitted = clone(features).fit(windows[:6])
    together = fitted.transform(windows)
    alone = np.concatenate([fitted.transform([window]) for window in windows])
    np.testing.assert_allclose(alone, together, rtol=1e-10)


@pytest.mark.parametrize("features", FEATURES, ids=repr)
def test_fit_transform_equals_fit_then_transform_and_survives_pickling(features, windows):
    at_once = clone(features).fit_transform(windows)
    fitted = pickle.loads(pickle.dumps(clone(features).fit(windows)))
    np.testing.assert_allclose(fitted.transform(windows), at_once, rtol=1e-10)
    assert fitted.n_features_in_ == 6
    assert len(fitted.get_feature_names_out()) == at_once.shape[1]


@pytest.mark.parametrize("features", FEATURES, ids=repr)
def test_wants_three_dimensions_and_says_so(features):
    tags = get_tags(features).input_tags
    assert tags.three_d_array
    assert not tags.two_d_array


@pytest.mark.parametrize("features", FEATURES, ids=repr)
def test_bad_scans_raise(features, windows, runs):
    with pytest.raises(NotFittedError):
        clone(features).transform(windows)
    fitted = clone(features).fit(windows)
    with pytest.raises(ValueError, match="5 regions, but the model was fitted on 6"):
        fitted.transform([Window(runs[0][:, :5], 0, 12)])
    runs[0][3, 2] = np.inf
    with pytest.raises(ValueError, match="scan 0 has inf at frame 3, region 2"):
        clone(features).fit(windows)


def test_set_output_gives_named_columns(windows):
    table = MeanActivation().set_output(transform="pandas").fit_transform(windows)
    assert isinstance(table, pd.DataFrame)
    assert table.columns[5] == "meanactivation5"


def test_mean_activation_is_the_mean_of_the_runs_z_scores(windows):
    expected = [z_scored(window).mean(axis=0) for window in windows]
    np.testing.assert_allclose(MeanActivation().fit_transform(windows), expected, atol=1e-6)


def test_mean_activation_of_a_whole_scan_raises(windows, runs):
    with pytest.raises(ValueError, match="sample 8 is a whole scan"):
        MeanActivation().fit([*windows, runs[0]])


def test_flat_window_holds_the_z_scored_frames_in_time_order(windows):
    expected = [np.concatenate(list(z_scored(window))) for window in windows]
    np.testing.assert_allclose(FlatWindow().fit_transform(windows), expected, atol=1e-5)


def test_flat_window_of_unequal_lengths_raises(windows, runs):
    with pytest.raises(ValueError, match="sample 1 has 41 frames, where 40 are expected"):
        FlatWindow().fit(runs)
    with pytest.raises(ValueError, match="sample 0 has 11 frames, where 12 are expected"):
        FlatWindow().fit(windows).transform([Window(runs[0], 0, 11)])


@pytest.mark.filterwarnings("ignore:.* missing values")
def test_mean_activation_leaves_out_missing_frames():
    run = np.random.default_rng(0).normal(size=(60, 3))
    censored = run.copy()
    censored[12:15], censored[16, 1] = np.nan, np.nan
    z = (censored - np.nanmean(censored, axis=0)) / np.nanstd(censored, axis=0)
    features = MeanActivation().fit_transform([Window(censored, 10, 20)])
    np.testing.assert_allclose(features[0], np.nanmean(z[10:20], axis=0), atol=1e-6)


def test_named_regions_are_brought_into_the_order_of_the_first_training_scan(runs):
    frames = [pd.DataFrame(run).add_prefix("region ") for run in runs]
    other = [frames[0], *(frame.iloc[:, ::-1] for frame in frames[1:])]
    features = ConnectivityFeatures("correlation")
    expected = features.fit_transform(frames)
    np.testing.assert_array_equal(features.fit_transform(other), expected)
    np.testing.assert_array_equal(features.transform(other[1:]), expected[1:])
    with pytest.raises(ValueError, match="scan 0"):
        features.transform([frames[0].add_prefix("another ")])


@pytest.mark.parametrize("kind", [FlatWindow, MeanActivation])
def test_trials_that_keep_their_values_read_like_windows_of_their_run(kind, windows):
    plain = [z_scored(window) for window in windows]
    kept = kind(standardize=False).fit_transform(plain)
    np.testing.assert_allclose(kept, kind().fit_transform(windows), atol=1e-5)
