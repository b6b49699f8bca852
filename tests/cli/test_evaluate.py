import re

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier, DummyRegressor
from typer.testing import CliRunner

from sk_brainmae.cli import app
from sk_brainmae.datasets import make_cohort
from sk_brainmae.evaluation import Comparison

N_SCANS, N_SUBJECTS = 40, 20
GAP = ["a", "b", np.nan, *"abc" * 12, "d"]


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """A folder of scans in three formats, and the table beside it."""
    folder = tmp_path_factory.mktemp("study")
    simulated = make_cohort(
        n_scans=N_SCANS,
        n_subjects=N_SUBJECTS,
        n_timepoints=120,
        n_regions=10,
        static_strength=3,
        random_state=0,
    )
    (folder / "scans").mkdir()
    ids = [f"scan{i:02d}" for i in range(N_SCANS)]
    for i, name in enumerate(ids):
        table = pd.DataFrame(simulated.scans[i])
        path = folder / "scans" / name
        if i % 3 == 0:
            np.save(path.with_suffix(".npy"), simulated.scans[i])
        elif i % 3 == 1:
            table.to_csv(path.with_suffix(".csv"), index=False, header=False)
        else:
            table.to_csv(path.with_suffix(".tsv"), sep="\t", index=False, header=False)
    rng = np.random.default_rng(0)
    trait = simulated.traits["static"]
    phenotypes = pd.DataFrame(
        {
            "scan": ids,
            "subject": simulated.subjects,
            "score": trait,
            "group": np.where(trait > trait.median(), "patient", "control"),
            "sex": rng.choice(["f", "m"], N_SCANS),
            "motion": rng.exponential(size=N_SCANS),
        }
    )
    phenotypes.sample(frac=1, random_state=0).to_csv(folder / "phenotypes.csv", index=False)
    return folder


def evaluate(cohort, output, *args, phenotypes="phenotypes.csv"):
    paths = [cohort / "scans", cohort / phenotypes, "--output", output]
    settings = ["--epochs", 0, "--folds", 2, "--t-r", 1]
    arguments = ["evaluate", *paths, *settings, *args]
    return CliRunner().invoke(app, [str(a) for a in arguments])


class Silent:
    """Takes callbacks, as BrainMAE does."""

    def set_callbacks(self, *callbacks):
        return self


class Classifier(Silent, DummyClassifier):
    pass


class Regressor(Silent, DummyRegressor):
    pass


@pytest.fixture
def chance_alone(monkeypatch):
    """Neither models nor figures: for what is read, told and refused."""

    def estimators(task, *args):
        kind = Classifier if task == "classification" else Regressor
        return {"BrainMAE": kind(), "[red] chance": kind()}

    monkeypatch.setattr("sk_brainmae.cli.evaluate._estimators", estimators)
    monkeypatch.setattr("sk_brainmae.cli.evaluate.write", lambda *args: None)


def changed(cohort, **columns):
    """Write a table that differs, and return its name."""
    table = pd.read_csv(cohort / "phenotypes.csv").assign(**columns)
    table.to_csv(cohort / "changed.csv", index=False)
    return "changed.csv"


def test_evaluate_predicts_from_files_and_writes_tables_and_figures(cohort, tmp_path):
    confounds = ["--groups", "subject", "--confounds", "sex, motion"]
    result = evaluate(cohort, tmp_path, "--target", "score", *confounds)
    assert result.exit_code == 0, result.output
    assert "score (continuous) from 40 scans of 20 subjects" in result.output
    assert result.output.count("BrainMAE, not trained reads: ") == 1
    assert result.output.count(" reads: ") == 1
    names = ["BrainMAE, not trained", "FC correlation, ridge", "FC tangent, ridge"]
    names += ["confounds only", "chance"]
    table = pd.read_csv(tmp_path / "table.csv", index_col=[0, 1])["mean"]
    assert set(table.loc["pearson_r"].index) == set(names)
    assert table["pearson_r", "FC tangent, ridge"] > 0.6
    assert table["pearson_r", "confounds only"] < 0.4
    predictions = pd.read_csv(tmp_path / "predictions.csv").query(
        "estimator == 'BrainMAE, not trained'"
    )
    subjects = predictions.groupby("group")["fold"].nunique()
    assert len(predictions) == N_SCANS
    assert (subjects == 1).all(), "a subject is tested in one fold"
    for name in ("differences.csv", "scores.csv"):
        assert (tmp_path / name).exists()
    for name in ("scores.png", "differences.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_evaluate_classifies_words_says_what_training_added_and_resumes_where_it_ended(
    cohort, tmp_path, monkeypatch
):
    monkeypatch.setattr("sk_brainmae.cli.evaluate.FEW", ("FC tangent, {}", "chance"))
    arguments = ("--target", "group", "--groups", "subject", "--epochs", 1)
    first = evaluate(cohort, tmp_path, *arguments)
    assert "20 control, 20 patient" in first.output
    assert "BrainMAE, not trained" in first.output
    assert re.search(r"Pretraining (added [+-]|changed the AUC in no fold)", first.output)
    scores = pd.read_csv(tmp_path / "scores.csv")
    assert len(scores.query("estimator == 'BrainMAE' and metric == 'roc_auc'")) == 2
    paper = scores.query('estimator == "paper\'s network" and metric == "roc_auc"')
    assert list(paper["views"]) == ['{"states": 1.0}'] * 2
    lines = (tmp_path / "scores.csv").read_text().splitlines(keepends=True)
    (tmp_path / "scores.csv").write_text("".join(lines[:-5]))
    again = evaluate(cohort, tmp_path, *arguments)
    assert again.exit_code == 0, again.output
    resumed = pd.read_csv(tmp_path / "scores.csv")
    pd.testing.assert_frame_equal(resumed.drop(columns="fit_time"), scores.drop(columns="fit_time"))


def test_repeats_split_anew(cohort, tmp_path, chance_alone):
    arguments = ("--target", "group", "--groups", "subject", "--repeats", 3)
    assert "in 2 folds, 3 times" in evaluate(cohort, tmp_path, *arguments).output
    folds = Comparison.from_csv(tmp_path).scores[["repeat", "fold"]].drop_duplicates()
    assert len(folds) == 6


def test_scans_without_phenotypes_are_named_and_left_out(cohort, tmp_path, chance_alone):
    table = pd.read_csv(cohort / "phenotypes.csv")
    table[~table["scan"].isin(["scan03", "scan07"])].to_csv(cohort / "fewer.csv", index=False)
    result = evaluate(cohort, tmp_path, "--target", "score", phenotypes="fewer.csv")
    assert "2 of 40 scans have no phenotypes and are left out: scan03, scan07" in result.output
    assert "from 38 scans" in result.output


def test_rows_without_a_scan_are_named_with_their_leading_zeros(tmp_path, chance_alone):
    scans = make_cohort(n_scans=12, n_timepoints=60, n_regions=6, random_state=0).scans
    (tmp_path / "scans").mkdir()
    for i, scan in enumerate(scans):
        np.save(tmp_path / "scans" / f"{i:03d}.npy", scan)
    rows = "".join(f"{i:03d} ,{'ab'[i % 2]},{i}\n" for i in range(14))
    (tmp_path / "scans" / "people.csv").write_text("id,kind,age\n" + rows)
    result = evaluate(tmp_path, tmp_path / "out", "--target", "kind", phenotypes="scans/people.csv")
    assert "2 of 14 rows of phenotypes have no scan and are left out: 012, 013" in result.output
    assert "6 a, 6 b" in result.output


def test_several_scans_of_a_subject_by_bids_names_need_groups(tmp_path, chance_alone):
    (tmp_path / "scans").mkdir()
    rows = [f"sub-{i}_ses-{session},{i},{i % 2}" for i in range(6) for session in "ab"]
    for i, row in enumerate(rows):
        frames = np.random.default_rng(i).normal(size=(60, 6))
        np.save(tmp_path / "scans" / f"{row.split(',')[0]}.npy", frames)
    (tmp_path / "people.csv").write_text("\n".join(["scan,subject,ill", *rows]))
    arguments = (tmp_path, tmp_path / "out", "--target", "ill")
    result = evaluate(*arguments, phenotypes="people.csv")
    assert "6 subjects have several scans, such as sub-0." in result.output
    grouped = evaluate(*arguments, "--groups", "subject", phenotypes="people.csv")
    assert "12 scans of 6 subjects" in grouped.output


@pytest.mark.parametrize(
    ("arguments", "columns", "message"),
    [
        (["--target", "age"], {}, "there is no column 'age'; there are scan, subject"),
        (["--target", "score", "--confounds", "sex,iq"], {}, "there is no column 'iq'"),
        (["--target", "score", "--task", "ranking"], {}, "--task is classification or regression"),
        (["--target", "score", "--opponents", "none"], {}, "--opponents is few or all"),
        (["--target", "score"], {"score": [np.nan, *range(39)]}, "score is missing for 1 scans"),
        (["--target", "score"], {"scan": ["scan01"] * 40}, "'scan01' is in several rows"),
        (["--target", "score"], {"scan": [f"s{i}" for i in range(40)]}, "no scan of .* has a row"),
        (["--target", "score"], {"scan": [np.nan] * 40}, "has no scan in row 1 of its 40"),
        (
            ["--target", "score"],
            {"score": [">90", *range(39)]},
            "but '>90' for scan scan",
        ),
        (["--target", "score", "--groups", "subject"], {"subject": GAP}, "scans, such as 'scan"),
        (["--target", "sex", "--confounds", "sex"], {}, "neither group nor confound"),
        (["--target", "score", "--id", "file"], {}, "cannot be read: no column 'file', only"),
        (
            ["--target", "group"],
            {"group": ["rare"] + ["common"] * 39},
            "class rare has 1 samples, too few for 2 folds",
        ),
    ],
)
def test_bad_input_is_one_clear_line(cohort, tmp_path, arguments, columns, message):
    table = changed(cohort, **columns)
    result = evaluate(cohort, tmp_path / "out", *arguments, phenotypes=table)
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit), "an error, but no traceback"
    assert result.output.splitlines()[-1].startswith("Error: ")
    assert re.search(message, result.output)


def test_missing_targets_are_dropped_when_asked(cohort, tmp_path, chance_alone):
    table = changed(cohort, score=[np.nan, *np.random.default_rng(0).normal(size=39)])
    result = evaluate(cohort, tmp_path, "--target", "score", "--drop-missing", phenotypes=table)
    assert result.exit_code == 0, result.output
    assert "1 of 40 scans have no score and are left out" in result.output


@pytest.mark.parametrize(
    ("labels", "n_missing"), [([True, False], 0), ([True, False], 1), ([1, 0], 1)]
)
def test_labels_are_what_the_table_says_also_beside_missing_ones(
    cohort, tmp_path, chance_alone, labels, n_missing
):
    given = [pd.NA] * n_missing + [*labels] * 20
    table = changed(cohort, **{"[ill]": pd.Series(given[:N_SCANS], dtype=object)})
    result = evaluate(cohort, tmp_path, "--target", "[ill]", "--drop-missing", phenotypes=table)
    assert result.exit_code == 0, result.output
    assert f"[ill] ({20 - n_missing} {labels[1]}, 20 {labels[0]})" in result.output
    assert "[red] chance" in result.output
    assert set(Comparison.from_csv(tmp_path).predictions["y_true"].tolist()) == set(labels)


def test_check_names_a_transposed_scan_and_fails(tmp_path):
    scans = make_cohort(n_scans=6, n_timepoints=120, n_regions=10, random_state=0).scans
    for i, scan in enumerate(scans):
        np.save(tmp_path / f"s{i}.npy", scan.T if i == 4 else scan)
    result = CliRunner().invoke(app, ["check", str(tmp_path), "--t-r", "1"])
    assert result.exit_code == 1
    assert "s4" in result.output
    assert "transpose" in result.output.lower()
    (tmp_path / "s4.npy").unlink()
    assert CliRunner().invoke(app, ["check", str(tmp_path)]).exit_code == 0
