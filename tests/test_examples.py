"""Every example runs on its own, prints its numbers and saves its figure."""

import re
import runpy
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
GROUPS = sorted(folder for folder in EXAMPLES.iterdir() if folder.is_dir())
SCRIPTS = sorted(EXAMPLES.glob("*/*.py"))


def fetches(path):
    """Return whether a script fetches real data."""
    return "import fetch_" in path.read_text()


def run(path, monkeypatch, *options):
    """Run a script as a shell would, without a window; return the numbers of its figures."""
    plt.switch_backend("Agg")
    monkeypatch.setattr(plt, "show", lambda: None)
    monkeypatch.setattr(sys, "argv", [str(path), *options])
    plt.close("all")
    runpy.run_path(str(path), run_name="__main__")
    drawn = plt.get_fignums()
    plt.close("all")
    return drawn


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.stem, marks=pytest.mark.network if fetches(path) else ())
        for path in SCRIPTS
    ],
)
def test_quick_run_prints_numbers_and_saves_a_figure(path, monkeypatch, tmp_path, capsys):
    figure = tmp_path / "figure.png"
    try:
        assert run(path, monkeypatch, "--quick", "--output", str(figure))
    except ConnectionError as error:
        if not fetches(path):
            raise
        pytest.skip(f"pip gets no answer: {error}")
    assert plt.imread(figure).std() > 0.01  # not an empty page
    printed = capsys.readouterr().out
    # check_scans reports "NaN (scan 3: ...": this is no result.
    assert not re.search(r"nan(?! \(scan)", printed.lower())
    assert len(printed.splitlines()) > 3


def test_every_group_of_scripts_has_an_introduction():
    names = {folder.name for folder in GROUPS}
    assert names == {"data", "evaluation", "inspection", "paper", "start"}
    for folder in [EXAMPLES, *GROUPS]:
        assert (folder / "GALLERY_HEADER.rst").read_text().strip()
