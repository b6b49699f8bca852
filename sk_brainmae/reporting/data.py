"""The scans of a report: their numbers, and what is odd about them."""

from typing import Any

import numpy as np

from sk_brainmae.doctor import ScanReport, check_scans
from sk_brainmae.reporting.page import Notice


def look_at(scans: Any, t_r: float | None) -> tuple[dict[str, str], list[Notice]]:
    """Return facts about scans or moments, by name, and the doctor's findings as notices."""
    report = check_scans(scans, t_r)
    notices = [Notice(f.severity, _sentence(f.text)) for f in report.findings]
    return _facts(report, len(scans), t_r), notices


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "." * (text[-1] not in ".?!")


def _facts(report: ScanReport, n_samples: int, t_r: float | None) -> dict[str, str]:
    table = report.table
    facts = {"scans": str(len(table))}
    if n_samples != len(table):
        facts["moments cut from them"] = str(n_samples)
    if table.empty:
        return facts
    lengths = table["n_timepoints"].to_numpy()
    facts["frames in a scan"] = span(lengths)
    facts["regions"] = span(table["n_regions"].to_numpy())
    if t_r is not None:
        facts["time between frames"] = f"{t_r:g} s"
        facts["length of a scan"] = f"{span(lengths * t_r / 60, '.1f')} min"
        facts["in all"] = f"{lengths.sum() * t_r / 3600:.1f} h"
    facts["what the check of the scans says"] = report.one_line
    return facts


def span(numbers: np.ndarray, form: str = "g") -> str:
    """Return "190" for equal numbers, "150 to 190" for different ones, (n,)."""
    low, high = format(numbers.min(), form), format(numbers.max(), form)
    return low if low == high else f"{low} to {high}"
