import hashlib
import json
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from rich.progress import Progress
from sklearn.base import clone
from typer.testing import CliRunner

import sk_brainmae
from sk_brainmae.cli import app
from sk_brainmae.cli.terminal import EpochBar
from sk_brainmae.datasets import pain

N_FRAMES, N_REGIONS, N_TRIALS = 191, 4, 4


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """A cache as ``fetch_pain`` leaves it, with simulated runs of few regions."""
    root = tmp_path_factory.mktemp("data")
    folder = root / pain.FOLDER
    folder.mkdir()
    rng = np.random.default_rng(0)
    regions = [f"r{i}" for i in range(N_REGIONS)]
    labels = pd.DataFrame({"labels": regions, "modules": "net"})
    labels.to_csv(folder / pain.REGIONS, sep="\t", index=False)
    for subject in pain.SUBJECTS:
        for run in pain.RUNS:
            names = {"subject": subject, "run": run}
            temperature = rng.permutation([46.3, 42.0] * (N_TRIALS // 2))
            signals = _simulated_run(temperature, rng)
            table = pd.DataFrame(signals, columns=["GlobSig", *regions])
            table.to_csv(folder / pain.SIGNALS.format(**names), sep="\t", index=False)
            events = _events(temperature)
            events.to_csv(folder / pain.EVENTS.format(**names), sep="\t", index=False)
    hashes = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    manifest = {"sha256": pain.WHEEL.sha256, "files": hashes}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return root


def _simulated_run(temperature, rng):
    """Global signal and regions, the first of which heat drives; (n_frames, 1 + n_regions)."""
    signals = rng.integers(-100, 101, (N_FRAMES, 1 + N_REGIONS))
    for i, celsius in enumerate(temperature):
        start = round((pain.FIRST_ONSET + 34 * i) / pain.T_R) + pain.TRIAL_DELAY
        signals[start : start + pain.TRIAL_LENGTH, 1] += 60 * (celsius > 46)
    return signals


def _events(temperature):
    """A heat row and a rating row for every trial."""
    rows = []
    for i, celsius in enumerate(temperature):
        onset = 1000.0 + 34 * i
        rows += [(onset, celsius, np.nan, "regulate up"), (onset + 20, np.nan, 90.0, None)]
    return pd.DataFrame(rows, columns=["onset", "temperature", "ratings", "regulate"])


def run(*args, env=None):
    return CliRunner().invoke(app, [str(arg) for arg in args], env=env)


def assert_one_clear_line(result, *words):
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit), "an error, but no traceback"
    assert result.output.startswith("Error: ")
    for word in words:
        assert word in result.output


def test_help_names_the_demo():
    result = run("--help")
    assert result.exit_code == 0
    assert "demo" in result.output


def test_version_is_printed():
    result = run("--version")
    assert (result.exit_code, result.output) == (0, f"sk-brainmae {sk_brainmae.__version__}\n")


def test_module_runs_as_the_command():
    command = [sys.executable, "-m", "sk_brainmae", "demo", "--help"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "sk-brainmae demo" in printed
    assert "--quick" in printed


def test_help_imports_no_heavy_library():
    code = (
        "import sys\n"
        "from sk_brainmae.cli import app\n"
        "app(['demo', '--help'], standalone_mode=False)\n"
        "print({'torch', 'sklearn', 'matplotlib', 'pandas'} & set(sys.modules), file=sys.stderr)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stderr
    assert found == "set()\n"


def test_demo_without_network_says_so_in_one_line(tmp_path):
    # pip itself refuses to look anything up, as it does without a network.
    args = ["--data-dir", tmp_path / "data", "--output", tmp_path / "out"]
    result = run("demo", *args, env={"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": ""})
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert "Error: pip could not download connattractor" in result.output


def test_demo_with_a_damaged_cache_says_so_in_one_line(tmp_path):
    (tmp_path / pain.FOLDER).mkdir()
    result = run("demo", "--data-dir", tmp_path, "--output", tmp_path / "out")
    assert_one_clear_line(result, str(tmp_path / pain.FOLDER), "damaged")


def test_demo_with_an_unwritable_cache_says_so_in_one_line(tmp_path):
    (tmp_path / "file").touch()
    result = run("demo", "--data-dir", tmp_path / "file", "--output", tmp_path / "out")
    assert_one_clear_line(result, str(tmp_path / "file"), "no data directory can be written")


def test_demo_with_an_unwritable_output_says_so_in_one_line(tmp_path, data_dir):
    (tmp_path / "file").touch()
    result = run("demo", "--data-dir", data_dir, "--output", tmp_path / "file" / "out")
    assert_one_clear_line(result, str(tmp_path / "file"))


def test_quick_demo_prints_the_table_and_writes_scores_table_and_figure(tmp_path, data_dir):
    (tmp_path / "scores.csv").write_text("of an earlier demo\n")
    result = run("demo", "--quick", "--data-dir", data_dir, "--output", tmp_path)
    assert result.exit_code == 0, result.output
    assert "264 trials (132 hot, 132 warm) of 33 subjects" in result.output
    assert "1 of 5 folds; BrainMAE pretrained for 2 epochs in each" in result.output
    assert "nan" not in result.output
    names = ["BrainMAE", "BrainMAE, not trained", "paper's network"]
    names += ["mean activation", "flat window", "FC (correlation)"]
    for name in names:
        assert name in result.output
    scores = pd.read_csv(tmp_path / "scores.csv")
    assert list(scores["estimator"]) == names
    assert scores.query("estimator == 'mean activation'")["value"].min() > 0.9
    assert (tmp_path / "scores.png").read_bytes().startswith(b"\x89PNG")
    assert "66 scans read" in (tmp_path / "report.html").read_text()
    table = pd.read_csv(tmp_path / "table.csv")
    assert table["best_opponent"].sum() == 1


def test_epoch_bar_follows_the_pretraining_of_a_clone():
    class Recorded(EpochBar):
        shown: list = []  # noqa: RUF012

        def on_fit_task_end(self, estimator, context):
            (task,) = self.progress.tasks
            self.shown.append((context.task_name, task.visible, task.completed, task.total))

    progress = Progress(disable=True)
    model = sk_brainmae.BrainMAEClassifier(window_size=4, crop_length=12, max_epochs=3)
    model.set_callbacks(Recorded(progress))
    scans = np.random.default_rng(0).normal(size=(6, 20, 4))
    clone(model).fit(scans, [0, 1] * 3)
    epochs = [shown for name, *shown in Recorded.shown if name == "epoch"]
    assert epochs == [[True, 0, 3], [True, 1, 3], [True, 2, 3]]
    assert not progress.tasks[0].visible


def test_ctrl_c_leaves_the_finished_folds_and_says_where(tmp_path, data_dir):
    code = (
        "import signal, time\n"
        "from sk_brainmae.cli import app, demo\n"
        "from sk_brainmae.baselines import FeatureBaseline, MeanActivation\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "class Endless(FeatureBaseline):\n"
        "    def fit(self, X, y, groups=None):\n"
        "        time.sleep(600)\n"
        "ours, endless = FeatureBaseline(MeanActivation()), Endless(MeanActivation())\n"
        "demo._demo_estimators = lambda *args: {'BrainMAE': ours, 'endless': endless}\n"
        "app()\n"
    )
    args = ["demo", "--data-dir", str(data_dir), "--output", str(tmp_path)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, "-c", code, *args], **pipes)
    scores = tmp_path / "scores.csv"
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if scores.exists() and scores.read_text().count("\n") == 2:
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "Traceback" not in stdout + stderr
    assert f"Finished fits: 1, in {scores}" in stdout
    assert list(pd.read_csv(scores)["estimator"]) == ["BrainMAE"]
