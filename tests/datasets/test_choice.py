"""Which of several files of a scan is taken, and where the user must choose."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sk_brainmae.datasets import load_derivatives


@pytest.mark.parametrize(
    ("chosen", "scans"),
    [
        ({"task": "rest"}, [1, 2, 4, 5]),
        ({"task": "task-rest", "run": 2}, [2, 5]),
        ({"run": "01"}, [1, 4]),
        ({"session": "1", "task": "nback"}, [0, 3]),
        ({"session": "ses-01", "task": "nback"}, [0, 3]),
    ],
)
def test_xcpd_scans_are_chosen_by_their_entities(xcpd, chosen, scans, signal):
    data = load_derivatives(xcpd, **chosen)
    assert_allclose(data.scans, [signal(i) for i in scans], rtol=1e-6)
    assert len(data.left_out["files"]) == 6 - len(scans)
    assert not set(data.left_out["files"]) & set(data.files)


def test_unknown_label_raises_and_lists_the_labels_found(xcpd):
    with pytest.raises(FileNotFoundError, match=r"task 'movie', but 'nback', 'rest'; the first is"):
        load_derivatives(xcpd, task="movie")


def test_two_atlases_raise_until_one_is_chosen(xcpd, first_file, signal, write):
    other = first_file.with_name(first_file.name.replace("4S156Parcels", "Gordon"))
    write(other, signal(9, n_regions=2), ["a", "b"])
    with pytest.raises(ValueError, match=r"differ in atlas \('4S156Parcels', 'Gordon'\).*atlas="):
        load_derivatives(xcpd)
    assert len(load_derivatives(xcpd, atlas="4S156Parcels").scans) == 6
    gordon = load_derivatives(xcpd, atlas="Gordon")
    assert gordon.region_names == ["a", "b"]
    assert len(gordon.left_out["files"]) == 6


def test_joined_runs_beside_their_runs_warn_until_one_kind_is_chosen(xcpd, signal, write):
    run = next(xcpd.rglob("sub-02_*_run-01_*_stat-mean_timeseries.tsv"))
    write(run.with_name(run.name.replace("_run-01", "")), signal(8, n_frames=40))
    with pytest.warns(
        UserWarning, match=r"1 scans without run or direction lie beside.*sub-02_ses-1_task-rest_sp"
    ):
        assert len(load_derivatives(xcpd).scans) == 7
    assert load_derivatives(xcpd, run="", task="rest").scans[0].shape == (40, 3)


def test_echoes_raise_until_one_is_chosen(tmp_path, signal, write):
    for echo in (1, 2):
        write(tmp_path / f"sub-01_task-rest_echo-{echo}_timeseries.tsv", signal(echo))
    with pytest.raises(ValueError, match=r"differ in echo \('1', '2'\)"):
        load_derivatives(tmp_path)
    assert_allclose(
        load_derivatives(tmp_path, entities={"echo": "2"}).scans, [signal(2)], rtol=1e-6
    )


def test_two_files_of_a_session_raise_until_one_is_chosen_by_name(hcp, signal):
    np.save(hcp / "100206" / "REST1_LR" / "schaefer-200_bold.npy", signal(5, n_regions=6))
    with pytest.raises(
        ValueError, match=r"same scan of subject 100206.*schaefer-100.*schaefer-200"
    ):
        load_derivatives(hcp)
    assert len(load_derivatives(hcp, atlas="schaefer-100").scans) == 4


@pytest.mark.parametrize("other", ["anna.csv", "sub-anna.npy"])
def test_two_files_of_a_subject_raise(tmp_path, other, signal, write):
    np.save(tmp_path / "anna.npy", signal(0))
    write(tmp_path / other, signal(1), None)
    with pytest.raises(ValueError, match=r"same scan of subject .*anna: .*anna.* and .*anna") as e:
        load_derivatives(tmp_path)
    assert other in str(e.value)


def test_entities_may_be_numbers(tmp_path):
    np.save(tmp_path / "sub-a_ses-1_bold.npy", np.random.default_rng(0).normal(size=(20, 3)))
    assert len(load_derivatives(tmp_path, session=1).scans) == 1


@pytest.mark.parametrize("folder", ["OP101/images", "."])
def test_two_files_of_a_scan_are_told_apart_by_a_part_of_their_names(tmp_path, folder, write):
    for bold in ("bold1", "bold2"):
        write(tmp_path / folder / f"{'sub-1_' if folder == '.' else ''}{bold}.npy")
    with pytest.raises(ValueError, match=r"same scan .*, or choose by a part of the name \(atlas="):
        load_derivatives(tmp_path)
    assert len(load_derivatives(tmp_path, atlas="bold1").scans) == 1


def test_sites_with_subjects_of_the_same_names_raise_and_are_loaded_one_by_one(tmp_path, write):
    for site in ("NYU", "UCLA"):
        write(tmp_path / site / "sub-01" / "sub-01_timeseries.tsv")
    with pytest.raises(ValueError, match=r"same scan of subject sub-01.*load their folders one by"):
        load_derivatives(tmp_path)
    assert len(load_derivatives(tmp_path / "NYU").scans) == 1


def test_files_that_differ_in_an_unknown_entity_raise_and_name_it(tmp_path, write):
    for feature in ("alff", "raw"):
        write(tmp_path / f"sub-01_task-rest_feature-{feature}_timeseries.tsv")
    with pytest.raises(ValueError, match=r"same scan of subject sub-01.*entities={'feature': ...}"):
        load_derivatives(tmp_path)
    assert len(load_derivatives(tmp_path, entities={"feature": "raw"}).scans) == 1


def test_runs_joined_over_directions_warn(tmp_path, signal, write):
    for part in ("dir-AP_run-1", "dir-PA_run-1"):
        write(tmp_path / f"sub-01_task-rest_{part}_timeseries.tsv")
    write(tmp_path / "sub-01_task-rest_timeseries.tsv", np.vstack([signal(0), signal(0)]))
    with pytest.warns(UserWarning, match="1 scans without run or direction lie beside runs"):
        load_derivatives(tmp_path)


def test_runs_joined_by_hcp_beside_them_warn(tmp_path, write):
    for run in ("rfMRI_REST1_AP", "rfMRI_REST2_PA", "rfMRI_REST"):
        write(tmp_path / "HCA60" / "MNINonLinear" / "Results" / run / f"{run}_clean.npy")
    with pytest.warns(
        UserWarning, match=r"1 scans without run .*/rfMRI_REST_clean\.npy.* session="
    ):
        load_derivatives(tmp_path)


def test_atlases_called_seg_and_atlas_are_chosen_by_one_name(tmp_path, write):
    write(tmp_path / "sub-01_seg-Gordon_timeseries.tsv")
    write(tmp_path / "sub-02_atlas-Gordon_timeseries.tsv")
    write(tmp_path / "sub-02_atlas-Tian_timeseries.tsv")
    with pytest.raises(ValueError, match=r"differ in atlas \('Gordon', 'Tian'\): .*by atlas="):
        load_derivatives(tmp_path)
    for label in ("Gordon", "seg-Gordon", "atlas-Gordon"):
        assert len(load_derivatives(tmp_path, atlas=label).scans) == 2


def test_atlas_label_100_does_not_match_1000(tmp_path, write):
    for n in (100, 1000):
        write(tmp_path / "100206" / "REST1" / f"schaefer-{n}_bold.npy")
    files = load_derivatives(tmp_path, atlas="schaefer-100").files
    assert [path.name for path in files] == ["schaefer-100_bold.npy"]
