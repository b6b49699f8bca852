"""Read scans one by one, measure them, and apply the rules."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from sk_brainmae.doctor import rules
from sk_brainmae.doctor.duplicates import find_duplicates
from sk_brainmae.doctor.frames import filled_frames, frame_measures, odd_frames
from sk_brainmae.doctor.measures import (
    Neighbours,
    ZScored,
    agreement,
    evenly,
    measure,
    orientation,
    spectrum,
    z_score,
)
from sk_brainmae.doctor.reading import distinct_runs, run_z_scored, values
from sk_brainmae.doctor.report import SEVERITIES, Finding, ScanReport, Wording
from sk_brainmae.doctor.resemblance import resemblance
from sk_brainmae.scans.cohort import Cohort
from sk_brainmae.scans.regions import in_order
from sk_brainmae.scans.validate import as_list

WARNED_SCANS = 20  # at most this many, evenly spaced, are measured in each fit
COMPARED_SCANS = 200  # at most this many show whether their neighbours agree


def check_scans(
    X: Any, t_r: float | ArrayLike | None = None, *, names: Sequence[str] | None = None
) -> ScanReport:
    """Look for odd scans before a model is fitted on them.

    No scan is changed, and none raises an error: even scans that no model would take are
    reported.

    Parameters
    ----------
    X : list of scans, or ndarray of shape (n_scans, n_timepoints, n_regions)
        As for ``fit``, but anything may be wrong with the scans: other region counts, NaN,
        infinite values. For a :class:`~sk_brainmae.timeseries.Window`, its whole run is checked,
        once. Scans may be memory-mapped: one is read at a time. The column names of a DataFrame
        name the regions.
    t_r : float or array-like of shape (n_scans,), optional
        Time between frames, in s. None: it is not compared with the spectrum.
    names : list of str, optional
        Names of the scans, such as file stems. None: their places, from 0.

    Returns
    -------
    ScanReport
        Findings in words and a table of the measures; ``print`` it.

    Raises
    ------
    TypeError
        If ``X`` is not a list of scans, or ``t_r`` is not a number.
    ValueError
        If ``X`` holds no scans or is a single scan, if ``t_r`` is not positive and finite, or
        if ``t_r`` or ``names`` does not have one value per scan.

    Notes
    -----
    The rules and their thresholds are in ``sk_brainmae.doctor.rules``. Time grows linearly with
    the number of scans; memory holds one scan and the measures. Some measures take samples: 32
    regions of each scan for its spectrum, 150 regions for its FC, 200 scans for the group's FC. The
    search for duplicates compares 50 frames of each scan, from the first that varies, and checks
    its hits on all frames. It does not find copies that start at another frame.

    Examples
    --------
    >>> from sk_brainmae.datasets import make_cohort
    >>> from sk_brainmae.doctor import check_scans
    >>> scans = list(make_cohort(n_scans=8, random_state=0).scans)
    >>> scans[5] = scans[5].T
    >>> print(check_scans(scans, t_r=1.0))
    8 scans read: 1 error (transposed)
      error: scan 5: transposed (60 frames x 300 regions; neighbours correlate 0.19 along frames,
      0.61 along regions): pass scan.T, a scan is (n_timepoints, n_regions)
    """
    items = as_list(X)
    say = Wording(items, names)
    seconds = _check_t_r(t_r, len(items))
    places, runs, trouble = distinct_runs(items)
    findings = rules.unreadable(trouble, say)
    table = _measure_all(runs, places)
    if runs:
        table.insert(0, "name", [say.scan(place) for place in places])
        table.insert(3, "t_r", seconds[places])
        aligned, odd_names = _aligned(runs)
        if odd_names:
            findings.append(Finding("region names", "error", tuple(places), odd_names))
        table["resemblance"] = resemblance(aligned)
        findings += _judge(table, say, rules.UPRIGHT)
        findings += rules.duplicates(find_duplicates(aligned), places, say)
    findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    return ScanReport(findings, table)


def warn_findings(X: Any, t_r: float | ArrayLike | None = None) -> list[Finding]:
    """Warn of scans that would spoil a fit, as far as a quick look shows them.

    Looked for are transposed scans, spectra that do not fit ``t_r``, unsteady first frames,
    drifts and regions that count frames, in at most 20 evenly spaced runs; frames that were
    filled in, in all runs; and duplicates among all runs, by 50 frames of each from the first
    that varies.

    Parameters
    ----------
    X : Cohort, list of scans, or ndarray of shape (n_scans, n_timepoints, n_regions)
        Valid scans.
    t_r : float or array-like of shape (n_scans,), optional
        Time between frames, in s. None: it is not compared with the spectrum.

    Returns
    -------
    list of Finding
        The warnings and errors; notes are left out.

    Raises
    ------
    ValueError
        If ``t_r`` is not positive and finite, or does not have one value per scan.

    Warns
    -----
    UserWarning
        One for all, with a line for each finding.
    """
    if isinstance(X, Cohort):
        _, first = np.unique(X.runs, return_index=True)
        whole = X.as_runs()
        places, runs = first.tolist(), [whole.sample(run) for run in X.runs[first]]
        seconds, say = _check_t_r(t_r, len(X)), Wording([], None)

        def read(i: int) -> ZScored:
            return run_z_scored(whole, X.runs[first[i]])
    else:
        items = as_list(X)
        seconds, say = _check_t_r(t_r, len(items)), Wording(items, None)
        places, runs, _ = distinct_runs(items)

        def read(i: int) -> ZScored:
            return z_score(values(runs[i]))

    chosen = set(evenly(np.arange(len(runs)), WARNED_SCANS).tolist())
    filled = {}
    rows, neighbours = [], []
    for i in range(len(runs)):
        z = read(i)
        if frames := filled_frames(z):
            filled[places[i]] = frames
        if i not in chosen:
            continue
        shape = {"n_timepoints": len(z.frames), "n_regions": z.frames.shape[1]}
        figures, profiles = orientation(z.frames, z)
        neighbours.append(profiles)
        rows.append(shape | figures | spectrum(z) | frame_measures(z, frames))
    findings = []
    if rows:
        table = pd.DataFrame(rows, index=[places[i] for i in sorted(chosen)])
        _add_agreement(table, dict(zip(table.index, neighbours, strict=True)))
        table["t_r"] = seconds[table.index]
        findings = _judge(table, say, (rules.spectrum, rules.frames, rules.counting))
        lying = {place for f in findings if f.kind == "transposed" for place in f.scans}
        findings += rules.filled({p: f for p, f in filled.items() if p not in lying}, say)
        findings += rules.duplicates(find_duplicates(runs), places, say)
        findings = [finding for finding in findings if finding.severity != "note"]
    if findings:
        lines = "\n".join(f"  {finding}" for finding in findings)
        warnings.warn(f"the scans look odd (check_scans tells more):\n{lines}", stacklevel=3)
    return findings


def _measure_all(runs: list[Any], places: list[int]) -> pd.DataFrame:
    """Measure each run; one is in memory at a time."""
    rows = []
    neighbours = {}
    compared = set(evenly(np.arange(len(runs)), COMPARED_SCANS).tolist())
    for i, (run, place) in enumerate(zip(runs, places, strict=True)):
        scan = values(run)
        z = z_score(scan)
        filled = filled_frames(z)
        figures, profiles = orientation(scan, z)
        if i in compared:
            neighbours[place] = profiles
        of_frames = frame_measures(z, filled)
        odd = odd_frames(filled, of_frames["first_frames"])
        rows.append(measure(scan, z, odd) | figures | of_frames)
    table = pd.DataFrame(rows, index=pd.Index(places, name="scan"))
    if runs:
        _add_agreement(table, neighbours)
    return table


def _add_agreement(table: pd.DataFrame, neighbours: dict[int, Neighbours]) -> None:
    """Say whether neighbouring frames, and regions, correlate alike in all scans of a kind.

    The kinds are scans of more regions than frames, and others.
    """
    wide = table.n_regions > table.n_timepoints
    for name in Neighbours._fields:
        table[f"{name}_agree"] = np.nan
        for kind in (wide, ~wide):
            profiles = [getattr(neighbours[p], name) for p in table.index[kind] if p in neighbours]
            table.loc[kind, f"{name}_agree"] = agreement(profiles)


def _aligned(runs: list) -> tuple[list, str]:
    """Return runs with their regions in one order, as fit sees them, or why there is none."""
    try:
        return in_order(runs)[1], ""
    except ValueError as error:
        return runs, str(error)


def _judge(table: pd.DataFrame, say: Wording, upright_rules: tuple) -> list[Finding]:
    """Apply the rules; the upright ones mean nothing for transposed scans."""
    findings = rules.transposed(table, say)
    lying = [place for f in findings if f.severity != "note" for place in f.scans]
    upright = table.drop(index=lying)
    if len(upright):
        for rule in upright_rules:
            findings += rule(upright, say)
    return findings


def _check_t_r(t_r: Any, n_scans: int) -> NDArray:
    """Return the seconds between frames of each scan, (n_scans,); NaN where they are unknown."""
    if t_r is None:
        return np.full(n_scans, np.nan)
    if np.asarray(t_r).dtype.kind in "SUb":
        raise TypeError(f"t_r must be in seconds, one number or one per scan, got {t_r!r}")
    seconds = np.asarray(t_r, dtype=float)
    if seconds.shape not in ((), (n_scans,)):
        raise ValueError(f"t_r has shape {seconds.shape}: give one number, or one per scan")
    if not (np.isfinite(seconds) & (seconds > 0)).all():
        raise ValueError(f"t_r must be positive and finite, in seconds, got {t_r}")
    return np.broadcast_to(seconds, n_scans)
