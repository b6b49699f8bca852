"""The doctor's report: findings in words, and the numbers behind them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import pandas as pd

SEVERITIES = ("error", "warning", "note")  # the gravest first
SHOWN = 3  # scans, or regions, that a text names


@dataclass(frozen=True)
class Finding:
    """One thing that is odd about some scans.

    Attributes
    ----------
    kind : str
        What is odd, such as "transposed" or "duplicates".
    severity : {"error", "warning", "note"}
        "error": results would be wrong. "warning": look at it before you fit. "note": harmless
        here.
    scans : tuple of int
        Places of the scans in the input.
    text : str
        One line: which scans and regions, what was found, what to do.
    """

    kind: str
    severity: str
    scans: tuple[int, ...]
    text: str

    def __str__(self) -> str:
        return f"{self.severity}: {self.text}"


@dataclass(frozen=True, eq=False)
class ScanReport:
    """Findings of :func:`check_scans`; ``print`` it, or show it in a notebook.

    Attributes
    ----------
    findings : list of Finding
        The gravest first.
    table : DataFrame
        The measures, one row per readable scan (per run, where the input holds Windows), indexed
        by its place in the input. NaN where a scan is too short to tell.

        * ``name``, ``n_timepoints``, ``n_regions``, ``t_r`` (s);
        * ``infinite_cells``, ``missing_cells``: counts;
        * ``missing_frames``, ``missing_regions``: counts of those that hold no value at all;
        * ``flat_regions``, ``duplicated_regions``: lists of regions, and of pairs of regions;
        * ``standardised``: whether each region has mean 0 and variance 1;
        * ``offset``: the regions' median of abs(mean) / standard deviation;
        * ``scale``, ``scale_ratio``: the regions' median standard deviation, and the largest
          divided by it;
        * ``rounding``: the smallest step between two values of a region, in standard
          deviations (median over regions);
        * ``autocorrelation``, ``across_regions``: correlation of neighbouring frames, and of
          neighbouring regions;
        * ``frames_agree``, ``regions_agree``: whether the same neighbours correlate in all scans,
          -1 to 1: high for regions, low for frames;
        * ``filled_frames``, ``straight_frames``: lists of frames that hold one value or repeat
          another frame, and of frames on a line between their neighbours;
        * ``first_frames``, ``first_level``: number of unsteady first frames, and how many standard
          deviations the first lies from the mean;
        * ``trend``, ``step``, ``step_frame``: share of the variance that a quadratic trend
          explains, and one step of the level; the frame of that step;
        * ``counting_regions``: list of regions that rise evenly from frame to frame;
        * ``spikes``: number of frames that are spikes;
        * ``signal_edge``: the frequency, in cycles per frame, below which 80 % of the power
          above the floor of white noise lies;
        * ``near_nyquist``: share of the power in the upper quarter of all frequencies;
        * ``resemblance``: correlation of the scan's functional connectivity (FC) with the mean
          FC of the other scans.
    """

    findings: list[Finding]
    table: pd.DataFrame

    @property
    def one_line(self) -> str:
        """The number of findings by severity, and their kinds, in one line."""
        parts = []
        for severity in SEVERITIES:
            kinds = Counter(f.kind for f in self.findings if f.severity == severity)
            if n := sum(kinds.values()):
                parts.append(f"{n} {severity}{'s' * (n > 1)} ({', '.join(kinds)})")
        return f"{_count(len(self.table))} read: {', '.join(parts) or 'nothing odd'}"

    def __str__(self) -> str:
        return "\n".join([self.one_line, *(f"  {finding}" for finding in self.findings)])

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{f.severity}</td><td>{escape(f.kind)}</td>"
            f"<td style='text-align:left'>{escape(f.text)}</td></tr>"
            for f in self.findings
        )
        return f"<p>{escape(self.one_line)}</p><table>{rows}</table>"


def _count(n: int) -> str:
    return "1 scan" if n == 1 else f"{n} scans"


class Wording:
    """Names of scans (their places where ``names`` is None) and of their regions."""

    def __init__(self, items: list, names: Sequence[str] | None):
        if names is not None and len(names) != len(items):
            raise ValueError(f"{len(names)} names for {len(items)} scans: give one name per scan")
        self.items = items
        self.names = names

    def scan(self, place: int) -> str:
        """Return the name of a scan."""
        return str(place if self.names is None else self.names[place])

    def scans(self, places: Sequence[int]) -> str:
        """Return "scan 3", "scans 3, 4, 5 and 7 more", or "all 66 scans"."""
        if len(places) == len(self.items) > 1:
            return f"all {len(places)} scans"
        return f"scan{'s' * (len(places) != 1)} {some([self.scan(p) for p in places])}"

    def first(self, places: Sequence[int], detail: str) -> str:
        """Return a detail of the first scan in brackets, with its name where there are more."""
        return f"({detail})" if len(places) == 1 else f"(scan {self.scan(places[0])}: {detail})"

    def regions(self, place: int, regions: Sequence[int]) -> str:
        """Return the names of some regions of a scan: a DataFrame's columns, else numbers."""
        item = self.items[place] if self.items else None
        columns = getattr(getattr(item, "scan", item), "columns", None)
        return some([str(r if columns is None else columns[r]) for r in regions])


def spans(frames: Sequence[int]) -> str:
    """Return "frame 7", or "frames 3-5, 8, 11-12 and 7 more": three stretches, and a count."""
    stretches: list[list[int]] = []
    for t in frames:
        if stretches and t == stretches[-1][1] + 1:
            stretches[-1][1] = t
        else:
            stretches.append([t, t])
    shown = ", ".join(f"{a}-{b}" if b > a else str(a) for a, b in stretches[:SHOWN])
    left = sum(b - a + 1 for a, b in stretches[SHOWN:])
    return f"frame{'s' * (len(frames) > 1)} {shown}" + (f" and {left} more" if left else "")


def some(words: Sequence[str]) -> str:
    """Return the first three words, and how many more there are."""
    shown = ", ".join(words[:SHOWN])
    return shown + (f" and {len(words) - SHOWN} more" if len(words) > SHOWN else "")
