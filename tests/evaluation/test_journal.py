import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sk_brainmae import BrainMAEClassifier, BrainMAETransformer
from sk_brainmae.evaluation import Comparison, compare
from sk_brainmae.evaluation.journal import _append, _describe
from sk_brainmae.evaluation.tables import WHERE
from sk_brainmae.timeseries import Window

X = np.random.default_rng(0).normal(size=(12, 20, 3))
Y = np.tile(["warm", "hot"], 6)
NAMES = ["ours", "opponent, too"]


class Counted(DummyClassifier):
    """Counts its fits, and can be interrupted."""

    fits = 0
    interrupt_at = None

    def fit(self, X, y, sample_weight=None):
        if Counted.fits == Counted.interrupt_at:
            raise KeyboardInterrupt
        Counted.fits += 1
        return super().fit(X, y, sample_weight)


@pytest.fixture(autouse=True)
def count_anew(monkeypatch):
    monkeypatch.setattr(Counted, "fits", 0)
    monkeypatch.setattr(Counted, "interrupt_at", None)


def compare_counted(folder, names=NAMES, **changed):
    estimators = {name: Counted(strategy="prior") for name in names}
    return compare(
        estimators, X, **{"y": Y, "cv": 4, "random_state": 0, "folder": folder, **changed}
    )


def interrupted(folder, after):
    Counted.interrupt_at = after
    with pytest.raises(KeyboardInterrupt):
        compare_counted(folder)
    Counted.fits, Counted.interrupt_at = 0, None


def assert_same(found, expected):
    """To the bit and the type, but for how long it took and the order of rows."""
    for name in ("scores", "predictions"):
        one, other = (
            getattr(c, name).drop(columns="fit_time", errors="ignore") for c in (found, expected)
        )
        keys = [key for key in [*WHERE, "metric", "sample"] if key in one]
        one, other = (table.sort_values(keys, ignore_index=True) for table in (one, other))
        pd.testing.assert_frame_equal(one, other, check_exact=True)


def test_interruption_leaves_the_finished_fits_on_disk(tmp_path):
    interrupted(tmp_path / "new", after=5)
    on_disk = pd.read_csv(tmp_path / "new" / "scores.csv").query("metric == 'roc_auc'")
    finished = [(NAMES[0], 0), (NAMES[1], 0), (NAMES[0], 1), (NAMES[1], 1), (NAMES[0], 2)]
    assert list(zip(on_disk["estimator"], on_disk["fold"], strict=True)) == finished


def test_second_call_in_a_folder_is_refused_and_the_first_keeps_its_results(tmp_path):
    def call_again(name, fold):
        with pytest.raises(BlockingIOError, match="in use by another call of compare"):
            compare_counted(tmp_path)

    found = compare_counted(tmp_path, progress=call_again)
    assert_same(Comparison.from_csv(tmp_path), found)
    assert_same(compare_counted(tmp_path), found)
    assert Counted.fits == 8


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no full device")
def test_full_disk_error_names_the_file():
    with pytest.raises(OSError, match=r"No space left on device: '/dev/full'"):
        _append(Path("/dev/full"), pd.DataFrame({"value": [1.0]}))


def test_interrupted_call_resumes_where_it_ended(tmp_path):
    interrupted(tmp_path, after=5)
    resumed = compare_counted(tmp_path)
    assert Counted.fits == 3
    whole = compare_counted(None)
    assert_same(resumed, whole)


@pytest.mark.parametrize("file", ["scores.csv", "predictions.csv"])
@pytest.mark.parametrize("n_lost", [1, 30])
def test_fit_whose_lines_a_kill_cut_is_fitted_again(tmp_path, file, n_lost):
    interrupted(tmp_path, after=5)
    text = (tmp_path / file).read_text()
    (tmp_path / file).write_text(text[:-n_lost])
    if file == "predictions.csv":  # written first: no scores of this fit yet
        scores = pd.read_csv(tmp_path / "scores.csv")
        scores[~(scores["fold"] == 2)].to_csv(tmp_path / "scores.csv", index=False)
    resumed = compare_counted(tmp_path)
    assert Counted.fits == 4
    pd.testing.assert_frame_equal(
        resumed.predictions, compare_counted(None).predictions, check_dtype=False
    )


@pytest.mark.parametrize(
    ("file", "kept"), [(f, k) for f in ("scores.csv", "predictions.csv") for k in (9, 70, 95, 130)]
)
def test_first_fit_cut_at_any_place_is_fitted_again(tmp_path, file, kept):
    interrupted(tmp_path, after=1)
    cut = (tmp_path / file).read_bytes()[:kept]
    (tmp_path / file).write_bytes(cut)
    if b"\n" in cut:
        assert Comparison.from_csv(tmp_path).scores.empty
    resumed = compare_counted(tmp_path)
    assert Counted.fits == 8
    assert_same(resumed, compare_counted(None))


def test_reference_and_order_do_not_depend_on_what_was_found_first(tmp_path):
    compare_counted(tmp_path, ["earlier", "ours"])
    found = compare_counted(tmp_path, ["ours", "new"])
    assert found.estimators == ["ours", "new"]
    assert Comparison.from_csv(tmp_path).estimators == ["ours", "new", "earlier"]


@pytest.mark.parametrize(
    "classes", [["2", "10"], ["None", "#NA"], ["-", "a,\n"], [True, False], [1.0, 2.0], [-2, 7]]
)
def test_types_of_labels_and_groups_survive_the_folder_and_resuming(tmp_path, classes):
    given = {"y": np.tile(np.array(classes), 6), "groups": [f"{i:02d}" for i in range(12)]}
    compare_counted(tmp_path, NAMES[:1], **given)
    resumed = compare_counted(tmp_path, **given)
    assert_same(resumed, compare_counted(None, **given))
    assert_same(resumed, Comparison.from_csv(tmp_path))
    assert set(resumed.predictions["y_true"].tolist()) == set(classes)
    assert resumed.predictions["y_true"].map(type).nunique() == 1


def test_finished_folder_gives_the_same_without_a_fit(tmp_path):
    first = compare_counted(tmp_path)
    Counted.fits = 0
    again = compare_counted(tmp_path)
    assert Counted.fits == 0
    pd.testing.assert_frame_equal(again.scores, first.scores)


def test_tables_are_written_beside_what_the_folder_keeps(tmp_path):
    compare_counted(tmp_path, NAMES)
    found = compare_counted(tmp_path, NAMES[1:])
    found.to_csv(tmp_path)
    assert Comparison.from_csv(tmp_path).estimators == NAMES[::-1]
    assert set(pd.read_csv(tmp_path / "table.csv")["estimator"]) == set(NAMES[1:])
    other = compare_counted(None, NAMES[1:], random_state=1)
    with pytest.raises(ValueError, match="keeps the results of another comparison"):
        other.to_csv(tmp_path)


def test_further_estimator_is_added_to_a_finished_folder(tmp_path):
    compare_counted(tmp_path, NAMES[:1])
    Counted.fits = 0
    assert compare_counted(tmp_path).estimators == NAMES
    assert Counted.fits == 4
    assert "estimator ours" in json.loads((tmp_path / "call.json").read_text())


def test_files_hold_what_is_returned(tmp_path):
    comparison = compare_counted(tmp_path)
    for name in ("scores", "predictions"):
        on_disk = pd.read_csv(tmp_path / f"{name}.csv")
        pd.testing.assert_frame_equal(on_disk, getattr(comparison, name), check_dtype=False)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"y": Y[::-1]}, "(folds|y) differs"),
        ({"random_state": 1}, "folds differs"),
        ({"scoring": "accuracy"}, "scoring differs"),
        ({"groups": np.arange(12)}, "(folds|groups) differs"),
    ],
)
def test_results_of_other_inputs_are_refused_and_kept(tmp_path, changed, message):
    compare_counted(tmp_path)
    before = (tmp_path / "scores.csv").read_text()
    with pytest.raises(ValueError, match=f"another comparison: {message}"):
        compare_counted(tmp_path, **changed)
    assert (tmp_path / "scores.csv").read_text() == before


def test_estimator_of_other_parameters_is_refused_with_both(tmp_path):
    kwargs = {"cv": 3, "random_state": 0, "folder": tmp_path}
    y = np.arange(12.0)
    compare({"mean": DummyRegressor()}, X, y, **kwargs)
    with pytest.raises(ValueError, match=r"estimator mean differs .*'mean'.* then, .*'median'"):
        compare({"mean": DummyRegressor(strategy="median")}, X, y, **kwargs)


class Lazy:
    """A scan that is read when it is looked at."""

    values = X.copy()
    shape = X.shape[1:]

    def __init__(self, i):
        self.i = i

    def __len__(self):
        return self.shape[0]

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values[self.i], dtype=dtype)


def lazy(folder):
    return [Lazy(i) for i in range(12)]


def windows(folder):
    return [Window(Lazy(i // 2), 10 * (i % 2), 10 * (i % 2) + 8) for i in range(12)]


def mapped(folder):
    np.save(folder / "scans.npy", Lazy.values)
    return list(np.load(folder / "scans.npy", mmap_mode="r"))


@pytest.mark.parametrize("scans", [lazy, windows, mapped])
def test_scan_whose_values_changed_where_they_are_read_from_is_refused(
    tmp_path, monkeypatch, scans
):
    def call():
        models = {"chance": Counted(strategy="prior")}
        kwargs = {"cv": 2, "groups": np.arange(12) // 2, "folder": tmp_path / "out"}
        compare(models, scans(tmp_path), Y, random_state=0, **kwargs)

    call()
    Counted.fits = 0
    call()
    assert Counted.fits == 0
    monkeypatch.setattr(Lazy, "values", np.where(X[5, -1, 0] == X, 0, X))
    with pytest.raises(ValueError, match="X differs"):
        call()


def test_frozen_part_that_was_fitted_to_other_data_is_refused(tmp_path):
    def call(shift):
        features = FunctionTransformer(np.mean, kw_args={"axis": 1})
        fitted = make_pipeline(features, KNeighborsClassifier(2)).fit(X + shift, Y)
        compare({"knn": FrozenEstimator(fitted)}, X, Y, cv=2, random_state=0, folder=tmp_path)

    call(0)
    call(0)
    with pytest.raises(ValueError, match="estimator knn differs"):
        call(1)


def test_encoder_is_described_by_the_files_in_its_folder(tmp_path):
    def describe(seed):
        model = BrainMAETransformer(window_size=5, crop_length=20, embedding_dim=4)
        model.set_params(max_epochs=0, random_state=seed).fit(X).save_pretrained(tmp_path)
        return _describe(BrainMAEClassifier(pretrained=tmp_path))

    assert describe(0) == describe(0) != describe(1)


def test_estimator_that_cannot_be_pickled_is_refused(tmp_path):
    models = {"odd": make_pipeline(FunctionTransformer(lambda x: x), Counted())}
    with pytest.raises(ValueError, match="estimator 'odd' cannot be pickled"):
        compare(models, X, Y, cv=2, folder=tmp_path)


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_folder_that_cannot_be_made_is_refused_before_any_fit(tmp_path, place):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=f"{place}' cannot keep results, choose another"):
        compare_counted(tmp_path / place)
    assert Counted.fits == 0


def test_scores_of_unknown_origin_are_refused_and_kept(tmp_path):
    (tmp_path / "scores.csv").write_text("earlier\n")
    with pytest.raises(ValueError, match=r"no call\.json"):
        compare_counted(tmp_path)
    assert Counted.fits == 0
    assert (tmp_path / "scores.csv").read_text() == "earlier\n"
