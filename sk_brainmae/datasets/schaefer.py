"""Regions of Schaefer's parcellations: names, places, networks."""

from pathlib import Path

import pandas as pd

from sk_brainmae.datasets.wheel import Wheel, fetch_from_wheel

WHEEL = Wheel(
    requirement="cccpm==0.7.1",
    filename="cccpm-0.7.1-py3-none-any.whl",
    sha256="6510f5968f10fbe0afe03a84d1a3fecab88c0c0173ad513dd0ae85992735296c",
)
FOLDER = "sk_brainmae_schaefer"
N_REGIONS = (100, 200, 400)
TABLE = "Schaefer{n_regions}-7.csv"
COLUMNS = ["name", "x", "y", "z", "network", "hemisphere"]


def fetch_schaefer_regions(
    n_regions: int = 100, *, data_dir: str | Path | None = None, verbose: int = 1
) -> pd.DataFrame:
    """Fetch the table of regions of a Schaefer parcellation with 7 networks.

    Pip downloads the package cccpm 0.7.1 (0.2 MB, MIT licence, not installed), which copied the
    tables from the parcellation's own repository (MIT licence). They are kept in the folder
    ``sk_brainmae_schaefer`` of nilearn's data directory.

    Parameters
    ----------
    n_regions : {100, 200, 400}, default=100
        The parcellation; 100 regions are the paper's.
    data_dir : str or Path, optional
        Data directory. None: NILEARN_SHARED_DATA, NILEARN_DATA, or else ``~/nilearn_data``.
    verbose : int, default=1
        0 is silent; otherwise a download is announced on standard error.

    Returns
    -------
    DataFrame
        One row per region, in the order of the labels image, with the columns

        - name: such as "7Networks_LH_Vis_1".
        - x, y, z: the region's centroid in mm, MNI space of FSL (MNI152NLin6Asym).
        - network: "Vis", "SomMot", "DorsAttn", "SalVentAttn", "Limbic", "Cont" or "Default",
          after Yeo et al. (2011).
        - hemisphere: "L" or "R"; all left regions come first.

    Raises
    ------
    OSError
        If no data directory can be written; ConnectionError, if pip cannot download.
    ValueError
        If ``n_regions`` is none of these, if the download has another hash than expected, or if
        the cache is damaged.

    Notes
    -----
    Trap: names and order of the regions changed in 2019 (version 0.14.3 of the parcellation), so
    older files with 7 networks name some regions differently.

    References
    ----------
    .. [1] Schaefer, A. et al. (2018). Local-global parcellation of the human cerebral cortex from
       intrinsic functional connectivity MRI. Cerebral Cortex 28, 3095-3114.
    .. [2] Yeo, B. T. T. et al. (2011). The organization of the human cerebral cortex estimated by
       intrinsic functional connectivity. Journal of Neurophysiology 106, 1125-1165.
    """
    if n_regions not in N_REGIONS:
        raise ValueError(f"n_regions must be one of {N_REGIONS}, got {n_regions!r}")
    members = [f"cccpm/atlases/data/{TABLE.format(n_regions=n)}" for n in N_REGIONS]
    folder = fetch_from_wheel(WHEEL, members, FOLDER, data_dir=data_dir, verbose=verbose)
    return _read(folder / TABLE.format(n_regions=n_regions))


def _read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path).rename(columns={"region": "name"})[COLUMNS]
