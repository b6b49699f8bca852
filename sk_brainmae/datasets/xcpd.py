"""XCP-D's parcellated time series, with censored frames put back as missing."""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sk_brainmae.datasets.formats import FORMATS, Format, sidecar_t_r, table_format
from sk_brainmae.datasets.names import PTSERIES, source_name


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
    """Return which frames XCP-D's table of outliers marks by a number other than 0, (n_frames,)."""
    try:
        marks = pd.read_csv(outliers, sep="\t").iloc[:, 0].to_numpy(dtype=float)
    except (ValueError, IndexError) as error:
        raise ValueError(f"{outliers.name} beside it is damaged: {error}") from None
    if (without := np.flatnonzero(np.isnan(marks))).size:
        raise ValueError(f"{outliers.name} beside it has no value in row {without[0] + 1}")
    return marks != 0


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
