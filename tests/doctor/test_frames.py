"""Frames that were not measured as the others are found through every door, and named."""

import warnings

import numpy as np
import pandas as pd
import pytest

from sk_brainmae import BrainMAETransformer
from sk_brainmae.doctor import check_scans, warn_findings
from sk_brainmae.timeseries import Window, censor, validate_scans

CENSORED = [40, 41, 42, 100, 150, 151, 180]


def z_scored(scan):
    return (scan - scan.mean(axis=0)) / scan.std(axis=0)


def kinds(findings):
    return [finding.kind for finding in findings]


@pytest.fixture
def fit():
    """Return what a fit warns of."""

    def told(X):
        model = BrainMAETransformer(
            window_size=20, crop_length=100, embedding_dim=8, max_epochs=0, random_state=0
        )
        with warnings.catch_warnings(record=True) as record:
            warnings.simplefilter("always")
            model.fit(X)
        return [str(w.message) for w in record]

    return told


FORMS = {
    "zeros": lambda scan: scan,
    "zeros among raw means": lambda scan: scan * 10 + 1000 * (scan != 0).any(axis=1)[:, None],
    "one value": lambda scan: scan - 7.5,
    "z-scored afterwards": z_scored,
    "float16": lambda scan: scan.astype(np.float16),
    "table": lambda scan: pd.DataFrame(scan, columns=[f"R{j}" for j in range(40)]),
}


@pytest.mark.parametrize("form", FORMS)
def test_censored_frames_coded_as_a_number_are_named(form, scans, fit):
    scans[3][CENSORED] = 0
    X = [FORMS[form](scan) for scan in scans]
    finding = next(f for f in check_scans(X).findings if f.kind == "filled frames")
    assert (finding.severity, finding.scans) == ("error", (3,))
    assert "(frames 40-42, 100, 150-151 and 1 more)" in finding.text
    assert "Mark them as missing by sk_brainmae.timeseries.censor" in finding.text
    assert check_scans(X).table.filled_frames[3] == CENSORED
    told = [line for text in fit(X) for line in text.splitlines() if "one value" in line]
    assert len(told) == 1, "one line"
    assert "scan 3: frames" in told[0]


@pytest.mark.parametrize("n_censored", [1, 2, 90])
def test_any_number_of_censored_frames_is_found(n_censored, scans, found):
    scans[0][10 : 10 + n_censored] = 0
    assert found(scans, "filled frames", None).scans == (0,)
    assert kinds(warn_findings(scans)) == ["filled frames"]
    assert kinds(warn_findings(validate_scans(scans))) == ["filled frames"]


def test_last_stretch_that_repeats_a_frame_is_named(scans, found, fit):
    scans[5][170:] = scans[5][169]
    finding = found(scans, "filled frames")
    assert "scan 5: frames that hold one value" in finding.text
    assert "(frames 169-199)" in finding.text
    assert any("frames 169-199" in text for text in fit(scans))


def test_copied_stretch_is_named(scans, found):
    scans[5][120:130] = scans[5][20:30]
    assert "(frames 20-29, 120-129)" in found(scans, "filled frames").text


def test_filled_frames_are_looked_for_in_every_scan_of_a_fit(clean):
    X = np.concatenate([clean] * 4) + np.random.default_rng(0).standard_normal((48, 200, 40))
    X[37, 50] = 0
    for given in (X, validate_scans(X)):
        with pytest.warns(UserWarning, match="scan 37: frames that hold one value"):
            assert [f.scans for f in warn_findings(given)] == [(37,)]


def test_filled_frames_of_the_run_of_moments_are_named_once(scans):
    scans[1][50:60] = 0
    X = [Window(scan, start, start + 20) for scan in scans for start in (20, 80)]
    for given in (X, validate_scans(X)):
        with pytest.warns(UserWarning, match=r"scan 2: frames .* \(frames 50-59\)"):
            assert [f.scans for f in warn_findings(given)] == [(2,)]


def test_frames_that_are_marked_as_missing_are_not_filled(scans):
    for scan in scans:
        scan[CENSORED] = 0
    X = [censor(scan, CENSORED) for scan in scans]
    assert kinds(check_scans(X).findings) == ["missing values"]
    assert warn_findings(validate_scans(X)) == []


@pytest.mark.parametrize(("n_regions", "n_values"), [(1, 1000), (2, 1000), (3, 20), (8, 2)])
def test_whole_numbers_of_few_regions_may_repeat(n_regions, n_values):
    X = np.random.default_rng(0).integers(0, n_values, (6, 200, n_regions))
    assert "filled frames" not in kinds(check_scans(X).findings)


def test_run_that_was_joined_to_itself_is_named(scans):
    scans[3] = np.tile(scans[3][:100], (2, 1))
    assert check_scans(scans).table.filled_frames[3] == list(range(200))


def test_flat_region_beside_censored_frames_hides_nothing(scans):
    scans[2][CENSORED] = 0
    scans[2][:, 7] = 12
    assert check_scans(scans).table.filled_frames[2] == CENSORED


def test_interpolated_frames_are_named(scans, found):
    for start, stop in ((30, 34), (120, 122)):
        share = np.linspace(0, 1, stop - start + 1)[:, None]
        scans[4][start : stop + 1] = scans[4][start] * (1 - share) + scans[4][stop] * share
    finding = found(scans, "interpolated frames")
    assert (finding.severity, finding.scans) == ("warning", (4,))
    assert "(frames 31-33, 121)" in finding.text


@pytest.mark.parametrize("level", [5, 30])
def test_unsteady_first_frames_are_named(level, scans, found, fit):
    for scan in scans:
        scan[:3] += level * scan.std() * np.array([1, 0.5, 0.25])[:, None]
    finding = found(scans, "first frames")
    assert (finding.severity, len(finding.scans)) == ("warning", 12)
    assert "all 12 scans: the first frames are unsteady (scan 0: frame" in finding.text
    assert 1 <= check_scans(scans).table.first_frames.min() <= 3
    assert sum("the first frames are unsteady" in text for text in fit(scans)) == 1


@pytest.mark.parametrize("power", [1, 2])
def test_drift_is_named(power, scans, found, fit):
    scans[6] += 3 * scans[6].std() * (np.linspace(0, 1, 200)[:, None]) ** power
    finding = found(scans, "drift")
    assert (finding.severity, finding.scans) == ("warning", (6,))
    assert "of the variance from frame 0 to 199 is a slow trend" in finding.text
    assert sum("the signal drifts" in text for text in fit(scans)) == 1


@pytest.mark.parametrize("frame", [60, 100])
def test_step_of_the_level_is_named_with_its_frame(frame, scans):
    scans[6][frame:] += 4 * scans[6].std()
    finding = next(f for f in check_scans(scans).findings if f.kind == "step")
    assert (finding.severity, finding.scans) == ("warning", (6,))
    assert f"(at frame {frame}, " in finding.text


INDEX = {
    "counts": np.arange(200.0),
    "from 1": np.arange(1.0, 201),
    "seconds": 2 * np.arange(200) + 0.5,
    "times without a gap": np.delete(np.arange(220.0), np.arange(50, 70)),
    "two runs": np.tile(np.arange(100.0), 2),
}


@pytest.mark.parametrize("index", INDEX)
@pytest.mark.parametrize("place", [0, 40])
def test_region_that_counts_frames_is_named(index, place, clean, fit):
    X = np.insert(clean.astype(float), place, INDEX[index], axis=2)
    finding = next(f for f in check_scans(X).findings if f.kind == "counting regions")
    assert (finding.severity, len(finding.scans)) == ("error", 12)
    assert (
        f"all 12 scans: regions that rise evenly from frame to frame (scan 0: region {place})"
        in (finding.text)
    )
    assert sum("regions that rise evenly" in text for text in fit(X)) == 1


def test_column_that_counts_frames_is_named_by_its_name(scans):
    X = [pd.DataFrame(scan).assign(volume=range(200)) for scan in scans]
    finding = next(f for f in check_scans(X).findings if f.kind == "counting regions")
    assert "region volume)" in finding.text


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_offset_that_costs_precision_is_not_called_harmless(dtype, scans):
    offset = {np.float16: 2000, np.float32: 1e7}[dtype]
    X = [(z_scored(scan) + offset).astype(dtype) for scan in scans]
    findings = {f.kind: f for f in check_scans(X).findings}
    assert "offsets" not in findings
    assert findings["precision"].severity == "warning"
    assert "rounded to coarse steps (scan 0: the smallest is 0.96" in findings["precision"].text
    assert "filled frames" not in findings
    X = [(z_scored(scan) + 100).astype(dtype) for scan in scans]
    assert kinds(check_scans(X).findings) == ["offsets"]


def test_scanner_units_are_not_coarse(scans):
    X = [np.round(1000 + 10 * z_scored(scan)).astype(np.int16) for scan in scans]
    assert kinds(check_scans(X).findings) == ["offsets"]
