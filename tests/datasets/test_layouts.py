"""Which files of a folder are scans, and of whom."""

import json

import numpy as np
import pandas as pd
import pytest
import scipy.io
import scipy.sparse

from sk_brainmae.datasets import load_derivatives

SIGNAL = np.random.default_rng(0).normal(size=(20, 3))


def save(path, signal=SIGNAL):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, signal)
    else:
        sep = "," if path.suffix == ".csv" else "\t"
        pd.DataFrame(signal, columns=["a", "b", "c"]).to_csv(path, sep=sep, index=False)
    return path


# ----------------------------------------------------------------------------- mixed folders


def test_plain_scans_beside_a_folder_of_arrays_raise_until_a_layout_is_chosen(tmp_path):
    for name in ("anna.csv", "bert.csv", "masks/brain.npy"):
        save(tmp_path / name)
    with pytest.raises(ValueError, match=r"'hcp' \(1 files\), 'plain' \(2 files\): choose"):
        load_derivatives(tmp_path)
    assert len(load_derivatives(tmp_path, layout="plain").scans) == 2


def test_other_tables_with_bids_names_beside_those_of_xcpd_raise(tmp_path):
    save(tmp_path / "sub-01_timeseries.tsv")
    save(tmp_path / "sub-02_timeseries.csv")
    with pytest.raises(ValueError, match=r"'xcpd' \(1 files\), 'plain' \(2 files\): choose"):
        load_derivatives(tmp_path)


def test_tables_about_the_study_beside_bids_folders_are_no_scans(tmp_path):
    save(tmp_path / "sub-01_timeseries.tsv")
    (tmp_path / "sub-01_motion.tsv").write_text("fd\n.1\n")
    (tmp_path / "motion.csv").write_text("sub,fd\n01,.1\n")
    assert len(load_derivatives(tmp_path).scans) == 1


def test_scans_with_bids_names_beside_another_layout_raise(tmp_path, write_image):
    save(tmp_path / "sub-01.tsv")
    write_image(tmp_path / "sub-02" / "sub-02_desc-preproc_bold.nii.gz")
    with pytest.raises(ValueError, match=r"'fmriprep' \(1 files\), 'plain' \(1 files\): choose"):
        load_derivatives(tmp_path)


def test_components_with_the_name_of_a_time_series_are_no_scan(tmp_path):
    save(tmp_path / "sub-01_atlas-Gordon_desc-clean_timeseries.tsv")
    save(tmp_path / "sub-01_desc-aroma_timeseries.tsv")
    data = load_derivatives(tmp_path)
    assert [path.name[:12] for path in data.files] == ["sub-01_atlas"]


def test_files_beside_the_scans_are_left_out_and_listed(tmp_path):
    save(tmp_path / "sub-01" / "sub-01_timeseries.tsv")
    for name in ("anna.csv", "participants.tsv", "README.txt", "dataset_description.json"):
        (tmp_path / name).write_text("participant_id\n01\n")
    data = load_derivatives(tmp_path)
    assert data.left_out["files"] == [tmp_path / "anna.csv"]
    assert data.description.endswith("(xcpd, 1 files left out)")


def test_files_of_other_kinds_beside_plain_scans_warn_and_are_listed(tmp_path):
    save(tmp_path / "anna.csv")
    (tmp_path / "bert.txt").write_text("1 2 3\n")
    (tmp_path / "carl.csv.gz").write_bytes(b"")
    with pytest.warns(UserWarning, match=r"2 files beside the scans are not read.*bert\.txt"):
        data = load_derivatives(tmp_path)
    assert data.left_out["files"] == [tmp_path / "bert.txt", tmp_path / "carl.csv.gz"]


def test_tables_and_cifti_of_xcpd_in_surface_space_are_read_once(tmp_path):
    start = "sub-01_task-rest_space-fsLR_seg-Gordon"
    save(tmp_path / f"{start}_stat-mean_timeseries.tsv")
    other = tmp_path / f"{start}_den-91k_stat-mean_timeseries.ptseries.nii"
    other.write_bytes(b"")
    assert load_derivatives(tmp_path).files[0].suffix == ".tsv"
    other.rename(other.with_name(other.name.replace("Gordon", "Tian")))
    with pytest.raises(ValueError, match=r"'xcpd' \(1 files\), 'cifti' \(1 files\): choose"):
        load_derivatives(tmp_path)


def test_phenotypes_beside_folders_of_subjects_are_no_scan(tmp_path):
    save(tmp_path / "100206" / "REST1" / "a.npy")
    (tmp_path / "people.csv").write_text("participant_id,age\n100206,30\n")
    data = load_derivatives(tmp_path, participants=tmp_path / "people.csv")
    assert data.phenotypes["age"].tolist() == [30]


def test_folder_without_scans_says_what_it_holds_and_what_to_do(tmp_path):
    for name in ("s1/ts.csv", "s2/ts.csv"):
        save(tmp_path / name)
    (tmp_path / "s3.1D").write_text("1 2\n")
    with pytest.raises(FileNotFoundError, match=r"2 \.csv, 1 \.1d files, the first s3\.1D: tables"):
        load_derivatives(tmp_path)


@pytest.mark.parametrize("folder", ["OP101/images", "."])
def test_two_files_of_a_scan_are_told_apart_by_a_part_of_their_names(tmp_path, folder):
    for bold in ("bold1", "bold2"):
        save(tmp_path / folder / f"{'sub-1_' if folder == '.' else ''}{bold}.npy")
    with pytest.raises(ValueError, match=r"same scan .*, or choose by a part of the name \(atlas="):
        load_derivatives(tmp_path)
    assert len(load_derivatives(tmp_path, atlas="bold1").scans) == 1


def test_sites_with_subjects_of_the_same_names_raise_and_are_loaded_one_by_one(tmp_path):
    for site in ("NYU", "UCLA"):
        save(tmp_path / site / "sub-01" / "sub-01_timeseries.tsv")
    with pytest.raises(ValueError, match=r"same scan of subject sub-01.*load their folders one by"):
        load_derivatives(tmp_path)
    assert len(load_derivatives(tmp_path / "NYU").scans) == 1


# -------------------------------------------------------------------------------------- links


def test_scans_below_linked_folders_are_found_once(tmp_path):
    save(tmp_path / "store" / "sub-01" / "ses-1" / "sub-01_ses-1_timeseries.tsv")
    save(tmp_path / "study" / "sub-02" / "ses-1" / "sub-02_ses-1_timeseries.tsv")
    (tmp_path / "study" / "sub-01").symlink_to(tmp_path / "store" / "sub-01")
    (tmp_path / "study" / "sub-02" / "latest").symlink_to(tmp_path / "study" / "sub-02" / "ses-1")
    (tmp_path / "study" / "sub-02" / "loop").symlink_to(tmp_path / "study")
    data = load_derivatives(tmp_path / "study")
    assert data.subjects.tolist() == ["sub-01", "sub-02"]
    assert data.files[1].parent.name == "ses-1"


# ----------------------------------------------------------------------------------- subjects


@pytest.mark.parametrize("layout", ["xcpd", "plain"])
def test_a_dash_in_the_id_of_a_subject_is_kept(tmp_path, layout):
    for name in ("sub-A-01_timeseries.tsv", "sub-A-02_timeseries.tsv"):
        save(tmp_path / name)
    assert load_derivatives(tmp_path, layout=layout).subjects.tolist() == ["sub-A-01", "sub-A-02"]


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
def test_folders_of_groups_warn_that_they_count_as_subjects(tmp_path, names):
    for name in names:
        save(tmp_path / name)
    with pytest.warns(UserWarning, match=r"folders controls1?, patients2? are taken as 2 subjects"):
        load_derivatives(tmp_path)


def test_folders_of_sessions_tell_the_session(tmp_path):
    for session in ("1", "2"):
        save(tmp_path / "sub-01" / f"ses-{session}" / "func" / "ts.npy")
    assert load_derivatives(tmp_path).entities["ses"].tolist() == ["1", "2"]


def test_bids_names_below_folders_of_groups_tell_the_subject(tmp_path):
    for name in ("controls/sub-01_ses-1.npy", "controls/sub-02_ses-1.npy", "patients/sub-03.npy"):
        save(tmp_path / name)
    data = load_derivatives(tmp_path)
    assert data.subjects.tolist() == ["sub-01", "sub-02", "sub-03"]
    assert data.entities["ses"].tolist()[:2] == ["1", "1"]


@pytest.mark.parametrize(
    "names",
    [
        ("s1/REST1.npy", "s1/REST2.npy", "s2/REST1.npy"),
        ("s1/s1_a.npy", "s1/s1_b.npy"),
        ("100206/REST1/a.npy", "100206/REST2/a.npy"),
    ],
)
def test_folders_of_subjects_do_not_warn(tmp_path, names, recwarn):
    for name in names:
        save(tmp_path / name)
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
def test_names_that_look_like_scans_of_one_subject_warn_that_they_count_as_two(tmp_path, names):
    for name in names:
        save(tmp_path / f"{name}.npy")
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
def test_files_of_different_subjects_do_not_warn(tmp_path, names, recwarn):
    for name in names:
        save(tmp_path / f"{name}.npy")
    load_derivatives(tmp_path)
    assert not recwarn.list


def test_runs_joined_over_directions_warn(tmp_path):
    for part in ("dir-AP_run-1", "dir-PA_run-1"):
        save(tmp_path / f"sub-01_task-rest_{part}_timeseries.tsv")
    save(tmp_path / "sub-01_task-rest_timeseries.tsv", np.vstack([SIGNAL, SIGNAL]))
    with pytest.warns(UserWarning, match="1 scans without run or direction lie beside runs"):
        load_derivatives(tmp_path)


def test_runs_joined_by_hcp_beside_them_warn(tmp_path):
    for run in ("rfMRI_REST1_AP", "rfMRI_REST2_PA", "rfMRI_REST"):
        save(tmp_path / "HCA60" / "MNINonLinear" / "Results" / run / f"{run}_clean.npy")
    with pytest.warns(
        UserWarning, match=r"1 scans without run .*/rfMRI_REST_clean\.npy.* session="
    ):
        load_derivatives(tmp_path)


# --------------------------------------------------------------------------------------- atlas


def test_atlases_called_seg_and_atlas_are_chosen_by_one_name(tmp_path):
    save(tmp_path / "sub-01_seg-Gordon_timeseries.tsv")
    save(tmp_path / "sub-02_atlas-Gordon_timeseries.tsv")
    save(tmp_path / "sub-02_atlas-Tian_timeseries.tsv")
    with pytest.raises(ValueError, match=r"differ in atlas \('Gordon', 'Tian'\): .*by atlas="):
        load_derivatives(tmp_path)
    for label in ("Gordon", "seg-Gordon", "atlas-Gordon"):
        assert len(load_derivatives(tmp_path, atlas=label).scans) == 2


def test_atlas_of_100_regions_is_not_that_of_1000(tmp_path):
    for n in (100, 1000):
        save(tmp_path / "100206" / "REST1" / f"schaefer-{n}_bold.npy")
    files = load_derivatives(tmp_path, atlas="schaefer-100").files
    assert [path.name for path in files] == ["schaefer-100_bold.npy"]


# ---------------------------------------------------------------------------- repetition time


def test_sidecar_of_another_acquisition_tells_no_repetition_time(tmp_path):
    save(tmp_path / "sub-01_task-rest_timeseries.tsv")
    other = tmp_path / "sub-01_task-rest_acq-mb_desc-denoised_bold.json"
    other.write_text(json.dumps({"RepetitionTime": 0.5}))
    assert load_derivatives(tmp_path).t_r is None
    own = tmp_path / "sub-01_task-rest_desc-denoised_bold.json"
    own.write_text("\ufeff" + json.dumps({"RepetitionTime": 2}), encoding="utf-8")
    assert load_derivatives(tmp_path).t_r == 2


def test_sidecar_is_that_of_the_whole_stem(tmp_path):
    save(tmp_path / "anna.1.npy")
    save(tmp_path / "anna.2.npy")
    (tmp_path / "anna.1.json").write_text('{"RepetitionTime": 1}')
    (tmp_path / "anna.2.json").write_text('{"RepetitionTime": 2}')
    assert load_derivatives(tmp_path).t_r.tolist() == [1, 2]


@pytest.mark.parametrize("told", ["0", "-1", "2000", "Infinity", "NaN"])
def test_repetition_time_that_no_scanner_has_raises(tmp_path, told):
    save(tmp_path / "anna.npy")
    (tmp_path / "anna.json").write_text(f'{{"RepetitionTime": {told}}}')
    with pytest.raises(ValueError, match=r"anna\.npy: the repetition time .* number of seconds"):
        load_derivatives(tmp_path)


def test_repetition_time_of_the_user_goes_before_one_that_no_scanner_has(tmp_path):
    save(tmp_path / "anna.npy")
    (tmp_path / "anna.json").write_text('{"RepetitionTime": 2000}')
    with pytest.warns(UserWarning, match=r"t_r=2 is used, but 1 of 1 files tell another"):
        assert load_derivatives(tmp_path, t_r=2).t_r == 2


# ------------------------------------------------------------------------------------- arrays


@pytest.mark.parametrize("beside", [np.ones((4, 5, 6)), np.ones((9, 9), dtype=complex)])
def test_a_matrix_beside_another_array_raises(tmp_path, beside):
    scipy.io.savemat(tmp_path / "anna.mat", {"series": beside, "fc": np.eye(3)})
    np.savez(tmp_path / "bert.npz", series=beside, fc=np.eye(3))
    for name in ("anna.mat", "bert.npz"):
        with pytest.raises(ValueError, match=r"it holds 2 arrays \(fc \(3, 3\), series"):
            load_derivatives(tmp_path)
        (tmp_path / name).unlink()


@pytest.mark.parametrize(
    ("widths", "message"),
    [
        (
            (1, 5, 1),
            r"a matrix \(20, 5\) and, in cells, 2 signals of the same length: save",
        ),
        (
            (1, 1, 1),
            r"no matrix of numbers, only \['data'\]; if cells hold one signal per",
        ),
    ],
)
def test_regions_in_cells_raise_also_beside_components_of_noise(tmp_path, widths, message):
    cells = np.empty((1, len(widths)), dtype=object)  # as CONN saves them
    cells[0, :] = [np.random.default_rng(0).normal(size=(20, width)) for width in widths]
    scipy.io.savemat(tmp_path / "ROI_Subject001_Condition000.mat", {"data": cells})
    with pytest.raises(ValueError, match=message):
        load_derivatives(tmp_path)


def test_a_sparse_matrix_raises(tmp_path):
    scipy.io.savemat(tmp_path / "anna.mat", {"fc": scipy.sparse.eye_array(5, format="csc")})
    with pytest.raises(ValueError, match=r"its matrix fc is sparse: save it as a full matrix"):
        load_derivatives(tmp_path)


# --------------------------------------------------------------------------- XCP-D's outliers


@pytest.mark.parametrize("part", ["part-mag", "echo-2", "acq-mb", "setting-slow"])
def test_censored_frames_are_those_of_the_same_acquisition(tmp_path, part):
    save(tmp_path / f"sub-01_task-rest_{part}_space-MNI_timeseries.tsv")
    source = "sub-01_task-rest" if part == "setting-slow" else f"sub-01_task-rest_{part}"
    marks = "".join(f"{int(i == 4)}\n" for i in range(21))
    (tmp_path / f"{source}_outliers.tsv").write_text(f"fd\n{marks}")
    scan = load_derivatives(tmp_path).scans[0]
    assert np.flatnonzero(np.isnan(scan).all(axis=1)).tolist() == [4]


def test_names_that_differ_in_what_bids_does_not_know_raise_and_name_it(tmp_path):
    for feature in ("alff", "raw"):
        save(tmp_path / f"sub-01_task-rest_feature-{feature}_timeseries.tsv")
    with pytest.raises(ValueError, match=r"same scan of subject sub-01.*entities={'feature': ...}"):
        load_derivatives(tmp_path)
    assert len(load_derivatives(tmp_path, entities={"feature": "raw"}).scans) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"outliers\.tsv beside it is damaged"),
        ("fd\nhigh\n", r"outliers\.tsv beside it is damaged"),
        ("fd\n0\nn/a\n", r"outliers\.tsv beside it has no value in row 2"),
    ],
)
def test_damaged_outliers_raise_and_are_named(tmp_path, text, message):
    save(tmp_path / "sub-01_task-rest_timeseries.tsv")
    (tmp_path / "sub-01_task-rest_outliers.tsv").write_text(text)
    with pytest.raises(ValueError, match=message):
        load_derivatives(tmp_path)
