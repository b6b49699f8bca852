"""Censored frames, missing regions and other gaps: from the seam to embeddings."""

import re
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter1d
from sklearn.base import clone

from sk_brainmae import BrainMAEClassifier, BrainMAETransformer
from sk_brainmae.baselines import ConnectivityFeatures
from sk_brainmae.datasets import make_cohort
from sk_brainmae.embedding.covariance import fit_latent_space, pool_covariance
from sk_brainmae.embedding.moments import embed_moments, fit_moment_space
from sk_brainmae.scans.covariance import region_covariance, window_covariance
from sk_brainmae.timeseries import Window, censor, validate_scans
from sk_brainmae.training.scoring import ScoringCrops, masked_r2

pytestmark = pytest.mark.filterwarnings("ignore:.*scans have missing values")
N_REGIONS, WINDOW = 20, 8
METHODS = ("transform", "transform_windows", "reconstruct", "score")


def damage(scan, seed, frames=0.1, regions=0.05):
    """Censor a share of the frames, here and there, and lose a share of the regions."""
    rng = np.random.default_rng(seed)
    damaged = censor(scan, rng.random(len(scan)) < frames)
    n_lost = round(regions * scan.shape[1])
    damaged[:, rng.choice(scan.shape[1], n_lost, replace=False)] = np.nan
    return damaged


@pytest.fixture(scope="module")
def scans():
    return make_cohort(
        n_scans=30, n_timepoints=160, n_regions=N_REGIONS, t_r=2.0, random_state=0
    ).scans


@pytest.fixture(scope="module")
def damaged(scans):
    return [damage(scan, seed) for seed, scan in enumerate(scans)]


def model(**params):
    settings = {"t_r": 2.0, "crop_length": 160, "embedding_dim": 8, "max_epochs": 1}
    return BrainMAETransformer(**{**settings, "random_state": 0, **params})


@pytest.fixture(scope="module")
def fitted(scans):
    return model().fit(scans[:18])


def cosines(a, b):
    """Cosine of every row of a with every row of b."""
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
    return a @ b.T


# --- the seam -----------------------------------------------------------------------------------


def test_mean_and_scale_are_those_of_the_measured_values(scans):
    x = scans[0].astype(float)
    x[10:30] = np.nan
    x[50:53, 4] = np.nan
    cohort = validate_scans([x])
    np.testing.assert_allclose(cohort.mean[0], np.nanmean(x, axis=0), rtol=1e-12)
    np.testing.assert_allclose(cohort.scale[0], np.nanstd(x, axis=0), rtol=1e-12)
    np.testing.assert_array_equal(cohort.missing, np.isnan(x))
    assert not cohort.frames[cohort.missing].any()
    assert cohort.observed.all()


def test_region_that_lacks_more_than_half_of_its_frames_is_missing_and_no_gap(scans):
    x = scans[0].copy()
    x[:81, 3] = np.nan
    x[:, 7] = np.nan
    x[:80, 5] = np.nan
    cohort = validate_scans([x])
    assert np.flatnonzero(~cohort.observed[0]).tolist() == [3, 7]
    assert not cohort.frames[:, [3, 7]].any()
    assert np.argwhere(cohort.missing)[:, 1].tolist() == [5] * 80


def test_complete_cohort_and_one_of_missing_regions_alone_hold_no_gaps(scans):
    x = scans[0].copy()
    x[:, 2] = np.nan
    assert validate_scans(scans[:2]).missing is None
    cohort = validate_scans([x])
    assert cohort.missing is None
    assert cohort.known(0).shape == (N_REGIONS,)


@pytest.mark.filterwarnings("error")
def test_one_warning_counts_what_is_missing_in_which_scans(scans):
    X = list(scans[:4])
    X[1] = censor(X[1], [3, 4, 90])
    X[1][:, 5] = np.nan
    X[3] = X[3].copy()
    X[3][7, 7] = np.nan
    match = "2 of 4 scans .* scan 1: 3 frames, 1 regions; scan 3: 1 other values$"
    with pytest.warns(UserWarning, match=match) as caught:
        validate_scans(X)
    assert len(caught) == 1


def test_constant_and_missing_regions_are_told_apart(scans):
    x = scans[0].copy()
    x[:, 2], x[:, 4] = np.nan, 7.0
    with (
        pytest.warns(UserWarning, match=r"constant regions.*: scan 0: \[4\]$"),
        pytest.warns(UserWarning, match="missing values.*: scan 0: 1 regions$"),
    ):
        cohort = validate_scans([x])
    assert np.flatnonzero(~cohort.observed[0]).tolist() == [2, 4]


def test_masked_array_is_a_scan_with_gaps(scans):
    mask = np.random.default_rng(0).random(scans[0].shape) < 0.1
    masked = np.ma.array(scans[0], mask=mask)
    ours, theirs = validate_scans([masked]), validate_scans([np.where(mask, np.nan, scans[0])])
    np.testing.assert_array_equal(ours.frames, theirs.frames)
    np.testing.assert_array_equal(ours.missing, mask)


@pytest.mark.parametrize("dtype", [np.int16, np.float32, np.float64])
def test_censor_returns_a_copy_with_nan_rows(dtype):
    scan = np.arange(12).reshape(4, 3).astype(dtype)
    before = scan.copy()
    flags = np.array([False, True, False, True])
    for frames in (flags, [1, 3], np.array([1, 3])):
        censored = censor(scan, frames)
        assert np.isnan(censored[[1, 3]]).all()
        np.testing.assert_array_equal(censored[[0, 2]], scan[[0, 2]])
    np.testing.assert_array_equal(censor(scan, []), scan)
    np.testing.assert_array_equal(scan, before)


def test_hidden_values_next_to_gaps_influence_nothing(scans, fitted):
    x = damage(scans[20], 0)
    hidden = np.random.default_rng(1).random(x.shape) < 0.2
    rubbish = np.where(hidden, 1e6, x)
    ours, theirs = (fitted.reconstruct([scan], [hidden])[0] for scan in (x, rubbish))
    np.testing.assert_array_equal(ours, theirs)


# --- covariances --------------------------------------------------------------------------------


def test_region_covariance_is_that_of_the_frames_that_are_there(scans):
    censored = [censor(scan, np.arange(seed, 160, 9)) for seed, scan in enumerate(scans[:3])]
    kept = [scan[~np.isnan(scan).any(axis=1)] for scan in censored]
    np.testing.assert_allclose(
        region_covariance(validate_scans(censored)),
        region_covariance(validate_scans(kept)),
        rtol=1e-5,
        atol=1e-6,
    )


def test_region_covariance_counts_pairs_of_regions_that_are_there(scans):
    x = scans[0].astype(float)
    x[:40, 3] = np.nan
    z = (x - np.nanmean(x, axis=0)) / np.nanstd(x, axis=0)
    expected = (z[40:].T @ z[40:] / 120)[3]
    np.testing.assert_allclose(region_covariance(validate_scans([x]))[3], expected, atol=1e-6)


def test_whitened_region_covariance_of_censored_scans_is_near_that_of_complete_ones(scans):
    precision = np.linalg.inv(window_covariance(validate_scans(scans), WINDOW))
    complete, ours, cut = (
        region_covariance(validate_scans(X), precision)
        for X in (
            scans,
            [damage(scan, seed, regions=0) for seed, scan in enumerate(scans)],
            scans[:, :144],
        )
    )
    assert np.abs(ours - complete).max() < 2.5 * np.abs(cut - complete).max()


@pytest.mark.parametrize("n_scans", [1, 30], ids=["pairs", "whole windows"])
def test_window_covariance_of_censored_scans_is_positive_and_near_the_complete_one(scans, n_scans):
    complete = window_covariance(validate_scans(scans[:n_scans]), 12)
    censored = [damage(scan, seed, 0.1) for seed, scan in enumerate(scans[:n_scans])]
    ours = window_covariance(validate_scans(censored), 12)
    np.testing.assert_allclose(ours, ours.T, atol=1e-12)
    assert np.linalg.eigvalsh(ours)[0] > -1e-12
    assert np.abs(ours - complete).max() < 0.1


# --- embeddings ---------------------------------------------------------------------------------


@pytest.mark.parametrize("pooling", ["covariance", "state"])
def test_embedding_is_nearer_to_the_complete_scan_than_to_any_other_subject(
    fitted, scans, damaged, pooling
):
    embed = model(pooling=pooling).fit(scans[:18]).transform
    cosine = cosines(embed(damaged[18:]), embed(scans[18:]))
    own = np.diag(cosine).copy()
    np.fill_diagonal(cosine, -1)
    assert (own > cosine.max(axis=1) + 0.2).all()
    assert own.mean() > 0.8


def test_training_on_damaged_scans_embeds_and_fills_in_nearly_as_well(scans, damaged, fitted):
    ours = model().fit(damaged[:18])
    assert ours.score(scans[18:]) > 0.95 * fitted.score(scans[18:])
    cosine = cosines(ours.transform(damaged[18:]), ours.transform(scans[18:]))
    assert (cosine.argmax(axis=1) == np.arange(12)).all()


@pytest.mark.parametrize("init", ["spectral", "random"])
@pytest.mark.parametrize("pooling", ["covariance", "state", "mean", "cls"])
def test_filling_values_never_reach_any_output(scans, init, pooling):
    """Whatever stood in the frames before they were censored: the outputs are the same bits."""
    rng = np.random.default_rng(0)
    frames = rng.random((8, 160)) < 0.15

    def outputs(value):
        X = []
        for scan, bad in zip(scans[:8], frames, strict=True):
            filled = scan.copy()
            filled[bad], filled[:, 3] = value, value
            filled = censor(filled, bad)
            filled[:, 3] = np.nan
            X.append(filled)
        fit = model(init=init, pooling=pooling, max_epochs=2).fit(X)
        return [fit.weights_["roi"], *(getattr(fit, method)(X) for method in METHODS)]

    for ours, theirs in zip(outputs(0.0), outputs(1e6), strict=True):
        for a, b in zip(np.atleast_1d(ours), np.atleast_1d(theirs), strict=True):
            np.testing.assert_array_equal(a, b)
            assert np.isfinite(a).all()


def test_missing_regions_are_filled_in_from_the_others(fitted, scans):
    errors, variances = 0.0, 0.0
    for seed, scan in enumerate(scans[18:]):
        x = damage(scan, seed, regions=0.1)
        lost = np.isnan(x).all(axis=0)
        (rebuilt,) = fitted.reconstruct([x])
        truth = (scan - scan.mean(axis=0)) / scan.std(axis=0)
        errors += np.square(rebuilt - truth)[:, lost].sum()
        variances += np.square(truth)[:, lost].sum()
    assert 1 - errors / variances > 0.2


def test_scattered_gaps_are_filled_in_from_frames_and_regions_around(fitted, scans):
    errors, variances = 0.0, 0.0
    for seed, scan in enumerate(scans[18:]):
        gaps = np.random.default_rng(seed).random(scan.shape) < 0.1
        (rebuilt,) = fitted.reconstruct([np.where(gaps, np.nan, scan)])
        errors += np.square(rebuilt - scan)[gaps].sum()
        variances += np.square(scan - scan.mean(axis=0))[gaps].sum()
    assert 1 - errors / variances > 0.1


def test_score_counts_measured_values_alone(scans, damaged):
    cohort = validate_scans(damaged[18:24])
    layout = {"window": WINDOW, "n_windows": 20, "batch_size": 4, "device": "cpu"}
    batches = iter(ScoringCrops(cohort, **layout))

    def perfect_but_in_gaps(signal, visible):
        _, target = next(batches)
        return target["signal"] + 1e3 * ~target["measured"]

    assert masked_r2(perfect_but_in_gaps, cohort, **layout) == 1


def test_gaps_cost_little_score(fitted, scans):
    complete = fitted.score(scans[18:])
    damaged = [damage(scan, seed, frames=0.2) for seed, scan in enumerate(scans[18:])]
    assert 0.8 * complete < fitted.score(damaged) < complete


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), st.floats(0, 0.7), st.floats(0, 0.7), st.floats(0, 0.3))
@pytest.mark.filterwarnings("ignore:.*more regions than frames")
def test_any_gaps_embed_finitely_or_are_refused_by_name(fitted, seed, frames, regions, cells):
    rng = np.random.default_rng(seed)
    scan = rng.normal(size=(rng.integers(WINDOW, 60), N_REGIONS))
    run = damage(np.where(rng.random(scan.shape) < cells, np.nan, scan), seed, frames, regions)
    start = rng.integers(0, len(run) - 1)
    X = [run, Window(run, start, rng.integers(start + 1, len(run) + 1))]
    try:
        for pooling in ("covariance", "state", "mean"):
            cohort = fitted._read(X)
            assert np.isfinite(fitted._embed(cohort, pooling)).all()
        assert all(np.isfinite(rebuilt).all() for rebuilt in fitted.reconstruct(X))
    except ValueError as error:
        if not re.match("scan [01] (lacks|is constant)", str(error)):
            raise


@pytest.mark.parametrize("pooling", ["covariance", "state", "mean"])
def test_embedding_of_a_damaged_scan_is_the_same_alone_and_among_ragged_others(scans, pooling):
    fit = model(pooling=pooling).fit(scans[:10])
    X = [damage(scan, i)[: 160 - 11 * i] for i, scan in enumerate(scans[10:16])]
    together = fit.transform([scans[20], *X])
    for i, scan in enumerate(X):
        alone = fit.transform([scan])[0]
        # Networks work in batches, and the size of a matrix product decides its last digits.
        atol = 1e-5 if pooling == "mean" else 0
        np.testing.assert_allclose(together[1 + i], alone, rtol=0, atol=atol)


@pytest.mark.parametrize("pooling", ["covariance", "state"])
def test_gaps_in_one_scan_leave_the_embeddings_of_the_others_as_they_are(fitted, scans, pooling):
    roi = fitted.roi_embeddings_
    training = validate_scans(scans[:10])
    fit, embed = {
        "covariance": (fit_latent_space, pool_covariance),
        "state": (fit_moment_space, embed_moments),
    }[pooling]
    space = fit(training, roi, WINDOW)
    with_gaps = [damage(scans[10], 0), *scans[11:14]]
    ours = embed(validate_scans(with_gaps), space)[1:]
    np.testing.assert_array_equal(ours, embed(validate_scans(scans[11:14]), space))


def test_moments_of_a_slow_run_hardly_change_where_frames_are_censored():
    noise = np.random.default_rng(0).normal(size=(6, 160, N_REGIONS))
    slow = gaussian_filter1d(noise, 4, axis=1)
    space = fit_moment_space(validate_scans(slow), np.eye(N_REGIONS), WINDOW)
    starts = np.arange(0, 144, 16)
    censored = [censor(run, np.arange(3, 160, 8)) for run in slow]
    for ours, theirs in zip(censored, slow, strict=True):
        a, b = (
            embed_moments(validate_scans([Window(run, s, s + 8) for s in starts]), space)
            for run in (ours, theirs)
        )
        assert np.diag(cosines(a, b)).min() > 0.98


def test_several_runs_of_a_subject_and_ragged_lengths_fit_together(scans, damaged):
    X = [scan[: 160 - 5 * i] for i, scan in enumerate(damaged[:12])]
    subject = np.repeat(np.arange(6), 2)
    diagnosis = subject % 2
    decoder = BrainMAEClassifier(
        t_r=2.0, crop_length=160, embedding_dim=8, max_epochs=1, random_state=0
    )
    decoder.fit(X, diagnosis, groups=subject)
    assert decoder.predict_proba(X).shape == (12, 2)


def test_shortest_scan_of_one_window_with_a_censored_frame_embeds(fitted, scans):
    x = censor(scans[20][:WINDOW], [2])
    assert np.isfinite(fitted.transform([x])).all()
    assert fitted.reconstruct([x])[0].shape == (WINDOW, N_REGIONS)


# --- policy -------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [*METHODS, "fit"])
def test_policy_raise_refuses_gaps_everywhere(scans, damaged, fitted, method):
    strict = clone(fitted).set_params(missing="raise").fit(scans[:18])
    with pytest.raises(ValueError, match="scan 0 has nan at frame"):
        getattr(strict, method)(damaged)


def test_policy_is_one_of_two():
    with pytest.raises(ValueError, match="'missing' parameter"):
        model(missing="zero").fit(np.zeros((2, 30, 4)))


def test_complete_scans_are_the_same_under_both_policies(scans, fitted):
    strict = model(missing="raise").fit(scans[:18])
    np.testing.assert_array_equal(strict.transform(scans), fitted.transform(scans))


# --- opponents ----------------------------------------------------------------------------------


def test_connectivity_leaves_out_censored_frames(scans):
    frames = np.arange(0, 160, 7)
    kept = [np.delete(scan, frames, axis=0) for scan in scans[:6]]
    censored = [censor(scan, frames) for scan in scans[:6]]
    for features in (ConnectivityFeatures("correlation"), ConnectivityFeatures("tangent")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ours, theirs = (features.fit_transform(X) for X in (censored, kept))
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)
