"""Children and adults watching a film: age prediction."""

from pathlib import Path
from typing import Any

import pandas as pd
from nilearn.datasets import fetch_development_fmri
from sklearn.utils import Bunch

from sk_brainmae.datasets.images import read_atlas, region_means

HIGH_PASS = 1 / 128  # Hz, fMRIPrep's own

DESCRIPTION = """\
Film watching (Pixar's "Partly Cloudy"): {n} children and adults, one scan of 168 frames each,
every 2 s, averaged over the regions of {atlas}.

Source: OpenNeuro ds000228 (Richardson et al. 2018), preprocessed by fMRIPrep and brought to 4 mm by
nilearn. Unrestricted for non-commercial research; cite Richardson et al.
"""


def fetch_development(
    data_dir: str | Path | None = None,
    *,
    atlas: str | Path = "schaefer-100",
    n_subjects: int | None = None,
    memory: Any = None,
    verbose: int = 1,
) -> Bunch:
    """Fetch scans of 122 children (3-12 years) and 33 adults (18-39) who watch the same film.

    Images come through :func:`nilearn.datasets.fetch_development_fmri` into its folder
    ``development_fmri``; files that are there are not downloaded again. Signals are region means
    without a linear trend, drifts below 1/128 Hz and fMRIPrep's confounds: 6 motion parameters,
    framewise displacement, 6 anatomical CompCor components, white matter and CSF. They are not
    low-passed.

    Parameters
    ----------
    data_dir : str or Path, optional
        Data directory. None: NILEARN_SHARED_DATA, NILEARN_DATA, or else ``~/nilearn_data``.
    atlas : str or Path, default="schaefer-100"
        "schaefer-100" to "schaefer-1000" (7 networks, fetched by nilearn), or the path of a
        labels image in MNI space. At 4 mm, more than 200 regions become small.
    n_subjects : int, optional
        So many subjects, children and adults in proportion. None: all 155.
    memory : str, Path or joblib.Memory, optional
        Where averages over regions are cached; each takes some seconds. None: nowhere.
    verbose : int, default=1
        0 is silent; otherwise nilearn reports downloads.

    Returns
    -------
    Bunch
        With the attributes

        - ``scans``: list of ndarrays of shape (168, n_regions), float32. Regions without a voxel
          in the image are columns of NaN.
        - ``subjects``: ndarray of shape (n_scans,), such as "sub-pixar001".
        - ``phenotypes``: DataFrame, one row per scan, with the columns participant_id, age
          (years), sex ("M" or "F"), group ("child" or "adult") and mean_fd (mm, mean framewise
          displacement).
        - ``region_names``: list of str.
        - ``t_r``: float, 2 s.
        - ``description``: str, source and terms.

    Raises
    ------
    FileNotFoundError
        If ``atlas`` is neither "schaefer-<n>" nor a file.

    Notes
    -----
    Traps: children move more, so ``mean_fd`` alone predicts age; treat it as a confound. All
    watch the same film, so scans resemble each other frame by frame.

    References
    ----------
    .. [1] Richardson, H., Lisandrelli, G., Riobueno-Naylor, A., Saxe, R. (2018). Development of
       the social brain from age three to twelve years. Nature Communications 9, 1027.
    """
    regions = read_atlas(atlas, data_dir)
    fetched = fetch_development_fmri(n_subjects=n_subjects, data_dir=data_dir, verbose=verbose)
    t_r = float(fetched.t_r)
    confounds = [pd.read_csv(path, sep="\t") for path in fetched.confounds]
    scans = [
        region_means(
            image,
            regions,
            known.fillna(0.0),  # the first frame's displacement is n/a
            memory=memory,
            detrend=True,
            high_pass=HIGH_PASS,
            t_r=t_r,
        )
        for image, known in zip(fetched.func, confounds, strict=True)
    ]
    table = fetched.phenotypic.reset_index(drop=True)
    return Bunch(
        scans=scans,
        subjects=table["participant_id"].to_numpy(dtype=str),
        phenotypes=pd.DataFrame(
            {
                "participant_id": table["participant_id"],
                "age": table["Age"],
                "sex": table["Gender"],
                "group": table["Child_Adult"],
                "mean_fd": [known["framewise_displacement"].mean() for known in confounds],
            }
        ),
        region_names=list(regions.names.values()),
        t_r=t_r,
        description=DESCRIPTION.format(n=len(scans), atlas=atlas),
    )
