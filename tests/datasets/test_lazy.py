"""Scans that stay in their files, and how regions are compared between files."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sk_brainmae.datasets import load_derivatives
from sk_brainmae.timeseries import Window, validate_scans


def test_lazy_scans_behave_as_scans(xcpd):
    lazy, eager = load_derivatives(xcpd, lazy=True).scans, load_derivatives(xcpd).scans
    assert isinstance(lazy, list)
    assert (len(lazy[0]), lazy[0].shape, lazy[0].ndim) == (20, (20, 3), 2)
    assert_array_equal(validate_scans(lazy).frames, validate_scans(eager).frames)
    window = [Window(scan, 2, 10) for scan in lazy]
    assert_array_equal(validate_scans(window).frames, validate_scans(eager).frames)
    assert_array_equal(np.asarray(pickle.loads(pickle.dumps(lazy[3]))), eager[3])


def test_lazy_scans_are_read_when_asked(xcpd, signal, write, first_file):
    lazy = load_derivatives(xcpd, lazy=True).scans
    write(first_file, signal(77))
    assert_allclose(np.asarray(lazy[0]), signal(77), rtol=1e-6)
    first_file.unlink()
    with pytest.raises(ValueError, match=r"task-nback_.*No such file"):
        np.asarray(lazy[0])


def test_lazy_npy_is_mapped_and_eager_npy_is_not(tmp_path, signal):
    np.save(tmp_path / "anna.npy", signal(0))
    assert isinstance(load_derivatives(tmp_path, lazy=True).scans[0].read(), np.memmap)
    eager = load_derivatives(tmp_path).scans[0]
    assert not isinstance(eager, np.memmap)
    assert eager.flags.writeable


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["LH_Vis_2", "LH_Vis_1", "RH_Vis_1"], r"another order: region 0 is 'LH_Vis_2', but 'LH_"),
        (["LH_Vis_1", "LH_Vis_2"], r"lacks the region 'RH_Vis_1' \(1 in all\)"),
        (["LH_Vis_1", "LH_Vis_2", "RH_Vis_1", "X"], r"has the region 'X' \(1 in all\), unknown to"),
    ],
)
@pytest.mark.parametrize("lazy", [True, False])
def test_other_regions_raise_and_name_file_and_region(
    xcpd, names, message, lazy, signal, write, first_file
):
    path = sorted(xcpd.rglob("*_stat-mean_timeseries.tsv"))[4]
    write(path, signal(0, n_regions=len(names)), names)
    with pytest.raises(ValueError, match=message) as raised:
        load_derivatives(xcpd, lazy=lazy)
    assert str(path) in str(raised.value)
    assert str(first_file) in str(raised.value)


@pytest.mark.parametrize("lazy", [True, False])
def test_file_with_another_region_count_raises(tmp_path, lazy, signal):
    np.save(tmp_path / "anna.npy", signal(0))
    np.save(tmp_path / "bert.npy", signal(0).T)
    with pytest.raises(
        ValueError, match=r"bert\.npy: it has 20 regions \(3 frames\).* has 3\..*trans"
    ):
        [np.asarray(scan) for scan in load_derivatives(tmp_path, lazy=lazy).scans]
