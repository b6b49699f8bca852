"""How the frames of a file are read, and which files are refused."""

import nibabel
import numpy as np
import pytest
import scipy.io
import scipy.sparse
from nibabel.cifti2 import BrainModelAxis, SeriesAxis
from numpy.testing import assert_array_equal

from sk_brainmae.datasets import load_derivatives

SCAN = np.ones((20, 3))


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
        ((1, 5, 1), r"a matrix \(20, 5\) and, in cells, 2 signals of the same length: save"),
        ((1, 1, 1), r"no matrix of numbers, only \['data'\]; if cells hold one signal per"),
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


def test_dense_cifti_named_as_parcellated_raises(tmp_path, signal):
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


@pytest.mark.parametrize(
    ("variables", "found"),
    [
        ({"bold": SCAN, "motion": SCAN}, r"bold \(20, 3\), motion \(20, 3\)"),
        ({"data": {"bold": SCAN}, "motion": SCAN}, r"data\.bold \(20, 3\), motion"),
        ({"cube": SCAN[None], "motion": SCAN}, r"cube \(1, 20, 3\), motion"),
    ],
)
def test_mat_with_two_matrices_raises_and_names_them(tmp_path, variables, found):
    scipy.io.savemat(tmp_path / "anna.mat", variables)
    with pytest.raises(ValueError, match=rf"anna\.mat: it holds 2 arrays \({found}"):
        load_derivatives(tmp_path)


def test_mat_with_a_matrix_in_a_structure_is_read(tmp_path, signal):
    scipy.io.savemat(tmp_path / "anna.mat", {"roi": {"bold": signal(0), "names": ["a", "b"]}})
    assert_array_equal(load_derivatives(tmp_path).scans[0], signal(0))


def test_text_named_as_mat_raises_and_says_so(tmp_path, signal):
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
def test_a_connectivity_matrix_is_no_scan(tmp_path, diagonal, suffix, signal, write):
    correlations = np.corrcoef(signal(0).T)
    np.fill_diagonal(correlations, diagonal)
    write(tmp_path / f"anna{suffix}", correlations, None)
    with pytest.raises(ValueError, match=r"its 3 rows and columns .* a connectivity matrix"):
        load_derivatives(tmp_path)


def test_pickled_objects_are_not_loaded(tmp_path):
    np.save(tmp_path / "anna.npy", np.array([{}, []], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"anna\.npy: .*Python objects"):
        load_derivatives(tmp_path)


def test_names_that_numpy_saved_as_objects_raise_and_are_named(tmp_path, signal, regions):
    np.savez(tmp_path / "anna.npz", bold=signal(0), names=np.array(regions, dtype=object))
    with pytest.raises(
        ValueError, match=r"anna\.npz: its array names cannot be read: .* dtype=str"
    ):
        load_derivatives(tmp_path)
