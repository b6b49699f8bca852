"""``sk-brainmae evaluate``: how well scans in files predict a column of a table."""

import warnings
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from rich.console import Console
from rich.markup import escape

from sk_brainmae.cli.terminal import (
    RANDOM_START,
    EpochBar,
    fold_bar,
    interruptible,
    make_progress,
    one_line,
    show_scores,
    with_controls,
    write,
)

if TYPE_CHECKING:
    import pandas as pd

    from sk_brainmae.evaluation import Comparison

# The opponents that no comparison should leave out, by their names in make_opponents.
LINEAR = {"classification": "logistic", "regression": "ridge"}
FEW = ("FC tangent, {}", "FC correlation, {}", "confounds only", "chance")
# A numeric target with more different values is a regression.
MAX_CLASSES = 2
NAMED = 5  # scans named in a warning


class _Cohort(NamedTuple):
    """Scans and, row by row, their phenotypes."""

    scans: list[Any]
    table: "pd.DataFrame"


def evaluate(
    scans: Annotated[
        Path, typer.Argument(help="Folder with a file a scan: csv, tsv, npy, mat, ...")
    ],
    phenotypes: Annotated[Path, typer.Argument(help="Table (csv or tsv), one row a scan.")],
    target: Annotated[str, typer.Option(help="Column to predict.")],
    identifier: Annotated[
        str | None,
        typer.Option("--id", help="Column of file names without ending.", show_default="first"),
    ] = None,
    groups: Annotated[
        str | None, typer.Option(help="Column of the subject, if some have several scans.")
    ] = None,
    confounds: Annotated[
        str | None, typer.Option(help="Columns to compare the scans with, such as sex,motion.")
    ] = None,
    task: Annotated[
        str, typer.Option(help="classification or regression.", show_default="by the target")
    ] = "auto",
    t_r: Annotated[
        float | None, typer.Option(help="Seconds between frames.", show_default="count frames")
    ] = None,
    folds: Annotated[int, typer.Option(min=2, help="Folds of the cross-validation.")] = 5,
    repeats: Annotated[int, typer.Option(min=1, help="How often to split anew.")] = 1,
    epochs: Annotated[int, typer.Option(min=0, help="Epochs of pretraining in a fold.")] = 20,
    opponents: Annotated[
        str, typer.Option(help="few: the strongest; all: every opponent of the package.")
    ] = "few",
    drop_missing: Annotated[
        bool, typer.Option("--drop-missing", help="Leave out scans whose target is missing.")
    ] = False,
    output: Annotated[
        Path, typer.Option(help="Folder for tables and figures; an interrupted call resumes there.")
    ] = Path("brainmae-evaluation"),
    jobs: Annotated[int, typer.Option(help="Fits at a time.")] = 1,
    seed: Annotated[int, typer.Option(help="Seed of the folds and of all training.")] = 0,
) -> None:
    """Cross-validate BrainMAE and its opponents on your own scans.

    Reads scans and phenotypes, splits by subject, and writes scores, every held-out prediction,
    paired differences and figures.
    """
    console = Console()
    with interruptible(console, output), one_line(OSError, ValueError, RuntimeError):
        given = _read(scans, phenotypes, identifier, console)
        columns = [name.strip() for name in confounds.split(",")] if confounds else []
        beside = [*columns, *([groups] if groups else [])]
        _check_columns(given.table, target, beside)
        given = _with_target(given, target, drop_missing, console)
        _check_complete(given.table[beside])
        if groups is None:
            _check_one_scan_each(given.table.index)
        task = _infer_task(given.table[target], task)
        models = _estimators(task, opponents, bool(columns), t_r, epochs, seed)
        comparison = _compare(
            models, given, target, groups, columns, (folds, repeats), output, jobs, seed, console
        )
        write(comparison, output, given.scans, t_r)
        name = "AUC" if task == "classification" else "R²"
        show_scores(comparison, f"{target}: {name} on held-out scans", console)
        text = f"Written to {output}: report.html, tables and figures"
        console.print(text, soft_wrap=True, markup=False)


def _read(scans: Path, phenotypes: Path, identifier: str | None, console: Console) -> _Cohort:
    """Read both, keep the scans that have a row, and say how many have none."""
    from sk_brainmae.datasets.files import read_scans
    from sk_brainmae.datasets.participants import read_phenotypes

    table = read_phenotypes(phenotypes, identifier)
    identifier = str(table.columns[0]) if identifier is None else identifier
    signals, ids = read_scans(scans, phenotypes)
    keys = table[identifier]
    if keys.duplicated().any():
        twice = keys[keys.duplicated()].iloc[0]
        raise ValueError(
            f"{phenotypes}: {identifier} {twice!r} is in several rows: give every scan one row,"
            " and name its subject in another column (--groups)"
        )
    table = table.set_index(keys)
    kept = [i for i, name in enumerate(ids) if name in table.index]
    if not kept:
        raise ValueError(
            f"no scan of {scans} (such as {ids[0]!r}) has a row in {phenotypes}, whose column"
            f" {identifier} holds names such as {keys.iloc[0]!r}"
        )
    _tell_left_out(ids, set(keys), "scans have no phenotypes", console)
    _tell_left_out(list(keys), set(ids), "rows of phenotypes have no scan", console)
    return _Cohort([signals[i] for i in kept], table.loc[[ids[i] for i in kept]])


def _tell_left_out(names: list[str], known: set[str], what: str, console: Console) -> None:
    if without := [name for name in names if name not in known]:
        shown = ", ".join(without[:NAMED]) + (", ..." if len(without) > NAMED else "")
        console.print(
            f"[yellow]{len(without)} of {len(names)} {what} and are left out:[/] {escape(shown)}",
            soft_wrap=True,
        )


def _check_columns(table: "pd.DataFrame", target: str, beside: list[str]) -> None:
    for name in [target, *beside]:
        if name not in table:
            raise ValueError(f"there is no column {name!r}; there are {', '.join(table.columns)}")
    if target in beside:
        raise ValueError(f"{target} is the target, so it can be neither group nor confound")


def _check_complete(table: "pd.DataFrame") -> None:
    for name, column in table.items():
        if (without := column.isna()).any():
            raise ValueError(
                f"{name} is missing for {without.sum()} scans, such as {table.index[without][0]!r}:"
                " fill it in, or remove their rows"
            )


def _check_one_scan_each(names: "pd.Index") -> None:
    """Raise where BIDS names show several scans of a subject: folds would separate them."""
    subjects = Counter(name.split("_")[0] for name in names if name.startswith("sub-"))
    if repeated := [subject for subject, n in subjects.items() if n > 1]:
        raise ValueError(
            f"{len(repeated)} subjects have several scans, such as {repeated[0]}. Training and test"
            " part must not share a subject: name the column of the subject (--groups)"
        )


def _infer_task(target: "pd.Series", task: str) -> str:
    if task in ("classification", "regression"):
        return task
    if task != "auto":
        raise ValueError(f"--task is classification or regression, not {task!r}")
    numeric = target.dtype.kind in "iuf"
    if not numeric:
        _check_not_nearly_numbers(target)
    return "regression" if numeric and target.nunique() > MAX_CLASSES else "classification"


def _check_not_nearly_numbers(target: "pd.Series") -> None:
    """Raise where a few words among numbers would turn a regression into a classification."""
    import pandas as pd

    words = target[pd.to_numeric(target, errors="coerce").isna() & target.notna()]
    if 0 < len(words) < target.notna().sum() / 2:
        raise ValueError(
            f"{target.name} holds numbers, but {words.iloc[0]!r} for scan {words.index[0]}"
            f" ({len(words)} of {len(target)} values are not numbers): make all of them numbers, or"
            " pass --task classification"
        )


def _with_target(given: _Cohort, target: str, drop: bool, console: Console) -> _Cohort:
    """Leave out scans whose target is missing and say how many, or raise ValueError."""
    known = given.table[target].notna().to_numpy()
    if known.all():
        return given
    n = (~known).sum()
    if not drop:
        first = given.table.index[~known][0]
        raise ValueError(
            f"{target} is missing for {n} scans, such as {first!r}: pass --drop-missing to leave"
            " them out"
        )
    text = f"{n} of {len(known)} scans have no {target} and are left out"
    console.print(text, style="yellow", markup=False)
    # Gaps changed the type of labels. Without them, it is the written one: 0 and 1, True and False.
    table = given.table[known].assign(**{target: given.table[target][known].convert_dtypes()})
    return _Cohort([given.scans[i] for i in known.nonzero()[0]], table)


def _estimators(
    task: str, opponents: str, confounds: bool, t_r: float | None, epochs: int, seed: int
) -> dict[str, Any]:
    """Return BrainMAE, pretrained inside each training fold, and its opponents."""
    from sk_brainmae import BrainMAEClassifier, BrainMAERegressor
    from sk_brainmae.baselines import make_opponents

    if opponents not in ("few", "all"):
        raise ValueError(f"--opponents is few or all, not {opponents!r}")
    kind = BrainMAEClassifier if task == "classification" else BrainMAERegressor
    ours = kind(t_r=t_r, max_epochs=epochs, random_state=seed)
    others = make_opponents(task, confounds=confounds, t_r=t_r, random_state=seed)
    if opponents == "few":
        few = [name.format(LINEAR[task]) for name in FEW]
        others = {name: model for name, model in others.items() if name in few}
    return {**with_controls(ours, epochs), **others}


def _compare(
    models: dict[str, Any],
    given: _Cohort,
    target: str,
    groups: str | None,
    confounds: list[str],
    n_folds: tuple[int, int],
    output: Path,
    jobs: int,
    seed: int,
    console: Console,
) -> "Comparison":
    """Say what will be compared, and compare it with live progress."""
    from sklearn.base import is_classifier

    from sk_brainmae.evaluation import compare, repeated_folds

    ours = next(iter(models.values()))
    classification = is_classifier(ours)
    y = given.table[target].to_numpy(dtype=None if classification else float)
    subjects = None if groups is None else given.table[groups].to_numpy()
    about = _describe(target, y, subjects, n_folds, classification)
    console.print(about, soft_wrap=True, markup=False)
    folds = repeated_folds(
        y,
        subjects,
        n_folds=n_folds[0],
        n_repeats=n_folds[1],
        classification=classification,
        random_state=seed,
    )
    with make_progress(console) as progress, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="constant regions")  # the report tells it once
        warnings.filterwarnings("ignore", message=RANDOM_START)
        if jobs == 1:
            ours.set_callbacks(EpochBar(progress))
        return compare(
            models,
            given.scans,
            y,
            cv=folds,
            groups=subjects,
            confounds=given.table[confounds] if confounds else None,
            folder=output,
            progress=fold_bar(progress, list(models), len(folds)),
            n_jobs=jobs,
        )


def _describe(
    target: str, y: Any, subjects: Any, n_folds: tuple[int, int], classification: bool
) -> str:
    """Say what is predicted from how many scans, so that a wrong guess is noticed."""
    counts = {label: int((y == label).sum()) for label in sorted(set(y))} if classification else {}
    what = ", ".join(f"{n} {label}" for label, n in counts.items()) or "continuous"
    whose = f" of {len(set(subjects))} subjects" if subjects is not None else ""
    return (
        f"{target} ({what}) from {len(y)} scans{whose}; tested on unseen ones in {n_folds[0]}"
        f" folds{f', {n_folds[1]} times' if n_folds[1] > 1 else ''}"
    )
