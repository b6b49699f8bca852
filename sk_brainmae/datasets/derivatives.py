"""Scans from folders: of XCP-D, HALFpipe, fMRIPrep, CIFTI series, HCP-style and plain ones."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils import Bunch

from sk_brainmae.datasets.fmriprep import fmriprep_format
from sk_brainmae.datasets.formats import (
    FORMATS,
    Format,
    check_is_scan,
    check_seconds,
    sidecar_t_r,
    stem_of,
    suffix_of,
)
from sk_brainmae.datasets.layouts import ScanFile, choose, find_scans, left_beside
from sk_brainmae.datasets.participants import join_participants
from sk_brainmae.datasets.xcpd import XCPD_PTSERIES, XCPD_TABLE

T_R_TOLERANCE = 0.005  # sidecars and headers round


@dataclass(eq=False)
class LazyScan:
    """A scan that stays in its file: read each time its frames are asked for, never kept.

    Accepted wherever a scan is; ``np.asarray(scan)`` reads it. Frames of .npy files are mapped
    into memory, so that asking for some of them reads no more than these.

    Attributes
    ----------
    path : Path
        The file.
    format : Format
        How it is read.
    n_regions : int or None
        Number of regions it must have; None: any.
    """

    path: Path
    format: Format
    n_regions: int | None = None
    ndim: ClassVar[int] = 2
    _shape: tuple[int, int] | None = field(default=None, init=False, repr=False)

    def read(self) -> NDArray:
        """Return the frames, shape (n_timepoints, n_regions), or raise naming the file."""
        try:
            frames = self.format.read(self.path)
            check_is_scan(frames)
        except Exception as error:  # damage makes parsers raise anything
            raise _in_file(self.path, error) from error
        if self.n_regions not in (None, frames.shape[1]):
            raise ValueError(
                f"{self.path}: it has {frames.shape[1]} regions ({frames.shape[0]} frames), the"
                f" first scan has {self.n_regions}. A scan is (n_timepoints, n_regions): transpose"
                " files that are not"
            )
        self._shape = frames.shape
        return frames

    @property
    def shape(self) -> tuple[int, int]:
        """Frames and regions, ``(n_timepoints, n_regions)``; the file is read once to tell."""
        return self._shape or self.read().shape

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray:
        return np.array(self.read(), dtype=dtype, copy=copy)


def load_derivatives(
    folder: str | Path,
    *,
    layout: str = "auto",
    atlas: str | Path | None = None,
    session: str | None = None,
    task: str | None = None,
    run: int | str | None = None,
    entities: Mapping[str, str] | None = None,
    t_r: float | None = None,
    participants: pd.DataFrame | str | Path | None = None,
    confounds: Mapping[str, Any] | None = None,
    memory: Any = None,
    lazy: bool = False,
) -> Bunch:
    """Load the scans of a folder of preprocessed data, whatever wrote it.

    Nothing is filled or resampled. Regions and frames that the preprocessing left out are NaN:
    columns of "n/a" in XCP-D's tables, labels outside the field of view, censored frames.

    Parameters
    ----------
    folder : str or Path
        Where to look, subfolders and links to folders included.
    layout : {"auto", "xcpd", "cifti", "fmriprep", "hcp", "plain"}, default="auto"
        What the folder looks like. "auto" takes the one that is found, and asks to choose where
        two hold different files.

        - "xcpd": parcellated time series of XCP-D or HALFpipe, ``sub-*_timeseries.tsv``, with a
          header of region names or, if its numbers have fractions, none. Frames that
          ``*_outliers.tsv`` marks come as rows of NaN, whether they were removed (linc mode) or
          interpolated.
        - "cifti": parcellated CIFTI series with BIDS names, ``sub-*.ptseries.nii``; censored
          ones as those of XCP-D.
        - "fmriprep": ``sub-*_desc-preproc_bold.nii.gz``, averaged over the regions of ``atlas``
          and cleaned by nilearn's load_confounds and NiftiLabelsMasker.
        - "hcp": ``<subject>/**/*.npy``, ``.npz`` or ``.ptseries.nii``; a folder ``ses-<label>``,
          or else the folder around a file, is its session. A file with a BIDS name tells its
          subject itself.
        - "plain": ``.csv``, ``.tsv``, ``.npy``, ``.npz``, ``.mat`` or ``.ptseries.nii`` files
          right in the folder, one scan each. The file's stem is the subject, or a BIDS name. A
          table's first line names the regions if it is text, counts the columns, or holds
          rising whole numbers (an atlas' labels). What could be names or a frame is refused, as
          are columns that count frames or tell times, and connectivity matrices.
    atlas : str or Path, optional
        For images: "schaefer-100" (to -1000, 7 networks, in MNI152NLin6Asym space, through
        nilearn), or the path of a labels image in the images' space; names come from a table
        with the columns index and name beside it. For all others: the label of the entity atlas
        or seg, or, of files that have neither, a part of the name. Needed where there is more
        than one.
    session, task : str, optional
        Only scans of this label, as in "ses-<label>", "task-<label>". None: all.
    run : int or str, optional
        Only this run; 1 is 01, "" those without. None: all.
    entities : mapping of str to str, optional
        Further labels to choose by, such as ``{"space": "MNI152NLin6Asym", "res": "2"}``.
    t_r : float, optional
        Repetition time in s, below 60, if the files tell none, or a wrong one.
    participants : DataFrame, str or Path, optional
        Phenotypes with the column participant_id, with or without "sub-". None: the folder's
        ``participants.tsv``, if there is one.
    confounds : mapping, optional
        Arguments of nilearn's load_confounds, such as ``{"strategy": ("motion", "wm_csf")}``.
        None: nilearn's own, that is 24 motion parameters, the means of white matter and CSF,
        and fMRIPrep's cosines above 128 s. Frames that "scrub" censors come as NaN.
    memory : str, Path or joblib.Memory, optional
        Where averages over regions are cached. None: nowhere.
    lazy : bool, default=False
        Leave the scans in their files: :class:`LazyScan` objects, read when they are used.

    Returns
    -------
    Bunch
        With the attributes

        - ``scans``: list of ndarrays or LazyScans of shape (n_timepoints, n_regions), sorted by
          path. Text, CIFTI and images give float32, arrays their own type.
        - ``subjects``: ndarray of shape (n_scans,), such as "sub-01".
        - ``phenotypes``: DataFrame, one row per scan; only participant_id without participants.
        - ``entities``: DataFrame, one row per scan: ses, task, run, ... as the file names have
          them.
        - ``region_names``: list of str, or None where no file names them.
        - ``t_r``: float in s, ndarray of shape (n_scans,) if scans differ (NaN: unknown), or
          None if no file tells it.
        - ``files``: list of Path.
        - ``left_out``: dict of lists: "files" of the layout that were not chosen and others
          right in the folder that may hold scans, "participants" without a scan.
        - ``description``: str.

    Raises
    ------
    FileNotFoundError
        If there are no scans; the message says what was looked for.
    ValueError
        If layouts, atlases, spaces or two files of the same scan leave a choice open, if scans
        differ in their regions, or if a file is damaged or not numeric. The message names the
        file and the region, or line and column.

    Warns
    -----
    UserWarning
        If subjects have no phenotypes, ``t_r`` contradicts the files, scans without run or
        direction lie beside those they may have been joined from, folders taken as subjects look
        like groups, or files taken as subjects like scans of one.

    See Also
    --------
    sk_brainmae.datasets.make_cohort : Simulated scans with known truth.

    Notes
    -----
    Traps: fMRIPrep writes MNI152NLin2009cAsym unless told otherwise, some mm off the space of the
    Schaefer atlas; ask it for MNI152NLin6Asym. Pipelines that write (n_regions, n_timepoints)
    need transposing. Sessions and runs of a subject are scans of their own: keep them on one
    side of a split through ``groups=subjects``.

    Examples
    --------
    >>> from sk_brainmae.datasets import load_derivatives
    >>> data = load_derivatives("derivatives/xcp_d", atlas="4S156Parcels", task="rest", lazy=True)
    ... # doctest: +SKIP
    """
    folder = Path(folder)
    if t_r is not None:
        t_r = check_seconds(float(t_r), "t_r")
    beside = folder / "participants.tsv"
    if participants is None and beside.exists():
        participants = beside
    table = Path(participants) if isinstance(participants, (str, Path)) else None
    layout, found = find_scans(folder, layout, table)
    wanted = {
        "atlas": None if layout == "fmriprep" else atlas,
        "ses": session,
        "task": task,
        "run": run,
        **(entities or {}),
    }
    files = choose(found, {name: str(label) for name, label in wanted.items() if label is not None})
    formats = _formats(files, layout, atlas, confounds, memory)

    subjects = [file.subject for file in files]
    phenotypes, without_scan = join_participants(subjects, participants)
    region_names = _common_regions(files, formats)
    times = _repetition_times(files, formats, t_r)
    chosen = {file.path for file in files}
    left = [file.path for file in found if file.path not in chosen]
    left += left_beside(folder, found, table)
    return Bunch(
        scans=_scans(files, formats, region_names, lazy),
        subjects=np.array(subjects),
        phenotypes=phenotypes,
        entities=pd.DataFrame([file.entities for file in files]),
        region_names=region_names,
        t_r=times,
        files=[file.path for file in files],
        left_out={"files": left, "participants": without_scan},
        description=f"{len(files)} scans of {len(set(subjects))} subjects in {folder} ({layout},"
        f" {len(left)} files left out)",
    )


def _formats(
    files: list[ScanFile],
    layout: str,
    atlas: str | Path | None,
    confounds: Mapping[str, Any] | None,
    memory: Any,
) -> list[Format]:
    """Return how each file is read."""
    if layout == "fmriprep":
        return [fmriprep_format(atlas, confounds, memory)] * len(files)
    if confounds is not None:
        raise ValueError(f"confounds= is for images; the layout {layout!r} holds time series")
    if layout == "xcpd":
        return [XCPD_TABLE] * len(files)
    if layout == "cifti":
        return [XCPD_PTSERIES] * len(files)
    return [FORMATS[suffix_of(file.path)] for file in files]


def _scans(
    files: list[ScanFile], formats: list[Format], region_names: list[str] | None, lazy: bool
) -> list[Any]:
    """Return the scans, read or lazy; all must have as many regions as the first."""
    n_regions = len(region_names) if region_names else None
    n_regions = n_regions or LazyScan(files[0].path, formats[0]).shape[1]
    scans = [LazyScan(file.path, how, n_regions) for file, how in zip(files, formats, strict=True)]
    return scans if lazy else [np.array(scan.read(), order="C") for scan in scans]


def _common_regions(files: list[ScanFile], formats: list[Format]) -> list[str] | None:
    """Return the region names all files agree on; None if none has names."""
    first: list[str] | None = None
    for i, (file, how) in enumerate(zip(files, formats, strict=True)):
        try:
            names = how.regions(file.path)
        except Exception as error:
            raise _in_file(file.path, error) from error
        first = names if i == 0 else first
        if names != first:
            raise ValueError(
                f"{file.path}: {difference_of_regions(names, first)} {files[0].path}."
                " Scans must have the same regions in the same order"
            )
    return first


def difference_of_regions(names: list[str] | None, first: list[str] | None) -> str:
    """Say what tells a scan's region names from the first scan's."""
    if names is None or first is None:
        return "its regions have no names, unlike those of" if first else "it has names, unlike"
    if missing := [name for name in first if name not in set(names)]:
        return f"it lacks the region {missing[0]!r} ({len(missing)} in all) of"
    if extra := [name for name in names if name not in set(first)]:
        return f"it has the region {extra[0]!r} ({len(extra)} in all), unknown to"
    i = next(i for i, (a, b) in enumerate(zip(names, first, strict=True)) if a != b)
    return f"its regions are in another order: region {i} is {names[i]!r}, but {first[i]!r} in"


def _repetition_times(
    files: list[ScanFile], formats: list[Format], t_r: float | None
) -> float | NDArray | None:
    """Return the repetition time of all scans, or one each; what the user says goes first."""
    told = np.full(len(files), np.nan)
    for i, (file, how) in enumerate(zip(files, formats, strict=True)):
        if (value := _repetition_time(file.path, how)) is not None:
            told[i] = value if t_r else check_seconds(value, f"{file.path}: the repetition time")
    if t_r is not None:
        if (odd := np.flatnonzero(np.abs(told - t_r) > T_R_TOLERANCE * t_r)).size:
            warnings.warn(
                f"t_r={t_r:g} is used, but {odd.size} of {len(files)} files tell another, the first"
                f" {told[odd[0]]:g} s: {files[odd[0]].path}",
                stacklevel=3,
            )
        return t_r
    if np.isnan(told).all():
        return None
    return float(told[0]) if np.ptp(told) <= T_R_TOLERANCE * told[0] else told


def _repetition_time(path: Path, how: Format) -> float | None:
    """Return what the file's sidecar tells, else its header."""
    try:
        told = sidecar_t_r(path.with_name(f"{stem_of(path)}.json"))
        return how.t_r(path) if told is None else told
    except Exception as error:
        raise _in_file(path, error) from error


def _in_file(path: Path, error: Exception) -> ValueError:
    return ValueError(f"{path}: {str(error) or type(error).__name__}")
