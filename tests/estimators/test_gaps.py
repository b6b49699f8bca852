"""Scans with censored frames, missing regions and other gaps: models and what they give."""

import copy
import re
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter1d

from sk_brainmae import BrainMAEClassifier, BrainMAETransformer
from sk_brainmae.baselines import ConnectivityFeatures
from sk_brainmae.datasets import make_cohort
from sk_brainmae.timeseries import Window, censor, validate_scans
from sk_brainmae.training.scoring import ScoringCrops, masked_r2

pytestmark = pytest.mark.filterwarnings("ignore:.*scans have missing values")
N_REGIONS, WINDOW = 20, 8
METHODS = ("transform", "transform_windows", "reconstruct", "score")
SIGNAL = ("connectivity", "innovations", "tempo")
SMALL = {
    "t_r": 2.0,
    "crop_length": 160,
    "embedding_dim": 8,
    "max_epochs": 1,
    "random_state": 0,
}


def damage(scan, seed, frames=0.1, regions=0.05):
    """Censor a share of the frames, here and there, and lose a share of the regions."""
    rng = np.random.default_rng(seed)
    damaged = censor(scan, rng.random(len(scan)) < frames)
    n_lost = round(regions * scan.shape[1])
    damaged[:, rng.choice(scan.shape[1], n_lost, replace=False)] = np.nan
    return damaged


@pytest.fixture(scope="module")
def scans():
    cohort = make_cohort(n_scans=30, n_timepoints=160, n_regions=N_REGIONS, t_r=2.0, random_state=0)
    cohort.scans.flags.writeable = False
    return cohort.scans


@pytest.fixture(scope="module")
def damaged(scans):
    return [damage(scan, seed) for seed, scan in enumerate(scans)]


@pytest.fixture(scope="module")
def fitted(scans):
    return BrainMAETransformer(**SMALL).fit(scans[:18])


@pytest.fixture(scope="module")
def fitted_on_gaps(damaged):
    return BrainMAETransformer(**SMALL).fit(damaged[:18])


def embed(model, X, *views):
    """Embed scans by some views: with views="auto" fit learns those of scans and of moments."""
    return np.hstack(list(model._embed_views(model._read(X), views).values()))


# --- embeddings ---------------------------------------------------------------------------------


@pytest.mark.parametrize("views", [["connectivity"], SIGNAL, ["response"]])
def test_embedding_is_nearer_to_the_complete_scan_than_to_any_other_subject(
    fitted, scans, damaged, cosines, views
):
    cosine = cosines(embed(fitted, damaged[18:], *views), embed(fitted, scans[18:], *views))
    own = np.diag(cosine).copy()
    np.fill_diagonal(cosine, -1)
    assert (own > cosine.max(axis=1) + 0.2).all()
    assert own.mean() > 0.8


def test_training_on_damaged_scans_embeds_and_fills_in_nearly_as_well(
    scans, damaged, fitted, fitted_on_gaps, cosines
):
    assert fitted_on_gaps.score(scans[18:]) > 0.95 * fitted.score(scans[18:])
    cosine = cosines(fitted_on_gaps.transform(damaged[18:]), fitted_on_gaps.transform(scans[18:]))
    assert (cosine.argmax(axis=1) == np.arange(12)).all()


@pytest.mark.filterwarnings("ignore:on held-out scans the network")
@pytest.mark.parametrize("init", ["spectral", "random"])
def test_filling_values_never_reach_any_output(scans, init):
    """Whatever stood in the frames before they were censored: the outputs are the same bits."""
    frames = np.random.default_rng(0).random((8, 80)) < 0.15

    def outputs(value):
        X = []
        for scan, bad in zip(scans[:8, :80], frames, strict=True):
            filled = scan.copy()
            filled[bad], filled[:, 3] = value, value
            filled = censor(filled, bad)
            filled[:, 3] = np.nan
            X.append(filled)
        model = BrainMAETransformer(**{**SMALL, "init": init, "max_epochs": 2}).fit(X)
        embeddings = [embed(model, X, view) for view in model._views]
        others = [getattr(model, method)(X) for method in METHODS]
        return [model.weights_["roi"], *embeddings, *others]

    for ours, theirs in zip(outputs(0.0), outputs(1e6), strict=True):
        for a, b in zip(np.atleast_1d(ours), np.atleast_1d(theirs), strict=True):
            np.testing.assert_array_equal(a, b)
            assert np.isfinite(a).all()


@pytest.mark.parametrize(
    ("view", "atol"),
    [
        *[(view, 0) for view in (*SIGNAL, "response")],
        # Networks work in batches, and the size of a matrix product decides its last digits.
        ("state_mean", 1e-5),
        ("states", 1e-3),
    ],
)
def test_embedding_of_a_damaged_scan_is_the_same_alone_and_among_ragged_others(
    fitted, scans, view, atol
):
    X = [damage(scan, i)[: 160 - 11 * i] for i, scan in enumerate(scans[18:24])]
    together = embed(fitted, [scans[24], *X], view)
    for i, scan in enumerate(X):
        alone = embed(fitted, [scan], view)[0]
        np.testing.assert_allclose(together[1 + i], alone, rtol=0, atol=atol)


@pytest.mark.parametrize("view", [*SIGNAL, "response"])
def test_gaps_in_one_scan_leave_the_embeddings_of_the_others_as_they_are(fitted, scans, view):
    with_gaps = [damage(scans[10], 0), *scans[11:14]]
    ours = embed(fitted, with_gaps, view)[1:]
    np.testing.assert_array_equal(ours, embed(fitted, scans[11:14], view))


def test_moments_of_a_slow_run_hardly_change_where_frames_are_censored(cosines):
    noise = np.random.default_rng(0).normal(size=(6, 160, N_REGIONS))
    slow = gaussian_filter1d(noise, 4, axis=1)
    model = BrainMAETransformer(**{**SMALL, "window_size": 16, "max_epochs": 0}).fit(slow)
    starts = np.arange(0, 144, 16)
    censored = [censor(run, np.arange(3, 160, 8)) for run in slow]
    for ours, theirs in zip(censored, slow, strict=True):
        a, b = (
            embed(model, [Window(run, s, s + 8) for s in starts], "response")
            for run in (ours, theirs)
        )
        assert np.diag(cosines(a, b)).min() > 0.98


def test_several_runs_of_a_subject_and_ragged_lengths_fit_together(damaged):
    X = [scan[: 160 - 5 * i] for i, scan in enumerate(damaged[:12])]
    subject = np.repeat(np.arange(6), 2)
    decoder = BrainMAEClassifier(**SMALL).fit(X, subject % 2, groups=subject)
    assert decoder.predict_proba(X).shape == (12, 2)


def test_shortest_scan_of_one_window_with_a_censored_frame_embeds(fitted, scans):
    x = censor(scans[20][:WINDOW], [2])
    assert np.isfinite(fitted.transform([x])).all()
    assert fitted.reconstruct([x])[0].shape == (WINDOW, N_REGIONS)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), st.floats(0, 0.7), st.floats(0, 0.7), st.floats(0, 0.3))
@pytest.mark.filterwarnings("ignore:.*more regions than frames")
def test_any_gaps_embed_finitely_or_are_refused_by_name(fitted, seed, frames, regions, cells):
    rng = np.random.default_rng(seed)
    scan = rng.normal(size=(rng.integers(WINDOW, 60), N_REGIONS))
    run = damage(np.where(rng.random(scan.shape) < cells, np.nan, scan), seed, frames, regions)
    start = rng.integers(0, len(run) - 1)
    X = [run, Window(run, start, rng.integers(start + 1, len(run) + 1))]
    try:
        assert np.isfinite(embed(fitted, X, *fitted._views)).all()
        assert all(np.isfinite(rebuilt).all() for rebuilt in fitted.reconstruct(X))
    except ValueError as error:
        if not re.match("scan [01] (lacks|is constant)", str(error)):
            raise


# --- reconstruction and score -------------------------------------------------------------------


def test_missing_regions_are_filled_in_from_the_others(fitted, scans):
    X = [damage(scan, seed, regions=0.1) for seed, scan in enumerate(scans[18:])]
    errors, variances = 0.0, 0.0
    for scan, x, rebuilt in zip(scans[18:], X, fitted.reconstruct(X), strict=True):
        lost = np.isnan(x).all(axis=0)
        truth = (scan - scan.mean(axis=0)) / scan.std(axis=0)
        errors += np.square(rebuilt - truth)[:, lost].sum()
        variances += np.square(truth)[:, lost].sum()
    assert 1 - errors / variances > 0.2


def test_scattered_gaps_are_filled_in_from_frames_and_regions_around(fitted, scans):
    gaps = np.random.default_rng(0).random(scans[18:].shape) < 0.1
    X = np.where(gaps, np.nan, scans[18:])
    errors, variances = 0.0, 0.0
    for scan, rebuilt, hole in zip(scans[18:], fitted.reconstruct(X), gaps, strict=True):
        errors += np.square(rebuilt - scan)[hole].sum()
        variances += np.square(scan - scan.mean(axis=0))[hole].sum()
    assert 1 - errors / variances > 0.1


def test_hidden_values_next_to_gaps_influence_nothing(scans, fitted):
    x = damage(scans[20], 0)
    hidden = np.random.default_rng(1).random(x.shape) < 0.2
    rubbish = np.where(hidden, 1e6, x)
    ours, theirs = (fitted.reconstruct([scan], [hidden])[0] for scan in (x, rubbish))
    np.testing.assert_array_equal(ours, theirs)


def test_score_counts_measured_values_alone(damaged):
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


# --- policy -------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_policy_of_a_fitted_model_can_be_changed_and_refuses_gaps_everywhere(
    damaged, fitted, method
):
    strict = copy.copy(fitted).set_params(missing="raise")
    with pytest.raises(ValueError, match="scan 0 has nan at frame"):
        getattr(strict, method)(damaged)
    strict.set_params(missing="mask")
    getattr(strict, method)(damaged[:2])


def test_policy_raise_refuses_gaps_in_fit(damaged):
    with pytest.raises(ValueError, match="scan 0 has nan at frame"):
        BrainMAETransformer(**SMALL, missing="raise").fit(damaged)


def test_complete_scans_are_the_same_under_both_policies(scans, fitted):
    strict = BrainMAETransformer(**SMALL, missing="raise").fit(scans[:18])
    np.testing.assert_array_equal(strict.roi_embeddings_, fitted.roi_embeddings_)
    np.testing.assert_array_equal(strict.transform(scans), fitted.transform(scans))


# --- opponents ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["correlation", "tangent"])
def test_connectivity_leaves_out_censored_frames(scans, kind):
    frames = np.arange(0, 160, 7)
    kept = [np.delete(scan, frames, axis=0) for scan in scans[:6]]
    censored = [censor(scan, frames) for scan in scans[:6]]
    features = ConnectivityFeatures(kind)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours, theirs = (features.fit_transform(X) for X in (censored, kept))
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)
