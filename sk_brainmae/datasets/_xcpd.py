"""XCP-D's parcellated time series, censored frames put back as missing."""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sk_brainmae.datasets._formats import Format, read_table, sidecar_t_r, table_regions
from sk_brainmae.datasets._layouts import source_name


def read_xcpd(path: Path) -> NDArray:
    """Return the frames, (n_timepoints, n_regions); n/a and censored frames are NaN."""
    kept = read_table(path, "\t", named=True)
    outliers = path.with_name(f"{source_name(path)}_outliers.tsv")
    if not outliers.exists():
        return kept
    censored = pd.read_csv(outliers, sep="\t").iloc[:, 0].to_numpy() != 0
    if len(censored) == len(kept):
        return kept
    if len(censored) - censored.sum() != len(kept):
        raise ValueError(
            f"it has {len(kept)} frames, but {outliers.name} tells of {len(censored)},"
            f" {censored.sum()} of them censored"
        )
    frames = np.full((len(censored), kept.shape[1]), np.nan, dtype=np.float32)
    frames[~censored] = kept
    return frames


def image_sidecar_t_r(path: Path) -> float | None:
    """Return the repetition time XCP-D wrote beside the denoised image of the same run."""
    sidecars = sorted(path.parent.glob(f"{source_name(path)}_*_bold.json"))
    return next((t_r for sidecar in sidecars if (t_r := sidecar_t_r(sidecar))), None)


XCPD = Format(read_xcpd, partial(table_regions, sep="\t", named=True), image_sidecar_t_r)
