"""Small scans in files of every kind, and images that nilearn reads as it reads real ones."""

import nibabel
import numpy as np
import pandas as pd
import pytest
import scipy.io
from nibabel.cifti2 import BrainModelAxis, ParcelsAxis, SeriesAxis

N_FRAMES = 30  # of an image
REGIONS = ["LH_Vis_1", "LH_Vis_2", "RH_Vis_1"]
XCPD_NAME = "{sub}_{scan}_space-MNI152NLin2009cAsym_seg-4S156Parcels_stat-mean_timeseries.tsv"


@pytest.fixture(scope="session")
def regions():
    """The names of the regions that ``write`` gives."""
    return REGIONS


@pytest.fixture(scope="session")
def signal():
    """Return the frames of a seed, (n_frames, n_regions)."""

    def draw(seed, n_frames=20, n_regions=3):
        return np.random.default_rng(seed).normal(size=(n_frames, n_regions)).astype(np.float32)

    return draw


@pytest.fixture(scope="session")
def write(signal):
    """Write a scan in the format that the file's name tells, by default three named regions."""

    def write_scan(path, frames=None, names=REGIONS):
        frames = signal(0) if frames is None else frames
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".npy":
            np.save(path, frames)
        elif path.suffix == ".npz":
            np.savez(path, bold=frames, version=1)
        elif path.suffix == ".mat":
            scipy.io.savemat(path, {"bold": frames, "TR": 0.72, "labels": ["a", "b"]})
        elif path.suffix == ".nii":
            mask = np.ones((len(names), 1, 1), dtype=bool)
            models = [BrainModelAxis.from_mask(m[None], affine=np.eye(4)) for m in mask]
            parcels = ParcelsAxis.from_brain_models(list(zip(names, models, strict=True)))
            series = SeriesAxis(start=0, step=0.72, size=len(frames))
            nibabel.Cifti2Image(frames, header=(series, parcels)).to_filename(path)
        else:
            sep = "," if path.suffix == ".csv" else "\t"
            header = names or False
            pd.DataFrame(frames).to_csv(path, sep=sep, index=False, header=header, na_rep="n/a")

    return write_scan


@pytest.fixture
def xcpd(tmp_path, signal, write):
    """XCP-D's folder: two subjects, two tasks, one in two runs; fMRIPrep's confounds too."""
    folder = tmp_path / "xcp_d"
    seed = 0
    for sub in ("sub-01", "sub-02"):
        func = folder / sub / "ses-1" / "func"
        for scan in ("ses-1_task-nback", "ses-1_task-rest_run-01", "ses-1_task-rest_run-02"):
            write(func / XCPD_NAME.format(sub=sub, scan=scan), signal(seed))
            (func / f"{sub}_{scan}_space-X_desc-denoised_bold.json").write_text(
                '{"RepetitionTime": 0.8}'
            )
            write(func / f"{sub}_{scan}_desc-confounds_timeseries.tsv", signal(99))
            seed += 1
    folder.joinpath("participants.tsv").write_text(
        "participant_id\tage\tsex\nsub-02\t31\tF\nsub-01\tn/a\tM\nsub-03\t40\tF\n"
    )
    return folder


@pytest.fixture
def first_file(xcpd):
    """The first series in XCP-D's folder: task nback of subject 01."""
    return sorted(xcpd.rglob("*_stat-mean_timeseries.tsv"))[0]


@pytest.fixture
def hcp(tmp_path, signal, write):
    """Two subjects, two sessions, as npz and npy."""
    for i, subject in enumerate(("100206", "100307")):
        write(tmp_path / subject / "REST1_LR" / "schaefer-100_bold.npz", signal(i))
        rest2 = tmp_path / subject / "MNINonLinear" / "REST2_LR"
        write(rest2 / "schaefer-100_bold.npy", signal(i + 2))
    return tmp_path


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
