"""ABIDE I: resting state of people with autism and controls from 20 sites."""

from pathlib import Path

import numpy as np
import pandas as pd
from nilearn.datasets import fetch_abide_pcp, get_data_dirs
from sklearn.utils import Bunch

ATLASES = ("aal", "cc200", "cc400", "dosenbach160", "ez", "ho", "tt")
NOT_ASKED = -9999  # how the phenotypic file codes a missing value
# s, from public tables of acquisitions, not from the sites' protocols. SBL is left out: the tables
# disagree (2.2 to 2.5 s). Those for Leuven lie between 1.65 and 1.67 s.
SITES = {
    1.5: ("OLIN", "PITT"),
    1.66: ("LEUVEN_1", "LEUVEN_2"),
    2.0: ("CALTECH", "CMU", "NYU", "SDSU", "STANFORD", "TRINITY", "UM_1", "UM_2", "USM", "YALE"),
    2.5: ("KKI", "OHSU"),
    3.0: ("MAX_MUN", "UCLA_1", "UCLA_2"),
}
T_R = {site: t_r for t_r, sites in SITES.items() for site in sites}

DESCRIPTION = """\
ABIDE I: {n} subjects with and without autism, one resting-state scan each, atlas {atlas},
preprocessed by {pipeline} (filter 0.01-0.1 Hz: {filtered}; global signal regressed: {regressed}).

Source: Preprocessed Connectomes Project, through nilearn. Unrestricted for non-commercial research;
cite Di Martino et al. 2014 and Craddock et al. 2013.
"""


def fetch_abide(
    data_dir: str | Path | None = None,
    *,
    atlas: str = "cc200",
    pipeline: str = "cpac",
    band_pass_filtering: bool = False,
    global_signal_regression: bool = False,
    quality_checked: bool = True,
    n_subjects: int | None = None,
    verbose: int = 1,
) -> Bunch:
    """Fetch resting-state scans of ABIDE I: autism and controls, 20 sites.

    Files of less than 1 MB per subject come through :func:`nilearn.datasets.fetch_abide_pcp`
    into its folder ``ABIDE_pcp``; files that are there are not downloaded again.

    Parameters
    ----------
    data_dir : str or Path, optional
        Data directory. None: NILEARN_SHARED_DATA, NILEARN_DATA, or else ``~/nilearn_data``.
    atlas : {"aal", "cc200", "cc400", "dosenbach160", "ez", "ho", "tt"}, default="cc200"
        The regions; Craddock's 200 are the field's most used.
    pipeline : {"cpac", "ccs", "dparsf", "niak"}, default="cpac"
        Who preprocessed the images.
    band_pass_filtering : bool, default=False
        Whether the signals are filtered to 0.01-0.1 Hz. The default keeps what a filter would
        remove for good.
    global_signal_regression : bool, default=False
        Whether the global signal was regressed out, which is debated.
    quality_checked : bool, default=True
        Only subjects whom all raters passed: 871 of 1035 for C-PAC.
    n_subjects : int, optional
        The first so many subjects. None: all.
    verbose : int, default=1
        0 is silent; otherwise nilearn reports downloads.

    Returns
    -------
    Bunch
        With the attributes

        - ``scans``: list of ndarrays of shape (n_timepoints, n_regions), float32; lengths differ
          between sites.
        - ``subjects``: ndarray of shape (n_scans,), ABIDE's ids such as "50002".
        - ``phenotypes``: DataFrame, one row per scan, with the columns participant_id, age
          (years), sex ("male" or "female"), site, diagnosis ("autism" or "control") and mean_fd
          (mm, mean framewise displacement). Missing values are NaN.
        - ``region_names``: list of str, the atlas' label numbers, such as "cc200_2001".
        - ``t_r``: ndarray of shape (n_scans,), s, by site; NaN for SBL, where sources disagree.
        - ``description``: str, source and terms.

    Raises
    ------
    ValueError
        If ``atlas`` is unknown, or a file has other regions than the first.

    Notes
    -----
    Traps: sites differ in repetition time, length and share of cases, so the site must be a
    confound or a group of the split. Regions outside the field of view are constant (0). Motion
    is related to age and diagnosis.

    References
    ----------
    .. [1] Di Martino, A. et al. (2014). The autism brain imaging data exchange: towards a
       large-scale evaluation of the intrinsic brain architecture in autism. Molecular Psychiatry
       19, 659-667.
    .. [2] Craddock, C. et al. (2013). The Neuro Bureau Preprocessing Initiative: open sharing of
       preprocessed neuroimaging data and derivatives. Frontiers in Neuroinformatics 7.
    """
    if atlas not in ATLASES:
        raise ValueError(f"atlas must be one of {ATLASES}, got {atlas!r}")
    derivative = f"rois_{atlas}"
    fetched = fetch_abide_pcp(
        data_dir=data_dir,
        n_subjects=n_subjects,
        pipeline=pipeline,
        band_pass_filtering=band_pass_filtering,
        global_signal_regression=global_signal_regression,
        derivatives=derivative,
        quality_checked=quality_checked,
        verbose=verbose,
    )
    table = fetched.phenotypic.reset_index(drop=True)
    scans = [np.asarray(scan, dtype=np.float32) for scan in fetched[derivative]]
    for scan, name in zip(scans, table["FILE_ID"], strict=True):
        if scan.shape[1:] != scans[0].shape[1:]:
            raise ValueError(
                f"{name}_{derivative}.1D has shape {scan.shape}, the first {scans[0].shape}: the"
                " file is damaged; delete it and call again"
            )
    subjects = table["SUB_ID"].astype(str)
    filtered = "filt" if band_pass_filtering else "nofilt"
    regressed = "global" if global_signal_regression else "noglobal"
    first = f"{pipeline}/{filtered}_{regressed}/{table['FILE_ID'][0]}_{derivative}.1D"
    return Bunch(
        scans=scans,
        subjects=subjects.to_numpy(dtype=str),
        phenotypes=pd.DataFrame(
            {
                "participant_id": subjects,
                "age": table["AGE_AT_SCAN"].replace(NOT_ASKED, np.nan),
                "sex": table["SEX"].map({1: "male", 2: "female"}),
                "site": table["SITE_ID"],
                "diagnosis": table["DX_GROUP"].map({1: "autism", 2: "control"}),
                "mean_fd": table["func_mean_fd"].replace(NOT_ASKED, np.nan),
            }
        ),
        region_names=[f"{atlas}_{label}" for label in _labels(first, data_dir)],
        t_r=table["SITE_ID"].map(T_R).to_numpy(dtype=float),
        description=DESCRIPTION.format(
            n=len(scans),
            atlas=atlas,
            pipeline=pipeline,
            filtered=band_pass_filtering,
            regressed=global_signal_regression,
        ),
    )


def _labels(name: str, data_dir: str | Path | None) -> list[str]:
    """Return the label numbers in the first line of a file that nilearn fetched."""
    paths = [Path(root).expanduser() / "ABIDE_pcp" / name for root in get_data_dirs(data_dir)]
    path = next(path for path in paths if path.exists())
    with path.open(encoding="utf-8") as file:
        return [label.strip().lstrip("#") for label in file.readline().split("\t")]
