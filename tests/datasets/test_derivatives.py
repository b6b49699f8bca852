"""What load_derivatives returns: scans, subjects, phenotypes, names and repetition times."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sk_brainmae.datasets import load_derivatives
from sk_brainmae.timeseries import validate_scans


def test_xcpd_scans_come_with_names_times_and_phenotypes(xcpd, signal, regions):
    data = load_derivatives(xcpd)
    assert len(data.scans) == len(data.files) == 6
    for i, scan in enumerate(data.scans):
        assert_allclose(scan, signal(i), rtol=1e-6)
        assert scan.dtype == np.float32
    assert data.region_names == regions
    assert data.t_r == 0.8
    assert_array_equal(data.subjects, ["sub-01"] * 3 + ["sub-02"] * 3)
    assert data.phenotypes["sex"].tolist() == ["M"] * 3 + ["F"] * 3
    assert_array_equal(data.phenotypes["age"], [np.nan] * 3 + [31] * 3)
    assert data.entities["task"].tolist() == ["nback", "rest", "rest"] * 2
    assert data.left_out == {"files": [], "participants": ["sub-03"]}
    assert data.description == f"6 scans of 2 subjects in {xcpd} (xcpd, 0 files left out)"
    validate_scans(data.scans)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".npy", ".npz", ".mat"])
@pytest.mark.parametrize("lazy", [True, False])
def test_plain_files_are_subjects(tmp_path, suffix, lazy, signal, write):
    for i, stem in enumerate(("anna", "bert")):
        write(tmp_path / f"{stem}{suffix}", signal(i, n_frames=20 + i), None)
    tmp_path.joinpath("participants.tsv").write_text("participant_id\tage\nbert\t30\nanna\t20\n")
    data = load_derivatives(tmp_path, lazy=lazy)
    assert_array_equal(data.subjects, ["anna", "bert"])
    assert data.phenotypes["age"].tolist() == [20, 30]
    assert data.region_names is None
    for i, scan in enumerate(data.scans):
        assert_allclose(np.asarray(scan), signal(i, n_frames=20 + i), rtol=1e-6)


def test_hcp_folders_are_subjects_and_sessions(hcp, signal):
    data = load_derivatives(hcp)
    assert_array_equal(data.subjects, ["100206", "100206", "100307", "100307"])
    assert data.entities["ses"].tolist() == ["REST2_LR", "REST1_LR"] * 2
    assert_array_equal(data.scans, [signal(i) for i in (2, 0, 3, 1)])
    assert data.region_names is None
    assert data.t_r is None
    assert_array_equal(load_derivatives(hcp, session="REST1_LR").scans, [signal(0), signal(1)])


def test_parcellated_cifti_is_read_with_names_and_time(tmp_path, signal, write, regions):
    for i, sub in enumerate(("sub-01", "sub-02")):
        name = f"{sub}_task-rest_space-fsLR_atlas-Gordon_den-91k_stat-mean_timeseries.ptseries.nii"
        write(tmp_path / sub / "func" / name, signal(i))
    data = load_derivatives(tmp_path)
    assert data.region_names == regions
    assert data.t_r == pytest.approx(0.72)
    assert_array_equal(data.scans, [signal(0), signal(1)])
    assert "(cifti, " in data.description


def test_hcp_series_in_cifti_brings_names_and_time(tmp_path, signal, write, regions):
    for i, subject in enumerate(("100206", "100307")):
        write(tmp_path / subject / "rfMRI_REST1_LR" / "Atlas.ptseries.nii", signal(i))
    data = load_derivatives(tmp_path)
    assert (data.region_names, data.t_r) == (regions, pytest.approx(0.72))
    assert_array_equal(data.subjects, ["100206", "100307"])


def test_confounds_for_time_series_raise(xcpd):
    with pytest.raises(ValueError, match="confounds= is for images"):
        load_derivatives(xcpd, confounds={})


def test_different_repetition_times_come_one_per_scan(xcpd, first_file):
    first_file.with_suffix(".json").write_text('{"RepetitionTime": 2.0}')
    assert_array_equal(load_derivatives(xcpd).t_r, [2.0, 0.8, 0.8, 0.8, 0.8, 0.8])


def test_unknown_repetition_times_are_nan_or_none(xcpd):
    sidecars = sorted(xcpd.rglob("*_bold.json"))
    sidecars[0].unlink()
    assert_array_equal(load_derivatives(xcpd).t_r, [np.nan, 0.8, 0.8, 0.8, 0.8, 0.8])
    for path in sidecars[1:]:
        path.write_text("{}")
    assert load_derivatives(xcpd).t_r is None
    assert load_derivatives(xcpd, t_r=1).t_r == 1.0


def test_t_r_of_the_user_is_used_with_a_warning_where_files_tell_another(xcpd):
    with pytest.warns(
        UserWarning, match=r"t_r=2 is used, but 6 of 6 files .* first 0\.8 s: .*sub-01"
    ):
        assert load_derivatives(xcpd, t_r=2).t_r == 2.0


@pytest.mark.parametrize("t_r", [0, -1, float("nan")])
def test_t_r_that_is_not_positive_raises(xcpd, t_r):
    with pytest.raises(ValueError, match="positive number of seconds"):
        load_derivatives(xcpd, t_r=t_r)


@pytest.mark.parametrize("told", ["0", "-1", "2000", "Infinity", "NaN"])
def test_repetition_time_that_no_scanner_has_raises(tmp_path, told, write):
    write(tmp_path / "anna.npy")
    (tmp_path / "anna.json").write_text(f'{{"RepetitionTime": {told}}}')
    with pytest.raises(ValueError, match=r"anna\.npy: the repetition time .* number of seconds"):
        load_derivatives(tmp_path)


def test_repetition_time_of_the_user_wins_over_an_impossible_one(tmp_path, write):
    write(tmp_path / "anna.npy")
    (tmp_path / "anna.json").write_text('{"RepetitionTime": 2000}')
    with pytest.warns(UserWarning, match=r"t_r=2 is used, but 1 of 1 files tell another"):
        assert load_derivatives(tmp_path, t_r=2).t_r == 2


def test_subjects_without_phenotypes_are_kept_and_named(xcpd):
    table = pd.DataFrame({"participant_id": ["02", "7"], "age": [31, 40]})
    with pytest.warns(
        UserWarning,
        match=r"no row for 1 of 2 subjects: sub-01; .*ids in the table are '02', '7', \.\.\.\)",
    ):
        data = load_derivatives(xcpd, participants=table)
    assert_array_equal(data.phenotypes["age"], [np.nan] * 3 + [31] * 3)
    assert data.phenotypes["participant_id"].tolist() == data.subjects.tolist()
    assert data.left_out["participants"] == ["7"]
    assert table["participant_id"].tolist() == ["02", "7"]


def test_ids_keep_their_leading_zeros(xcpd):
    xcpd.joinpath("participants.tsv").write_text("participant_id\tage\n01\t20\n02\t30\n")
    assert load_derivatives(xcpd).phenotypes["age"].tolist() == [20] * 3 + [30] * 3


def test_phenotypes_without_participants_hold_only_ids(xcpd):
    xcpd.joinpath("participants.tsv").unlink()
    data = load_derivatives(xcpd)
    assert data.phenotypes.columns.tolist() == ["participant_id"]
    assert data.left_out["participants"] == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("participant_id\tage\nsub-01\t1\n01\t2\n", r"participants\.tsv has '01' more than once"),
        ("subject\tage\nsub-01\t1\n", r"no column .participant_id., only \[.subject', 'age'\]"),
    ],
)
def test_unusable_participants_raise(xcpd, content, message):
    xcpd.joinpath("participants.tsv").write_text(content)
    with pytest.raises(ValueError, match=message):
        load_derivatives(xcpd)
