"""What counts as odd, and how it is said.

Each rule takes the table of :class:`~sk_brainmae.doctor.report.ScanReport` and returns findings.
The thresholds were set on the pain runs, four HCP runs and simulated cohorts: they say nothing of
clean ones.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd

from sk_brainmae.doctor.duplicates import Copy
from sk_brainmae.doctor.measures import robust_z
from sk_brainmae.doctor.report import Finding
from sk_brainmae.doctor.resemblance import usual
from sk_brainmae.doctor.wording import Wording, some

# Time runs along the other axis if neighbouring regions correlate this much, and so much more than
# neighbouring frames do: in scans of more regions than frames, and in others.
TIME_LIKE, MORE_IF_WIDE, MORE_IF_LONG = 0.4, 0.1, 0.3
LONG_ENOUGH = 50  # frames, and regions, of a scan that is judged alone
OFFSET = 5.0  # standard deviations
SCALE_RATIO, UNITS_RATIO = 10.0, 10.0
SPIKED_SHARE = 0.02
# BOLD fluctuates up to about 0.1 Hz, and filters end at 0.08-0.15 Hz. Hz:
SLOWEST_EDGE, FASTEST_EDGE = 0.04, 0.16
OTHER_EDGE = 2.0  # times the cohort's median, or that part of it
NEAR_NYQUIST = 0.4  # share of the power; white noise has 0.25 there
# A scan is foreign if it resembles the group less than half as much as the median scan does, and is
# an outlier; where the median is lower than this, there is no group.
FOREIGN_Z, GROUP_RESEMBLANCE = -4.0, 0.2


def unreadable(trouble: dict[int, str], say: Wording) -> list[Finding]:
    """Scans that are no matrices of numbers.

    Parameters
    ----------
    trouble : dict of int to str
        Why a scan cannot be read.
    say : Wording
        Names.

    Returns
    -------
    list of Finding
        None or one.
    """
    if not trouble:
        return []
    first = next(iter(trouble))
    text = (
        f"{say.scans(list(trouble))} cannot be read {say.first(list(trouble), trouble[first])}:"
        " a scan is a matrix of numbers (n_timepoints, n_regions)"
    )
    return [Finding("unreadable", "error", tuple(trouble), text)]


def transposed(table: pd.DataFrame, say: Wording) -> list[Finding]:
    """Scans whose rows are regions.

    Parameters
    ----------
    table : DataFrame
        Measures.
    say : Wording
        Names.

    Returns
    -------
    list of Finding
        An error for scans that have as many frames as the others have regions, and where
        neighbouring regions correlate clearly more than neighbouring frames in scans of more
        regions than frames; a warning where they do so in others; a note where it cannot be told.
    """
    right = usual(table.n_regions.to_numpy())
    wide = table.n_regions > table.n_timepoints
    both_long = np.minimum(table.n_regions, table.n_timepoints) >= LONG_ENOUGH
    # A short scan tells little about itself: it follows the others of its kind.
    own = table[["across_regions", "autocorrelation"]]
    typical = own.groupby(wide).transform("median")
    evidence = [_time_like(typical), _time_like(own).where(both_long)]
    surplus = pd.concat(evidence, axis=1).max(axis=1)
    swapped = (table.n_timepoints == right) & (table.n_regions != right)
    swapped &= ~(own.autocorrelation - own.across_regions > MORE_IF_LONG)
    sure = swapped | (wide & (surplus > MORE_IF_WIDE))
    likely = ~wide & ~sure & (surplus > MORE_IF_LONG)
    plain = typical.autocorrelation - typical.across_regions > MORE_IF_WIDE
    unclear = wide & ~sure & ~plain

    def text(places: tuple[int, ...], claim: str) -> str:
        row = table.loc[places[0]]
        shape = say.first(places, f"{row.n_timepoints} frames x {row.n_regions} regions")
        advice = "pass scan.T, a scan is (n_timepoints, n_regions)"
        return f"{say.scans(places)}: {claim} {shape}: {advice}"

    return [
        *_finding("transposed", "error", sure, lambda p: text(p, "transposed")),
        *_finding("transposed", "warning", likely, lambda p: text(p, "perhaps transposed")),
        *_finding(
            "more regions than frames",
            "note",
            unclear,
            lambda p: text(p, "more regions than frames, and no telling which is time"),
        ),
    ]


def region_counts(table: pd.DataFrame, say: Wording) -> list[Finding]:
    """Scans with another number of regions than most."""
    right = usual(table.n_regions.to_numpy())
    odd = table.n_regions != right
    return _finding(
        "region counts",
        "error",
        odd,
        lambda places: (
            f"{say.scans(places)}: other region counts than most"
            f" {say.first(places, f'{table.n_regions[places[0]]}, not {right}')}:"
            " use one atlas for all"
        ),
    )


def missing(table: pd.DataFrame, say: Wording) -> list[Finding]:
    """Values that are NaN or infinite, and scans without any signal."""
    infinite = table.infinite_cells > 0
    gaps = table.missing_cells > 0
    empty = pd.Series(
        [
            len(flat) + gone == n
            for flat, gone, n in zip(
                table.flat_regions, table.missing_regions, table.n_regions, strict=True
            )
        ],
        index=table.index,
    )

    def gaps_text(places: tuple[int, ...]) -> str:
        row = table.loc[places[0]]
        detail = (
            f"{row.missing_cells} cells, among them {row.missing_frames} whole frames and"
            f" {row.missing_regions} whole regions"
        )
        return f"{say.scans(places)}: NaN {say.first(places, detail)}: meant as missing?"

    return [
        *_finding(
            "no signal",
            "error",
            empty,
            lambda places: f"{say.scans(places)}: no region varies: leave out, or read again",
        ),
        *_finding(
            "infinite values",
            "error",
            infinite,
            lambda places: (
                f"{say.scans(places)}: infinite values"
                f" {say.first(places, f'{table.infinite_cells[places[0]]} cells')}:"
                " look for a division by zero upstream"
            ),
        ),
        *_finding("missing values", "warning", gaps, gaps_text),
    ]


def regions(table: pd.DataFrame, say: Wording) -> list[Finding]:
    """Flat regions, and regions that are copies of each other in the same scan."""
    n_flat = table.flat_regions.map(len)
    flat = (n_flat > 0) & (n_flat + table.missing_regions < table.n_regions)
    twins = table.duplicated_regions.map(len) > 0

    def flat_text(places: tuple[int, ...]) -> str:
        named = say.regions(places[0], table.flat_regions[places[0]])
        return (
            f"{say.scans(places)}: constant regions {say.first(places, f'region {named}')}:"
            " treated as missing; check the field of view"
        )

    def twins_text(places: tuple[int, ...]) -> str:
        a, b = table.duplicated_regions[places[0]][0]
        names = f"{say.regions(places[0], [a])} and {say.regions(places[0], [b])}"
        return (
            f"{say.scans(places)}: regions with the same signal"
            f" {say.first(places, f'region {names}')}: masking one hides nothing; keep one of them"
        )

    return [
        *_finding("flat regions", "warning", flat, flat_text),
        *_finding("duplicated regions", "warning", twins, twins_text),
    ]


def amplitude(table: pd.DataFrame, say: Wording) -> list[Finding]:
    """Units: standardised or not, offsets, regions and scans of very different scale."""
    z_scored = table.standardised.astype(bool)
    raw = ~z_scored & table.scale.notna()
    mixed = z_scored.any() and raw.any()
    fewer = z_scored if z_scored.sum() <= raw.sum() else raw
    ratio = table.scale / table.scale[raw].median()
    units = raw & ((ratio > UNITS_RATIO) | (ratio < 1 / UNITS_RATIO))
    offset = table.offset > OFFSET
    return [
        *_finding(
            "standardised",
            "warning" if mixed else "note",
            fewer if mixed else z_scored,
            lambda places: (
                f"{say.scans(places)}: {'' if fewer is z_scored else 'not '}z-scored, unlike the"
                f" other {len(table) - len(places)}: bring all scans here by one pipeline"
                if mixed
                else "all scans are z-scored already: their amplitudes are lost, nothing to do"
            ),
        ),
        *_finding(
            "units",
            "warning",
            units,
            lambda places: (
                f"{say.scans(places)}: in other units than most"
                f" {say.first(places, f'{ratio[places[0]]:.2g} times their amplitude')}:"
                " bring all scans here by one pipeline"
            ),
        ),
        *_finding(
            "offsets",
            "note",
            offset,
            lambda places: (
                f"{say.scans(places)}: the regions keep their raw means"
                f" {say.first(places, f'{table.offset[places[0]]:.0f} SD')}:"
                " harmless here, but were the scans denoised?"
            ),
        ),
        *_finding(
            "scales",
            "note",
            table.scale_ratio > SCALE_RATIO,
            lambda places: (
                f"{say.scans(places)}: one region varies far more than the median one"
                f" {say.first(places, f'{table.scale_ratio[places[0]]:.0f} times')}: harmless here,"
                " each is z-scored; does it lie inside the brain?"
            ),
        ),
    ]


def spikes(table: pd.DataFrame, say: Wording) -> list[Finding]:
    """Frames that differ from both neighbours by far more than frames usually do."""
    share = table.spikes / table.n_timepoints
    many = share > SPIKED_SHARE
    return _finding(
        "spikes",
        "warning" if many.any() else "note",
        table.spikes > 0,
        lambda places: (
            f"{say.scans(places)}: spikes, at most {share.max():.1%} of a scan's frames (scan"
            f" {say.scan(places[share[list(places)].argmax()])}): censor or despike them"
        ),
    )


def spectrum(table: pd.DataFrame, say: Wording) -> list[Finding]:
    """Spectra that do not fit t_r, those unlike the others', and those that are no BOLD.

    Parameters
    ----------
    table : DataFrame
        Measures.
    say : Wording
        Names.

    Returns
    -------
    list of Finding
        A warning of one ``t_r`` where the median edge of the signal over its scans is not within
        0.04-0.16 Hz; of scans whose edge is more than twice or less than half the cohort's; and
        of scans with 40 % of the power in the upper quarter of the frequencies.
    """
    findings = []
    edge = table.signal_edge / table.t_r.fillna(1)
    for t_r, group in table.groupby("t_r"):
        median = edge[group.index].median()
        if median < SLOWEST_EDGE or median > FASTEST_EDGE:
            places = tuple(int(place) for place in group.index)
            size, what = ("large", "slow") if median < SLOWEST_EDGE else ("small", "fast")
            text = (
                f"{say.scans(places)}: too {what} for BOLD at t_r={t_r:g} s, the signal ends at"
                f" {median:.3g} Hz (expected: {SLOWEST_EDGE:g}-{FASTEST_EDGE:g}): t_r, in"
                f" seconds, looks too {size}, or the filter is unusual"
            )
            findings.append(Finding("spectrum", "warning", places, text))
    ratio = edge / edge.median()
    return [
        *findings,
        *_finding(
            "spectrum",
            "warning",
            (ratio > OTHER_EDGE) | (ratio < 1 / OTHER_EDGE),
            lambda places: (
                f"{say.scans(places)}: another spectrum than most"
                f" {say.first(places, f'{ratio[places[0]]:.2g} times their frequencies')}:"
                " another t_r or filter?"
            ),
        ),
        *_finding(
            "spectrum",
            "warning",
            table.near_nyquist > NEAR_NYQUIST,
            lambda places: (
                f"{say.scans(places)}: mostly fast"
                f" {say.first(places, f'{table.near_nyquist[places[0]]:.0%} of the power')} in the"
                " upper quarter of the frequencies: differenced or aliased? BOLD is slow"
            ),
        ),
    ]


def foreign(table: pd.DataFrame, say: Wording) -> list[Finding]:
    """Scans whose FC is unlike the group's."""
    r = table.resemblance
    median = r.median()
    odd = (r < median / 2) & (robust_z(r.to_numpy()) < FOREIGN_Z) & (median > GROUP_RESEMBLANCE)
    return _finding(
        "foreign",
        "warning",
        odd,
        lambda places: (
            f"{say.scans(places)}: FC unlike the group's"
            f" {say.first(places, f'r = {r[places[0]]:.2f}, usually {median:.2f}')}:"
            " other region order, or a failed registration?"
        ),
    )


def duplicates(copies: list[Copy], places: list[int], say: Wording) -> list[Finding]:
    """Scans that repeat others.

    Parameters
    ----------
    copies : list of Copy
        Pairs of runs.
    places : list of int
        Place of each run in the input.
    say : Wording
        Names.

    Returns
    -------
    list of Finding
        None or one.
    """
    if not copies:
        return []
    words = {"identical": "identical to", "rescaled": "the same up to scaling as"}
    shown = [
        f"{say.scan(places[c.scan])} is {words.get(c.how, 'the start of, or begins as,')}"
        f" {say.scan(places[c.original])}"
        for c in copies
    ]
    text = f"duplicates, scan {some(shown)}: keep one, or folds leak (or give them one group)"
    involved = sorted({places[i] for c in copies for i in (c.scan, c.original)})
    return [Finding("duplicates", "error", tuple(involved), text)]


# Of scans the right way up.
UPRIGHT: tuple[Callable[[pd.DataFrame, Wording], list[Finding]], ...] = (
    region_counts,
    missing,
    regions,
    amplitude,
    spectrum,
    spikes,
    foreign,
)


def _finding(
    kind: str, severity: str, odd: pd.Series, text: Callable[[tuple[int, ...]], str]
) -> list[Finding]:
    """Return a finding of the odd scans, if there are any."""
    places = _places(odd)
    return [Finding(kind, severity, places, text(places))] if places else []


def _time_like(correlation: pd.DataFrame) -> pd.Series:
    """How much more neighbouring regions correlate than frames do, where they do so at all."""
    surplus = correlation.across_regions - correlation.autocorrelation
    return surplus.where(correlation.across_regions > TIME_LIKE)


def _places(chosen: pd.Series) -> tuple[int, ...]:
    return tuple(int(place) for place in chosen.index[chosen.to_numpy(dtype=bool)])
