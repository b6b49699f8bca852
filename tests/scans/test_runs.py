"""Frames in a file give what frames in memory give, and hardly any memory."""

import os
import subprocess
import sys
import weakref
from typing import ClassVar

import numpy as np
import pytest

from sk_brainmae import BrainMAETransformer
from sk_brainmae.datasets import make_cohort
from sk_brainmae.scans import runs
from sk_brainmae.scans.runs import empty_frames, forget, mapping_of
from sk_brainmae.timeseries import Window, validate_scans

TINY = {
    "embedding_dim": 8,
    "n_heads": 2,
    "window_size": 10,
    "crop_length": 30,
    "max_epochs": 1,
    "random_state": 0,
}


@pytest.fixture(scope="module")
def scans():
    return make_cohort(n_scans=12, n_timepoints=60, n_regions=10, random_state=0).scans


@pytest.mark.parametrize("pooling", ["covariance", "mean"])
def test_a_fit_with_frames_in_a_file_is_the_same(scans, monkeypatch, pooling):
    expected = BrainMAETransformer(**TINY, pooling=pooling).fit(scans)
    embedded = expected.transform(scans)
    monkeypatch.setattr(runs, "IN_MEMORY", 0)
    assert mapping_of(validate_scans(scans).frames) is not None
    model = BrainMAETransformer(**TINY, pooling=pooling).fit(scans)
    for name, weight in expected.weights_.items():
        np.testing.assert_array_equal(model.weights_[name], weight)
    np.testing.assert_array_equal(model.transform(scans), embedded)
    moments = [Window(scan, 5, 15) for scan in scans]
    np.testing.assert_array_equal(model.transform(moments), expected.transform(moments))


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
        "from sk_brainmae.scans import runs\n"
        "from sk_brainmae.timeseries import validate_scans\n"
        "from sk_brainmae.scans.covariance import region_covariance\n"
        "runs.IN_MEMORY = 2**20\n"
        "scans = np.load(sys.argv[1], mmap_mode='r')\n"
        "validate_scans(scans[:2])\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "region_covariance(validate_scans(scans))\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    rng = np.random.default_rng(0)
    np.save(tmp_path / "scans.npy", rng.standard_normal((400, 500, 100), dtype=np.float32))  # 80 MB
    command = [sys.executable, "-c", script, str(tmp_path / "scans.npy")]
    grown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert int(grown) < 20_000, "kB"


def test_no_room_on_the_disk_is_an_error(monkeypatch):
    with pytest.raises(OSError, match=r"No space|too large|Invalid"):
        empty_frames((2**50, 2**10))


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
    times = {"t_r": t_r, "grid": 1.0} if t_r else {}
    cohort = validate_scans(lazy, **times)
    np.testing.assert_array_equal(cohort.frames, validate_scans(scans, **times).frames)
    assert Lazy.most <= 2  # the next one comes before the last one goes
    assert {scan.reads for scan in lazy} == {2}


def test_a_fit_on_lazy_scans_holds_few_of_them(scans):
    expected = BrainMAETransformer(**TINY).fit(scans)
    Lazy.most = 0
    for lazy in ([Lazy(scan) for scan in scans], Stored(scans)):
        model = BrainMAETransformer(**TINY).fit(lazy)
        assert Lazy.most <= 2
        np.testing.assert_array_equal(model.roi_embeddings_, expected.roi_embeddings_)


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

    with pytest.raises(ValueError, match=r"scan 1 has shape \(59, 10\), but had \(60, 10\)"):
        validate_scans([scans[0], Shrinks(scans[1])])


@pytest.mark.parametrize("copy", [np.memmap.copy, lambda mapped: mapped.astype(float)])
def test_a_copy_of_a_mapped_scan_is_taken_like_the_scan(scans, tmp_path, copy):
    np.save(tmp_path / "scan.npy", scans[0])
    copied = copy(np.load(tmp_path / "scan.npy", mmap_mode="r"))
    assert mapping_of(copied) is None
    np.testing.assert_array_equal(
        validate_scans([copied]).frames, validate_scans([scans[0]]).frames
    )
