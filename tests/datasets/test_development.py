import numpy as np
import pandas as pd
import pytest
from nilearn.signal import clean
from numpy.testing import assert_allclose, assert_array_equal

from sk_brainmae.datasets import fetch_development

BOLD = "{}_task-pixar_space-MNI152NLin2009cAsym_desc-preproc_bold.nii.gz"
MOTION = [f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz"]
COMPCOR = [f"a_comp_cor_{i:02d}" for i in range(6)]
CONFOUNDS = "{}_task-pixar_desc-confounds_regressors.tsv"


@pytest.fixture
def data_dir(tmp_path, write_image, write_confounds, write_labels):
    """What nilearn's fetcher leaves on disk: it finds all files and downloads none."""
    folder = tmp_path / "development_fmri"
    people = {"sub-pixar123": ("Adult", "F", 27.1), "sub-pixar001": ("child", "M", 4.8)}
    rows = []
    for i, (subject, (group, gender, age)) in enumerate(people.items()):
        write_image(folder / BOLD.format(subject), seed=i)
        write_confounds(folder / CONFOUNDS.format(subject), seed=i, spike=3)
        child_adult = group.lower()
        rows.append((subject, age, group if group == "Adult" else "4yo", child_adult, gender, "R"))
    columns = ["participant_id", "Age", "AgeGroup", "Child_Adult", "Gender", "Handedness"]
    table = pd.DataFrame(rows, columns=columns)
    table.to_csv(folder / "participants.tsv", sep="\t", index=False)
    write_labels(tmp_path / "labels.nii.gz")
    return tmp_path


def fetch(data_dir, **parameters):
    return fetch_development(data_dir, atlas=data_dir / "labels.nii.gz", verbose=0, **parameters)


def test_scans_and_phenotypes_are_aligned(data_dir):
    data = fetch(data_dir)
    assert sorted(data.subjects) == ["sub-pixar001", "sub-pixar123"]
    table = data.phenotypes.set_index("participant_id")
    assert table.index.tolist() == data.subjects.tolist()
    assert table.loc["sub-pixar001", ["age", "sex", "group"]].tolist() == [4.8, "M", "child"]
    assert_allclose(table["mean_fd"], (0.1 * 28 + 3.0) / 29)  # the first frame has none
    assert data.t_r == 2.0
    assert data.region_names == ["label_3", "label_7", "label_9"]
    assert "2 children and adults" in data.description


def test_scans_are_region_means_cleaned_of_confounds_and_trend(data_dir, write_image):
    data = fetch(data_dir)
    for subject, scan in zip(data.subjects, data.scans, strict=True):
        assert scan.shape == (30, 3)
        assert scan.dtype == np.float32
        assert_array_equal(np.isnan(scan).all(axis=0), [False, False, True])
        confounds = pd.read_csv(data_dir / "development_fmri" / CONFOUNDS.format(subject), sep="\t")
        kept = [*MOTION, "framewise_displacement", *COMPCOR, "csf", "white_matter"]
        signals = write_image(data_dir / "again.nii.gz", seed=int(subject == "sub-pixar001"))
        expected = clean(
            signals,
            confounds=confounds[kept].fillna(0.0),
            detrend=True,
            high_pass=1 / 128,
            t_r=2.0,
            standardize=None,
        )
        found = scan[:, :2] - scan[:, :2].mean(axis=0)
        assert_allclose(found, expected - expected.mean(axis=0), atol=2e-3)
        assert expected.std(axis=0).min() > 0.1


def test_schaefer_atlas_comes_from_the_same_data_directory(data_dir, write_labels):
    atlas = data_dir / "schaefer_2018"
    write_labels(atlas / "Schaefer2018_200Parcels_7Networks_order_FSLMNI152_1mm.nii.gz")
    (atlas / "Schaefer2018_200Parcels_7Networks_order.txt").write_text(
        "3\tA\t1\t2\t3\t0\n7\tB\t1\t2\t3\t0\n9\tC\t1\t2\t3\t0\n"
    )
    data = fetch_development(data_dir, atlas="schaefer-200", n_subjects=2, verbose=0)
    assert data.region_names == ["A", "B", "C"]
    assert_array_equal(data.scans[1], fetch(data_dir).scans[1])


def test_averages_are_cached(data_dir):
    first = fetch(data_dir, memory=data_dir / "cache")
    files = sorted((data_dir / "cache").rglob("output.pkl"))
    second = fetch(data_dir, memory=data_dir / "cache")
    assert len(files) == 2
    assert sorted((data_dir / "cache").rglob("output.pkl")) == files
    assert_array_equal(first.scans, second.scans)


def test_unknown_atlas_raises_before_any_download(tmp_path):
    with pytest.raises(FileNotFoundError, match="'msdl' is neither"):
        fetch_development(tmp_path / "new", atlas="msdl")
    assert not (tmp_path / "new").exists()
