from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sk_brainmae import BrainMAERegressor
from sk_brainmae.inspection import cls_attention, occlusion, plot_occlusion
from sk_brainmae.timeseries import Window, validate_scans
from sk_brainmae.training import encode


@pytest.fixture(scope="module")
def level(params):
    """A regressor of a moment's mean in region 0 to 2 (network 0), and its samples."""
    rng = np.random.default_rng(0)
    runs = [
        rng.normal(size=(80, 9)).cumsum(axis=0) * 0.3 + rng.normal(size=(80, 9)) for _ in range(30)
    ]
    X = [Window(run, start, start + 10) for run in runs for start in (20, 50)]
    y = np.array([np.mean(np.asarray(w)[:, :3] - w.scan[:, :3].mean(axis=0)) for w in X])
    model = BrainMAERegressor(**params, max_epochs=0).fit(X, y)
    return model, X, y


def test_only_the_window_that_matters_changes_the_prediction(level):
    model, X, _ = level
    table = occlusion(model, X)
    size = table["change"].abs().groupby(table["time"]).mean()
    assert size.idxmax() == 5
    far = size[np.abs(size.index - 5) > 15]
    assert size[5] > 3 * far.max()


def test_network_that_matters_is_found(level):
    model, X, y = level
    table = occlusion(model, X, y, by="network", networks=[0] * 3 + [1] * 3 + [2] * 3)
    mean = table.groupby("network")["change"].mean()
    assert mean.idxmax() == 0
    assert mean[0] > 3 * max(mean[1], mean[2])


def test_windows_agree_with_the_windows_of_attention(finetuned, cohort):
    table = occlusion(finetuned, cohort.scans[:2])
    attention = cls_attention(finetuned, cohort.scans[:2])
    assert_allclose(table["time"], attention["time"])
    assert (table["sample"] == attention["sample"]).all()


def test_hiding_a_window_equals_masking_it(finetuned, cohort):
    scan = cohort.scans[0]
    mask = np.zeros((125, 18), dtype=bool)
    mask[20:30] = True
    encoder = finetuned.encoder_
    masked = replace(validate_scans([scan]), hidden=mask)
    _, cls = encode(encoder._network(), masked, **encoder._layout())
    around = cls - encoder._views["cls"].centre
    without = finetuned.head_.predict_proba(around)[0, 1]
    change = occlusion(finetuned, [scan], [1]).set_index("time")["change"]
    assert_allclose(finetuned.predict_proba([scan])[0, 1] - change[25], without, atol=1e-6)


def test_change_of_a_class_is_its_lost_probability(probe, cohort, labels):
    table = occlusion(probe, cohort.scans, labels, by="network", networks=cohort.networks)
    twice = occlusion(probe, cohort.scans, 1 - labels, by="network", networks=cohort.networks)
    assert_allclose(table["change"], -twice["change"], atol=1e-9)
    assert np.abs(table["change"]).max() > 1e-3
    own = occlusion(probe, cohort.scans, probe.predict(cohort.scans), "network", cohort.networks)
    unasked = occlusion(probe, cohort.scans, by="network", networks=cohort.networks)
    assert_allclose(own["change"], unasked["change"])


def test_hiding_a_network_equals_constant_regions(regressor, cohort):
    scan = cohort.scans[0].copy()
    scan[:, cohort.networks == 1] = 0
    with pytest.warns(UserWarning, match="constant regions"):
        without = regressor.predict([scan])
    table = occlusion(regressor, cohort.scans[:1], by="network", networks=cohort.networks)
    change = table.set_index("network")["change"]
    expected = regressor.predict(cohort.scans[:1]) - without
    assert_allclose(change[1], expected[0], atol=1e-5)


@pytest.mark.filterwarnings("ignore:constant regions", "ignore:.* missing values")
def test_censored_frames_stay_censored(spectral, cohort):
    regressor = BrainMAERegressor(pretrained=spectral, views="connectivity", max_epochs=0)
    regressor.fit(cohort.scans, cohort.traits["static"])
    scan = cohort.scans[0].copy()
    scan[30:55] = np.nan
    table = occlusion(regressor, [scan], [0.0], by="network", networks=cohort.networks)
    without = np.where(cohort.networks == 1, 0, scan)
    error = np.abs(regressor.predict([without])) - np.abs(regressor.predict([scan]))
    assert_allclose(table.set_index("network")["change"][1], error[0], atol=1e-4)


def test_change_with_a_target_is_the_growth_of_the_error(regressor, cohort):
    y = cohort.traits["static"].to_numpy()[:2]
    falls = occlusion(regressor, cohort.scans[:2])["change"].to_numpy().reshape(2, -1)
    grows = occlusion(regressor, cohort.scans[:2], y)["change"].to_numpy().reshape(2, -1)
    before = regressor.predict(cohort.scans[:2])[:, None]
    expected = np.abs(before - falls - y[:, None]) - np.abs(before - y[:, None])
    assert_allclose(grows, expected, atol=1e-9)


def test_scans_are_not_changed(probe, cohort):
    before = cohort.scans.copy()
    occlusion(probe, cohort.scans[:2])
    assert (cohort.scans == before).all()


def test_bad_input_raises(probe, spectral, cohort, labels):
    with pytest.raises(TypeError, match="predicts nothing"):
        occlusion(spectral, cohort.scans)
    with pytest.raises(ValueError, match="'window' or 'network', got 'frame'"):
        occlusion(probe, cohort.scans, by="frame")
    with pytest.raises(ValueError, match="needs networks"):
        occlusion(probe, cohort.scans, by="network")
    with pytest.raises(ValueError, match="18 regions"):
        occlusion(probe, cohort.scans, by="network", networks=cohort.networks[1:])
    with pytest.raises(ValueError, match="hiding it leaves nothing"):
        occlusion(probe, cohort.scans, by="network", networks=np.zeros(18))
    with pytest.raises(ValueError, match=r"y has shape \(11,\)"):
        occlusion(probe, cohort.scans, labels[1:])
    with pytest.raises(ValueError, match="class 2, which the model has not seen"):
        occlusion(probe, cohort.scans, labels + 1)


def test_plots_tell_what_was_hidden(probe, cohort, texts):
    ax = plot_occlusion(occlusion(probe, cohort.scans[:2]))
    assert "a window is hidden" in texts(ax)
    table = occlusion(probe, cohort.scans[:2], by="network", networks=cohort.networks)
    ax = plot_occlusion(table)
    assert "a network is hidden" in texts(ax)
    assert {t.get_text() for t in ax.get_yticklabels()} == {"0", "1", "2"}
