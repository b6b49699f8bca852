"""Every example runs on its own and draws its figure."""

import runpy
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
GROUPS = sorted(folder for folder in EXAMPLES.iterdir() if folder.is_dir())


def run(path, monkeypatch, *options):
    """Run a script as a shell would, without a window."""
    plt.switch_backend("Agg")
    monkeypatch.setattr(plt, "show", lambda: None)
    monkeypatch.setattr(sys, "argv", [str(path), *options])
    plt.close("all")
    runpy.run_path(str(path), run_name="__main__")
    drawn = plt.get_fignums()
    plt.close("all")
    return drawn


# Those that take long or fetch real data have --quick and --output, and print tables.
WITH_OPTIONS = [EXAMPLES / "data" / "plot_mixed_scans.py", *sorted(EXAMPLES.glob("paper/*.py"))]
SHORT = sorted(set(EXAMPLES.glob("*/*.py")) - set(WITH_OPTIONS))


@pytest.mark.parametrize("path", SHORT, ids=lambda path: path.stem)
def test_example_runs_and_draws_a_figure(path, monkeypatch):
    assert run(path, monkeypatch)


@pytest.mark.network
@pytest.mark.parametrize("path", WITH_OPTIONS, ids=lambda path: path.stem)
def test_quick_look_prints_a_table_and_saves_its_figure(path, monkeypatch, tmp_path, capsys):
    figure = tmp_path / "figure.png"
    try:
        assert run(path, monkeypatch, "--quick", "--output", str(figure))
    except ConnectionError as error:
        pytest.skip(f"pip gets no answer: {error}")
    assert plt.imread(figure).std() > 0.01  # not an empty page
    printed = capsys.readouterr().out
    assert "nan" not in printed.lower()
    assert len(printed.splitlines()) > 3


def test_groups_of_examples_are_introduced_and_their_scripts_are_run_by_a_test():
    assert {folder.name for folder in GROUPS} == {
        "data",
        "evaluation",
        "inspection",
        "paper",
        "start",
    }
    for folder in [EXAMPLES, *GROUPS]:
        assert (folder / "GALLERY_HEADER.rst").read_text().strip()
