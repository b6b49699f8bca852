"""Scans are read one at a time; frames in a file give what frames in memory give."""

import os
import re
import subprocess
import sys
import weakref
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest

from sk_brainmae import BrainMAETransformer
from sk_brainmae.scans import Window, runs, validate_scans
from sk_brainmae.scans.runs import empty_frames, forget, mapping_of

SCAN = np.random.default_rng(0).normal(size=(30, 4))
TINY = {
    "embedding_dim": 8,
    "n_heads": 2,
    "window_size": 10,
    "crop_length": 30,
    "max_epochs": 1,
    "validation_fraction": 0,
    "random_state": 0,
}


@pytest.fixture(scope="module")
def scans():
    rng = np.random.default_rng(0)
    sources = rng.normal(size=(6, 60, 2)).cumsum(axis=1)
    return sources @ rng.normal(size=(2, 6)) + rng.normal(size=(6, 60, 6))


@pytest.fixture(scope="module")
def fitted(scans):
    return BrainMAETransformer(**TINY).fit(scans)


class Lazy:
    """A scan that is read when it is looked at, and that counts how many of its kind are held."""

    held: ClassVar[set] = set()
    most: ClassVar[int] = 0

    def __init__(self, scan):
        self.scan = scan
        self.shape = scan.shape
        self.reads = 0

    def __len__(self):
        return len(self.scan)

    def __array__(self, dtype=None, copy=None):
        self.reads += 1
        frames = np.array(self.scan, dtype=dtype)
        Lazy.held.add(id(frames))
        weakref.finalize(frames, Lazy.held.discard, id(frames))
        Lazy.most = max(Lazy.most, len(Lazy.held))
        return frames


class Stored:
    """A 3-D array on some disk, of which scans are read one by one."""

    ndim = 3

    def __init__(self, scans):
        self.scans = scans
        self.shape = scans.shape

    def __len__(self):
        return len(self.scans)

    def __getitem__(self, i):
        return Lazy(self.scans[i])


@pytest.mark.parametrize("t_r", [None, 1.5])
def test_lazy_scans_are_read_twice_and_held_one_at_a_time(scans, t_r):
    Lazy.most = 0
    lazy = [Lazy(scan) for scan in scans]
    times = {"t_r": t_r, "grid": 2.0} if t_r else {}
    cohort = validate_scans(lazy, **times)
    np.testing.assert_array_equal(cohort.frames, validate_scans(scans, **times).frames)
    assert Lazy.most <= 2  # the next one comes before the last one goes
    assert {scan.reads for scan in lazy} == {2}


def test_a_fit_on_lazy_scans_holds_few_of_them(scans, fitted):
    Lazy.most = 0
    for lazy in ([Lazy(scan) for scan in scans], Stored(scans)):
        model = BrainMAETransformer(**TINY).fit(lazy)
        assert Lazy.most <= 2
        np.testing.assert_array_equal(model.roi_embeddings_, fitted.roi_embeddings_)


def test_a_stored_array_is_read_scan_by_scan(scans):
    Lazy.most = 0
    cohort = validate_scans(Stored(scans))
    np.testing.assert_array_equal(cohort.frames, validate_scans(scans).frames)
    assert Lazy.most <= 2


def test_a_scan_that_changes_while_it_is_read_raises(scans):
    class Shrinks(Lazy):
        def __array__(self, dtype=None, copy=None):
            frames = super().__array__(dtype)
            return frames if self.reads == 1 else frames[:-1]

    with pytest.raises(ValueError, match=r"scan 1 has shape \(59, 6\), but had \(60, 6\)"):
        validate_scans([scans[0], Shrinks(scans[1])])


@pytest.mark.parametrize("dtype", ["Float64", "Int64", object])
def test_missing_values_of_pandas_are_missing(dtype):
    scan = np.random.default_rng(0).integers(0, 1000, size=(40, 3)).astype(float)
    scan[5], scan[7, 1] = np.nan, np.nan
    frame = pd.DataFrame(scan, dtype="Float64").astype(dtype)
    assert frame.isna().to_numpy().sum() == 4
    with pytest.warns(UserWarning, match="scan 0: 1 frames, 1 other values"):
        ours, theirs = validate_scans([frame]), validate_scans([scan])
    np.testing.assert_array_equal(ours.frames, theirs.frames)
    np.testing.assert_array_equal(ours.missing, theirs.missing)


# Scans that are no matrix of numbers


@pytest.mark.parametrize(
    "bad",
    [
        "sub-01.npy",
        SCAN.astype(str),
        np.zeros((30, 4), dtype="M8[s]"),
        pd.DataFrame({"a": ["x"]}),
    ],
    ids=["path", "strings", "dates", "frame-of-strings"],
)
def test_scan_that_holds_no_numbers_raises_type_error_naming_it(scan, bad):
    with pytest.raises(TypeError, match="scan 1 holds"):
        validate_scans([scan(), bad])


@pytest.mark.parametrize("value", ["1.5", b"1.5", np.complex64(1 + 2j)])
def test_objects_that_numpy_would_turn_into_numbers_raise(scan, value):
    odd = scan().astype(object)
    odd[3, 1] = value
    with pytest.raises(TypeError, match=r"scan 0 holds values that are not numbers: .* not a real"):
        validate_scans([odd])


def test_complex_scan_raises_naming_it(scan):
    with pytest.raises(ValueError, match="Complex data not supported: scan 1"):
        validate_scans([scan(), scan() + 1j])


@pytest.mark.parametrize(
    ("bad", "shape"),
    [
        (np.zeros(30), "(30,)"),
        (np.zeros((2, 30, 4)), "(2, 30, 4)"),
        (np.zeros((0, 4)), "(0, 4)"),
        (np.zeros((30, 0)), "(30, 0)"),
        (3.5, "()"),
    ],
)
def test_scan_that_is_no_matrix_raises_with_its_shape(scan, bad, shape):
    with pytest.raises(ValueError, match=rf"scan 1 has shape {re.escape(shape)}"):
        validate_scans([scan(), bad])


def test_scan_of_rows_of_unequal_length_raises():
    with pytest.raises(ValueError, match=r"scan 0 is not a matrix.*inhomogeneous"):
        validate_scans([[[1.0, 2.0], [3.0]]])


# Files


@pytest.mark.parametrize("views", [("connectivity", "innovations", "tempo"), "state_mean"])
def test_a_fit_with_frames_in_a_file_is_the_same(scans, monkeypatch, views):
    expected = BrainMAETransformer(**TINY, views=views).fit(scans)
    samples = [*scans, *(Window(scan, 5, 15) for scan in scans)]
    embedded = expected.transform(samples)
    monkeypatch.setattr(runs, "IN_MEMORY", 0)
    assert mapping_of(validate_scans(scans).frames) is not None
    model = BrainMAETransformer(**TINY, views=views).fit(scans)
    for name, weight in expected.weights_.items():
        np.testing.assert_array_equal(model.weights_[name], weight)
    np.testing.assert_array_equal(model.transform(samples), embedded)


def test_few_frames_stay_in_memory(scans):
    assert mapping_of(validate_scans(scans).frames) is None


def test_what_is_forgotten_is_read_again(monkeypatch):
    monkeypatch.setattr(runs, "IN_MEMORY", 0)
    frames = empty_frames((100, 10))
    frames[:] = 1
    part = frames[3:7]
    forget(part)
    assert (part == 1).all()
    assert frames.sum() == 1000


@pytest.mark.parametrize("mode", ["r", "r+", "c"])
def test_mapped_scans_are_never_changed(scans, tmp_path, mode):
    np.save(tmp_path / "scans.npy", scans)
    mapped = np.load(tmp_path / "scans.npy", mmap_mode=mode)
    if mode == "c":
        mapped[0, 0, 0] = 7.0  # in memory alone: forgetting it would undo it
    before = np.array(mapped)
    validate_scans(mapped)
    np.testing.assert_array_equal(mapped, before)


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="memory is read from /proc")
def test_memory_does_not_grow_with_mapped_scans(tmp_path):
    script = (
        "import sys, resource, numpy as np\n"
        "from sk_brainmae.scans import runs, validate_scans\n"
        "from sk_brainmae.scans.covariance import region_covariance\n"
        "runs.IN_MEMORY = 2**20\n"
        "scans = np.load(sys.argv[1], mmap_mode='r')\n"
        "validate_scans(scans[:2])\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "region_covariance(validate_scans(scans))\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    few = np.random.default_rng(0).standard_normal((8, 500, 100), dtype=np.float32)
    np.save(tmp_path / "scans.npy", np.tile(few, (50, 1, 1)))  # 80 MB
    command = [sys.executable, "-c", script, str(tmp_path / "scans.npy")]
    grown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert int(grown) < 20_000, "kB"


def test_no_room_on_the_disk_is_an_error(monkeypatch):
    with pytest.raises(OSError, match=r"No space|too large|Invalid"):
        empty_frames((2**50, 2**10))


@pytest.mark.parametrize("copy", [np.memmap.copy, lambda mapped: mapped.astype(float)])
def test_a_copy_of_a_mapped_scan_is_taken_like_the_scan(scans, tmp_path, copy):
    np.save(tmp_path / "scan.npy", scans[0])
    copied = copy(np.load(tmp_path / "scan.npy", mmap_mode="r"))
    assert mapping_of(copied) is None
    np.testing.assert_array_equal(
        validate_scans([copied]).frames, validate_scans([scans[0]]).frames
    )
