import os

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.utils import Bunch

from sk_brainmae.datasets import fetch_pain, pain, pain_trials

HEADER = "onset\tduration\ttemperature\tratings\tregulate-up/down"
HEAT = "{onset}\t12.5\t{temperature}\tn/a\tup\n{later}\t11.0\tn/a\t{rating}\tup\n"


@pytest.fixture
def folder(tmp_path):
    """A cache of two subjects with three regions, 20 frames; onsets count from 846.216 s."""
    tmp_path.joinpath(pain.REGIONS).write_text(
        "\tindex\tlabels\tmodules\n1\t9\tA\tCER\n2\t8\tB\tDMnet\n3\t4\tA\tDMnet\n"
    )
    rng = np.random.default_rng(0)
    for subject in ("sub-01", "sub-02"):
        for run in pain.RUNS:
            place = {"subject": subject, "run": run}
            signals = pd.DataFrame(rng.normal(size=(20, 4)), columns=["GlobSig", "A", "B", "A"])
            signals["GlobSig"] = 99.0
            signals.to_csv(tmp_path / pain.SIGNALS.format(**place), sep="\t", index=False)
            rows = "".join(
                HEAT.format(onset=846.216 + t, later=860 + t, temperature=heat, rating=rating)
                for t, heat, rating in [(0, 43.3, 10), (1.6, 44.3, 20), (3.0, 46.3, "n/a")]
            )
            (tmp_path / pain.EVENTS.format(**place)).write_text(f"{HEADER}\n{rows}")
    return tmp_path


@pytest.fixture
def small(folder):
    return pain._read(folder, ["sub-01", "sub-02"])


def test_runs_are_read_without_the_global_signal(small):
    assert [scan.shape for scan in small.scans] == [(20, 3)] * 4
    assert all(scan.dtype == np.float32 for scan in small.scans)
    assert max(np.abs(scan).max() for scan in small.scans) < 10
    assert_array_equal(small.subjects, ["sub-01", "sub-01", "sub-02", "sub-02"])
    assert_array_equal(small.runs, [3, 7, 3, 7])


def test_second_region_of_a_name_is_marked(small):
    assert small.region_names == ["A", "B", "A_2"]
    assert_array_equal(small.networks, ["CER", "DMnet", "DMnet"])


def test_onsets_count_from_the_start_of_the_run(small):
    first = small.events[small.events.scan == 0]
    assert_allclose(first.onset, [10.216, 11.816, 13.216])


def test_rating_is_taken_from_the_row_after_the_heat(small):
    first = small.events[small.events.scan == 3]
    assert_array_equal(first.rating, [10, 20, np.nan])
    assert_array_equal(first.temperature, [43.3, 44.3, 46.3])
    assert_array_equal(first.regulation, ["up"] * 3)
    assert_array_equal(first.subject, ["sub-02"] * 3)
    assert_array_equal(first.run, [7] * 3)


def test_regulation_is_read_from_the_second_of_two_columns(folder):
    path = folder / pain.EVENTS.format(subject="sub-01", run=3)
    text = path.read_text().replace("\tup\n", "\t\tdown\n")
    path.write_text(text.replace(HEADER, f"{HEADER}\tregulate-up/down"))
    events = pain._read(folder, ["sub-01"]).events
    assert_array_equal(events.regulation, ["down"] * 3 + ["up"] * 3)


def test_hot_trials_are_windows_two_frames_after_the_onset(small):
    X, y, groups = pain_trials(small, target="hot")
    assert_array_equal(y, [0, 1] * 4)
    assert_array_equal(groups, ["sub-01"] * 4 + ["sub-02"] * 4)
    assert [(w.start, w.stop) for w in X[:2]] == [(7, 15), (9, 17)]
    assert X[2].scan is small.scans[1]
    assert_array_equal(np.asarray(X[2]), small.scans[1][7:15])


def test_rating_trials_are_those_with_a_rating(small):
    X, y, groups = pain_trials(small, target="rating")
    assert_array_equal(y, [10, 20] * 4)
    assert y.dtype == float
    assert len(X) == len(groups) == 8


def test_trials_after_the_end_of_a_run_are_left_out_with_a_warning(small):
    small.scans[3] = small.scans[3][:16]
    with pytest.warns(UserWarning, match=r"1 of 8 trials end after their run.*: sub-02 run 7"):
        X, y, groups = pain_trials(small, target="hot")
    assert len(X) == len(y) == len(groups) == 7
    assert_array_equal(y, [0, 1, 0, 1, 0, 1, 0])


def test_unknown_target_raises():
    with pytest.raises(ValueError, match="'hot' or 'rating', got 'cold'"):
        pain_trials(Bunch(events=pd.DataFrame()), target="cold")


def test_damaged_cache_raises(tmp_path):
    (tmp_path / pain.FOLDER).mkdir()
    with pytest.raises(ValueError, match="is damaged"):
        fetch_pain(tmp_path)


@pytest.mark.network
def test_fetch_pain_returns_all_runs_and_then_needs_no_network(tmp_path, monkeypatch):
    try:
        fetch_pain(tmp_path, verbose=0)
    except ConnectionError as error:
        pytest.skip(f"pip gets no answer: {error}")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with pytest.raises(ConnectionError):
        fetch_pain(tmp_path / "elsewhere")
    data = fetch_pain(tmp_path)

    assert [scan.shape for scan in data.scans] == [(191, 122)] * 66
    assert all(np.isfinite(scan).all() for scan in data.scans)
    assert sum((scan.std(axis=0) == 0).any() for scan in data.scans) == 16
    assert len(set(data.subjects)) == 33
    assert set(data.runs) == {3, 7}
    assert len(set(data.region_names)) == len(data.networks) == 122
    assert len(data.events) == 660
    assert data.events.notna().all(axis=None)

    X, y, groups = pain_trials(data, target="hot")
    assert (len(X), y.sum(), len(set(groups))) == (400, 132, 33)
    X, y, groups = pain_trials(data, target="rating")
    assert (len(X), y.min(), y.max()) == (660, 0, 200)
