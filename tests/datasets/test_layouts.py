"""Which files of a folder are scans, and of whom."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sk_brainmae.datasets import load_derivatives


def test_empty_folder_raises_and_says_what_was_looked_for(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"holds no scans.*xcpd: sub-\*_timeseries\.tsv.*plain"
    ):
        load_derivatives(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"Looked for cifti: sub-\*\.ptseries\.nii$"):
        load_derivatives(tmp_path, layout="cifti")


def test_missing_folder_and_unknown_layout_raise(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        load_derivatives(tmp_path / "absent")
    with pytest.raises(ValueError, match=r"layout must be 'auto' or one of \['cifti'.*got 'bids'"):
        load_derivatives(tmp_path, layout="bids")


def test_hidden_files_are_no_scans_but_links_to_nowhere_raise(tmp_path):
    for path in (".git/sub-01_timeseries.tsv", "a/.cache/b.npy", "._anna.npy"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("none")
    with pytest.raises(FileNotFoundError, match="holds no scans"):
        load_derivatives(tmp_path)
    (tmp_path / "anna.npy").symlink_to(tmp_path / "not_fetched.npy")
    with pytest.raises(ValueError, match=r"anna\.npy: .*No such file"):
        load_derivatives(tmp_path)


def test_two_layouts_raise_until_one_is_chosen(xcpd, write_image):
    write_image(xcpd / "sub-01" / "sub-01_desc-preproc_bold.nii.gz")
    with pytest.raises(ValueError, match=r"'xcpd' \(6 files\), 'fmriprep' \(1 files\): choose"):
        load_derivatives(xcpd)
    assert len(load_derivatives(xcpd, layout="xcpd").scans) == 6


def test_tables_and_cifti_of_the_same_series_are_read_once(xcpd, signal, write):
    for path in xcpd.rglob("*_stat-mean_timeseries.tsv"):
        write(path.with_suffix(".ptseries.nii"), signal(50))
    assert_allclose(load_derivatives(xcpd).scans[0], signal(0), rtol=1e-6)
    assert_array_equal(load_derivatives(xcpd, layout="cifti").scans[0], signal(50))


def test_phenotype_table_is_no_scan(tmp_path, signal):
    np.save(tmp_path / "anna.npy", signal(0))
    tmp_path.joinpath("people.csv").write_text("participant_id,age\nanna,20\n")
    data = load_derivatives(tmp_path, participants=tmp_path / "people.csv")
    assert len(data.scans) == 1
    assert data.phenotypes["age"].tolist() == [20]
    (tmp_path / "anna.npy").unlink()
    with pytest.raises(FileNotFoundError, match="holds no scans beside"):
        load_derivatives(tmp_path, participants=tmp_path / "people.csv")


def test_plain_scans_beside_a_folder_of_arrays_raise_until_a_layout_is_chosen(tmp_path, write):
    for name in ("anna.csv", "bert.csv", "masks/brain.npy"):
        write(tmp_path / name)
    with pytest.raises(ValueError, match=r"'hcp' \(1 files\), 'plain' \(2 files\): choose"):
        load_derivatives(tmp_path)
    assert len(load_derivatives(tmp_path, layout="plain").scans) == 2


def test_other_bids_tables_beside_xcpd_tables_raise(tmp_path, write):
    write(tmp_path / "sub-01_timeseries.tsv")
    write(tmp_path / "sub-02_timeseries.csv")
    with pytest.raises(ValueError, match=r"'xcpd' \(1 files\), 'plain' \(2 files\): choose"):
        load_derivatives(tmp_path)


def test_tables_about_the_study_beside_bids_folders_are_no_scans(tmp_path, write):
    write(tmp_path / "sub-01_timeseries.tsv")
    (tmp_path / "sub-01_motion.tsv").write_text("fd\n.1\n")
    (tmp_path / "motion.csv").write_text("sub,fd\n01,.1\n")
    assert len(load_derivatives(tmp_path).scans) == 1


def test_scans_with_bids_names_beside_another_layout_raise(tmp_path, write_image, write):
    write(tmp_path / "sub-01.tsv")
    write_image(tmp_path / "sub-02" / "sub-02_desc-preproc_bold.nii.gz")
    with pytest.raises(ValueError, match=r"'fmriprep' \(1 files\), 'plain' \(1 files\): choose"):
        load_derivatives(tmp_path)


def test_components_with_the_name_of_a_time_series_are_no_scan(tmp_path, write):
    write(tmp_path / "sub-01_atlas-Gordon_desc-clean_timeseries.tsv")
    write(tmp_path / "sub-01_desc-aroma_timeseries.tsv")
    data = load_derivatives(tmp_path)
    assert [path.name[:12] for path in data.files] == ["sub-01_atlas"]


def test_files_beside_the_scans_are_left_out_and_listed(tmp_path, write):
    write(tmp_path / "sub-01" / "sub-01_timeseries.tsv")
    for name in ("anna.csv", "participants.tsv", "README.txt", "dataset_description.json"):
        (tmp_path / name).write_text("participant_id\n01\n")
    data = load_derivatives(tmp_path)
    assert data.left_out["files"] == [tmp_path / "anna.csv"]
    assert data.description.endswith("(xcpd, 1 files left out)")


def test_files_of_other_kinds_beside_plain_scans_warn_and_are_listed(tmp_path, write):
    write(tmp_path / "anna.csv")
    (tmp_path / "bert.txt").write_text("1 2 3\n")
    (tmp_path / "carl.csv.gz").write_bytes(b"")
    with pytest.warns(UserWarning, match=r"2 files beside the scans are not read.*bert\.txt"):
        data = load_derivatives(tmp_path)
    assert data.left_out["files"] == [tmp_path / "bert.txt", tmp_path / "carl.csv.gz"]


def test_tables_and_cifti_of_xcpd_in_surface_space_are_read_once(tmp_path, write):
    start = "sub-01_task-rest_space-fsLR_seg-Gordon"
    write(tmp_path / f"{start}_stat-mean_timeseries.tsv")
    other = tmp_path / f"{start}_den-91k_stat-mean_timeseries.ptseries.nii"
    other.write_bytes(b"")
    assert load_derivatives(tmp_path).files[0].suffix == ".tsv"
    other.rename(other.with_name(other.name.replace("Gordon", "Tian")))
    with pytest.raises(ValueError, match=r"'xcpd' \(1 files\), 'cifti' \(1 files\): choose"):
        load_derivatives(tmp_path)


def test_phenotypes_beside_folders_of_subjects_are_no_scan(tmp_path, write):
    write(tmp_path / "100206" / "REST1" / "a.npy")
    (tmp_path / "people.csv").write_text("participant_id,age\n100206,30\n")
    data = load_derivatives(tmp_path, participants=tmp_path / "people.csv")
    assert data.phenotypes["age"].tolist() == [30]


def test_folder_without_scans_says_what_it_holds_and_what_to_do(tmp_path, write):
    for name in ("s1/ts.csv", "s2/ts.csv"):
        write(tmp_path / name)
    (tmp_path / "s3.1D").write_text("1 2\n")
    with pytest.raises(FileNotFoundError, match=r"2 \.csv, 1 \.1d files, the first s3\.1D: tables"):
        load_derivatives(tmp_path)


def test_scans_below_linked_folders_are_found_once(tmp_path, write):
    write(tmp_path / "store" / "sub-01" / "ses-1" / "sub-01_ses-1_timeseries.tsv")
    write(tmp_path / "study" / "sub-02" / "ses-1" / "sub-02_ses-1_timeseries.tsv")
    (tmp_path / "study" / "sub-01").symlink_to(tmp_path / "store" / "sub-01")
    (tmp_path / "study" / "sub-02" / "latest").symlink_to(tmp_path / "study" / "sub-02" / "ses-1")
    (tmp_path / "study" / "sub-02" / "loop").symlink_to(tmp_path / "study")
    data = load_derivatives(tmp_path / "study")
    assert data.subjects.tolist() == ["sub-01", "sub-02"]
    assert data.files[1].parent.name == "ses-1"


@pytest.mark.parametrize(
    "names",
    [
        ("controls/s1.npy", "controls/s2.npy", "patients/s3.npy"),
        ("controls/001.npy", "controls/002.npy", "patients/001.npy"),
        ("controls/001/rest.npy", "controls/002/rest.npy", "patients/001/rest.npy"),
        ("controls/controls_1.npy", "controls/controls_2.npy", "patients/patients_1.npy"),
        tuple(f"{group}/{i:02d}.npy" for group in ("controls1", "patients2") for i in range(10)),
    ],
)
def test_folders_of_groups_warn_that_they_count_as_subjects(tmp_path, names, write):
    for name in names:
        write(tmp_path / name)
    with pytest.warns(UserWarning, match=r"folders controls1?, patients2? are taken as 2 subjects"):
        load_derivatives(tmp_path)


def test_folders_of_sessions_tell_the_session(tmp_path, write):
    for session in ("1", "2"):
        write(tmp_path / "sub-01" / f"ses-{session}" / "func" / "ts.npy")
    assert load_derivatives(tmp_path).entities["ses"].tolist() == ["1", "2"]


@pytest.mark.parametrize(
    "names",
    [
        ("s1/REST1.npy", "s1/REST2.npy", "s2/REST1.npy"),
        ("s1/s1_a.npy", "s1/s1_b.npy"),
        ("100206/REST1/a.npy", "100206/REST2/a.npy"),
    ],
)
def test_folders_of_subjects_do_not_warn(tmp_path, names, recwarn, write):
    for name in names:
        write(tmp_path / name)
    load_derivatives(tmp_path)
    assert not recwarn.list


@pytest.mark.parametrize(
    "names",
    [
        ("S01_run1", "S01_run2", "S02_run1"),
        ("100206_REST1_LR", "100206_REST1_RL"),
        ("P1 post ts", "P1 pre ts"),
        ("a-visit-1", "a-visit-2"),
        ("S1_T1_roi", "S1_T2_roi"),
        ("sub-01_ses-1/ts", "sub-01_ses-2/ts"),
        ("S01_ses1/ts", "S01_ses2/ts"),
    ],
)
def test_names_that_look_like_scans_of_one_subject_warn(tmp_path, names, write):
    for name in names:
        write(tmp_path / f"{name}.npy")
    one, other = (name.removesuffix("/ts") for name in names[:2])
    with pytest.warns(UserWarning, match=rf"{one} and {other} are taken as different subj"):
        load_derivatives(tmp_path)


@pytest.mark.parametrize(
    "names",
    [
        ("NYU_1", "NYU_2", "UCLA_1"),
        ("S1_run1", "S2_run1"),
        ("run1", "run2"),
        ("ROI_Subject001_Condition000", "ROI_Subject002_Condition000"),
        ("site1_prefix1", "site1_prefix2"),
        ("ABIDE_rest_0051", "ABIDE_rest_0052"),
        ("sub-1_run-1", "sub-1_run-2"),
    ],
)
def test_files_of_different_subjects_do_not_warn(tmp_path, names, recwarn, write):
    for name in names:
        write(tmp_path / f"{name}.npy")
    load_derivatives(tmp_path)
    assert not recwarn.list
