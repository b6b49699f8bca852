"""Small images that nilearn reads as it reads real ones."""

import nibabel
import numpy as np
import pytest

N_FRAMES = 30


@pytest.fixture
def write_image():
    """Write a 4-D image of two regions (labels 3 and 7) whose signals are returned, and one more.

    Label 9 is a single voxel of the fine labels image, lost at the resolution of the data.
    """

    def write(path, seed=0, t_r=2.0):
        rng = np.random.default_rng(seed)
        drift = np.linspace(0, 9, N_FRAMES)[:, None]
        signals = drift + rng.normal(size=(N_FRAMES, 2))  # of labels 3 and 7
        data = 100 + rng.normal(scale=1e-3, size=(6, 6, 6, N_FRAMES))
        data[:2] += signals[:, 0]
        data[4:] += signals[:, 1]
        image = nibabel.Nifti1Image(data.astype(np.float32), np.diag([4.0, 4, 4, 1]))
        image.header.set_zooms((4, 4, 4, t_r))
        image.header.set_xyzt_units("mm", "sec")
        path.parent.mkdir(parents=True, exist_ok=True)
        nibabel.save(image, path)
        return signals

    return write


@pytest.fixture
def write_labels():
    """Write the labels image of ``write_image``, twice as fine."""

    def write(path, labels=(3, 7, 9)):
        data = np.zeros((12, 12, 12), dtype=np.int16)
        data[:4], data[8:], data[5, 5, 5] = labels
        path.parent.mkdir(parents=True, exist_ok=True)
        nibabel.save(nibabel.Nifti1Image(data, np.diag([2.0, 2, 2, 1])), path)

    return write


@pytest.fixture
def write_confounds():
    """Write confounds as fMRIPrep does, and return the table."""
    import pandas as pd

    def write(path, seed=0, spike=None):
        rng = np.random.default_rng(100 + seed)
        motion = [f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz"]
        names = [*motion, "csf", "white_matter", *(f"a_comp_cor_{i:02d}" for i in range(6))]
        table = pd.DataFrame(rng.normal(size=(N_FRAMES, len(names))), columns=names)
        for name in motion:
            table[f"{name}_derivative1"] = table[name].diff()
            table[f"{name}_power2"] = table[name] ** 2
            table[f"{name}_derivative1_power2"] = table[f"{name}_derivative1"] ** 2
        table["cosine00"] = np.cos(np.pi * (np.arange(N_FRAMES) + 0.5) / N_FRAMES)
        table["framewise_displacement"] = [np.nan] + [0.1] * (N_FRAMES - 1)
        table["std_dvars"] = [np.nan] + [1.0] * (N_FRAMES - 1)
        if spike is not None:
            table.loc[spike, "framewise_displacement"] = 3.0
        table.to_csv(path, sep="\t", index=False, na_rep="n/a")
        path.with_suffix(".json").write_text("{}")
        return table

    return write
