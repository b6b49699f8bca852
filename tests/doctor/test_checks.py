"""Which input the doctor takes, and what it leaves as it was."""

import tracemalloc
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from sk_brainmae.doctor import check_scans, warn_findings
from sk_brainmae.timeseries import validate_scans


def test_unreadable_scans_are_findings_and_the_others_are_read(scans, clean):
    scans[1], scans[2], scans[3], scans[4] = "a.npy", np.zeros(3), clean[0] + 1j, np.zeros((0, 3))
    report = check_scans(scans)
    assert report.findings[0].kind == "unreadable"
    assert report.findings[0].scans == (1, 2, 3, 4)
    assert len(report.table) == 8
    assert check_scans(["a", "b"]).one_line == "0 scans read: 1 error (unreadable)"


def test_names_are_used_and_must_fit(scans, found):
    scans[4] = scans[4].T
    names = [f"sub-{i}" for i in range(12)]
    assert found(scans, "transposed", names=names).text.startswith("scan sub-4:")
    assert list(check_scans(scans, names=names).table.name) == names
    with pytest.raises(ValueError, match="1 names for 12 scans"):
        check_scans(scans, names=["a"])


@pytest.mark.parametrize("t_r", ["2", True, ["2.0"] * 12])
def test_t_r_that_is_no_number_raises(t_r, clean):
    with pytest.raises(TypeError, match="t_r must be in seconds"):
        check_scans(clean, t_r)


@pytest.mark.parametrize("t_r", [0, -1, np.nan, [2.0, 2.0]])
def test_bad_t_r_raises(t_r, clean):
    with pytest.raises(ValueError, match="t_r"):
        check_scans(clean, t_r)
    with pytest.raises(ValueError, match="t_r"):
        warn_findings(clean, t_r)


def test_input_that_is_no_cohort_raises(clean):
    with pytest.raises(ValueError, match="single scan"):
        check_scans(clean[0])
    with pytest.raises(ValueError, match="no scans"):
        check_scans([])


def test_fit_warns_once_of_all_findings(scans):
    scans[3] = scans[3][:120] = scans[5][:120]
    with pytest.warns(UserWarning, match="look odd") as caught:
        findings = warn_findings(validate_scans(scans), 0.2)
    assert len(caught) == 1
    assert [f.kind for f in findings] == ["spectrum", "duplicates"]


def test_input_and_random_state_are_untouched(scans):
    scans[0][3, 3] = np.nan
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    kept = [scan.copy() for scan in scans]
    check_scans(scans, 2.0)
    assert_array_equal(scans, kept)
    assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_one_scan_is_in_memory_at_a_time(tmp_path):
    shape = (100, 100, 50)
    signals = np.lib.format.open_memmap(tmp_path / "a.npy", "w+", np.float32, shape)
    signals[:] = np.random.default_rng(0).normal(size=shape)
    tracemalloc.start()
    check_scans(np.load(tmp_path / "a.npy", mmap_mode="r"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < signals.nbytes / 2


SHAPES = st.tuples(st.integers(1, 70), st.integers(1, 12))
KINDS = st.sampled_from(
    ["normal", "constant", "integer", "huge", "tiny", "walk", "bool", "spiky", "holes"]
)


def drawn(shape, kind, seed):
    rng = np.random.default_rng(seed)
    normal = rng.normal(size=shape)
    return {
        "normal": normal,
        "constant": np.full(shape, normal[0, 0]),
        "integer": rng.integers(-3, 3, shape),
        "huge": normal * 1e307,
        "tiny": normal * 5e-324,
        "walk": normal.cumsum(axis=0).astype(np.float32),
        "bool": normal > 0,
        "holes": np.where(rng.uniform(size=shape) < 0.4, [[np.nan], [-np.inf]][seed % 2], normal),
        "spiky": np.where(rng.uniform(size=shape) < 0.02, 1e200, normal),
    }[kind]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    st.lists(st.tuples(SHAPES, KINDS, st.integers(0, 3)), min_size=1, max_size=9),
    st.sampled_from([None, 1e-3, 2.0, 1e6]),
    st.booleans(),
)
def test_no_matrix_of_numbers_crashes_the_doctor(recipes, t_r, same_shape):
    shape = recipes[0][0]
    X = [drawn(shape if same_shape else own, kind, seed) for own, kind, seed in recipes]
    report = check_scans(X, t_r)
    assert len(report.table) == len(X)
    assert all(place in range(len(X)) for f in report.findings for place in f.scans)
    assert all("\n" not in f.text and "nan" not in f.text for f in report.findings)
    assert str(report)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        warn_findings(X, t_r)
