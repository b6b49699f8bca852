"""Scans right in a folder, each as its file has it: what the command line reads."""

from pathlib import Path

import pandas as pd

from sk_brainmae.datasets.derivatives import LazyScan, difference_of_regions
from sk_brainmae.datasets.formats import FORMATS, stem_of, suffix_of
from sk_brainmae.datasets.layouts import find_scans


def read_scans(
    folder: str | Path, phenotypes: str | Path | None = None
) -> tuple[list[pd.DataFrame], list[str]]:
    """Read the files of a folder that hold one scan each.

    Unlike :func:`~sk_brainmae.datasets.load_derivatives`, scans may differ in their number of
    regions, so that :func:`~sk_brainmae.doctor.check_scans` can say what is wrong with them.

    Parameters
    ----------
    folder : str or Path
        Its csv, tsv, npy, npz, mat and ptseries.nii files are read in the order of their names;
        hidden files, subfolders and ``participants.tsv`` are not.
    phenotypes : str or Path, optional
        A table that is no scan, if it lies in the folder.

    Returns
    -------
    scans : list of DataFrame of shape (n_timepoints_i, n_regions_i)
        Their columns are the region names, or 0, 1, ... where the file has none. Cells without a
        value are NaN. npy files are memory-mapped.
    ids : list of str
        The file names without their endings.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or if it holds no scans.
    ValueError
        If a file cannot be read, naming file and place; if two files have one id, or if files of
        the same number of regions name them differently, in another order, or not at all.
    """
    _, files = find_scans(Path(folder), "plain", None if phenotypes is None else Path(phenotypes))
    paths: dict[str, Path] = {}
    for file in files:
        other = paths.setdefault(stem_of(file.path), file.path)
        if other is not file.path:
            raise ValueError(f"two scans have the id {stem_of(other)}: {other} and {file.path}")
    scans = [_read(path) for path in paths.values()]
    _check_region_names(scans, list(paths.values()))
    return scans, list(paths)


def _read(path: Path) -> pd.DataFrame:
    how = FORMATS[suffix_of(path)]
    frames = LazyScan(path, how).read()
    return pd.DataFrame(frames, columns=how.regions(path), copy=False)


def _check_region_names(scans: list[pd.DataFrame], paths: list[Path]) -> None:
    """Raise where regions differ from those of the first file of as many."""
    firsts: dict[int, int] = {}
    for i, scan in enumerate(scans):
        first = firsts.setdefault(scan.shape[1], i)
        names, expected = (_names(scans[k]) for k in (i, first))
        if names != expected:
            how = difference_of_regions(names, expected)
            raise ValueError(
                f"{paths[i]}: {how} {paths[first]}. Name the regions alike in all files, in one"
                " order"
            )


def _names(scan: pd.DataFrame) -> list[str] | None:
    return None if isinstance(scan.columns, pd.RangeIndex) else list(scan.columns)
