import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.exceptions import ConvergenceWarning

from sk_brainmae.inspection import (
    fill_in,
    plot_reconstruction,
    plot_reconstruction_scores,
    plot_region_scores,
    reconstruction_scores,
)
from sk_brainmae.scans.covariance import NOISE, region_covariance
from sk_brainmae.timeseries import validate_scans


@pytest.fixture(scope="module")
def scores(spectral, cohort):
    return reconstruction_scores(spectral, cohort.scans, (0.2, 0.6), cohort.networks)


@pytest.fixture(scope="module")
def bad_scores(paper, cohort):
    with pytest.warns(ConvergenceWarning, match="worse than a linear predictor.*20%, 60%"):
        return reconstruction_scores(paper, cohort.scans, (0.2, 0.6))


def of_all(scores, predictor):
    rows = scores[(scores["scope"] == "all") & (scores["predictor"] == predictor)]
    return rows.set_index("ratio")


def test_every_ratio_has_all_predictors_for_all_networks_and_regions(scores):
    assert len(scores) == 2 * 4 * (1 + 3 + 18)
    assert set(scores["predictor"]) == {
        "BrainMAE",
        "region mean",
        "temporal interpolation",
        "conditional Gaussian",
    }


def test_region_mean_explains_nothing_and_the_linear_predictor_something(scores):
    assert_allclose(of_all(scores, "region mean")["r2"], 0)
    assert (of_all(scores, "conditional Gaussian")["r2"] > 0.2).all()


def test_more_hidden_regions_are_harder(scores):
    for predictor in ("BrainMAE", "conditional Gaussian"):
        error = of_all(scores, predictor)["mse"]
        assert error[0.6] > error[0.2]


def test_model_worse_than_the_linear_predictor_warns_and_its_plot_says_so(bad_scores, texts):
    assert of_all(bad_scores, "BrainMAE")["worse_than_linear"].all()
    assert not of_all(bad_scores, "conditional Gaussian")["worse_than_linear"].any()
    ax = plot_reconstruction_scores(bad_scores)
    assert "worse than a linear predictor | " in texts(ax) + " | "
    assert "at 20%, 60% hidden" in texts(ax)


def test_scores_of_regions_and_networks_add_up_to_all(scores):
    some = scores[(scores["ratio"] == 0.6) & (scores["predictor"] == "BrainMAE")]
    mean = some.groupby("scope")["mse"].mean()
    assert_allclose(mean["region"], mean["all"], rtol=0.1)  # equally many cells, nearly
    assert_allclose(mean["network"], mean["all"], rtol=0.1)


def test_linear_predictor_agrees_with_a_computation_by_hand(spectral, cohort):
    filled = fill_in(spectral, cohort.scans[0], 0.5)
    covariance = region_covariance(validate_scans(cohort.scans))
    seen = ~filled.hidden[0]
    known = covariance[np.ix_(seen, seen)] + NOISE * np.eye(seen.sum())
    expected = covariance[~seen][:, seen] @ np.linalg.solve(known, filled.signal[0, seen])
    rebuilt = filled.rebuilt["conditional Gaussian"][0, ~seen]
    assert_allclose(rebuilt, expected, atol=1e-3)


def test_filled_scan_has_whole_windows_and_hides_whole_windows(spectral, cohort):
    filled = fill_in(spectral, cohort.scans[0], 0.5)
    assert filled.signal.shape == (120, 18)  # 125 frames, windows of 10
    windows = filled.hidden.reshape(12, 10, 18)
    assert (windows.all(axis=1) == windows.any(axis=1)).all()
    assert (windows[:, 0].sum(axis=1) == 9).all()
    assert filled.unit == "frames"


def test_no_predictor_sees_what_is_hidden(spectral, cohort):
    scan = cohort.scans[0].astype(float)[:120]
    scan = (scan - scan.mean(axis=0)) / scan.std(axis=0)
    before = fill_in(spectral, scan)
    changed = scan.copy()
    window = slice(20, 30)
    region = np.flatnonzero(before.hidden[20])[0]
    changed[window, region] = changed[window, region][::-1]  # same mean and variance
    after = fill_in(spectral, changed)
    for name, rebuilt in after.rebuilt.items():
        assert_allclose(rebuilt, before.rebuilt[name], atol=1e-4)


def test_masks_are_reproducible_and_leave_the_global_state_alone(spectral, cohort):
    np.random.seed(0)  # noqa: NPY002
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    one, other, third = (fill_in(spectral, cohort.scans[0], 0.5, seed) for seed in (0, 0, 1))
    assert (one.hidden == other.hidden).all()
    assert (one.hidden != third.hidden).any()
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002


def test_temporal_interpolation_of_slow_signal_beats_the_mean(spectral):
    t = np.arange(120)
    rng = np.random.default_rng(0)
    slow = np.sin(2 * np.pi * (t[:, None] / 120 + rng.random(18))).astype(np.float32)
    scores = reconstruction_scores(spectral, [slow], (0.2,))
    assert of_all(scores, "temporal interpolation")["r2"].item() > 0.8


def test_missing_region_has_no_score(spectral, cohort):
    scan = cohort.scans[0].copy()
    scan[:, 4] = 1
    with pytest.warns(UserWarning, match="constant regions"):
        scores = reconstruction_scores(spectral, [scan], (0.5,))
    region = scores[(scores["scope"] == "region") & (scores["name"] == "4")]
    assert region["r2"].isna().all()
    assert not region["worse_than_linear"].any()


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_missing_frames_are_not_scored(spectral):
    signs = np.random.default_rng(0).choice([-1.0, 1.0], 18)
    scan = signs * (-1.0) ** np.arange(120)[:, None]  # of variance 1 in every frame
    scan[np.arange(120) % 10 // 2 == 2] = np.nan  # frames 4 and 5 of every window
    scores = reconstruction_scores(spectral, [scan]).query("predictor == 'region mean'")
    assert_allclose(scores["mse"].dropna(), 1, rtol=1e-5)


@pytest.mark.parametrize("ratio", [0, 1, -0.1])
def test_ratio_outside_0_and_1_raises(spectral, cohort, ratio):
    with pytest.raises(ValueError, match="share between 0 and 1"):
        reconstruction_scores(spectral, cohort.scans, (0.5, ratio))


def test_wrong_number_of_labels_raises(spectral, cohort):
    with pytest.raises(ValueError, match=r"networks has shape \(17,\)"):
        reconstruction_scores(spectral, cohort.scans, networks=cohort.networks[1:])
    with pytest.raises(ValueError, match=r"names has shape \(17,\)"):
        plot_reconstruction(fill_in(spectral, cohort.scans[0]), names=cohort.region_names[1:])


def test_score_curve_shows_all_predictors(scores):
    ax = plot_reconstruction_scores(scores)
    named = {text.get_text() for text in ax.get_legend().get_texts()}
    assert named == set(scores["predictor"])
    assert "worse" not in ax.get_title(loc="left")


def test_region_scores_are_drawn_by_network_if_networks_were_given(scores, bad_scores, texts):
    ax = plot_region_scores(scores, 0.2)
    assert {t.get_text() for t in ax.get_yticklabels()} == {"0", "1", "2"}
    ax = plot_region_scores(bad_scores)
    assert "no network labels given" in texts(ax)
    assert len(ax.get_yticklabels()) == 18
    with pytest.raises(ValueError, match=r"no mask ratio 0.3 in these scores.*\[0.2, 0.6\]"):
        plot_region_scores(scores, 0.3)


def test_reconstruction_shades_hidden_windows_of_the_chosen_regions(spectral, cohort, texts):
    filled = fill_in(spectral, cohort.scans[0])
    ax = plot_reconstruction(filled, [3], cohort.region_names)
    n_stretches = (np.diff(filled.hidden[:, 3].astype(int), prepend=0) == 1).sum()
    assert len(ax.collections) == n_stretches
    assert [t.get_text() for t in ax.get_yticklabels()] == ["network0_region3"]
    assert "no region names given" in texts(plot_reconstruction(filled))


def test_unknown_region_raises(spectral, cohort):
    with pytest.raises(ValueError, match="indices from 0 to 17"):
        plot_reconstruction(fill_in(spectral, cohort.scans[0]), [18])
