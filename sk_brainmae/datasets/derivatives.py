"""Scans from folders: of XCP-D, HALFpipe, fMRIPrep, CIFTI series, HCP-style and plain ones."""

import warnings
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils import Bunch

from sk_brainmae.datasets.choice import choose
from sk_brainmae.datasets.formats import FORMATS, Format, check_seconds
from sk_brainmae.datasets.images import fmriprep_format
from sk_brainmae.datasets.layouts import find_scans, left_beside
from sk_brainmae.datasets.lazy import LazyScan, difference_of_regions
from sk_brainmae.datasets.names import ScanFile, suffix_of
from sk_brainmae.datasets.participants import join_participants
from sk_brainmae.datasets.xcpd import XCPD_PTSERIES, XCPD_TABLE

T_R_TOLERANCE = 0.005  # sidecars and headers round


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
        Where to look, including subfolders and links to folders.
    layout : {"auto", "xcpd", "cifti", "fmriprep", "hcp", "plain"}, default="auto"
        How the folder is laid out. "auto" takes the only layout that is found, and raises where
        two hold different files.

        - "xcpd": parcellated time series of XCP-D or HALFpipe, ``sub-*_timeseries.tsv``, with a
          header of region names or, if its numbers have fractions, none. Frames that
          ``*_outliers.tsv`` marks are rows of NaN, whether XCP-D removed them (linc mode) or
          interpolated them.
        - "cifti": parcellated CIFTI series with BIDS names, ``sub-*.ptseries.nii``; censored
          frames as in "xcpd".
        - "fmriprep": ``sub-*_desc-preproc_bold.nii.gz``, averaged over the regions of ``atlas``
          and cleaned by nilearn's load_confounds and NiftiLabelsMasker.
        - "hcp": ``<subject>/**/*.npy``, ``.npz`` or ``.ptseries.nii``. The session is that of a
          folder ``ses-<label>``, else the folder around the file. A BIDS name tells the subject
          itself.
        - "plain": ``.csv``, ``.tsv``, ``.npy``, ``.npz``, ``.mat`` or ``.ptseries.nii`` files
          right in the folder, one scan each. The file's stem is the subject, or a BIDS name. A
          table's first line names the regions if it is text, counts the columns, or holds
          rising whole numbers (an atlas' labels). Refused are first lines that could be names or
          a frame, columns that count frames or tell times, and connectivity matrices.
    atlas : str or Path, optional
        For images: "schaefer-100" (to -1000, 7 networks, in MNI152NLin6Asym space, through
        nilearn), or the path of a labels image in the images' space; a table beside it with the
        columns index and name gives the names. For other files: the label of the entity atlas
        or seg or, where the name has neither, a part of the name. Needed where there are several.
    session, task : str, optional
        Only scans with this label, as in "ses-<label>", "task-<label>". None: all.
    run : int or str, optional
        Only this run; 1 is 01, "" means scans without a run. None: all.
    entities : mapping of str to str, optional
        Further labels to choose by, such as ``{"space": "MNI152NLin6Asym", "res": "2"}``.
    t_r : float, optional
        Repetition time in s, below 60, if the files tell none, or a wrong one.
    participants : DataFrame, str or Path, optional
        Phenotypes with the column participant_id, with or without "sub-". None: the folder's
        ``participants.tsv``, if there is one.
    confounds : mapping, optional
        Arguments of nilearn's load_confounds, such as ``{"strategy": ("motion", "wm_csf")}``.
        None: nilearn's defaults: 24 motion parameters, the means of white matter and CSF, and
        fMRIPrep's cosines above 128 s. Frames that "scrub" censors are rows of NaN.
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
        - ``entities``: DataFrame, one row per scan: ses, task, run, ... from the file names.
        - ``region_names``: list of str, or None where no file names them.
        - ``t_r``: float in s, ndarray of shape (n_scans,) if scans differ (NaN: unknown), or
          None if no file tells it.
        - ``files``: list of Path.
        - ``left_out``: dict of lists: "files" of the layout that were not chosen, and others
          right in the folder that may hold scans; "participants" without a scan.
        - ``description``: str.

    Raises
    ------
    FileNotFoundError
        If there are no scans; the message says what was looked for.
    TypeError
        If ``confounds`` is not a mapping.
    ValueError
        If several layouts, atlases, spaces or files of one scan leave a choice open, if scans
        differ in their regions, or if a file is damaged or not numeric. The message names the
        file and the region, or line and column.

    Warns
    -----
    UserWarning
        If subjects have no phenotypes, if ``t_r`` contradicts the files, if joined runs seem to
        lie beside their parts, if folders taken as subjects look like groups, or if files taken
        as subjects look like scans of one.

    See Also
    --------
    sk_brainmae.datasets.make_cohort : Simulated scans with known truth.

    Notes
    -----
    Traps: fMRIPrep writes MNI152NLin2009cAsym by default, some mm off the space of the Schaefer
    atlas; ask it for MNI152NLin6Asym. Files of shape (n_regions, n_timepoints) need transposing.
    Sessions and runs of a subject are separate scans: keep them on one side of a split by
    ``groups=subjects``.

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
    scans = [LazyScan(file.path, how) for file, how in zip(files, formats, strict=True)]

    subjects = [file.subject for file in files]
    phenotypes, without_scan = join_participants(subjects, participants)
    region_names = _common_regions(scans)
    times = _repetition_times(scans, t_r)
    chosen = {file.path for file in files}
    left = [file.path for file in found if file.path not in chosen]
    left += left_beside(folder, found, table)
    n_regions = len(region_names) if region_names else scans[0].shape[1]
    for scan in scans:
        scan.n_regions = n_regions
    return Bunch(
        scans=scans if lazy else [np.array(scan.read(), order="C") for scan in scans],
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
    of_xcpd = {"xcpd": XCPD_TABLE, "cifti": XCPD_PTSERIES}
    return [of_xcpd.get(layout) or FORMATS[suffix_of(file.path)] for file in files]


def _common_regions(scans: list[LazyScan]) -> list[str] | None:
    """Return the region names, on which all files must agree; None if none has names."""
    first = scans[0].region_names()
    if first and (twice := [name for name, n in Counter(first).items() if n > 1]):
        raise ValueError(f"{scans[0].path}: two of its regions are named {twice[0]!r}")
    for scan in scans[1:]:
        if (names := scan.region_names()) != first:
            raise ValueError(
                f"{scan.path}: {difference_of_regions(names, first)} {scans[0].path}."
                " Scans must have the same regions in the same order"
            )
    return first


def _repetition_times(scans: list[LazyScan], t_r: float | None) -> float | NDArray | None:
    """Return the repetition time of all scans, or one each; the user's goes before the files'."""
    told = np.full(len(scans), np.nan)
    for i, scan in enumerate(scans):
        if (value := scan.t_r()) is not None:
            told[i] = value if t_r else check_seconds(value, f"{scan.path}: the repetition time")
    if t_r is not None:
        if (odd := np.flatnonzero(np.abs(told - t_r) > T_R_TOLERANCE * t_r)).size:
            warnings.warn(
                f"t_r={t_r:g} is used, but {odd.size} of {len(scans)} files tell another, the first"
                f" {told[odd[0]]:g} s: {scans[odd[0]].path}",
                stacklevel=3,
            )
        return t_r
    if np.isnan(told).all():
        return None
    return float(told[0]) if np.ptp(told) <= T_R_TOLERANCE * told[0] else told
