"""FMRIPrep's images as scans."""

import warnings

import joblib
import nibabel
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sk_brainmae.datasets import load_derivatives

SPACE = "space-MNI152NLin6Asym_res-2"
BASIC = {"strategy": ("motion",), "motion": "basic"}


@pytest.fixture
def tree(tmp_path, write_image, write_labels, write_confounds):
    """FMRIPrep's folder: two subjects, one run each, in MNI space."""
    for i, subject in enumerate(("sub-01", "sub-02")):
        func = tmp_path / "fmriprep" / subject / "func"
        write_image(func / f"{subject}_task-rest_{SPACE}_desc-preproc_bold.nii.gz", seed=i)
        write_confounds(func / f"{subject}_task-rest_desc-confounds_timeseries.tsv", i, spike=20)
    write_labels(tmp_path / "atlas_dseg.nii.gz")
    return tmp_path


def load(tree, **parameters):
    return load_derivatives(
        tree / "fmriprep", **{"atlas": tree / "atlas_dseg.nii.gz", "confounds": BASIC} | parameters
    )


def test_images_become_region_means_cleaned_of_their_confounds(tree, write_image, write_confounds):
    data = load(tree)
    assert data.subjects.tolist() == ["sub-01", "sub-02"]
    assert data.region_names == ["label_3", "label_7", "label_9"]
    assert data.t_r == 2.0
    for i, scan in enumerate(data.scans):
        signals = write_image(tree / "again.nii.gz", seed=i)
        table = write_confounds(tree / "again.tsv", i).filter(regex="^(trans|rot)_[xyz]$")
        design = np.column_stack([np.ones(len(table)), table])
        expected = signals - design @ np.linalg.lstsq(design, signals, rcond=None)[0]
        assert scan.dtype == np.float32
        found = scan[:, :2] - scan[:, :2].mean(axis=0)
        assert_allclose(found, expected, atol=2e-3)


def test_default_confounds_are_those_of_nilearn(tree):
    default = load(tree, confounds=None)
    named = load(tree, confounds={"strategy": ("motion", "high_pass", "wm_csf"), "motion": "full"})
    assert_array_equal(default.scans[0], named.scans[0])
    assert not np.allclose(default.scans[0], load(tree).scans[0], equal_nan=True)


def test_region_that_the_image_lacks_is_nan_and_the_others_keep_their_place(tree):
    for scan in load(tree).scans:
        assert_array_equal(np.isnan(scan).all(axis=0), [False, False, True])


def test_censored_frames_are_nan_and_time_stays_whole(tree):
    scrub = {"strategy": ("motion", "scrub"), "motion": "basic", "scrub": 0}
    scan = load(tree, confounds=scrub).scans[0]
    assert len(scan) == 30
    assert_array_equal(np.flatnonzero(np.isnan(scan[:, 0])), [20])


def test_names_come_from_the_table_beside_the_atlas(tree):
    (tree / "atlas_dseg.tsv").write_text("index\tname\n3\tA\n7\tB\n9\tC\n")
    assert load(tree).region_names == ["A", "B", "C"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("label\tname\n3\tA\n", r"atlas_dseg\.tsv has no column 'index'"),
        ("index\tname\nthree\tA\n", r"atlas_dseg\.tsv is not a table of index and name"),
        ("", r"atlas_dseg\.tsv is not a table of index and name"),
        ("index\tname\n3\tA\n7\tB\n3\tC\n", r"has the label 3 in more than one row"),
        ("index\tname\n3\tA\n7\tB\n9\tA\n", r"has the name 'A' in more than one row"),
        ("index\tname\n3.5\tA\n", r"label 3\.5 is not a whole number"),
        ("index\tname\nn/a\tA\n", r"atlas_dseg\.tsv is not a table of index and name"),
    ],
)
def test_unusable_table_beside_the_atlas_raises_and_is_named(tree, text, message):
    (tree / "atlas_dseg.tsv").write_text(text)
    with pytest.raises(ValueError, match=message):
        load(tree)


def test_labels_without_a_name_in_the_table_are_told(tree):
    (tree / "atlas_dseg.tsv").write_text("index\tname\n3\tA\n")
    with pytest.warns(UserWarning, match=r"atlas_dseg\.tsv names no label 7 \(2 of 3 have no name"):
        assert load(tree).region_names == ["A", "label_7", "label_9"]


@pytest.mark.parametrize("value", [0.4, np.inf, np.nan])
def test_atlas_that_holds_no_labels_raises_and_is_named(tree, value):
    image = nibabel.Nifti1Image(np.full((3, 3, 3), value), np.eye(4))
    nibabel.save(image, tree / "atlas_dseg.nii.gz")
    with pytest.raises(ValueError, match=rf"atlas_dseg\.nii\.gz holds {value:g}, not a label"):
        load(tree)


def test_atlas_that_is_no_image_raises_and_is_named(tree):
    (tree / "atlas_dseg.nii.gz").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"atlas_dseg\.nii\.gz is no NIfTI"):
        load(tree)


def test_confounds_that_are_no_mapping_raise(tree):
    with pytest.raises(TypeError, match=r"confounds must be a mapping .* got 'motion'"):
        load(tree, confounds="motion")


def test_schaefer_atlas_is_fetched_by_nilearn(tree, write_labels, monkeypatch):
    atlas = tree / "data" / "schaefer_2018"
    write_labels(atlas / "Schaefer2018_100Parcels_7Networks_order_FSLMNI152_1mm.nii.gz")
    (atlas / "Schaefer2018_100Parcels_7Networks_order.txt").write_text(
        "".join(
            f"{i}\t7Networks_LH_{name}\t1\t2\t3\t0\n" for i, name in [(3, "A"), (7, "B"), (9, "C")]
        )
    )
    monkeypatch.setenv("NILEARN_DATA", str(tree / "data"))
    data = load(tree, atlas="schaefer-100")
    assert data.region_names == ["7Networks_LH_A", "7Networks_LH_B", "7Networks_LH_C"]
    assert_allclose(data.scans[0], load(tree).scans[0], equal_nan=True)


def test_schaefer_atlas_with_images_in_scanner_space_raises(tree, write_labels, monkeypatch):
    test_schaefer_atlas_is_fetched_by_nilearn(tree, write_labels, monkeypatch)
    for path in (tree / "fmriprep").rglob("*.nii.gz"):
        path.rename(path.with_name(path.name.replace(f"{SPACE}_", "")))
    with pytest.raises(ValueError, match=r"sub-01_task-rest_desc-preproc.*it is in scanner space"):
        load(tree, atlas="schaefer-100")
    assert len(load(tree).scans) == 2  # an atlas of one's own is taken as it is


def test_means_are_cached_in_memory(tree):
    first = load(tree, memory=str(tree / "cache"))
    files = sorted((tree / "cache").rglob("output.pkl"))
    assert len(files) == 2
    second = load(tree, memory=joblib.Memory(str(tree / "cache"), verbose=0))
    assert sorted((tree / "cache").rglob("output.pkl")) == files
    assert_array_equal(first.scans[1], second.scans[1])


def test_changed_image_is_averaged_anew(tree, write_image):
    first = load(tree, memory=tree / "cache")
    write_image(next((tree / "fmriprep").rglob("sub-01*.nii.gz")), seed=5)
    second = load(tree, memory=tree / "cache")
    assert not np.allclose(first.scans[0], second.scans[0], equal_nan=True)
    assert_array_equal(first.scans[1], second.scans[1])


def test_lazy_images_are_averaged_when_asked(tree):
    lazy = load(tree, lazy=True).scans
    assert_array_equal(np.asarray(lazy[1]), load(tree).scans[1])
    (
        tree / "fmriprep" / "sub-01" / "func" / "sub-01_task-rest_desc-confounds_timeseries.tsv"
    ).unlink()
    with pytest.raises(ValueError, match=r"sub-01_task-rest_.*find associated confound file"):
        lazy[0].read()


def test_no_warning_of_nilearn_reaches_the_user(tree):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(tree)


@pytest.mark.parametrize(
    ("atlas", "error", "message"),
    [
        (None, ValueError, "images need an atlas"),
        ("schaefer", FileNotFoundError, "'schaefer' is neither 'schaefer-<n>' nor"),
        ("missing.nii.gz", FileNotFoundError, r"missing\.nii\.gz"),
    ],
)
def test_unusable_atlas_raises_before_any_image_is_read(tree, atlas, error, message):
    with pytest.raises(error, match=message):
        load(tree, atlas=atlas)


def test_two_spaces_raise_until_one_is_chosen(tree, write_image):
    func = tree / "fmriprep" / "sub-01" / "func"
    write_image(func / "sub-01_task-rest_space-T1w_desc-preproc_bold.nii.gz")
    with pytest.raises(ValueError, match=r"differ in space \('MNI152NLin6Asym', 'T1w'\)"):
        load(tree)
    data = load(tree, entities={"space": "MNI152NLin6Asym"})
    assert len(data.scans) == 2
    assert [path.name for path in data.left_out["files"]] == [
        "sub-01_task-rest_space-T1w_desc-preproc_bold.nii.gz"
    ]
