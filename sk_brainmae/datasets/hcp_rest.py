"""Four long resting-state scans of two HCP subjects."""

from pathlib import Path

import numpy as np
from sklearn.utils import Bunch

from sk_brainmae.datasets.schaefer import fetch_schaefer_regions
from sk_brainmae.datasets.wheel import Wheel, fetch_from_wheel

WHEEL = Wheel(
    requirement="cubnm==0.1.0",
    filename="cubnm-0.1.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
    sha256="fdcccb076bed33b63b86d94798c89fe65b4ede95ace7d0f6f0582cb65bb73629",
    # The data are the same in every build; one is pinned, whatever machine asks for it.
    pip_options=(
        "--platform=manylinux2014_x86_64",
        "--python-version=3.11",
        "--implementation=cp",
        "--abi=cp311",
    ),
)
FOLDER = "sk_brainmae_hcp_rest"
T_R = 0.72  # s
SUBJECTS = ("100206", "100307")
SESSIONS = ("REST1_LR", "REST2_LR")
MEMBER = "cubnm/data/hcp/bold/{}/{}/ctx_parc-schaefer-100_desc-bold.npz"

TERMS = """\
These are data of the Human Connectome Project, under the WU-Minn HCP Consortium Open Access Data
Use Terms. Read them at humanconnectome.org (HCP Young Adult, data use terms); in short:
 1. Do not try to establish the identity of, or to contact, any of the subjects.
 2. Do not pass the data on to anyone who has not accepted these terms.
 3. Acknowledge in publications: "Data were provided [in part] by the Human Connectome Project,
    WU-Minn Consortium (Principal Investigators: David Van Essen and Kamil Ugurbil; 1U54MH091657)
    funded by the 16 NIH Institutes and Centers that support the NIH Blueprint for Neuroscience
    Research; and by the McDonnell Center for Systems Neuroscience at Washington University."
 4. Keep to the rules of your institution on the use of such data."""

DESCRIPTION = f"""\
Resting state of two HCP subjects, two sessions each, 1200 frames every 0.72 s (14.4 min) in the 100
cortical regions of Schaefer et al. (7 networks). Region means in scanner units, mean left in, not
standardised and not low-passed.

Source: the Python package cubnm 0.1.0 (BSD-3-Clause), folder cubnm/data/hcp/bold.
{TERMS}
"""


def fetch_hcp_rest(
    *, accept_terms: bool = False, data_dir: str | Path | None = None, verbose: int = 1
) -> Bunch:
    """Fetch resting-state scans of two HCP subjects, two sessions each.

    Pip downloads the package cubnm (7 MB, not installed). The scans (3 MB) are kept in the folder
    ``sk_brainmae_hcp_rest`` of nilearn's data directory, the region names in
    ``sk_brainmae_schaefer``. A second call needs no network.

    Parameters
    ----------
    accept_terms : bool, default=False
        Whether you accept the HCP's data use terms. If not, the error quotes them.
    data_dir : str or Path, optional
        Data directory. None: NILEARN_SHARED_DATA, NILEARN_DATA, or else ``~/nilearn_data``.
    verbose : int, default=1
        0 is silent; otherwise a download is announced on standard error.

    Returns
    -------
    Bunch
        With the attributes

        - ``scans``: list of 4 ndarrays of shape (1200, 100), float32, about 12000 +- 50.
        - ``subjects``: ndarray of shape (4,), "100206" or "100307".
        - ``sessions``: ndarray of shape (4,), "REST1_LR" or "REST2_LR".
        - ``t_r``: float, 0.72 s.
        - ``region_names``: list of 100 str, such as "7Networks_LH_Vis_1".
        - ``networks``: ndarray of shape (100,), Yeo's network of each region.
        - ``description``: str, source and terms.

    Raises
    ------
    PermissionError
        If the terms are not accepted; the message quotes them.
    OSError
        If no data directory can be written; ConnectionError, if pip cannot download.
    ValueError
        If the download has another hash than expected, or the cache is damaged.

    Notes
    -----
    Traps: two subjects are for trying things out, not for scores. The files name no regions; their
    order is Schaefer's, whose networks agree with the Yeo labels in the package. Drifts below
    0.005 Hz are attenuated. All sessions have the phase encoding LR.

    References
    ----------
    .. [1] Van Essen, D. C. et al. (2013). The WU-Minn Human Connectome Project: an overview.
       NeuroImage 80, 62-79.
    .. [2] Schaefer, A. et al. (2018). Local-global parcellation of the human cerebral cortex from
       intrinsic functional connectivity MRI. Cerebral Cortex 28, 3095-3114.
    """
    if not accept_terms:
        raise PermissionError(f"{TERMS}\nIf you accept them, call with accept_terms=True")
    places = [(subject, session) for subject in SUBJECTS for session in SESSIONS]
    members = {MEMBER.format(*place): f"{'_'.join(place)}.npz" for place in places}
    folder = fetch_from_wheel(WHEEL, members, FOLDER, data_dir=data_dir, verbose=verbose)
    regions = fetch_schaefer_regions(100, data_dir=data_dir, verbose=verbose)
    scans = []
    for name in members.values():
        with np.load(folder / name, allow_pickle=False) as archive:
            scans.append(np.ascontiguousarray(archive["arr_0"].T, dtype=np.float32))
    return Bunch(
        scans=scans,
        subjects=np.array([subject for subject, _ in places]),
        sessions=np.array([session for _, session in places]),
        t_r=T_R,
        region_names=regions["name"].tolist(),
        networks=regions["network"].to_numpy(dtype=str),
        description=DESCRIPTION,
    )
