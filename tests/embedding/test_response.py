"""The view "response": against the formula written out, and what it must not depend on."""

import warnings

import numpy as np
import pytest
from scipy.linalg import inv, sqrtm
from sklearn.model_selection import GroupKFold

from sk_brainmae import BrainMAEClassifier
from sk_brainmae.embedding.response import LONG_RUN, Response
from sk_brainmae.timeseries import Window

N_REGIONS, WINDOW = 10, 8


@pytest.fixture(scope="module")
def runs():
    """Smooth runs of 60 frames, in which regions go together."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(6, 64, N_REGIONS)) @ rng.normal(size=(N_REGIONS, N_REGIONS))
    return list(sum(noise[:, i : i + 60] for i in range(5)))


@pytest.fixture(scope="module")
def view(runs, source):
    return Response.fit(source(runs))


@pytest.fixture(scope="module")
def embed(runs, source, view):
    """Return a function that embeds moments by what was learned from the runs."""
    return lambda X: view.embed(source(X, runs))


@pytest.fixture(scope="module")
def covariance(runs):
    """The covariance of the training cohort."""
    frames = np.concatenate([zscore(run) for run in runs])
    return frames.T @ frames / len(frames)


def zscore(run):
    return (run - run.mean(axis=0)) / run.std(axis=0)


def written_out(view, own, of_run, covariance):
    """The embedding of the moment [20, 28) of z-scored frames whose run has a covariance."""
    weight = len(own) / (LONG_RUN * WINDOW)  # runs of 60 frames are short of ten windows
    shrunk = weight * of_run + (2 - weight) * covariance + np.eye(N_REGIONS)
    whitening = inv(sqrtm(shrunk / 3))
    U = view.components
    return np.ravel([U.T @ own[start : start + WINDOW] @ whitening for start in (20, 24)])


def test_embedding_is_the_formula_written_out(runs, embed, view, covariance):
    own = zscore(runs[2])
    expected = written_out(view, own, own.T @ own / len(own), covariance)
    np.testing.assert_allclose(embed([Window(runs[2], 20, 28)])[0], expected, atol=1e-4)


def test_components_hold_almost_all_variance_of_smooth_windows(runs, view):
    windows = np.concatenate([zscore(run)[20:28].T for run in runs])  # (n_regions * n_runs, tau)
    assert view.components.shape[1] < WINDOW
    kept = np.square(windows @ view.components).sum() / np.square(windows).sum()
    assert kept > 0.97


def test_components_are_orthonormal_and_the_strongest_comes_first(runs, view):
    U = view.components
    np.testing.assert_allclose(U.T @ U, np.eye(U.shape[1]), atol=1e-10)
    windows = np.concatenate([zscore(run)[20:28].T for run in runs])
    assert (np.diff(np.square(windows @ U[:, :2]).sum(axis=0)) < 0).all()


def test_features_are_named_by_window_component_and_region(runs, embed, view):
    names = view.feature_names([f"r{i}" for i in range(N_REGIONS)])
    assert len(names) == 2 * view.components.shape[1] * N_REGIONS
    assert names[:2] == ["now_component0_r0", "now_component0_r1"]
    assert names[-1] == f"later_component{view.components.shape[1] - 1}_r9"
    assert embed([Window(runs[0], 0, WINDOW)]).shape == (1, len(names))


def test_embedding_does_not_depend_on_other_moments_of_its_run(runs, embed):
    starts = [0, 5, 20, 33, 52]
    together = embed([Window(runs[0], start, start + 8) for start in starts])
    for start, expected in zip(starts, together, strict=True):
        np.testing.assert_array_equal(embed([Window(runs[0], start, start + 8)])[0], expected)


def test_embedding_does_not_depend_on_other_runs(runs, embed):
    X = [Window(run, 20, 28) for run in runs]
    others = [X[0], *(Window(run[::-1] ** 3, 3, 11) for run in runs[1:])]
    np.testing.assert_array_equal(embed(others)[0], embed(X)[0])


def test_embedding_sees_half_a_window_after_the_moment_and_nothing_before(runs, embed):
    expected = embed([Window(runs[0], 20, 28)])
    # Frames in another order leave the statistics of their run as they are.
    for changed, same in ((slice(0, 20), True), (slice(32, 60), True), (slice(28, 32), False)):
        run = runs[0].copy()
        run[changed] = run[changed][::-1]
        embedding = embed([Window(run, 20, 28)])
        assert np.allclose(embedding, expected, atol=1e-5) == same


def test_the_covariance_of_a_run_enters_its_moments(runs, embed):
    run = runs[0].copy()
    run[40:] = np.random.default_rng(0).permuted(run[40:], axis=0)  # its regions apart
    a, b = (embed([Window(run, 10, 18)]) for run in (runs[0], run))
    assert not np.allclose(a, b, atol=0.01)


def test_a_moment_of_several_windows_is_the_mean_over_them(runs, embed):
    parts = embed([Window(runs[1], start, start + 8) for start in (16, 24, 30)])
    whole = embed([Window(runs[1], 16, 38)])[0]
    np.testing.assert_allclose(whole, parts.mean(axis=0), atol=1e-6)


def test_a_moment_shorter_than_a_window_is_widened_evenly(runs, embed):
    np.testing.assert_array_equal(
        embed([Window(runs[1], 22, 26)]), embed([Window(runs[1], 20, 28)])
    )


def test_at_the_end_of_a_run_the_last_window_stands_for_the_later_one(runs, embed):
    embedding = embed([Window(runs[1], 52, 60)])[0]
    now, later = np.split(embedding, 2)
    np.testing.assert_array_equal(now, later)
    assert not np.allclose(*np.split(embed([Window(runs[1], 40, 48)])[0], 2))


def test_units_of_a_run_do_not_matter(runs, embed):
    scaled = 1e3 * runs[0] * np.arange(1, N_REGIONS + 1) - 7
    np.testing.assert_allclose(
        embed([Window(scaled, 20, 28)]), embed([Window(runs[0], 20, 28)]), atol=1e-4
    )


# --- through the estimators ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def trials():
    """Ten trials of each of eight runs: strong common fluctuations, a weak pattern in one class."""
    rng = np.random.default_rng(0)
    pattern = rng.normal(size=N_REGIONS)
    X, y, groups = [], [], []
    for subject in range(8):
        loading = rng.normal(size=N_REGIONS) + 2
        run = rng.normal(size=(200, N_REGIONS)) + 4 * rng.normal(size=(200, 1)) * loading
        labels = rng.permutation(np.repeat([0, 1], 5))
        for k, label in enumerate(labels):
            run[20 * k : 20 * k + 8] += label * pattern
        X += [Window(run, 20 * k, 20 * k + 8) for k in range(10)]
        y, groups = [*y, *labels], [*groups, *[subject] * 10]
    return X, np.array(y), np.array(groups)


def closed_form():
    return BrainMAEClassifier(
        window_size=8,
        crop_length=40,
        embedding_dim=12,
        views="response",
        max_epochs=0,
        random_state=0,
    )


def test_responses_decode_a_pattern_of_unseen_runs_under_common_fluctuations(trials):
    X, y, groups = trials
    right = []
    for train, test in GroupKFold(2).split(X, y, groups):
        model = closed_form().fit([X[i] for i in train], y[train], groups=groups[train])
        right += list(model.predict([X[i] for i in test]) == y[test])
    assert np.mean(right) > 0.85


def test_plain_trials_decode_where_their_values_are_kept_and_not_where_each_is_z_scored(trials):
    X, y, groups = trials
    plain = [zscore(np.asarray(trial.scan))[trial.start : trial.stop] for trial in X]
    train, test = next(GroupKFold(2).split(X, y, groups))
    right = {}
    for standardize in (False, "scan"):
        model = closed_form().set_params(standardize=standardize, crop_length=8)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of trials that are z-scored by themselves
            model.fit([plain[i] for i in train], y[train], groups=groups[train])
            right[standardize] = np.mean(model.predict([plain[i] for i in test]) == y[test])
    assert right[False] > 0.8
    assert right["scan"] < 0.7


def test_prediction_of_one_trial_is_that_of_the_batch(trials):
    X, y, groups = trials
    model = closed_form().fit(X[:70], y[:70], groups=groups[:70])
    together = model.predict_proba(X[70:])
    alone = np.concatenate([model.predict_proba([trial]) for trial in X[70:]])
    np.testing.assert_allclose(alone, together, rtol=1e-10)


# --- bad and narrow input -----------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:constant regions")
@pytest.mark.parametrize("value", [-3.3, 1e5])
def test_the_constant_of_a_missing_region_never_matters(runs, embed, value):
    zero, constant = runs[0].copy(), runs[0].copy()
    zero[:, 3], constant[:, 3] = 0, value
    np.testing.assert_array_equal(embed([Window(zero, 20, 28)]), embed([Window(constant, 20, 28)]))


@pytest.mark.filterwarnings("ignore:constant regions")
def test_a_missing_region_counts_by_its_expectation_given_the_others(runs, embed, view, covariance):
    incomplete = runs[0].copy()
    incomplete[:, 3] = 0
    own, C = zscore(runs[0]), covariance
    others = np.delete(np.arange(N_REGIONS), 3)
    weights = inv(C[np.ix_(others, others)] + 0.05 * np.eye(N_REGIONS - 1)) @ C[others, 3]
    own[:, 3] = own[:, others] @ weights
    of_run = own.T @ own / len(own)
    of_run[3, 3] += C[3, 3] - weights @ C[others, 3]
    expected = written_out(view, own, of_run, covariance)
    np.testing.assert_allclose(embed([Window(incomplete, 20, 28)])[0], expected, atol=1e-4)


def wide(runs):
    return [run[:12] @ np.random.default_rng(0).normal(size=(N_REGIONS, 30)) for run in runs]


NARROW = {
    "more regions than frames": wide,
    "duplicate regions": lambda runs: [run[:, [0, 0, 1, 1, 2]] for run in runs],
    "a region missing everywhere": lambda runs: [run * (np.arange(10) != 3) for run in runs],
    "runs of one window": lambda runs: [run[:8] for run in runs],
    "two regions": lambda runs: [run[:, :2] for run in runs],
    "two runs": lambda runs: runs[:2],
    "one run": lambda runs: runs[:1],
}


@pytest.mark.filterwarnings("ignore:constant regions", "ignore:.*more regions than frames")
@pytest.mark.parametrize("case", NARROW)
def test_narrow_cohorts_give_finite_responses_that_differ(runs, source, case):
    scans = NARROW[case](runs)
    read = source([Window(run, i, 7 + i) for run in scans for i in (0, 1)])
    view = Response.fit(source(scans))
    embeddings = view.embed(read)
    names = view.feature_names([str(i) for i in range(read.cohort.n_regions)])
    assert embeddings.shape == (2 * len(scans), len(names))
    assert np.isfinite(embeddings).all()
    assert embeddings.std(axis=0).max() > 0.01 or len(scans) == 1


def test_moments_of_a_single_subject_can_be_learned_from(trials):
    X, y, groups = trials
    with pytest.warns(UserWarning, match="fixed, not tuned"):
        model = closed_form().fit(X[:10], y[:10], groups=groups[:10])
    assert np.isfinite(model.predict_proba(X[10:20])).all()


@pytest.mark.filterwarnings("ignore:constant regions")
def test_a_region_that_training_lacked_leaves_predictions_finite(trials):
    X, y, _ = trials
    incomplete = {id(trial.scan): trial.scan * (np.arange(N_REGIONS) != 3) for trial in X}
    lacking = [Window(incomplete[id(trial.scan)], trial.start, trial.stop) for trial in X]
    model = closed_form().fit(lacking, y)
    assert np.isfinite(model.predict_proba(X)).all()
