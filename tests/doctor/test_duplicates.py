"""Copies are found however they were made, and similar scans are not."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from sk_brainmae.doctor import check_scans, warn_findings
from sk_brainmae.timeseries import Window, validate_scans

COPIES = {
    "identical": lambda scan: scan.copy(),
    "cropped": lambda scan: scan[:120],
    "rescaled crop": lambda scan: 2 * scan[:60] - 1,
    "as float64": lambda scan: scan.astype(float),
}


@pytest.mark.parametrize("n_before", [0, 4])
@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES)
def test_copy_of_a_scan_is_found(copy, n_before, scans, found):
    scans.insert(n_before, copy(scans[9]))
    finding = found(scans, "duplicates")
    assert (finding.severity, finding.scans) == ("error", (n_before, 10))
    with pytest.warns(UserWarning, match="duplicates, scan"):
        assert warn_findings(scans) == [finding]
    with pytest.warns(UserWarning, match="duplicates, scan"):
        assert [f.scans for f in warn_findings(validate_scans(scans))] == [(n_before, 10)]


@pytest.mark.parametrize("start", [None, np.nan, 7.0])
def test_rescaled_copy_of_a_scan_is_found_behind_empty_or_flat_starts(start, scans):
    for scan in scans if start is not None else []:
        scan[:55] = start
    scans.append((1000 + 30 * scans[9]).round(1))
    finding = next(f for f in check_scans(scans).findings if f.kind == "duplicates")
    assert "duplicates, scan 12 is the same up to scaling as 9:" in finding.text
    with pytest.warns(UserWarning, match="duplicates, scan 12 is .* 9: "):
        warn_findings(validate_scans(scans))


def test_named_regions_in_another_order_are_not_foreign_and_hide_no_copy(scans, found):
    rng = np.random.default_rng(0)
    scans[7] = scans[3].copy()
    named = [pd.DataFrame(scan).add_prefix("region ") for scan in scans]
    shuffled = [named[0]] + [scan.iloc[:, rng.permutation(40)] for scan in named[1:]]
    assert found(shuffled, "duplicates").scans == (3, 7)


def test_scan_given_twice_is_a_duplicate_but_windows_of_a_run_are_none(scans, found):
    assert found([*scans, scans[0]], "duplicates").scans == (0, 12)
    trials = [Window(run, start, start + 20) for run in scans for start in (10, 60)]
    report = check_scans(trials, 2.0)
    assert report.findings == []
    assert_array_equal(report.table.index, range(0, 24, 2))
    assert warn_findings(validate_scans(trials), 2.0) == []


def test_short_trials_are_duplicates_if_identical_but_not_if_rescaled(clean):
    X = [*clean[:, :6], clean[3, :6].copy(), 2 * clean[4, :6]]
    duplicates = [f for f in check_scans(X).findings if f.kind == "duplicates"]
    assert [f.scans for f in duplicates] == [(3, 12)]


def test_many_copies_are_all_named(scans, clean):
    X = [*scans, *(clean[0] * k for k in range(2, 30))]
    finding = next(f for f in check_scans(X).findings if f.kind == "duplicates")
    assert set(finding.scans) == {0, *range(12, 40)}
