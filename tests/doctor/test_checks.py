"""Each finding is found where it is planted, and not in clean scans."""

import tracemalloc
import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.signal import resample_poly

from sk_brainmae.datasets import fetch_pain, make_cohort
from sk_brainmae.doctor import check_scans, warn_findings
from sk_brainmae.timeseries import Window, validate_scans

CLEAN = make_cohort(n_scans=12, n_timepoints=200, n_regions=40, t_r=2.0, random_state=0).scans


def scans():
    return [scan.copy() for scan in CLEAN]


def found(X, kind, t_r=2.0, **kwargs):
    """Return the one finding of this kind, which must be the only one of any kind."""
    report = check_scans(X, t_r, **kwargs)
    assert [finding.kind for finding in report.findings] == [kind], str(report)
    return report.findings[0]


@pytest.mark.parametrize("t_r", [0.72, 1.0, 2.0, 3.0])
@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_odd_about_clean_scans(t_r, seed):
    X = make_cohort(n_scans=10, t_r=t_r, random_state=seed).scans
    assert check_scans(X, t_r).findings == []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert warn_findings(X, t_r) == []


@pytest.mark.parametrize("n_timepoints", [2, 8, 30, 60])
def test_nothing_grave_is_found_in_short_scans(n_timepoints):
    X = CLEAN[:, :n_timepoints]
    assert {f.severity for f in check_scans(X, 2.0).findings} <= {"note"}


def test_scan_of_swapped_shape_is_transposed():
    X = scans()
    X[4] = X[4].T
    finding = found(X, "transposed")
    assert (finding.severity, finding.scans) == ("error", (4,))
    assert finding.text.startswith("scan 4: transposed (40 frames x 200 regions): pass scan.T")


def test_cohort_of_transposed_scans_is_told_by_its_autocorrelation():
    finding = found(CLEAN.transpose(0, 2, 1), "transposed")
    assert (finding.severity, finding.scans) == ("error", tuple(range(12)))
    assert finding.text.startswith("all 12 scans: transposed (scan 0: ")


def test_transposed_scans_of_fewer_frames_than_regions_are_suspected():
    X = make_cohort(n_scans=8, n_timepoints=80, n_regions=100, t_r=0.72, random_state=0).scans
    assert check_scans(X, 0.72).findings == []
    finding = found(X.transpose(0, 2, 1), "transposed", 0.72)
    assert finding.severity == "warning"


def test_short_trials_of_slow_signal_are_not_taken_for_transposed():
    X = make_cohort(n_scans=20, n_regions=60, t_r=0.72, noise=0.3, random_state=0).scans
    assert check_scans(X[:, 100:108], 0.72).findings == []


def test_odd_region_count_is_found():
    X = scans()
    X[2] = X[2][:, :-1]
    finding = found(X, "region counts")
    assert (finding.severity, finding.scans) == ("error", (2,))
    assert "39, not 40" in finding.text


def test_nan_cells_frames_and_regions_are_counted():
    X = scans()
    X[3][5:8] = np.nan
    X[3][:, 7] = np.nan
    X[3][100, 20] = np.nan
    finding = found(X, "missing values")
    assert (finding.severity, finding.scans) == ("warning", (3,))
    assert "318 cells, among them 3 whole frames and 1 whole regions" in finding.text
    row = check_scans(X).table.loc[3]
    assert (row.missing_cells, row.missing_frames, row.missing_regions) == (318, 3, 1)


def test_infinite_values_are_found():
    X = scans()
    X[1][0, 0] = -np.inf
    finding = found(X, "infinite values")
    assert (finding.severity, finding.scans) == ("error", (1,))


@pytest.mark.parametrize("value", [0, 7.1, np.nan])
def test_scan_without_signal_is_found(value):
    X = scans()
    X[1][:] = value
    report = check_scans(X, 2.0)
    assert report.findings[0].kind == "no signal"
    assert report.findings[0].scans == (1,)
    assert {f.kind for f in report.findings[1:]} <= {"missing values"}


def test_flat_region_is_named():
    X = [pd.DataFrame(scan, columns=[f"R{j}" for j in range(40)]) for scan in scans()]
    X[6]["R3"] = 0.1
    X[7][["R1", "R2", "R3", "R4"]] = 5.0
    finding = found(X, "flat regions")
    assert (finding.severity, finding.scans) == ("warning", (6, 7))
    assert "scans 6, 7: constant regions (scan 6: region R3)" in finding.text
    assert check_scans(X).table.flat_regions[7] == [1, 2, 3, 4]


@pytest.mark.parametrize("factor", [1, -2.5])
def test_copied_region_is_found(factor):
    X = scans()
    X[5][:, 30] = factor * X[5][:, 8] + 1
    finding = found(X, "duplicated regions")
    assert finding.scans == (5,)
    assert "(region 8 and 30)" in finding.text


def test_all_scans_standardised_is_a_note_and_a_mixture_a_warning():
    def z_scored(scan):
        return (scan - scan.mean(axis=0)) / scan.std(axis=0, ddof=1)

    X = [z_scored(scan) for scan in scans()]
    assert found(X, "standardised").severity == "note"
    X[3] = CLEAN[3]
    finding = found(X, "standardised")
    assert (finding.severity, finding.scans) == ("warning", (3,))
    assert finding.text.startswith("scan 3: not z-scored, unlike the other 11")


def test_raw_means_are_found():
    finding = found(CLEAN + 1000, "offsets")
    assert finding.severity == "note"
    assert len(finding.scans) == 12


def test_scan_in_other_units_is_found():
    X = scans()
    X[9] *= 100
    finding = found(X, "units")
    assert (finding.severity, finding.scans) == ("warning", (9,))


def test_region_of_another_scale_is_found():
    X = scans()
    X[9][:, 3] *= 50
    assert found(X, "scales").scans == (9,)


def test_spikes_are_found_and_many_of_them_are_a_warning():
    X = scans()
    X[2][77] += 8
    finding = found(X, "spikes")
    assert (finding.severity, finding.scans) == ("note", (2,))
    assert "at most 0.5% of a scan's frames (scan 2)" in finding.text
    assert check_scans(X).table.spikes[2] == 1
    X[4][20::40] -= 9
    finding = found(X, "spikes")
    assert (finding.severity, finding.scans) == ("warning", (2, 4))


@pytest.mark.parametrize(
    ("true", "told", "size"), [(2.0, 0.72, "small"), (0.72, 2.0, "large"), (2.0, 2000, "large")]
)
def test_wrong_t_r_is_found(true, told, size):
    X = make_cohort(n_scans=6, t_r=true, random_state=0).scans
    finding = found(X, "spectrum", told)
    assert (finding.severity, len(finding.scans)) == ("warning", 6)
    assert f"t_r, in seconds, looks too {size}" in finding.text
    assert check_scans(X).findings == []


@pytest.mark.parametrize("t_r", ["2", True, ["2.0"] * 12])
def test_t_r_that_is_no_number_raises(t_r):
    with pytest.raises(TypeError, match="t_r must be in seconds"):
        check_scans(CLEAN, t_r)


def test_scans_of_another_t_r_are_found_unless_it_is_told():
    X = list(make_cohort(n_scans=9, n_timepoints=600, t_r=0.72, random_state=0).scans)
    X[7] = resample_poly(X[7], 1, 3, axis=0)
    finding = found(X, "spectrum", 0.72)
    assert finding.scans == (7,)
    assert "another t_r or filter?" in finding.text
    t_r = np.full(9, 0.72)
    t_r[7] *= 3
    assert check_scans(X, t_r).findings == []


def test_differenced_scans_are_found():
    X = list(np.diff(np.random.default_rng(0).normal(size=(6, 200, 40)), axis=1))
    finding = found(X, "spectrum", None)
    assert "differenced or aliased" in finding.text


def test_scan_of_other_region_order_is_foreign():
    X = scans()
    X[8] = X[8][:, np.random.default_rng(0).permutation(40)]
    finding = found(X, "foreign")
    assert (finding.severity, finding.scans) == ("warning", (8,))


def test_named_regions_in_another_order_are_not_foreign_and_hide_no_copy():
    rng, X = np.random.default_rng(0), scans()
    X[7] = X[3].copy()
    named = [pd.DataFrame(scan).add_prefix("region ") for scan in X]
    shuffled = [named[0]] + [scan.iloc[:, rng.permutation(40)] for scan in named[1:]]
    assert found(shuffled, "duplicates").scans == (3, 7)


def test_resemblance_is_the_correlation_with_the_mean_fc_of_the_others():
    fc = np.array([np.corrcoef(scan.T)[np.triu_indices(40, 1)] for scan in CLEAN])
    expected = [np.corrcoef(fc[i], np.delete(fc, i, 0).mean(axis=0))[0, 1] for i in range(12)]
    assert_allclose(check_scans(CLEAN).table.resemblance, expected, atol=1e-6)


def identical(scan):
    return scan.copy()


def rescaled(scan):
    return (1000 + 30 * scan).round(1)


def cropped(scan):
    return scan[:120]


def scaled_crop(scan):
    return 2 * scan[:60] - 1


def as_float64(scan):
    return scan.astype(float)


@pytest.mark.parametrize("n_before", [0, 4])
@pytest.mark.parametrize("copy", [identical, cropped, scaled_crop, as_float64])
def test_copy_of_a_scan_is_found(copy, n_before):
    X = scans()
    X.insert(n_before, copy(X[9]))
    finding = found(X, "duplicates")
    assert (finding.severity, finding.scans) == ("error", (n_before, 10))
    with pytest.warns(UserWarning, match="duplicates, scan"):
        assert warn_findings(X) == [finding]
    with pytest.warns(UserWarning, match="duplicates, scan"):
        assert [f.scans for f in warn_findings(validate_scans(X))] == [(n_before, 10)]


@pytest.mark.parametrize("start", [None, np.nan, 7.0])
def test_rescaled_copy_of_a_scan_is_found_behind_empty_or_flat_starts(start):
    X = scans()
    for scan in X if start is not None else []:
        scan[:55] = start
    X.append(rescaled(X[9]))
    finding = next(f for f in check_scans(X).findings if f.kind == "duplicates")
    assert "duplicates, scan 12 is the same up to scaling as 9:" in finding.text
    with pytest.warns(UserWarning, match="duplicates, scan 12 is .* 9: "):
        warn_findings(validate_scans(X))


def test_scan_given_twice_is_a_duplicate_but_windows_of_a_run_are_none():
    X = scans()
    assert found([*X, X[0]], "duplicates").scans == (0, 12)
    trials = [Window(run, start, start + 20) for run in X for start in (10, 60)]
    report = check_scans(trials, 2.0)
    assert report.findings == []
    assert_array_equal(report.table.index, range(0, 24, 2))
    assert warn_findings(validate_scans(trials), 2.0) == []


def test_identical_trials_of_few_frames_are_duplicates_and_similar_ones_are_not():
    X = [*CLEAN[:, :6], CLEAN[3, :6].copy(), 2 * CLEAN[4, :6]]
    duplicates = [f for f in check_scans(X).findings if f.kind == "duplicates"]
    assert [f.scans for f in duplicates] == [(3, 12)]


def test_many_copies_are_all_named():
    X = [*scans(), *(CLEAN[0] * k for k in range(2, 30))]
    finding = next(f for f in check_scans(X).findings if f.kind == "duplicates")
    assert set(finding.scans) == {0, *range(12, 40)}


def test_unreadable_scans_are_findings_and_the_others_are_read():
    X = scans()
    X[1], X[2], X[3], X[4] = "a.npy", np.zeros(3), CLEAN[0] + 1j, np.zeros((0, 3))
    report = check_scans(X)
    assert report.findings[0].kind == "unreadable"
    assert report.findings[0].scans == (1, 2, 3, 4)
    assert len(report.table) == 8
    assert check_scans(["a", "b"]).one_line == "0 scans read: 1 error (unreadable)"


def test_names_are_used_and_must_fit():
    X = scans()
    X[4] = X[4].T
    names = [f"sub-{i}" for i in range(12)]
    assert found(X, "transposed", names=names).text.startswith("scan sub-4:")
    assert list(check_scans(X, names=names).table.name) == names
    with pytest.raises(ValueError, match="1 names for 12 scans"):
        check_scans(X, names=["a"])


@pytest.mark.parametrize("t_r", [0, -1, np.nan, [2.0, 2.0]])
def test_bad_t_r_raises(t_r):
    with pytest.raises(ValueError, match="t_r"):
        check_scans(CLEAN, t_r)
    with pytest.raises(ValueError, match="t_r"):
        warn_findings(CLEAN, t_r)


def test_what_is_no_cohort_raises():
    with pytest.raises(ValueError, match="single scan"):
        check_scans(CLEAN[0])
    with pytest.raises(ValueError, match="no scans"):
        check_scans([])


def test_fit_warns_once_of_what_spoils_it():
    X = scans()
    X[3] = X[3][:120] = X[5][:120]
    with pytest.warns(UserWarning, match="look odd") as caught:
        findings = warn_findings(validate_scans(X), 0.2)
    assert len(caught) == 1
    assert [f.kind for f in findings] == ["spectrum", "duplicates"]


def test_report_reads_well():
    X = scans()
    X[4], X[2][77] = X[4].T, X[2][77] + 8
    report = check_scans(X, 2.0)
    assert report.one_line == "12 scans read: 1 error (transposed), 1 note (spikes)"
    assert str(report).splitlines()[0] == report.one_line
    assert str(report).splitlines()[1].startswith("  error: scan 4: transposed")
    frame = pd.DataFrame(CLEAN[0], columns=[f"<b>{j}" for j in range(40)])
    frame["<b>0"] = 0.0
    html = check_scans([frame])._repr_html_()
    assert "&lt;b&gt;0" in html
    assert "<b>" not in html


def test_input_and_random_state_are_untouched():
    X = scans()
    X[0][3, 3] = np.nan
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    kept = [scan.copy() for scan in X]
    check_scans(X, 2.0)
    assert_array_equal(X, kept)
    assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_one_scan_is_in_memory_at_a_time(tmp_path):
    shape = (150, 100, 50)
    signals = np.lib.format.open_memmap(tmp_path / "a.npy", "w+", np.float32, shape)
    signals[:] = np.random.default_rng(0).normal(size=shape)
    tracemalloc.start()
    check_scans(np.load(tmp_path / "a.npy", mmap_mode="r"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < signals.nbytes / 2


@pytest.mark.network
def test_pain_runs_are_clean_but_for_what_is_true_of_them():
    try:
        pain = fetch_pain(verbose=0)
    except ConnectionError as error:
        pytest.skip(str(error).splitlines()[0])
    report = check_scans(pain.scans, pain.t_r)
    assert [f.kind for f in report.findings] == ["flat regions", "scales"]
    assert len(report.findings[0].scans) == 16
    trials = [scan[20:28] for scan in pain.scans]
    assert {f.kind for f in check_scans(trials, 2.0).findings} <= {"flat regions", "scales"}
    X = [scan.T for scan in pain.scans]
    assert [f.kind for f in check_scans(X, 2.0).findings] == ["transposed"]
