"""Images as scans: averaged over the regions of an atlas, and cleaned, by nilearn."""

import os
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd
from nilearn.datasets import fetch_atlas_schaefer_2018
from nilearn.interfaces.bids import parse_bids_filename
from nilearn.interfaces.fmriprep import load_confounds
from nilearn.maskers import NiftiLabelsMasker
from numpy.typing import NDArray
from sklearn.utils.validation import check_memory

from sk_brainmae.datasets.formats import Format


@dataclass(frozen=True)
class Atlas:
    """A labels image."""

    image: str  # its path
    names: dict[int, str]  # by label
    in_mni: bool  # known to be in MNI space


def read_atlas(atlas: str | Path, data_dir: str | Path | None = None) -> Atlas:
    """Return "schaefer-<n>" (7 networks, fetched by nilearn), or the labels image at this path.

    A table beside it with the columns index and name, as in BIDS, names its labels.
    """
    if named := re.fullmatch(r"schaefer-(\d+)", str(atlas)):
        schaefer = fetch_atlas_schaefer_2018(n_rois=int(named[1]), data_dir=data_dir, verbose=0)
        table = schaefer.lut[schaefer.lut["name"] != "Background"]
        return Atlas(str(schaefer.maps), _names(table), in_mni=True)
    path = Path(atlas)
    if not path.is_file():
        raise FileNotFoundError(
            f"atlas {str(atlas)!r} is neither 'schaefer-<n>' nor the path of a labels image"
        )
    try:
        values = np.unique(np.asanyarray(nibabel.Nifti1Image.from_filename(path).dataobj))
    except Exception as error:  # damage makes parsers raise anything
        raise ValueError(f"the atlas {path} is no NIfTI image: {error}") from error
    if (odd := values[~np.isfinite(values) | (values != np.round(values))]).size:
        raise ValueError(
            f"the atlas {path} holds {odd[0]:g}, not a label: pass an image of whole numbers"
        )
    labels = [int(value) for value in values if value != 0]
    beside = path.with_name(path.name.split(".nii")[0] + ".tsv")
    names = _names_beside(beside) if beside.exists() else {}
    if names and (without := [label for label in labels if label not in names]):
        warnings.warn(
            f"{beside} names no label {without[0]} ({len(without)} of {len(labels)} have no name):"
            " is it the table of this atlas?",
            stacklevel=3,
        )
    known = {label: names.get(label, f"label_{label}") for label in labels}
    return Atlas(str(path), known, in_mni=False)


def _names_beside(path: Path) -> dict[int, str]:
    try:
        return _names(pd.read_csv(path, sep="\t", keep_default_na=False))  # NA may be a name
    except KeyError as error:
        raise ValueError(f"{path} has no column {error}: give labels an index and a name") from None
    except ValueError as error:
        raise ValueError(f"{path} is not a table of index and name: {error}") from None


def _names(table: pd.DataFrame) -> dict[int, str]:
    """Return the names by label; raise where a label or a name is given twice."""
    labels = pd.to_numeric(table["index"]).to_numpy(dtype=float)
    if (odd := labels[labels != np.round(labels)]).size:
        raise ValueError(f"label {odd[0]:g} is not a whole number")
    names = table["name"].astype(str)
    for what, values in (("label", pd.Series(labels.astype(int))), ("name", names)):
        if twice := values[values.duplicated()].tolist():
            raise ValueError(f"it has the {what} {twice[0]!r} in more than one row")
    return dict(zip(labels.astype(int).tolist(), names, strict=True))


def region_means(
    path: str | Path,
    atlas: Atlas,
    confounds: Any = None,
    kept: NDArray | None = None,
    memory: Any = None,
    **cleaning: Any,
) -> NDArray:
    """Return the cleaned mean signal of each label, (n_timepoints, n_labels), float32.

    Frames not ``kept`` are rows of NaN, so that no time is lost; labels without a voxel in the
    image are columns of NaN. ``cleaning`` are arguments of NiftiLabelsMasker. Results cached in
    ``memory`` count only as long as the files do not change.
    """
    stamps = [
        (str(file), os.stat(file).st_size, os.stat(file).st_mtime_ns)
        for file in (path, atlas.image)
    ]
    return check_memory(str(memory) if isinstance(memory, Path) else memory).cache(_region_means)(
        stamps, atlas.names, confounds, kept, cleaning
    )


def _region_means(
    stamps: list[tuple[str, int, int]],
    names: dict[int, str],
    confounds: Any,
    kept: NDArray | None,
    cleaning: dict[str, Any],
) -> NDArray:
    path, image = (file for file, _, _ in stamps)
    masker = NiftiLabelsMasker(image, standardize=None, reports=False, **cleaning)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "After resampling the label image")  # they are NaN
        signals = masker.fit_transform(path, confounds=confounds, sample_mask=kept)
    n_frames = nibabel.Nifti1Image.from_filename(path).shape[3]
    rows = np.arange(n_frames) if kept is None else kept
    labels = list(names)
    found = [labels.index(int(masker.region_ids_[i])) for i in range(signals.shape[1])]
    frames = np.full((n_frames, len(labels)), np.nan, dtype=np.float32)
    frames[rows[:, None], found] = signals
    return frames


# ----------------------------------------------------------------------------------- fMRIPrep


def fmriprep_format(
    atlas: str | Path | None, confounds: Mapping[str, Any] | None, memory: Any
) -> Format:
    """Return the format of fMRIPrep's images, cleaned with the confounds beside them."""
    if atlas is None:
        raise ValueError(
            "images need an atlas: pass atlas='schaefer-100' (or -200 to -1000), or the path of a"
            " labels image in the images' space"
        )
    if not isinstance(confounds, (Mapping, type(None))):
        raise TypeError(
            "confounds must be a mapping of load_confounds' arguments, such as"
            f" {{'strategy': ('motion', 'wm_csf')}}, got {confounds!r}"
        )
    regions = read_atlas(atlas)
    return Format(
        partial(_read, atlas=regions, confounds=dict(confounds or {}), memory=memory),
        partial(_region_names, atlas=regions),
        _t_r,
    )


def _read(path: Path, atlas: Atlas, confounds: dict[str, Any], memory: Any) -> NDArray:
    space = parse_bids_filename(path)["entities"].get("space")
    if atlas.in_mni and not (space or "").startswith("MNI"):
        raise ValueError(
            f"it is in {f'space {space}' if space else 'scanner space'}, the atlas in MNI space:"
            " choose files by entities={'space': ...}, or pass a labels image of that space as"
            " atlas="
        )
    regressors, kept = load_confounds(str(path), **confounds)
    return region_means(path, atlas, regressors, kept, memory)


def _region_names(path: Path, atlas: Atlas) -> list[str]:
    return list(atlas.names.values())


def _t_r(path: Path) -> float | None:
    """Return the repetition time in the image's header, in s; None if the header has none."""
    header = nibabel.Nifti1Image.from_filename(path).header
    step = float(header.get_zooms()[3])
    unit = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6}.get(header.get_xyzt_units()[1])
    return step * unit if unit and step else None
