"""fMRIPrep's images as scans: averaged over regions, cleaned with the confounds beside them."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import nibabel
from nilearn.interfaces.bids import parse_bids_filename
from nilearn.interfaces.fmriprep import load_confounds
from numpy.typing import NDArray

from sk_brainmae.datasets.formats import Format
from sk_brainmae.datasets.images import Atlas, read_atlas, region_means


def fmriprep_format(
    atlas: str | Path | None, confounds: Mapping[str, Any] | None, memory: Any
) -> Format:
    """Return the format of preprocessed images, averaged over an atlas' regions."""
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
        partial(_names, atlas=regions),
        image_t_r,
    )


def _names(path: Path, atlas: Atlas) -> list[str]:
    return list(atlas.names.values())


def _read(path: Path, atlas: Atlas, confounds: dict[str, Any], memory: Any) -> NDArray:
    space = parse_bids_filename(path)["entities"].get("space")
    if atlas.in_mni and not (space or "").startswith("MNI"):
        raise ValueError(
            f"it is in space {space or 'of the scanner'}, the atlas in MNI space: choose files by"
            " entities={'space': ...}, or pass a labels image of that space as atlas="
        )
    regressors, kept = load_confounds(str(path), **confounds)
    return region_means(path, atlas, regressors, kept, memory)


def image_t_r(path: Path) -> float | None:
    """Return the repetition time in the image's header, in s; None if it is not told."""
    header = nibabel.Nifti1Image.from_filename(path).header
    step = float(header.get_zooms()[3])
    unit = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6}.get(header.get_xyzt_units()[1])
    return step * unit if unit and step else None
