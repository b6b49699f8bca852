import json

import pandas as pd
import pytest
from typer.testing import CliRunner

from sk_brainmae.cli import app

SCORES = """estimator,repeat,fold,metric,value,fit_time,n_train,n_test
BrainMAE,0,0,r2,0.5,1.0,30,10
mean,0,0,r2,0.1,0.1,30,10
BrainMAE,0,1,r2,0.4,1.0,30,10
"""
FITS = ["BrainMAE,0,0", "mean,0,0", "BrainMAE,0,1"]
PREDICTIONS = "estimator,repeat,fold,sample,y_true,y_pred,y_train_mean\n" + "".join(
    f"{fit},{i},{i % 3},1.5,1.0\n" for fit in FITS for i in range(10)
)
KINDS = {"y_true": "floating", "y_pred": "floating"}
CONTENTS = {"estimators": ["BrainMAE", "mean"], "metrics": ["r2"], "kinds": KINDS}


@pytest.fixture
def folder(tmp_path):
    """What an interrupted call leaves."""
    (tmp_path / "scores.csv").write_text(SCORES)
    (tmp_path / "predictions.csv").write_text(PREDICTIONS)
    (tmp_path / "comparison.json").write_text(json.dumps(CONTENTS))
    return tmp_path


def run(*args):
    return CliRunner().invoke(app, ["report", *map(str, args)])


def test_report_is_written_beside_the_scores_also_of_an_interrupted_call(folder):
    result = run(folder)
    assert result.exit_code == 0, result.output
    assert f"Written to {folder / 'report.html'}" in result.output
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "BrainMAE reaches R² 0.450" in page
    assert "1 of 4 fits are missing" in page


def test_open_hands_the_report_to_the_browser(folder, monkeypatch):
    opened = []
    monkeypatch.setattr("typer.launch", opened.append)
    assert run(folder, "--open").exit_code == 0
    assert opened == [str(folder / "report.html")]


@pytest.mark.parametrize("missing", ["scores.csv", "predictions.csv", "comparison.json"])
def test_folder_without_results_is_one_clear_line(folder, missing):
    (folder / missing).unlink()
    result = run(folder)
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert result.output.startswith("Error: ")
    assert f"{missing} does not exist" in result.output.replace("\n", "")


def test_folder_in_which_no_fit_finished_is_one_clear_line(folder):
    pd.read_csv(folder / "scores.csv").iloc[:0].to_csv(folder / "scores.csv", index=False)
    result = run(folder)
    assert result.exit_code == 1
    assert "Error: no fit of this comparison has finished" in result.output
