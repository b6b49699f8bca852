"""What counts as odd, and how it is said.

Each rule takes the table of :class:`~sk_brainmae.doctor.report.ScanReport` and returns findings.
The thresholds were set on the pain runs, four HCP runs and simulated cohorts, so that nothing is
found in clean scans.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd

from sk_brainmae.doctor.duplicates import Copy
from sk_brainmae.doctor.measures import robust_z, usual
from sk_brainmae.doctor.report import Finding, Wording, some, spans

# Time runs along the other axis if neighbouring regions correlate at least this much, and this much
# more than neighbouring frames do: in scans with more regions than frames, and in others.
TIME_LIKE, MORE_IF_WIDE, MORE_IF_LONG = 0.4, 0.1, 0.3
# Neighbours along one axis correlate alike in all scans, and more so than along the other.
AGREE_MORE, AGREE_FULLY = 0.3, 0.8
LONG_ENOUGH = 50  # frames, and regions, of a scan that is judged alone
OFFSET = 5.0  # standard deviations
SCALE_RATIO, UNITS_RATIO = 10.0, 10.0
SPIKED_SHARE = 0.02
DRIFT_SHARE = 0.3  # of the variance of all regions
ROUGH = 0.2  # standard deviations
# BOLD fluctuates up to about 0.1 Hz, and filters end at 0.08-0.15 Hz. Hz:
SLOWEST_EDGE, FASTEST_EDGE = 0.04, 0.16
OTHER_EDGE = 2.0  # times the cohort's median, or one part in so many
NEAR_NYQUIST = 0.4  # share of the power; white noise has 0.25 there
# A scan is foreign if it resembles the group less than half as much as the median scan does, and is
# an outlier. Where the median is below GROUP_RESEMBLANCE, there is no group.
FOREIGN_Z, GROUP_RESEMBLANCE = -4.0, 0.2


def unreadable(trouble: dict[int, str], say: Wording) -> list[Finding]:
    """Find scans that are not matrices of numbers; ``trouble`` says why, by place."""
    return _finding(
        say,
        "unreadable",
        "error",
        pd.Series(True, index=list(trouble), dtype=bool),
        "unreadable",
        "a scan is a matrix of numbers (n_timepoints, n_regions)",
        trouble.__getitem__,
    )


def transposed(table: pd.DataFrame, say: Wording) -> list[Finding]:
    """Find scans whose rows are regions, by the correlation of neighbours along both axes.

    Neighbouring regions correlate alike in all brains, neighbouring frames do not: where one axis
    agrees over scans and the other does not, that decides. Else frames are what correlates more
    with its neighbours. An error: scans with as many frames as the others have regions, scans
    whose frames agree as regions do, and scans with more regions than frames whose neighbouring
    regions correlate much more than their neighbouring frames. A warning: other scans in which
    they do. A note: where it cannot be told.
    """
    right = usual(table.n_regions.to_numpy())
    wide = table.n_regions > table.n_timepoints
    both_long = np.minimum(table.n_regions, table.n_timepoints) >= LONG_ENOUGH
    # A short scan tells little about itself: it follows the others of its kind.
    own = table[["across_regions", "autocorrelation"]]
    typical = own.groupby(wide).transform("median")
    evidence = [_time_like(typical), _time_like(own).where(both_long)]
    surplus = pd.concat(evidence, axis=1).max(axis=1)
    slow = own.autocorrelation - own.across_regions > MORE_IF_LONG
    agree = table.regions_agree - table.frames_agree
    upright = agree > AGREE_MORE
    lying = (agree < -AGREE_MORE) & (~slow | (table.frames_agree > AGREE_FULLY))
    swapped = (table.n_timepoints == right) & (table.n_regions != right) & ~slow
    sure = swapped | lying | (wide & (surplus > MORE_IF_LONG) & ~upright)
    likely = ~sure & ~upright & (surplus > MORE_IF_LONG).where(~wide, surplus > MORE_IF_WIDE)
    plain = typical.autocorrelation - typical.across_regions > MORE_IF_WIDE
    unclear = wide & ~sure & ~likely & ~plain & ~upright

    def shape(place: int) -> str:
        row = table.loc[place]
        text = (
            f"{row.n_timepoints:.0f} frames x {row.n_regions:.0f} regions; neighbours correlate"
            f" {row.autocorrelation:.2f} along frames, {row.across_regions:.2f} along regions"
        )
        if np.isnan(agree[place]):
            return text
        return (
            f"{text}; they do so alike in all scans, r = {row.frames_agree:.2f} and"
            f" {row.regions_agree:.2f}"
        )

    advice = "pass scan.T, a scan is (n_timepoints, n_regions)"
    many, doubt = "more regions than frames", "and it is unclear which axis is time"
    check = "check the shape, a scan is (n_timepoints, n_regions)"
    return [
        *_finding(say, "transposed", "error", sure, "transposed", advice, shape),
        *_finding(say, "transposed", "warning", likely, "perhaps transposed", advice, shape),
        *_finding(say, many, "note", unclear, f"{many}, {doubt}", check, shape),
    ]


def _time_like(correlation: pd.DataFrame) -> pd.Series:
    """Return how much more neighbouring regions correlate than frames; NaN if they hardly do."""
    surplus = correlation.across_regions - correlation.autocorrelation
    return surplus.where(correlation.across_regions > TIME_LIKE)


def region_counts(table: pd.DataFrame, say: Wording) -> list[Finding]:
    """Find scans with another number of regions than most."""
    right = usual(table.n_regions.to_numpy())
    return _finding(
        say,
        "region counts",
        "error",
        table.n_regions != right,
        "another number of regions than most",
        "use one atlas for all",
        lambda place: f"{table.n_regions[place]}, not {right}",
    )


def missing(table: pd.DataFrame, say: Wording) -> list[Finding]:
    """Find values that are NaN or infinite, and scans without any signal."""

    def gaps(place: int) -> str:
        row = table.loc[place]
        return (
            f"{row.missing_cells} cells, among them {row.missing_frames} whole frames and"
            f" {row.missing_regions} whole regions"
        )

    return [
        *_finding(
            say,
            "no signal",
            "error",
            table.flat_regions.map(len) + table.missing_regions == table.n_regions,
            "no region varies",
            "leave out, or load again",
        ),
        *_finding(
            say,
            "infinite values",
            "error",
            table.infinite_cells > 0,
            "infinite values",
            "look for a division by zero in the preprocessing",
            lambda place: f"{table.infinite_cells[place]} cells",
        ),
        *_finding(
            say,
            "missing values",
            "warning",
            table.missing_cells > 0,
            "NaN",
            "are they meant as missing?",
            gaps,
        ),
    ]


def regions(table: pd.DataFrame, say: Wording) -> list[Finding]:
    """Find flat regions, and regions that are copies of each other in the same scan."""
    n_flat = table.flat_regions.map(len)

    def twins(place: int) -> str:
        a, b = table.duplicated_regions[place][0]
        return f"region {say.regions(place, [a])} and {say.regions(place, [b])}"

    return [
        *_finding(
            say,
            "flat regions",
            "warning",
            (n_flat > 0) & (n_flat + table.missing_regions < table.n_regions),
            "constant regions",
            "treated as missing; check the field of view",
            lambda place: f"region {say.regions(place, table.flat_regions[place])}",
        ),
        *_finding(
            say,
            "duplicated regions",
            "warning",
            table.duplicated_regions.map(len) > 0,
            "regions with the same signal",
            "masking one hides nothing; keep one of them",
            twins,
        ),
    ]


def amplitude(table: pd.DataFrame, say: Wording) -> list[Finding]:
    """Find scans already z-scored, raw means, and regions and scans of very different scale."""
    z_scored = table.standardised.astype(bool)
    raw = ~z_scored & table.scale.notna()
    mixed = z_scored.any() and raw.any()
    fewer = z_scored if not mixed or z_scored.sum() <= raw.sum() else raw
    others = f"unlike the other {len(table) - fewer.sum()}"
    what = f"{'' if fewer is z_scored else 'not '}z-scored, {others}"
    pipeline = "bring all scans here by one pipeline"
    ratio = table.scale / table.scale[raw].median()
    return [
        *_finding(
            say,
            "standardised",
            "warning" if mixed else "note",
            fewer,
            what if mixed else "z-scored already, so their amplitudes are lost",
            pipeline if mixed else "nothing to do",
        ),
        *_finding(
            say,
            "units",
            "warning",
            raw & ((ratio > UNITS_RATIO) | (ratio < 1 / UNITS_RATIO)),
            "in other units than most",
            pipeline,
            lambda place: f"{ratio[place]:.2g} times their amplitude",
        ),
        *_finding(
            say,
            "offsets",
            "note",
            (table.offset > OFFSET) & ~(table.rounding > ROUGH),
            "the regions keep their raw means",
            "harmless here, but were the scans denoised?",
            lambda place: f"{table.offset[place]:.0f} SD",
        ),
        *_finding(
            say,
            "scales",
            "note",
            table.scale_ratio > SCALE_RATIO,
            "one region varies far more than the median one",
            "harmless here, each is z-scored; does it lie inside the brain?",
            lambda place: f"{table.scale_ratio[place]:.0f} times",
        ),
    ]


def filled(frames: dict[int, list[int]], say: Wording) -> list[Finding]:
    """Find frames that were not measured; ``frames`` lists them, by place of the scan."""
    return _finding(
        say,
        "filled frames",
        "error",
        pd.Series(True, index=list(frames), dtype=bool),
        "frames that hold one value in all regions, or repeat another frame",
        "censored frames coded as numbers? Mark them as missing by sk_brainmae.timeseries.censor",
        lambda place: spans(frames[place]),
    )


def all_filled(table: pd.DataFrame, say: Wording) -> list[Finding]:
    """Find frames that were not measured, where some region varies."""
    some = table.filled_frames[table.filled_frames.map(len) > 0]
    return filled(dict(zip(some.index.tolist(), some, strict=True)), say)


def frames(table: pd.DataFrame, say: Wording) -> list[Finding]:
    """Find frames that are not like the others: interpolated, unsteady first ones, a drift."""
    stepped = (table.step > DRIFT_SHARE) & (table.step > 1.1 * table.trend)

    def first(place: int) -> str:
        n, level = table.first_frames[place], table.first_level[place]
        return f"{spans(list(range(n)))}, {level:.0f} SD from the mean"

    return [
        *_finding(
            say,
            "interpolated frames",
            "warning",
            table.straight_frames.map(len) > 0,
            "frames on a straight line between their neighbours",
            "interpolated where they were censored? Mark them as missing by"
            " sk_brainmae.timeseries.censor",
            lambda place: spans(table.straight_frames[place]),
        ),
        *_finding(
            say,
            "first frames",
            "warning",
            table.first_frames > 0,
            "the first frames are unsteady",
            "leave them out, as the scanner had not reached its steady state",
            first,
        ),
        *_finding(
            say,
            "drift",
            "warning",
            (table.trend > DRIFT_SHARE) & ~stepped,
            "the signal drifts",
            "remove slow trends first, for example by a high-pass filter",
            lambda place: (
                f"{table.trend[place]:.0%} of the variance from frame 0 to"
                f" {table.n_timepoints[place] - 1} is a slow trend"
            ),
        ),
        *_finding(
            say,
            "step",
            "warning",
            stepped,
            "the level changes once and stays",
            "joined runs? Pass each as a scan of its own, or standardise it before you join them",
            lambda place: (
                f"at frame {table.step_frame[place]}, {table.step[place]:.0%} of the variance"
            ),
        ),
    ]


def counting(table: pd.DataFrame, say: Wording) -> list[Finding]:
    """Find regions that rise evenly from frame to frame."""
    return _finding(
        say,
        "counting regions",
        "error",
        table.counting_regions.map(len) > 0,
        "regions that rise evenly from frame to frame",
        "frame numbers or times, not signals? Remove these columns",
        lambda place: f"region {say.regions(place, table.counting_regions[place])}",
    )


def precision(table: pd.DataFrame, say: Wording) -> list[Finding]:
    """Find signals that were rounded to few values."""
    return _finding(
        say,
        "precision",
        "warning",
        table.rounding > ROUGH,
        "rounded to coarse steps",
        "subtract the means before you save them in few digits, float16 or float32",
        lambda place: f"the smallest is {table.rounding[place]:.2g} SD",
    )


def spikes(table: pd.DataFrame, say: Wording) -> list[Finding]:
    """Find frames that differ from both neighbours far more than frames usually do."""
    share = (table.spikes / table.n_timepoints).fillna(0)
    worst = say.scan(int(table.index.to_numpy()[share.to_numpy().argmax()]))
    most = f"at most {share.max():.1%} of a scan's frames (scan {worst})"
    severity = "warning" if share.max() > SPIKED_SHARE else "note"
    return _finding(say, "spikes", severity, share > 0, f"spikes, {most}", "censor or despike them")


def spectrum(table: pd.DataFrame, say: Wording) -> list[Finding]:
    """Find spectra that do not fit ``t_r``, that differ from the others', or that are no BOLD.

    Warned of are one ``t_r`` if the median edge of the signal over its scans is not within
    0.04-0.16 Hz, scans whose edge is more than twice or less than half the cohort's, and scans
    with 40 % of the power in the upper quarter of the frequencies.
    """
    findings = []
    edge = table.signal_edge / table.t_r.fillna(1)
    for t_r, group in table.groupby("t_r"):
        median = edge[group.index].median()
        size, speed = ("large", "slow") if median < SLOWEST_EDGE else ("small", "fast")
        findings += _finding(
            say,
            "spectrum",
            "warning",
            pd.Series(median < SLOWEST_EDGE or median > FASTEST_EDGE, index=group.index),
            f"too {speed} for BOLD at t_r={t_r:g} s, the signal ends at {median:.3g} Hz (expected:"
            f" {SLOWEST_EDGE:g}-{FASTEST_EDGE:g})",
            f"t_r, in seconds, looks too {size}, or the filter is unusual",
        )
    ratio = edge / edge.median()
    return [
        *findings,
        *_finding(
            say,
            "spectrum",
            "warning",
            (ratio > OTHER_EDGE) | (ratio < 1 / OTHER_EDGE),
            "another spectrum than most",
            "another t_r or filter?",
            lambda place: f"{ratio[place]:.2g} times their frequencies",
        ),
        *_finding(
            say,
            "spectrum",
            "warning",
            table.near_nyquist > NEAR_NYQUIST,
            "mostly fast",
            "differenced or aliased? BOLD is slow",
            lambda place: (
                f"{table.near_nyquist[place]:.0%} of the power in the upper quarter of the"
                " frequencies"
            ),
        ),
    ]


def foreign(table: pd.DataFrame, say: Wording) -> list[Finding]:
    """Find scans whose FC is unlike the group's."""
    r = table.resemblance
    median = r.median()
    return _finding(
        say,
        "foreign",
        "warning",
        (r < median / 2) & (robust_z(r.to_numpy()) < FOREIGN_Z) & (median > GROUP_RESEMBLANCE),
        "FC unlike the group's",
        "another region order, or a failed registration?",
        lambda place: f"r = {r[place]:.2f}, usually {median:.2f}",
    )


def duplicates(copies: list[Copy], places: list[int], say: Wording) -> list[Finding]:
    """Tell of copied runs, whose places in the input are ``places``."""
    if not copies:
        return []
    words = {
        "identical": "is identical to",
        "rescaled": "is the same up to scaling as",
        "start of": "begins with the same frames as",
    }
    shown = [
        f"{say.scan(places[c.scan])} {words[c.how]} {say.scan(places[c.original])}" for c in copies
    ]
    text = f"duplicates, scan {some(shown)}: keep one, or give them one group; otherwise folds leak"
    involved = sorted({places[i] for c in copies for i in (c.scan, c.original)})
    return [Finding("duplicates", "error", tuple(involved), text)]


# The rules for scans that are not transposed.
UPRIGHT: tuple[Callable[[pd.DataFrame, Wording], list[Finding]], ...] = (
    region_counts,
    missing,
    regions,
    amplitude,
    precision,
    spectrum,
    all_filled,
    frames,
    counting,
    spikes,
    foreign,
)


def _finding(
    say: Wording,
    kind: str,
    severity: str,
    odd: pd.Series,
    what: str,
    advice: str,
    detail: Callable[[int], str] | None = None,
) -> list[Finding]:
    """Return "scans: what (detail of the first): advice", if there are odd scans."""
    places = tuple(int(place) for place in odd.index[odd.to_numpy(dtype=bool)])
    if not places:
        return []
    told = f" {say.first(places, detail(places[0]))}" if detail else ""
    return [Finding(kind, severity, places, f"{say.scans(places)}: {what}{told}: {advice}")]
