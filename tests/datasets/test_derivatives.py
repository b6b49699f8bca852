import pickle

import nibabel
import numpy as np
import pandas as pd
import pytest
import scipy.io
from nibabel.cifti2 import BrainModelAxis, ParcelsAxis, SeriesAxis
from numpy.testing import assert_allclose, assert_array_equal

from sk_brainmae.datasets import load_derivatives
from sk_brainmae.timeseries import Window, validate_scans

REGIONS = ["LH_Vis_1", "LH_Vis_2", "RH_Vis_1"]
XCPD_NAME = "{sub}_{scan}_space-MNI152NLin2009cAsym_seg-{atlas}_stat-mean_timeseries.tsv"


def signal(seed, n_frames=20, n_regions=3):
    return np.random.default_rng(seed).normal(size=(n_frames, n_regions)).astype(np.float32)


def write_table(path, frames, names=REGIONS, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    sep = "," if path.suffix == ".csv" else "\t"
    header = names if names else False
    pd.DataFrame(frames).to_csv(path, sep=sep, index=False, header=header, na_rep="n/a", **options)


def write_ptseries(path, frames, names=REGIONS, t_r=0.72):
    mask = np.ones((len(names), 1, 1), dtype=bool)
    models = [BrainModelAxis.from_mask(mask[[i]], affine=np.eye(4)) for i in range(len(names))]
    parcels = ParcelsAxis.from_brain_models(list(zip(names, models, strict=True)))
    series = SeriesAxis(start=0, step=t_r, size=len(frames))
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.Cifti2Image(frames, header=(series, parcels)).to_filename(path)


@pytest.fixture
def xcpd(tmp_path):
    """XCP-D's folder: two subjects, two tasks, one in two runs; fMRIPrep's confounds too."""
    folder = tmp_path / "xcp_d"
    seed = 0
    for sub in ("sub-01", "sub-02"):
        func = folder / sub / "ses-1" / "func"
        for scan in ("ses-1_task-nback", "ses-1_task-rest_run-01", "ses-1_task-rest_run-02"):
            write_table(
                func / XCPD_NAME.format(sub=sub, scan=scan, atlas="4S156Parcels"), signal(seed)
            )
            (func / f"{sub}_{scan}_space-X_desc-denoised_bold.json").write_text(
                '{"RepetitionTime": 0.8}'
            )
            write_table(func / f"{sub}_{scan}_desc-confounds_timeseries.tsv", signal(99))
            seed += 1
    folder.joinpath("participants.tsv").write_text(
        "participant_id\tage\tsex\nsub-02\t31\tF\nsub-01\tn/a\tM\nsub-03\t40\tF\n"
    )
    return folder


def first_file(folder):
    return sorted(folder.rglob("*_stat-mean_timeseries.tsv"))[0]


# ------------------------------------------------------------------------------------- XCP-D


def test_xcpd_scans_come_with_names_times_and_phenotypes(xcpd):
    data = load_derivatives(xcpd)
    assert len(data.scans) == len(data.files) == 6
    for i, scan in enumerate(data.scans):
        assert_allclose(scan, signal(i), rtol=1e-6)
        assert scan.dtype == np.float32
    assert data.region_names == REGIONS
    assert data.t_r == 0.8
    assert_array_equal(data.subjects, ["sub-01"] * 3 + ["sub-02"] * 3)
    assert data.phenotypes["sex"].tolist() == ["M"] * 3 + ["F"] * 3
    assert_array_equal(data.phenotypes["age"], [np.nan] * 3 + [31] * 3)
    assert data.entities["task"].tolist() == ["nback", "rest", "rest"] * 2
    assert data.left_out == {"files": [], "participants": ["sub-03"]}
    assert data.description == f"6 scans of 2 subjects in {xcpd} (xcpd)"
    validate_scans(data.scans)


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
def test_xcpd_scans_are_chosen_by_their_entities(xcpd, chosen, scans):
    data = load_derivatives(xcpd, **chosen)
    assert_allclose(data.scans, [signal(i) for i in scans], rtol=1e-6)
    assert len(data.left_out["files"]) == 6 - len(scans)
    assert not set(data.left_out["files"]) & set(data.files)


def test_label_that_no_file_has_raises_and_lists_those_there_are(xcpd):
    with pytest.raises(FileNotFoundError, match=r"has task 'movie': found are 'nback', 'rest'"):
        load_derivatives(xcpd, task="movie")


def test_two_atlases_raise_until_one_is_chosen(xcpd):
    other = XCPD_NAME.format(sub="sub-01", scan="ses-1_task-nback", atlas="Gordon")
    write_table(xcpd / "sub-01" / "ses-1" / "func" / other, signal(9, n_regions=2), ["a", "b"])
    with pytest.raises(ValueError, match=r"differ in atlas \('4S156Parcels', 'Gordon'\).*atlas="):
        load_derivatives(xcpd)
    assert len(load_derivatives(xcpd, atlas="4S156Parcels").scans) == 6
    gordon = load_derivatives(xcpd, atlas="Gordon")
    assert gordon.region_names == ["a", "b"]
    assert len(gordon.left_out["files"]) == 6


def test_missing_region_stays_nan(xcpd):
    frames = signal(0)
    frames[:, 1] = np.nan
    write_table(first_file(xcpd), frames)
    assert "n/a" in first_file(xcpd).read_text()
    assert_array_equal(np.isnan(load_derivatives(xcpd).scans[0]).all(axis=0), [False, True, False])


def test_censored_frames_come_back_as_nan(xcpd):
    path = first_file(xcpd).with_name("sub-01_ses-1_task-nback_outliers.tsv")
    censored = np.zeros(23, dtype=int)
    censored[[4, 5, 22]] = 1
    path.write_text("framewise_displacement\n" + "\n".join(map(str, censored)))
    scan = load_derivatives(xcpd).scans[0]
    assert_array_equal(np.isnan(scan).all(axis=1), censored == 1)
    assert_allclose(scan[censored == 0], signal(0), rtol=1e-6)


def test_outliers_of_an_uncensored_series_change_nothing(xcpd):
    path = first_file(xcpd).with_name("sub-01_ses-1_task-nback_outliers.tsv")
    path.write_text("framewise_displacement\n" + "1\n" * 20)
    assert_allclose(load_derivatives(xcpd).scans[0], signal(0), rtol=1e-6)


def test_outliers_that_do_not_fit_the_series_raise(xcpd):
    path = first_file(xcpd).with_name("sub-01_ses-1_task-nback_outliers.tsv")
    path.write_text("framewise_displacement\n" + "0\n" * 25)
    with pytest.raises(ValueError, match=r"has 20 frames, but sub-01.*tells of 25, 0 of them"):
        load_derivatives(xcpd)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["LH_Vis_2", "LH_Vis_1", "RH_Vis_1"], r"another order: region 0 is 'LH_Vis_2', but 'LH_"),
        (["LH_Vis_1", "LH_Vis_2"], r"lacks the region 'RH_Vis_1' \(1 in all\)"),
        ([*REGIONS, "RH_Vis_2"], r"has the region 'RH_Vis_2' \(1 in all\), unknown to"),
    ],
)
@pytest.mark.parametrize("lazy", [True, False])
def test_other_regions_raise_and_name_file_and_region(xcpd, names, message, lazy):
    path = sorted(xcpd.rglob("*_stat-mean_timeseries.tsv"))[4]
    write_table(path, signal(0, n_regions=len(names)), names)
    with pytest.raises(ValueError, match=message) as raised:
        load_derivatives(xcpd, lazy=lazy)
    assert str(path) in str(raised.value)
    assert str(first_file(xcpd)) in str(raised.value)


def test_header_of_numbers_is_still_a_header_in_xcpd(xcpd):
    for path in xcpd.rglob("*_stat-mean_timeseries.tsv"):
        write_table(path, signal(0), ["2001", "2002", "2101"])
    data = load_derivatives(xcpd)
    assert data.region_names == ["2001", "2002", "2101"]
    assert data.scans[0].shape == (20, 3)


def test_tables_and_cifti_of_the_same_series_are_read_once(xcpd):
    for path in xcpd.rglob("*_stat-mean_timeseries.tsv"):
        write_ptseries(path.with_suffix(".ptseries.nii"), signal(50))
    assert_allclose(load_derivatives(xcpd).scans[0], signal(0), rtol=1e-6)


# --------------------------------------------------------------------------------------- t_r


def test_own_sidecar_goes_before_that_of_the_image(xcpd):
    for path in xcpd.rglob("*_stat-mean_timeseries.tsv"):
        path.with_suffix(".json").write_text('{"RepetitionTime": 2.0}')
    assert load_derivatives(xcpd).t_r == 2.0


def test_different_repetition_times_come_one_per_scan(xcpd):
    first_file(xcpd).with_suffix(".json").write_text('{"RepetitionTime": 2.0}')
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


def test_broken_sidecar_raises_and_names_it(xcpd):
    sorted(xcpd.rglob("*_bold.json"))[0].write_text("{")
    with pytest.raises(ValueError, match=r"sub-01_ses-1_task-nback.*bold\.json"):
        load_derivatives(xcpd)


@pytest.mark.parametrize("t_r", [0, -1, float("nan")])
def test_t_r_that_is_not_positive_raises(xcpd, t_r):
    with pytest.raises(ValueError, match="positive number of seconds"):
        load_derivatives(xcpd, t_r=t_r)


# ------------------------------------------------------------------------------------- CIFTI


def test_parcellated_cifti_is_read_with_names_and_time(tmp_path):
    for i, sub in enumerate(("sub-01", "sub-02")):
        name = f"{sub}_task-rest_space-fsLR_atlas-Gordon_den-91k_stat-mean_timeseries.ptseries.nii"
        write_ptseries(tmp_path / sub / "func" / name, signal(i))
    data = load_derivatives(tmp_path)
    assert data.region_names == REGIONS
    assert data.t_r == pytest.approx(0.72)
    assert_array_equal(data.scans, [signal(0), signal(1)])
    assert data.description.endswith("(cifti)")


def test_dense_cifti_named_as_parcellated_raises(tmp_path):
    path = tmp_path / "sub-01" / "sub-01_timeseries.ptseries.nii"
    path.parent.mkdir()
    dense = BrainModelAxis.from_mask(np.ones((3, 1, 1), dtype=bool), affine=np.eye(4))
    series = SeriesAxis(start=0, step=1, size=20)
    nibabel.Cifti2Image(signal(0), header=(series, dense)).to_filename(path)
    with pytest.raises(ValueError, match=r"sub-01_timeseries.*SeriesAxis and BrainModelAxis"):
        load_derivatives(tmp_path)


def test_image_named_as_cifti_raises(tmp_path):
    path = tmp_path / "sub-01_timeseries.ptseries.nii"
    nibabel.Nifti1Image(np.zeros((2, 2, 2)), np.eye(4)).to_filename(path)
    with pytest.raises(ValueError, match=r"sub-01_timeseries\.ptseries\.nii: "):
        load_derivatives(tmp_path, layout="cifti")


# -------------------------------------------------------------------------------- HCP-style


@pytest.fixture
def hcp(tmp_path):
    """Two subjects, two sessions, as npz, npy and ptseries."""
    for i, subject in enumerate(("100206", "100307")):
        rest1 = tmp_path / subject / "REST1_LR" / "schaefer-100_bold.npz"
        rest1.parent.mkdir(parents=True)
        np.savez(rest1, signal(i), version=1)
        rest2 = tmp_path / subject / "MNINonLinear" / "REST2_LR" / "schaefer-100_bold.npy"
        rest2.parent.mkdir(parents=True)
        np.save(rest2, signal(i + 2))
    return tmp_path


def test_hcp_folders_are_subjects_and_sessions(hcp):
    data = load_derivatives(hcp)
    assert_array_equal(data.subjects, ["100206", "100206", "100307", "100307"])
    assert data.entities["ses"].tolist() == ["REST2_LR", "REST1_LR"] * 2
    assert_array_equal(data.scans, [signal(i) for i in (2, 0, 3, 1)])
    assert data.region_names is None
    assert data.t_r is None
    assert_array_equal(load_derivatives(hcp, session="REST1_LR").scans, [signal(0), signal(1)])


def test_hcp_series_in_cifti_brings_names_and_time(tmp_path):
    for i, subject in enumerate(("100206", "100307")):
        write_ptseries(tmp_path / subject / "rfMRI_REST1_LR" / "Atlas.ptseries.nii", signal(i))
    data = load_derivatives(tmp_path)
    assert (data.region_names, data.t_r) == (REGIONS, pytest.approx(0.72))
    assert_array_equal(data.subjects, ["100206", "100307"])


def test_two_files_of_a_session_raise_until_one_is_chosen_by_name(hcp):
    np.save(hcp / "100206" / "REST1_LR" / "schaefer-200_bold.npy", signal(5, n_regions=6))
    with pytest.raises(
        ValueError, match=r"same scan of subject 100206.*schaefer-100.*schaefer-200"
    ):
        load_derivatives(hcp)
    assert len(load_derivatives(hcp, atlas="schaefer-100").scans) == 4


# ------------------------------------------------------------------------------------- plain


def write_any(path, frames):
    if path.suffix == ".npy":
        np.save(path, frames)
    elif path.suffix == ".npz":
        np.savez(path, bold=frames)
    elif path.suffix == ".mat":
        scipy.io.savemat(path, {"bold": frames, "TR": 0.72, "labels": ["a", "b"]})
    else:
        write_table(path, frames, names=None)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".npy", ".npz", ".mat"])
@pytest.mark.parametrize("lazy", [True, False])
def test_plain_files_are_subjects(tmp_path, suffix, lazy):
    for i, stem in enumerate(("anna", "bert")):
        write_any(tmp_path / f"{stem}{suffix}", signal(i, n_frames=20 + i))
    tmp_path.joinpath("participants.tsv").write_text("participant_id\tage\nbert\t30\nanna\t20\n")
    data = load_derivatives(tmp_path, lazy=lazy)
    assert_array_equal(data.subjects, ["anna", "bert"])
    assert data.phenotypes["age"].tolist() == [20, 30]
    assert data.region_names is None
    for i, scan in enumerate(data.scans):
        assert_allclose(np.asarray(scan), signal(i, n_frames=20 + i), rtol=1e-6)


def test_plain_files_with_bids_names_are_scans_of_a_subject(tmp_path):
    for i, stem in enumerate(("sub-01_ses-a_bold", "sub-01_ses-b_bold", "sub-02")):
        np.save(tmp_path / f"{stem}.npy", signal(i))
    data = load_derivatives(tmp_path)
    assert_array_equal(data.subjects, ["sub-01", "sub-01", "sub-02"])
    assert data.entities["ses"].tolist()[:2] == ["a", "b"]


@pytest.mark.parametrize(
    ("names", "expected"),
    [(REGIONS, REGIONS), (["0", "1", "2"], ["0", "1", "2"]), (["1", "2", "3"], ["1", "2", "3"])],
)
def test_header_of_a_plain_table_is_told_from_numbers(tmp_path, names, expected):
    write_table(tmp_path / "anna.csv", signal(0), names)
    data = load_derivatives(tmp_path)
    assert data.region_names == expected
    assert data.scans[0].shape == (20, 3)


def test_file_that_tells_phenotypes_is_no_scan(tmp_path):
    np.save(tmp_path / "anna.npy", signal(0))
    tmp_path.joinpath("people.csv").write_text("participant_id,age\nanna,20\n")
    data = load_derivatives(tmp_path, participants=tmp_path / "people.csv")
    assert len(data.scans) == 1
    assert data.phenotypes["age"].tolist() == [20]
    (tmp_path / "anna.npy").unlink()
    with pytest.raises(FileNotFoundError, match="holds no scans beside"):
        load_derivatives(tmp_path, participants=tmp_path / "people.csv")


@pytest.mark.parametrize("other", ["anna.csv", "sub-anna.npy"])
def test_two_files_of_a_subject_raise(tmp_path, other):
    np.save(tmp_path / "anna.npy", signal(0))
    write_any(tmp_path / other, signal(1))
    with pytest.raises(ValueError, match=r"same scan of subject .*anna: .*anna.* and .*anna") as e:
        load_derivatives(tmp_path)
    assert other in str(e.value)


@pytest.mark.parametrize("lazy", [True, False])
def test_file_with_another_region_count_raises(tmp_path, lazy):
    np.save(tmp_path / "anna.npy", signal(0))
    np.save(tmp_path / "bert.npy", signal(0).T)
    with pytest.raises(
        ValueError, match=r"bert\.npy: it has 20 regions \(3 frames\).* has 3\..*trans"
    ):
        [np.asarray(scan) for scan in load_derivatives(tmp_path, lazy=lazy).scans]


# ---------------------------------------------------------------------------- damaged files


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b\n1,2\n3,high\n", r"line 3, column 'b' holds 'high', which is no number"),
        ("1,2\n3,x\n", r"column '2' holds|two of|line 2, column"),
        ("a,b\n1,True\n", r"line 2, column 'b' holds 'True'"),
        ("a,b\n1,2\n3\n", r"line 3 has 1 cells, the first line has 2"),
        ("a,b\n1,2\n3,4,5\n", r"line 3 has 3 cells"),
        (",a,b\n0,1,2\n", r"first column has no name, as the index"),
        ("a,a\n1,2\n", r"two of its columns are named 'a'"),
        ("a,b\n", r"holds no frames"),
        ("", r"holds no frames"),
        ("a;b\n1,5;2\n", r"line 2 has 2 cells, the first line has 1"),
    ],
)
def test_damaged_table_raises_and_names_the_place(tmp_path, content, message):
    (tmp_path / "anna.csv").write_text(content)
    with pytest.raises(ValueError, match=message) as raised:
        load_derivatives(tmp_path)
    assert str(raised.value).startswith(f"{tmp_path / 'anna.csv'}: ")


def test_mat_with_two_matrices_raises_and_names_them(tmp_path):
    scipy.io.savemat(tmp_path / "anna.mat", {"bold": signal(0), "motion": signal(1, n_regions=6)})
    with pytest.raises(
        ValueError, match=r"anna\.mat: it holds 2 matrices \(bold \(20, 3\), motion"
    ):
        load_derivatives(tmp_path)


def test_mat_without_matrix_raises_and_says_what_it_holds(tmp_path):
    scipy.io.savemat(tmp_path / "anna.mat", {"TR": 2.0, "info": {"a": 1}})
    with pytest.raises(ValueError, match=r"no matrix of numbers, only \['TR', 'info'\]"):
        load_derivatives(tmp_path)


@pytest.mark.parametrize("name", ["anna.npy", "anna.npz", "anna.mat", "anna.ptseries.nii"])
@pytest.mark.parametrize("content", [b"", b"not an array of any kind"])
def test_damaged_file_raises_and_is_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{name}: "):
        load_derivatives(tmp_path)


@pytest.mark.parametrize(
    "array",
    [np.zeros(5), np.zeros((0, 3)), np.array([["a", "b"]]), np.zeros((2, 2), dtype=complex)],
)
def test_array_that_is_no_scan_raises_and_is_named(tmp_path, array):
    np.save(tmp_path / "anna.npy", array)
    with pytest.raises(ValueError, match=r"anna\.npy: it holds .* of shape"):
        load_derivatives(tmp_path)


def test_pickled_objects_are_not_loaded(tmp_path):
    np.save(tmp_path / "anna.npy", np.array([{}, []], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"anna\.npy: .*Python objects"):
        load_derivatives(tmp_path)


# ------------------------------------------------------------------------- layouts and lazy


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


def test_two_layouts_raise_until_one_is_chosen(xcpd, write_image):
    write_image(xcpd / "sub-01" / "sub-01_desc-preproc_bold.nii.gz")
    with pytest.raises(ValueError, match=r"'xcpd' \(6 files\), 'fmriprep' \(1 files\): choose"):
        load_derivatives(xcpd)
    assert len(load_derivatives(xcpd, layout="xcpd").scans) == 6


def test_confounds_for_time_series_raise(xcpd):
    with pytest.raises(ValueError, match="confounds= is for images"):
        load_derivatives(xcpd, confounds={})


def test_lazy_scans_behave_as_scans(xcpd):
    lazy, eager = load_derivatives(xcpd, lazy=True).scans, load_derivatives(xcpd).scans
    assert isinstance(lazy, list)
    assert (len(lazy[0]), lazy[0].shape, lazy[0].ndim) == (20, (20, 3), 2)
    assert_array_equal(validate_scans(lazy).frames, validate_scans(eager).frames)
    window = [Window(scan, 2, 10) for scan in lazy]
    assert_array_equal(validate_scans(window).frames, validate_scans(eager).frames)
    assert_array_equal(np.asarray(pickle.loads(pickle.dumps(lazy[3]))), eager[3])


def test_lazy_scans_are_read_when_asked(xcpd):
    lazy = load_derivatives(xcpd, lazy=True).scans
    write_table(first_file(xcpd), signal(77))
    assert_allclose(np.asarray(lazy[0]), signal(77), rtol=1e-6)
    first_file(xcpd).unlink()
    with pytest.raises(ValueError, match=r"task-nback_.*No such file"):
        np.asarray(lazy[0])


def test_lazy_npy_is_mapped_and_eager_npy_is_not(tmp_path):
    np.save(tmp_path / "anna.npy", signal(0))
    assert isinstance(load_derivatives(tmp_path, lazy=True).scans[0].read(), np.memmap)
    eager = load_derivatives(tmp_path).scans[0]
    assert not isinstance(eager, np.memmap)
    assert eager.flags.writeable


# ------------------------------------------------------------------------------ participants


def test_subjects_without_phenotypes_are_kept_and_named(xcpd):
    table = pd.DataFrame({"participant_id": ["02", "7"], "age": [31, 40]})
    with pytest.warns(UserWarning, match=r"no row for 1 of 2 subjects: sub-01; their"):
        data = load_derivatives(xcpd, participants=table)
    assert_array_equal(data.phenotypes["age"], [np.nan] * 3 + [31] * 3)
    assert data.phenotypes["participant_id"].tolist() == data.subjects.tolist()
    assert data.left_out["participants"] == ["7"]
    assert table["participant_id"].tolist() == ["02", "7"]


def test_ids_keep_their_leading_zeros(xcpd):
    xcpd.joinpath("participants.tsv").write_text("participant_id\tage\n01\t20\n02\t30\n")
    assert load_derivatives(xcpd).phenotypes["age"].tolist() == [20] * 3 + [30] * 3


def test_folder_without_participants_has_ids_alone(xcpd):
    xcpd.joinpath("participants.tsv").unlink()
    data = load_derivatives(xcpd)
    assert data.phenotypes.columns.tolist() == ["participant_id"]
    assert data.left_out["participants"] == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("participant_id\tage\nsub-01\t1\n01\t2\n", r"participants\.tsv has '01' more than once"),
        ("subject\tage\nsub-01\t1\n", r"no column 'participant_id', only \['subject', 'age'\]"),
    ],
)
def test_unusable_participants_raise(xcpd, content, message):
    xcpd.joinpath("participants.tsv").write_text(content)
    with pytest.raises(ValueError, match=message):
        load_derivatives(xcpd)
