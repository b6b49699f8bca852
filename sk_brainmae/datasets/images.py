"""Region averages of images, by nilearn."""

import os
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd
from nilearn.datasets import fetch_atlas_schaefer_2018
from nilearn.maskers import NiftiLabelsMasker
from numpy.typing import NDArray
from sklearn.utils.validation import check_memory


@dataclass(frozen=True)
class Atlas:
    """A labels image: its path, the name of each label, and whether it is known to be in MNI."""

    image: str
    names: dict[int, str]
    in_mni: bool


def read_atlas(atlas: str | Path, data_dir: str | Path | None = None) -> Atlas:
    """Return "schaefer-<n>" (7 networks, fetched by nilearn), or the labels image of this path.

    Names of the latter come from a table beside it, as BIDS has it, with columns index and name.
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
            f"the atlas {path} holds {odd[0]:g}, which is no label: pass an image of whole numbers"
        )
    labels = [int(value) for value in values if value != 0]
    beside = path.with_name(path.name.split(".nii")[0] + ".tsv")
    names = _names_beside(beside) if beside.exists() else {}
    known = {label: names.get(label, f"label_{label}") for label in labels}
    return Atlas(str(path), known, in_mni=False)


def region_means(
    path: str | Path,
    atlas: Atlas,
    confounds: Any = None,
    kept: NDArray | None = None,
    memory: Any = None,
    **cleaning: Any,
) -> NDArray:
    """Return the cleaned mean signal of each label, (n_timepoints, n_labels), float32.

    Frames not ``kept`` are rows of NaN, so that time stays physical; labels without a voxel in
    the image are columns of NaN. ``cleaning`` are arguments of NiftiLabelsMasker. What is cached
    in ``memory`` holds for the files as they are, not for later ones of the same name.
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


def _names_beside(path: Path) -> dict[int, str]:
    try:
        return _names(pd.read_csv(path, sep="\t", keep_default_na=False))  # NA may be a name
    except KeyError as error:
        raise ValueError(
            f"{path} has no column {error}: a region has an index and a name"
        ) from None
    except ValueError as error:
        raise ValueError(f"{path} is no table of index and name: {error}") from None


def _names(table: pd.DataFrame) -> dict[int, str]:
    return {
        int(label): str(name) for label, name in zip(table["index"], table["name"], strict=True)
    }
