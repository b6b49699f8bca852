"""XCP-D's parcellated time series, with censored frames put back as missing."""

import re
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sk_brainmae.datasets.formats import FORMATS, Format, sidecar_t_r, table_format
from sk_brainmae.datasets.names import PTSERIES, source_name

# Columns that mark outliers by 1, and those that tell which frames an analysis of equally many
# frames leaves out at random: these stay in the series.
MARK = re.compile(
    r"framewise_displacement|fd|(std_|denoised_)?dvars|rmsd|denoising|interpolation|outliers?"
    r"|(motion|non_steady_state)_outlier_?\d*",
    re.I,
)
SUBSET = re.compile(r"exact_\d+$")


def _read(path: Path, series: Format) -> NDArray:
    """Return the frames, (n_timepoints, n_regions); those that XCP-D censored are NaN."""
    kept = series.read(path)
    outliers = path.with_name(f"{source_name(path)}_outliers.tsv")
    if not outliers.exists():
        return kept
    censored = _censored(outliers)
    if len(censored) == len(kept):  # interpolated: XCP-D, too, leaves these out of connectivity
        return np.where(censored[:, None], np.float32(np.nan), kept)
    if len(censored) - censored.sum() != len(kept):
        raise ValueError(
            f"it has {len(kept)} frames, but {outliers.name} has {len(censored)},"
            f" {censored.sum()} of them censored"
        )
    frames = np.full((len(censored), kept.shape[1]), np.nan, dtype=np.float32)
    frames[~censored] = kept
    return frames


def _censored(outliers: Path) -> NDArray:
    """Return which frames any column of XCP-D's table of outliers marks, (n_frames,)."""
    name = f"{outliers.name} beside it"
    try:
        table = pd.read_csv(outliers, sep="\t")
    except ValueError as error:
        raise ValueError(f"{name} is damaged: {error}") from None
    marks = [column for column in table if MARK.fullmatch(str(column))]
    others = [column for column in table if column not in marks and not SUBSET.match(str(column))]
    if others or not marks:
        what = f"a column {others[0]!r}, which is not known to mark" if others else "no column of"
        raise ValueError(
            f"{name} has {what} outliers: marks are called framewise_displacement, dvars,"
            " motion_outlier00 and the like; rename or remove other columns"
        )
    censored = np.zeros(len(table), dtype=bool)
    for column in marks:
        values = pd.to_numeric(table[column], errors="coerce").to_numpy(dtype=float)
        if (without := np.flatnonzero(np.isnan(values))).size:
            raise ValueError(f"{name} has no number in row {without[0] + 1} of {column}")
        if (odd := values[~np.isin(values, (0, 1))]).size:
            raise ValueError(
                f"{name} holds {odd[0]:g} in the column {column}: marks of outliers are 0 or 1"
            )
        censored |= values == 1
    return censored


def _t_r(path: Path, series: Format) -> float | None:
    """Return the series' repetition time, or the one beside XCP-D's denoised image of the run."""
    if told := series.t_r(path):
        return told
    source = source_name(path)
    beside = sorted(path.parent.glob(f"{source}_*_bold.json"))
    sidecars = [sidecar for sidecar in beside if source_name(sidecar) == source]
    return next((t_r for sidecar in sidecars if (t_r := sidecar_t_r(sidecar))), None)


def _xcpd_format(series: Format) -> Format:
    return Format(partial(_read, series=series), series.regions, partial(_t_r, series=series))


XCPD_TABLE = _xcpd_format(table_format("\t", labelled=True))
XCPD_PTSERIES = _xcpd_format(FORMATS[PTSERIES])
