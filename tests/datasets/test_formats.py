import nibabel
import numpy as np
import pandas as pd
import pytest
import scipy.io
from nibabel.cifti2 import BrainModelAxis, ParcelsAxis, SeriesAxis
from numpy.testing import assert_allclose, assert_array_equal

from sk_brainmae.datasets import load_derivatives

REGIONS = ["LH_Vis_1", "LH_Vis_2", "RH_Vis_1"]


def signal(seed, n_frames=20, n_regions=3):
    return np.random.default_rng(seed).normal(size=(n_frames, n_regions)).astype(np.float32)


def write_table(path, frames, names=REGIONS):
    path.parent.mkdir(parents=True, exist_ok=True)
    sep = "," if path.suffix == ".csv" else "\t"
    header = names if names else False
    pd.DataFrame(frames).to_csv(path, sep=sep, index=False, header=header, na_rep="n/a")


def write_ptseries(path, frames, names=REGIONS, t_r=0.72):
    mask = np.ones((len(names), 1, 1), dtype=bool)
    models = [BrainModelAxis.from_mask(mask[[i]], affine=np.eye(4)) for i in range(len(names))]
    parcels = ParcelsAxis.from_brain_models(list(zip(names, models, strict=True)))
    series = SeriesAxis(start=0, step=t_r, size=len(frames))
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.Cifti2Image(frames, header=(series, parcels)).to_filename(path)


# -------------------------------------------------------------------------------------------- CIFTI


def test_parcellated_cifti_is_read_with_names_and_time(tmp_path):
    for i, sub in enumerate(("sub-01", "sub-02")):
        name = f"{sub}_task-rest_space-fsLR_atlas-Gordon_den-91k_stat-mean_timeseries.ptseries.nii"
        write_ptseries(tmp_path / sub / "func" / name, signal(i))
    data = load_derivatives(tmp_path)
    assert data.region_names == REGIONS
    assert data.t_r == pytest.approx(0.72)
    assert_array_equal(data.scans, [signal(0), signal(1)])
    assert "(cifti, " in data.description


def test_censored_frames_of_cifti_come_back_as_nan(tmp_path):
    write_ptseries(tmp_path / "sub-01_task-rest_space-fsLR_timeseries.ptseries.nii", signal(0))
    censored = np.zeros(23, dtype=int)
    censored[[4, 5, 22]] = 1
    outliers = tmp_path / "sub-01_task-rest_outliers.tsv"
    outliers.write_text("framewise_displacement\n" + "\n".join(map(str, censored)))
    scan = load_derivatives(tmp_path).scans[0]
    assert_array_equal(np.isnan(scan).all(axis=1), censored == 1)
    assert_array_equal(scan[censored == 0], signal(0))


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


# ---------------------------------------------------------------------------------------- HCP-style


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


# -------------------------------------------------------------------------------------------- plain


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


# ------------------------------------------------------------------------------------ damaged files


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
        ("a;b\n1,5;2\n", r"line 2 holds ';': separate cells by ','"),
        ("1,5;2,5\n1,5;2,5\n", r"line 2 holds ';': separate cells by ','"),
        ("a\tb\n1.5\t2\n", r"line 2 holds '\\t': separate cells by ','"),
        ("1.5 2.5\n1.5 -2.5\n", r"line 2 holds ' ': separate cells by ','"),
        ("\na,b\n1,2\n", r"its first line is empty"),
    ],
)
def test_damaged_table_raises_and_names_the_place(tmp_path, content, message):
    (tmp_path / "anna.csv").write_text(content)
    with pytest.raises(ValueError, match=message) as raised:
        load_derivatives(tmp_path)
    assert str(raised.value).startswith(f"{tmp_path / 'anna.csv'}: ")


@pytest.mark.parametrize(
    ("variables", "found"),
    [
        ({"bold": signal(0), "motion": signal(1)}, r"bold \(20, 3\), motion \(20, 3\)"),
        ({"data": {"bold": signal(0)}, "motion": signal(1)}, r"data\.bold \(20, 3\), motion"),
        ({"cube": signal(0)[None], "motion": signal(1)}, r"cube \(1, 20, 3\), motion"),
    ],
)
def test_mat_with_two_matrices_raises_and_names_them(tmp_path, variables, found):
    scipy.io.savemat(tmp_path / "anna.mat", variables)
    with pytest.raises(ValueError, match=rf"anna\.mat: it holds 2 arrays \({found}"):
        load_derivatives(tmp_path)


def test_mat_with_a_matrix_in_a_structure_is_read(tmp_path):
    scipy.io.savemat(tmp_path / "anna.mat", {"roi": {"bold": signal(0), "names": ["a", "b"]}})
    assert_array_equal(load_derivatives(tmp_path).scans[0], signal(0))


def test_text_named_as_mat_raises_and_says_so(tmp_path):
    np.savetxt(tmp_path / "anna.mat", signal(0))  # as MATLAB's "save -ascii"
    with pytest.raises(ValueError, match=r"anna\.mat: it is text, not a MATLAB file"):
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
    [
        np.zeros(5),
        np.zeros((0, 3)),
        np.array([["a", "b"]]),
        np.zeros((2, 2), dtype=complex),
        np.zeros((2, 3), dtype=bool),
    ],
)
def test_array_that_is_no_scan_raises_and_is_named(tmp_path, array):
    np.save(tmp_path / "anna.npy", array)
    with pytest.raises(ValueError, match=r"anna\.npy: it holds .* of shape"):
        load_derivatives(tmp_path)


@pytest.mark.parametrize("diagonal", [1.0, np.nan, np.inf])
@pytest.mark.parametrize("suffix", [".csv", ".npy", ".mat"])
def test_a_connectivity_matrix_is_no_scan(tmp_path, diagonal, suffix):
    correlations = np.corrcoef(signal(0).T)
    np.fill_diagonal(correlations, diagonal)
    write_any(tmp_path / f"anna{suffix}", correlations)
    with pytest.raises(ValueError, match=r"its 3 rows and columns .* a connectivity matrix"):
        load_derivatives(tmp_path)


def test_pickled_objects_are_not_loaded(tmp_path):
    np.save(tmp_path / "anna.npy", np.array([{}, []], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"anna\.npy: .*Python objects"):
        load_derivatives(tmp_path)


def test_names_that_numpy_saved_as_objects_raise_and_are_named(tmp_path):
    np.savez(tmp_path / "anna.npz", bold=signal(0), names=np.array(REGIONS, dtype=object))
    with pytest.raises(
        ValueError, match=r"anna\.npz: its array names cannot be read: .* dtype=str"
    ):
        load_derivatives(tmp_path)


def test_a_table_with_the_index_of_pandas_raises(tmp_path):
    pd.DataFrame(np.random.default_rng(0).normal(size=(20, 3))).to_csv(tmp_path / "a.csv")
    with pytest.raises(ValueError, match="first column has no name"):
        load_derivatives(tmp_path)


def test_last_frames_without_values_are_frames(tmp_path):
    scan = np.random.default_rng(0).normal(size=(20, 3))
    scan[-3:] = np.nan
    pd.DataFrame(scan, columns=list("abc")).to_csv(tmp_path / "a.tsv", sep="\t", index=False)
    assert_allclose(load_derivatives(tmp_path).scans[0], scan, rtol=1e-6)


def test_entities_may_be_numbers(tmp_path):
    np.save(tmp_path / "sub-a_ses-1_bold.npy", np.random.default_rng(0).normal(size=(20, 3)))
    assert len(load_derivatives(tmp_path, session=1).scans) == 1
