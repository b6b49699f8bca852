"""Each finding is found where it is planted, and not in clean scans."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.signal import resample_poly

from sk_brainmae.datasets import fetch_pain, make_cohort
from sk_brainmae.doctor import check_scans, warn_findings


@pytest.mark.parametrize(("t_r", "seed"), [(0.72, 0), (1.0, 1), (2.0, 2), (3.0, 0), (3.0, 1)])
def test_nothing_is_odd_about_clean_scans(t_r, seed):
    X = make_cohort(n_scans=10, t_r=t_r, random_state=seed).scans
    assert check_scans(X, t_r).findings == []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert warn_findings(X, t_r) == []


@pytest.mark.parametrize("n_timepoints", [2, 8, 30, 60])
def test_nothing_grave_is_found_in_short_scans(n_timepoints, clean):
    X = clean[:, :n_timepoints]
    assert {f.severity for f in check_scans(X, 2.0).findings} <= {"note"}


def test_scan_of_swapped_shape_is_transposed(scans, found):
    scans[4] = scans[4].T
    finding = found(scans, "transposed")
    assert (finding.severity, finding.scans) == ("error", (4,))
    assert finding.text.startswith(
        "scan 4: transposed (40 frames x 200 regions; neighbours correlate 0.23 along frames, 0.46"
    )


def test_transposed_cohort_is_found_by_its_autocorrelation(clean, found):
    finding = found(clean.transpose(0, 2, 1), "transposed")
    assert (finding.severity, finding.scans) == ("error", tuple(range(12)))
    assert finding.text.startswith("all 12 scans: transposed (scan 0: ")


def test_transposed_scans_of_fewer_frames_than_regions_are_found(found):
    X = make_cohort(n_scans=8, n_timepoints=80, n_regions=100, t_r=0.72, random_state=0).scans
    assert check_scans(X, 0.72).findings == []
    finding = found(X.transpose(0, 2, 1), "transposed", 0.72)
    assert finding.severity == "error"
    assert (
        "all 8 scans: transposed (scan 0: 100 frames x 80 regions; neighbours corr" in finding.text
    )
    assert found(list(X.transpose(0, 2, 1))[:3], "transposed", 0.72).severity == "warning"


NETWORKS = np.repeat(np.arange(10), 20)  # of 200 sorted regions


def sorted_cohort(n_scans, slow, seed=0):
    """Return (n_scans, 100, 200): neighbouring regions share a network, frames hardly anything."""
    rng = np.random.default_rng(seed)
    signal = rng.standard_normal((n_scans, 101, 10))
    signal = signal[:, 1:] + slow * signal[:, :-1]
    return signal[:, :, NETWORKS] + 0.7 * rng.standard_normal((n_scans, 100, 200))


@pytest.mark.parametrize("slow", [0.2, 0.5, 2.0])
def test_scans_of_sorted_regions_and_fast_frames_are_not_taken_for_transposed(slow, found):
    X = sorted_cohort(12, slow)
    assert not [f for f in check_scans(X).findings if f.kind != "spectrum"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_findings(X)
    turned = X.transpose(0, 2, 1)
    findings = [f for f in check_scans(turned).findings if f.kind == "transposed"]
    assert [(f.severity, f.scans) for f in findings] == [("error", tuple(range(12)))]
    with pytest.warns(
        UserWarning, match=r"transposed \(.* along frames, .* along regions; they do"
    ):
        warn_findings(turned)


def test_scans_of_one_shared_time_course_are_not_taken_for_transposed():
    rng = np.random.default_rng(0)
    course = np.convolve(rng.standard_normal(120), np.ones(8), "valid")[:100]
    X = course[:, None] + 2 * rng.standard_normal((12, 100, 40))
    assert "transposed" not in [f.kind for f in check_scans(X).findings]
    assert "transposed" not in [f.kind for f in check_scans(np.tile(X, 4)).findings]


def test_short_trials_of_slow_signal_are_not_taken_for_transposed():
    X = make_cohort(n_scans=20, n_regions=60, t_r=0.72, noise=0.3, random_state=0).scans
    assert check_scans(X[:, 100:108], 0.72).findings == []


def test_odd_region_count_is_found(scans, found):
    scans[2] = scans[2][:, :-1]
    finding = found(scans, "region counts")
    assert (finding.severity, finding.scans) == ("error", (2,))
    assert "39, not 40" in finding.text


def test_nan_cells_frames_and_regions_are_counted(scans, found):
    scans[3][5:8] = np.nan
    scans[3][:, 7] = np.nan
    scans[3][100, 20] = np.nan
    finding = found(scans, "missing values")
    assert (finding.severity, finding.scans) == ("warning", (3,))
    assert "318 cells, among them 3 whole frames and 1 whole regions" in finding.text
    row = check_scans(scans).table.loc[3]
    assert (row.missing_cells, row.missing_frames, row.missing_regions) == (318, 3, 1)


def test_infinite_values_are_found(scans, found):
    scans[1][0, 0] = -np.inf
    finding = found(scans, "infinite values")
    assert (finding.severity, finding.scans) == ("error", (1,))


@pytest.mark.parametrize("value", [0, 7.1, np.nan])
def test_scan_without_signal_is_found(value, scans):
    scans[1][:] = value
    report = check_scans(scans, 2.0)
    assert report.findings[0].kind == "no signal"
    assert report.findings[0].scans == (1,)
    assert {f.kind for f in report.findings[1:]} <= {"missing values"}


def test_flat_region_is_named(scans, found):
    X = [pd.DataFrame(scan, columns=[f"R{j}" for j in range(40)]) for scan in scans]
    X[6]["R3"] = 0.1
    X[7][["R1", "R2", "R3", "R4"]] = 5.0
    finding = found(X, "flat regions")
    assert (finding.severity, finding.scans) == ("warning", (6, 7))
    assert "scans 6, 7: constant regions (scan 6: region R3)" in finding.text
    assert check_scans(X).table.flat_regions[7] == [1, 2, 3, 4]


@pytest.mark.parametrize("factor", [1, -2.5])
def test_copied_region_is_found(factor, scans, found):
    scans[5][:, 30] = factor * scans[5][:, 8] + 1
    finding = found(scans, "duplicated regions")
    assert finding.scans == (5,)
    assert "(region 8 and 30)" in finding.text


def test_all_scans_standardised_is_a_note_and_a_mixture_a_warning(scans, clean, found):
    def z_scored(scan):
        return (scan - scan.mean(axis=0)) / scan.std(axis=0, ddof=1)

    X = [z_scored(scan) for scan in scans]
    assert found(X, "standardised").severity == "note"
    X[3] = clean[3]
    finding = found(X, "standardised")
    assert (finding.severity, finding.scans) == ("warning", (3,))
    assert finding.text.startswith("scan 3: not z-scored, unlike the other 11")


def test_raw_means_are_found(clean, found):
    finding = found(clean + 1000, "offsets")
    assert finding.severity == "note"
    assert len(finding.scans) == 12


def test_scan_in_other_units_is_found(scans, found):
    scans[9] *= 100
    finding = found(scans, "units")
    assert (finding.severity, finding.scans) == ("warning", (9,))


def test_region_of_another_scale_is_found(scans, found):
    scans[9][:, 3] *= 50
    assert found(scans, "scales").scans == (9,)


def test_spikes_are_found_and_many_of_them_are_a_warning(scans, found):
    scans[2][77] += 8
    finding = found(scans, "spikes")
    assert (finding.severity, finding.scans) == ("note", (2,))
    assert "at most 0.5% of a scan's frames (scan 2)" in finding.text
    assert check_scans(scans).table.spikes[2] == 1
    scans[4][20::40] -= 9
    finding = found(scans, "spikes")
    assert (finding.severity, finding.scans) == ("warning", (2, 4))


@pytest.mark.parametrize(
    ("true", "told", "size"), [(2.0, 0.72, "small"), (0.72, 2.0, "large"), (2.0, 2000, "large")]
)
def test_wrong_t_r_is_found(true, told, size, found):
    X = make_cohort(n_scans=6, t_r=true, random_state=0).scans
    finding = found(X, "spectrum", told)
    assert (finding.severity, len(finding.scans)) == ("warning", 6)
    assert f"t_r, in seconds, looks too {size}" in finding.text
    assert check_scans(X).findings == []


def test_scans_of_another_t_r_are_found_unless_t_r_says_so(found):
    X = list(make_cohort(n_scans=9, n_timepoints=600, t_r=0.72, random_state=0).scans)
    X[7] = resample_poly(X[7], 1, 3, axis=0)
    finding = found(X, "spectrum", 0.72)
    assert finding.scans == (7,)
    assert "another t_r or filter?" in finding.text
    t_r = np.full(9, 0.72)
    t_r[7] *= 3
    assert check_scans(X, t_r).findings == []


def test_differenced_scans_are_found(found):
    X = list(np.diff(np.random.default_rng(0).normal(size=(6, 200, 40)), axis=1))
    finding = found(X, "spectrum", None)
    assert "differenced or aliased" in finding.text


def test_scan_of_other_region_order_is_foreign(scans, found):
    scans[8] = scans[8][:, np.random.default_rng(0).permutation(40)]
    finding = found(scans, "foreign")
    assert (finding.severity, finding.scans) == ("warning", (8,))


@pytest.mark.network
def test_pain_runs_show_only_their_known_flaws():
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
