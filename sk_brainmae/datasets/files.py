"""Scans right in a folder, each as its file has it: what the command line reads."""

from pathlib import Path

import pandas as pd

from sk_brainmae.datasets.formats import FORMATS
from sk_brainmae.datasets.layouts import find_scans
from sk_brainmae.datasets.lazy import LazyScan, difference_of_regions
from sk_brainmae.datasets.names import stem_of, suffix_of


def read_scans(
    folder: str | Path, phenotypes: str | Path | None = None
) -> tuple[list[pd.DataFrame], list[str]]:
    """Read the plain files of a folder; return the scans, (n_timepoints, n_regions), and their ids.

    The columns are the region names, or 0, 1, ... without. Ids are file names without suffix.
    Unlike in ``load_derivatives``, scans may differ in their number of regions; ``check_scans``
    reports that. ``phenotypes`` is a table that is not a scan, if it lies in the folder.
    """
    _, files = find_scans(Path(folder), "plain", None if phenotypes is None else Path(phenotypes))
    paths: dict[str, Path] = {}
    for file in files:
        other = paths.setdefault(stem_of(file.path), file.path)
        if other is not file.path:
            raise ValueError(f"two scans have the id {stem_of(other)}: {other} and {file.path}")
    scans = []
    first: dict[int, tuple[list[str] | None, Path]] = {}  # names by the number of regions
    for path in paths.values():
        scan = LazyScan(path, FORMATS[suffix_of(path)])
        frames, names = scan.read(), scan.region_names()
        expected, of = first.setdefault(frames.shape[1], (names, path))
        if names != expected:
            raise ValueError(
                f"{path}: {difference_of_regions(names, expected)} {of}. Name the regions alike in"
                " all files, in one order"
            )
        scans.append(pd.DataFrame(frames, columns=names, copy=False))
    return scans, list(paths)
