"""Training that was killed resumes as if nothing had happened, or says why it cannot."""

import json
import resource
import shutil
import subprocess
import sys
import time
from dataclasses import replace

import joblib
import numpy as np
import pandas as pd
import pytest

from sk_brainmae import BrainMAEClassifier, BrainMAERegressor, BrainMAETransformer
from sk_brainmae.datasets import make_cohort
from sk_brainmae.persistence.files import read_sealed
from sk_brainmae.timeseries import validate_scans
from sk_brainmae.training.checkpoint import FILE, LOCK, identify

TINY = {
    "embedding_dim": 8,
    "n_heads": 2,
    "window_size": 10,
    "crop_length": 30,
    "max_epochs": 4,
    "patience": 100,
    "random_state": 0,
}
LABELS = np.array(["rest", "task"] * 6)


@pytest.fixture(scope="module")
def scans():
    return make_cohort(n_scans=12, n_timepoints=60, n_regions=10, random_state=0).scans


@pytest.fixture
def folder(tmp_path):
    """A folder for a checkpoint, not yet there."""
    return tmp_path / "checkpoint"


@pytest.fixture(scope="module")
def undisturbed(scans, tmp_path_factory):
    """A model that was trained without an end in between, with its checkpoint."""
    checkpoint = tmp_path_factory.mktemp("undisturbed")
    return BrainMAETransformer(**TINY, checkpoint=checkpoint).fit(scans)


@pytest.fixture
def finished(undisturbed, folder):
    """A folder with the checkpoint of a finished training."""
    shutil.copytree(undisturbed.checkpoint, folder)
    return folder


class Killed(Exception):  # noqa: N818 (not an error)
    """Stands for the end of the process."""


class KillIn:
    """A callback that ends the fit in the middle of an epoch, counted from 0; counts epochs."""

    def __init__(self, epoch):
        self.epoch, self.n = epoch, 0

    def setup(self, estimator, context): ...

    def teardown(self, estimator, context): ...

    def on_fit_task_begin(self, estimator, context): ...

    def on_fit_task_end(self, estimator, context):
        if context.task_name == "epoch":
            self.n += 1
            if self.n > self.epoch:
                raise Killed


def assert_same(model, expected):
    assert joblib.hash(model.weights_) == joblib.hash(expected.weights_)
    pd.testing.assert_frame_equal(model.history_, expected.history_, check_exact=True)
    assert model.held_out_r2_ == expected.held_out_r2_


def assert_resumes(scans, folder, params, epoch, expected):
    """End a fit in an epoch, fit again, and compare with a fit that never ended."""
    model = BrainMAETransformer(**params, checkpoint=folder)
    with pytest.raises(Killed):
        model.set_callbacks(KillIn(epoch)).fit(scans)
    counter = KillIn(epoch=100)
    model.set_callbacks(counter).fit(scans)
    assert counter.n == expected.history_["epoch"].max() - epoch, "no epoch twice"
    assert_same(model, expected)


@pytest.mark.parametrize("epoch", range(TINY["max_epochs"]))
def test_fit_that_ended_in_any_epoch_resumes_to_the_same_model(scans, folder, undisturbed, epoch):
    assert_resumes(scans, folder, TINY, epoch, undisturbed)


@pytest.mark.parametrize(
    "params",
    [
        {"init": "random"},
        {"validation_fraction": 0},
        {"patience": 1, "lr": 0.5, "max_epochs": 6},
        {"attention": "adaptive", "batch_size": 3},
        {"max_epochs": np.int64(2), "lr": np.float32(0.006), "mask_ratio": [np.float32(0.1), 0.5]},
    ],
)
def test_fit_with_other_parameters_resumes_to_the_same_model(scans, folder, params):
    params = {**TINY, "max_epochs": 2, **params}
    expected = BrainMAETransformer(**params).fit(scans)
    last = int(expected.history_["epoch"].max()) - 1
    assert_resumes(scans, folder, params, last, expected)


@pytest.mark.parametrize("epoch", range(5))
def test_fit_resumes_to_the_same_model_where_training_does_not_help(folder, epoch):
    noise = np.random.default_rng(0).normal(size=(12, 60, 10))
    params = {**TINY, "max_epochs": 9, "patience": 2, "lr": 0.1}
    expected = BrainMAETransformer(**params).fit(noise)
    loss = expected.history_["valid_loss"]
    assert len(loss) == 1 + 2 + 3  # the start, a trial of two epochs, three of the prior alone
    assert loss[1:2].min() > loss[0]
    assert_resumes(noise, folder, params, epoch, expected)


def test_finished_training_is_found_again(scans, finished, undisturbed):
    counter = KillIn(epoch=100)
    again = BrainMAETransformer(**TINY, checkpoint=str(finished)).set_callbacks(counter).fit(scans)
    assert counter.n == 0
    assert_same(again, undisturbed)


@pytest.mark.parametrize("estimator", [BrainMAEClassifier, BrainMAERegressor])
def test_supervised_estimators_hand_it_to_their_pretraining(scans, folder, estimator):
    y = LABELS if estimator is BrainMAEClassifier else np.arange(12.0)
    expected = estimator(**TINY, strategy="finetune").fit(scans, y)
    model = estimator(**TINY, strategy="finetune", checkpoint=folder)
    with pytest.raises(Killed):
        model.set_callbacks(KillIn(2)).fit(scans, y)
    model.set_callbacks().fit(scans, y)
    np.testing.assert_array_equal(model.predict(scans), expected.predict(scans))
    with pytest.raises(ValueError, match="checkpoint would have no effect"):
        estimator(pretrained=model.encoder_, checkpoint=folder).fit(scans, y)


def test_memory_is_asked_before_the_checkpoint(scans, folder, tmp_path):
    params = {**TINY, "memory": str(tmp_path / "memory")}
    model = BrainMAETransformer(**params, checkpoint=folder)
    with pytest.raises(Killed):
        model.set_callbacks(KillIn(2)).fit(scans)
    counter = KillIn(epoch=100)
    model.set_callbacks(counter).fit(scans)
    assert counter.n == 2
    BrainMAETransformer(**params, checkpoint=folder / "new").fit(scans)
    assert not (folder / "new").exists(), "memory had it"


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"lr": 0.01}, "lr was 0.006 and is now 0.01"),
        ({"embedding_dim": 16}, "embedding_dim was 8 and is now 16"),
        ({"random_state": 1}, "seed of random_state was"),
        ({"max_epochs": 5}, "max_epochs was 4 and is now 5"),
        ({"mask_ratio": 0.5}, "different mask_ratio"),
        ({"validation_fraction": 0.3}, "different training scans; different validation scans"),
    ],
)
def test_other_parameters_are_refused_by_name(scans, finished, params, message):
    before = (finished / FILE).read_bytes()
    with pytest.raises(ValueError, match=message):
        BrainMAETransformer(**{**TINY, **params}, checkpoint=finished).fit(scans)
    assert (finished / FILE).read_bytes() == before


def test_other_scans_are_refused_by_number(scans, finished):
    other = scans.copy()
    other[3, 7, 2] += 1
    with pytest.raises(ValueError, match=r"scan 3 differs \(1 of 12 scans do\)"):
        BrainMAETransformer(**TINY, checkpoint=finished).fit(other)
    with pytest.raises(ValueError, match="there were 12 scans and are now 11"):
        BrainMAETransformer(**TINY, checkpoint=finished).fit(scans[:11])


class Lazy:
    """A scan that is read when it is looked at."""

    def __init__(self, scan):
        self.scan, self.shape, self.ndim = scan, scan.shape, 2

    def __len__(self):
        return len(self.scan)

    def __array__(self, dtype=None, copy=None):
        return np.array(self.scan, dtype=dtype)


def test_lazy_scans_are_told_apart_by_their_values(scans):
    other = scans.copy()
    other[3, 7, 2] += 1
    one, same, changed = (
        identify(validate_scans([Lazy(scan) for scan in X]), range(12), None)["scans"]
        for X in (scans, scans.copy(), other)
    )
    assert one == same
    assert [i for i in range(12) if one[i] != changed[i]] == [3]


def test_scans_are_told_apart_by_their_gaps(scans):
    gaps = scans.copy()
    gaps[2, 5:8] = np.nan
    with pytest.warns(UserWarning, match="missing"):
        cohort = validate_scans(gaps)
    filled = replace(cohort, missing=None)  # the same signal: gaps are 0 in it
    one, other = (identify(runs, range(12), None)["scans"] for runs in (cohort, filled))
    assert [i for i in range(12) if one[i] != other[i]] == [2]


def test_missing_seed_is_refused_before_any_work(scans, folder):
    with pytest.raises(ValueError, match="integer random_state"):
        BrainMAETransformer(**{**TINY, "random_state": None}, checkpoint=folder).fit(scans)
    assert not folder.exists()


@pytest.mark.parametrize("share", [0, 0.3, 0.99])
def test_truncated_checkpoint_does_not_load(scans, finished, share):
    content = (finished / FILE).read_bytes()
    (finished / FILE).write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match="damaged"):
        BrainMAETransformer(**TINY, checkpoint=finished).fit(scans)


def test_checkpoint_with_any_flipped_bit_does_not_load(scans, finished):
    content = (finished / FILE).read_bytes()
    for bit in np.random.default_rng(0).integers(8 * len(content), size=20):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        (finished / FILE).write_bytes(damaged)
        with pytest.raises(ValueError, match="damaged"):
            read_sealed(finished / FILE)
    with pytest.raises(ValueError, match="damaged"):
        BrainMAETransformer(**TINY, checkpoint=finished).fit(scans)


def test_half_a_file_of_a_killed_writer_is_overwritten(scans, folder, undisturbed):
    model = BrainMAETransformer(**TINY, checkpoint=folder)
    with pytest.raises(Killed):
        model.set_callbacks(KillIn(2)).fit(scans)
    (folder / f".{FILE}.part").write_bytes(b"half")
    assert_same(model.set_callbacks().fit(scans), undisturbed)
    assert sorted(path.name for path in folder.iterdir() if path.name != LOCK) == [FILE]


def test_full_disk_raises_and_leaves_the_checkpoint_before(scans, folder, undisturbed):
    model = BrainMAETransformer(**TINY, checkpoint=folder)
    with pytest.raises(Killed):
        model.set_callbacks(KillIn(2)).fit(scans)
    before = (folder / FILE).read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, hard))
    try:
        with pytest.raises(OSError, match=r"File too large") as caught:
            model.set_callbacks().fit(scans)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.filename == str(folder / f".{FILE}.part")
    assert (folder / FILE).read_bytes() == before
    assert_same(model.fit(scans), undisturbed)


def test_nothing_in_a_checkpoint_is_pickled(finished):
    arrays, note = read_sealed(finished / FILE)
    assert {array.dtype.kind for array in arrays.values()} <= set("fu")
    json.dumps(note, allow_nan=False)
    assert sorted(path.name for path in finished.iterdir() if path.name != LOCK) == [FILE]


# --- processes ----------------------------------------------------------------------------------

FIT = """
import sys, numpy as np, torch
torch.set_num_threads(1)
from sk_brainmae import BrainMAETransformer

class Log:
    def setup(self, estimator, context): ...
    def teardown(self, estimator, context): ...
    def on_fit_task_begin(self, estimator, context):
        if context.task_name == "epoch":
            print("epoch", flush=True)
    def on_fit_task_end(self, estimator, context): ...

scans, params = np.load(sys.argv[1]), eval(sys.argv[2])
BrainMAETransformer(**params).set_callbacks(Log()).fit(scans)
"""
LOCK_FOLDER = """
import sys
from filelock import FileLock
with FileLock(sys.argv[1]):
    print("locked", flush=True)
    sys.stdin.read()
"""


def start(script, *arguments):
    """Run a script in a process of its own, and return that after its first line."""
    process = subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline(), process.stderr.read()
    return process


def epochs_kept(folder):
    return read_sealed(folder / FILE)[1]["epoch"] if (folder / FILE).exists() else 0


@pytest.mark.parametrize("n_kills", [1, pytest.param(20, marks=pytest.mark.slow)])
@pytest.mark.timeout(1500)
def test_fit_killed_at_random_moments_ends_as_if_never_killed(scans, folder, tmp_path, n_kills):
    params = {**TINY, "max_epochs": 8 * n_kills}
    np.save(tmp_path / "scans.npy", scans)
    begun = time.perf_counter()
    expected = BrainMAETransformer(**params, checkpoint=tmp_path / "undisturbed").fit(scans)
    an_epoch = (time.perf_counter() - begun) / params["max_epochs"]
    rng = np.random.default_rng()  # other moments every time
    lost = []
    for _ in range(n_kills):
        before = epochs_kept(folder)
        process = start(FIT, tmp_path / "scans.npy", {**params, "checkpoint": str(folder)})
        time.sleep(rng.uniform(0, 5 * an_epoch))
        process.kill()
        begun_epochs = 1 + process.communicate()[0].count("epoch\n")
        lost.append(before + begun_epochs - epochs_kept(folder))
    assert_same(BrainMAETransformer(**params, checkpoint=folder).fit(scans), expected)
    print(f"{n_kills} kills; epochs lost in each, the running one included: {lost}")
    assert max(lost) <= 1


def test_another_process_is_refused_until_the_first_is_dead(scans, folder):
    folder.mkdir()
    process = start(LOCK_FOLDER, folder / LOCK)
    model = BrainMAETransformer(**TINY, checkpoint=folder)
    with pytest.raises(OSError, match="in use by another process"):
        model.fit(scans)
    process.kill()
    process.communicate()
    with pytest.raises(Killed):
        model.set_callbacks(KillIn(0)).fit(scans)
