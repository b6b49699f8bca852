"""Scans of different repetition times: on one time grid, through all methods."""

import numpy as np
import pytest
from sklearn import config_context
from sklearn.model_selection import cross_val_score, cross_validate

from sk_brainmae import BrainMAEClassifier, BrainMAERegressor, BrainMAETransformer
from sk_brainmae.resampling import resample_scan
from sk_brainmae.timeseries import Window, validate_scans

N_REGIONS, DURATION = 12, 360.0
METHODS = ("transform", "transform_windows", "reconstruct", "score")
UNTRAINED = {"embedding_dim": 8, "max_epochs": 0, "random_state": 0}


def record(subject, t_r, run=0, fastest=0.2):
    """Sample a signal up to a frequency that depends on time and subject alone, not the scanner."""
    rng = np.random.default_rng([subject, run])
    mixing = np.random.default_rng(subject).normal(size=(N_REGIONS, N_REGIONS)) + 2 * np.eye(12)
    frequency = rng.uniform(0.005, fastest, size=80)
    time = t_r * np.arange(int(DURATION / t_r))
    waves = np.exp(2j * np.pi * frequency * time[:, None])  # (T, 80)
    weight = rng.normal(size=(2, 80, N_REGIONS)) * np.where(frequency < 0.1, 1, 0.2)[:, None]
    return np.real(waves @ (weight[0] + 1j * weight[1])) @ mixing


@pytest.fixture(scope="module")
def fitted():
    t_r = [0.72 if subject % 2 else 2.0 for subject in range(12)]
    X = [record(subject, time) for subject, time in enumerate(t_r)]
    model = BrainMAETransformer(t_r=2.0, embedding_dim=8, max_epochs=1, random_state=0)
    return model.fit(X, t_r=t_r)


# --- the repetition time of a fitted model is fixed ---------------------------------------------


@pytest.mark.parametrize("kind", [BrainMAETransformer, BrainMAERegressor])
def test_repetition_time_set_after_fit_is_refused(kind, scans, values, tmp_path):
    model = kind(t_r=2.0, window_size=20, crop_length=60, **UNTRAINED).fit(scans, values)
    model.save_pretrained(tmp_path / "model")
    for fitted in (model, kind.from_pretrained(tmp_path / "model")):
        method = "transform" if kind is BrainMAETransformer else "predict"
        use = getattr(fitted, method)
        use(scans)
        fitted.set_params(t_r=1.0)
        with pytest.raises(ValueError, match=r"t_r=1\.0 was set after fit, which had t_r=2\.0"):
            use(scans, t_r=2.0)
        with pytest.raises(ValueError, match=r"t_r=1\.0 was set after fit"):
            fitted.save_pretrained(tmp_path / "other")
        use.__self__.set_params(t_r=2.0)
        use(scans)


# --- embeddings ---------------------------------------------------------------------------------


def test_one_signal_sampled_at_two_repetition_times_embeds_alike(fitted, cosines):
    slow, fast = ([record(s, t_r) for s in range(20, 28)] for t_r in (2.0, 0.72))
    cosine = cosines(fitted.transform(slow, t_r=2.0), fitted.transform(fast, t_r=0.72))
    assert np.diag(cosine).min() > 0.95
    np.fill_diagonal(cosine, -1)
    assert cosine.max() < 0.6


def fit_filtered(t_r):
    """Fit on band-passed scans of these repetition times."""
    X = [record(subject, time, fastest=0.08) for subject, time in enumerate(t_r)]
    return BrainMAETransformer(t_r=2.0, **UNTRAINED).fit(X, t_r=t_r)


@pytest.mark.parametrize("t_r", [[0.72, 2.0] * 6, [0.72] * 12], ids=["mixed", "short"])
def test_band_passed_signal_embeds_alike_where_fit_saw_resampled_scans(t_r, cosines, tmp_path):
    model = fit_filtered(t_r)
    slow, fast = ([record(s, t, fastest=0.08) for s in range(20, 28)] for t in (2.0, 0.72))
    embeddings = model.transform(fast, t_r=0.72)
    cosine = cosines(model.transform(slow, t_r=2.0), embeddings)
    assert np.diag(cosine).min() > 0.9
    model.save_pretrained(tmp_path / "model")
    loaded = BrainMAETransformer.from_pretrained(tmp_path / "model")
    np.testing.assert_array_equal(loaded.transform(fast, t_r=0.72), embeddings)


def test_resampled_scans_of_a_band_passed_model_that_saw_none_are_warned_of(tmp_path):
    model = fit_filtered([2.0] * 12)
    model.save_pretrained(tmp_path / "model")
    for fitted in (model, BrainMAETransformer.from_pretrained(tmp_path / "model")):
        with pytest.warns(UserWarning, match="scans are resampled, but the model"):
            fitted.transform([record(20, 0.72, fastest=0.08)], t_r=0.72)


@pytest.mark.filterwarnings("ignore:.* missing values", "ignore:.* longer t_r")
@pytest.mark.parametrize("grid", [2.0, 0.72])
def test_censored_frames_leave_no_trace_in_what_resampled_scans_have_nothing_of(grid):
    t_r = 0.72 if grid == 2.0 else 2.0
    model = BrainMAETransformer(t_r=grid, **UNTRAINED)
    model.fit([record(s, t_r, fastest=0.08) for s in range(6)], t_r=t_r)
    scan = record(20, t_r, fastest=0.08)
    censored = np.concatenate([scan, np.full((len(scan) // 4, N_REGIONS), np.nan)])
    one, other = model.transform([scan], t_r=t_r), model.transform([censored], t_r=t_r)
    assert np.abs(one - other).max() < 0.4


def test_every_scan_has_its_own_repetition_time(fitted):
    X = [record(20, 2.0), record(21, 0.72), record(22, 1.0)]
    together = fitted.transform(X, t_r=[2.0, 0.72, 1.0])
    for i, t_r in enumerate((2.0, 0.72, 1.0)):
        np.testing.assert_array_equal(fitted.transform(X[i : i + 1], t_r=t_r)[0], together[i])


def test_windows_in_seconds_are_as_many_at_every_repetition_time(fitted):
    n_windows = [
        len(fitted.transform_windows([record(20, t_r)], t_r=t_r)[0]) for t_r in (2.0, 0.72, 1.3)
    ]
    assert n_windows == [23, 23, 23]  # of 8 frames of 2 s in 360 s


def test_fit_transform_is_fit_and_transform():
    X, t_r = [record(0, 0.72), record(1, 2.0), record(2, 0.72)], [0.72, 2.0, 0.72]
    model = BrainMAETransformer(t_r=2.0, **UNTRAINED)
    embeddings = model.fit_transform(X, t_r=t_r)
    np.testing.assert_array_equal(embeddings, model.transform(X, t_r=t_r))


# --- validated scans on the grid ----------------------------------------------------------------


def test_moments_lie_at_the_same_seconds():
    runs = {t_r: record(3, t_r) for t_r in (2.0, 0.72)}
    for start, stop in ((0, 16), (100, 124), (344, 360)):
        moments = [
            validate_scans([Window(run, round(start / t_r), round(stop / t_r))], t_r=t_r, grid=2.0)
            for t_r, run in runs.items()
        ]
        assert [m.start[0] for m in moments] == [start / 2] * 2
        assert [m.stop[0] for m in moments] == [stop / 2] * 2


def test_scans_on_the_grid_are_left_as_they_are():
    X = [record(0, 2.0), record(1, 2.0)]
    ours, theirs = validate_scans(X, t_r=2.0, grid=2.0), validate_scans(X)
    np.testing.assert_array_equal(ours.frames, theirs.frames)


@pytest.mark.parametrize("number", [np.float32, np.float64])
def test_repetition_times_may_be_of_numpy(number):
    ours = validate_scans([record(0, 0.72)], t_r=number(0.72), grid=number(2.0))
    theirs = validate_scans([record(0, 0.72)], t_r=0.72, grid=2.0)
    np.testing.assert_array_equal(ours.frames, theirs.frames)


def test_rounding_of_a_repetition_time_resamples_nothing():
    cohort = validate_scans([record(0, 2.0)], t_r=2.0001, grid=2.0)
    assert not cohort.resampled.any()


def test_resampled_scan_is_what_resampling_beforehand_gives():
    X = [record(0, 0.72), record(1, 2.0)]
    ours = validate_scans(X, t_r=[0.72, 2.0], grid=2.0)
    theirs = validate_scans([resample_scan(X[0], 0.72, 2.0), X[1]])
    np.testing.assert_array_equal(ours.frames, theirs.frames)
    np.testing.assert_array_equal(ours.stop, [180, 180])


# --- reconstruction -----------------------------------------------------------------------------


@pytest.mark.parametrize("rubbish", [0.0, 1e6])
def test_hidden_values_of_a_resampled_scan_influence_nothing(fitted, rubbish):
    x = record(20, 0.72)
    mask = np.zeros(x.shape, dtype=bool)
    mask[100:140, 4] = True
    other = np.where(mask, rubbish, x)
    ours, theirs = (fitted.reconstruct([scan], [mask], t_r=0.72)[0] for scan in (x, other))
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("t_r", [2.0, 0.72, 1.3])
def test_reconstruction_comes_back_in_the_frames_of_the_scan(fitted, t_r):
    x = record(20, t_r)
    (rebuilt,) = fitted.reconstruct([x], t_r=t_r)
    assert rebuilt.shape == x.shape
    assert np.square(rebuilt - x).sum() < 0.1 * np.square(x - x.mean(axis=0)).sum()


def test_reconstructing_moments_of_another_repetition_time_raises(fitted):
    with pytest.raises(ValueError, match=r"scan 0 is a Window with t_r=0.72.*rebuild the whole"):
        fitted.reconstruct([Window(record(20, 0.72), 0, 100)], t_r=0.72)


# --- what is refused ----------------------------------------------------------------------------

NEVER_GUESSED = r"come without one: pass t_r \(the model's is 2.0 s\)"


@pytest.mark.parametrize("method", METHODS)
def test_model_of_mixed_repetition_times_never_guesses_one(fitted, method):
    with pytest.raises(ValueError, match=NEVER_GUESSED):
        getattr(fitted, method)([record(20, 2.0)])


def test_head_on_an_encoder_of_mixed_repetition_times_never_guesses_one(fitted):
    X, y = [record(i, 2.0) for i in range(4)], [0, 1, 0, 1]
    with pytest.raises(ValueError, match=NEVER_GUESSED):
        BrainMAEClassifier(pretrained=fitted).fit(X, y)
    BrainMAEClassifier(pretrained=fitted).fit(X, y, t_r=2.0).predict(X)


@pytest.mark.parametrize("own", [True, False], ids=["own encoder", "pretrained"])
def test_loaded_classifier_remembers_that_fit_was_told_repetition_times(own, tmp_path):
    X, y = np.random.default_rng(0).normal(size=(8, 96, 5)), [0, 1] * 4
    params = {"t_r": 2.0, "window_size": 16, "crop_length": 64, **UNTRAINED}
    given = params if own else {"pretrained": BrainMAETransformer(**params).fit(X)}
    model = BrainMAEClassifier(**given).fit(X, y, t_r=1.0)
    model.save_pretrained(tmp_path / "model")
    with pytest.raises(ValueError, match="told the t_r"):
        BrainMAEClassifier.from_pretrained(tmp_path / "model").predict(X)


def test_repetition_times_without_a_grid_raise_before_any_work():
    with pytest.raises(ValueError, match="set its t_r"):
        BrainMAETransformer().fit([record(0, 2.0)], t_r=2.0)


def test_wrong_number_of_repetition_times_names_both(fitted):
    with pytest.raises(ValueError, match="3 values of t_r for 2 scans"):
        fitted.transform([record(0, 2.0), record(1, 2.0)], t_r=[2.0] * 3)


# --- cross-validation ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [BrainMAEClassifier, BrainMAERegressor])
def test_repetition_times_are_routed_through_cross_validation(kind):
    t_r = np.tile([0.72, 2.0], 4)
    X = [record(s, time) for s, time in enumerate(t_r)]
    y = np.tile([0, 0, 1, 1], 2)
    folds = [(np.arange(4), np.arange(4, 8)), (np.arange(4, 8), np.arange(4))]
    model = kind(t_r=2.0, **UNTRAINED)
    by_hand = [
        model.fit([X[i] for i in train], y[train], t_r=t_r[train]).score(
            [X[i] for i in test], y[test], t_r=t_r[test]
        )
        for train, test in folds
    ]
    with config_context(enable_metadata_routing=True):
        model.set_fit_request(t_r=True).set_score_request(t_r=True)
        scores = cross_val_score(model, X, y, cv=folds, params={"t_r": t_r}, error_score="raise")
    np.testing.assert_array_equal(scores, by_hand)


def test_scorer_that_cannot_pass_repetition_times_raises():
    t_r = np.tile([0.72, 2.0], 4)
    X = [record(s, time) for s, time in enumerate(t_r)]
    with pytest.raises(ValueError, match=r"A scorer cannot pass it.*resample_scan"):
        cross_validate(
            BrainMAEClassifier(t_r=2.0, **UNTRAINED),
            X,
            np.repeat([0, 1], 4),
            cv=2,
            params={"t_r": t_r},
            scoring="accuracy",
            error_score="raise",
        )
