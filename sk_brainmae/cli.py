"""The command ``sk-brainmae``, a thin layer over the Python interface."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from sk_brainmae import __version__

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.utils import Bunch

    from sk_brainmae.evaluation import Comparison

# torch, scikit-learn and matplotlib are imported inside the commands: help answers at once.

# Epochs of pretraining in each fold. The closed-form start is kept where they do not improve it.
N_FOLDS, N_EPOCHS = 5, 3
QUICK_FOLDS, QUICK_EPOCHS = 1, 2

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="BrainMAE: fMRI scans in, honest scores out."
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sk-brainmae {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Make ``demo`` a command of its own, with room for others beside it."""


@app.command("demo")
def _demo(
    quick: Annotated[
        bool,
        typer.Option(
            "--quick", help=f"Fewer epochs, {QUICK_FOLDS} of {N_FOLDS} folds: a first look."
        ),
    ] = False,
    output: Annotated[
        Path, typer.Option(help="Folder for scores, table and figure; those in it are replaced.")
    ] = Path("brainmae-demo"),
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder that keeps the scans.", show_default="nilearn's")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the folds and of all training.")] = 0,
) -> None:
    """Decode hot against warm pain trials of unseen subjects: BrainMAE and its opponents.

    Fetches 66 fMRI runs of 33 subjects (24 MB, once) and cross-validates by subject.
    """
    console = Console()
    try:
        with _one_line(OSError, ValueError):
            output.mkdir(parents=True, exist_ok=True)
            (output / "scores.csv").unlink(missing_ok=True)
            data = _fetch(data_dir, console)
        with _one_line(OSError):
            comparison = _compare_on_pain(data, quick, output, seed, console)
            _write(comparison, output)
    except KeyboardInterrupt:
        console.print(f"[yellow]Interrupted.[/] {_finished(output)}", soft_wrap=True)
        raise typer.Exit(130) from None
    console.print(_as_rich(comparison.table.droplevel("metric")))
    console.print(f"Written to {output}: scores.csv, table.csv, scores.png", soft_wrap=True)


@contextmanager
def _one_line(*errors: type[Exception]) -> Iterator[None]:
    """Print errors that the user can act on, without their traceback, and exit with 1."""
    try:
        yield
    except errors as error:
        Console(stderr=True, style="red").print(f"Error: {error}", markup=False, soft_wrap=True)
        raise typer.Exit(1) from None


def _fetch(data_dir: Path | None, console: Console) -> "Bunch":
    with console.status("Fetching the pain runs"):
        from sk_brainmae.datasets import fetch_pain

        return fetch_pain(data_dir)


def _compare_on_pain(
    data: "Bunch", quick: bool, output: Path, seed: int, console: Console
) -> "Comparison":
    """Cut the trials and cross-validate all estimators by subject, with live progress."""
    from sklearn.model_selection import GroupKFold

    from sk_brainmae.datasets import pain_trials
    from sk_brainmae.evaluation import compare

    X, y, groups = pain_trials(data)
    splitter = GroupKFold(N_FOLDS, shuffle=True, random_state=seed)
    n_folds, n_epochs = (QUICK_FOLDS, QUICK_EPOCHS) if quick else (N_FOLDS, N_EPOCHS)
    folds = list(splitter.split(X, y, groups))[:n_folds]
    console.print(
        f"{len(y)} trials ({sum(y == 1)} hot, {sum(y == 0)} warm) of {len(set(groups))} subjects;"
        f" tested on unseen subjects, {n_folds} of {N_FOLDS} folds;"
        f" BrainMAE pretrained for {n_epochs} epochs in each",
        soft_wrap=True,
    )
    if quick:
        console.print("[yellow]A quick look: no numbers to quote[/]")

    with _progress(console) as progress, warnings.catch_warnings():
        # Known of these runs; else told again in every fold.
        warnings.filterwarnings("ignore", message="constant regions")
        fits = progress.add_task("")
        estimators = _demo_estimators(data.t_r, n_epochs, seed, EpochBar(progress))
        names = list(estimators)

        def show(name: str, fold: int) -> None:
            progress.update(
                fits,
                description=f"fold {fold + 1} of {n_folds}: {name}",
                completed=fold * len(names) + names.index(name),
                total=n_folds * len(names),
            )

        return compare(
            estimators,
            X,
            y,
            cv=folds,
            groups=groups,
            scoring="roc_auc",
            folder=output,
            progress=show,
        )


def _demo_estimators(t_r: float, n_epochs: int, seed: int, bar: "EpochBar") -> dict[str, Any]:
    """BrainMAE, pretrained inside each training fold, and the opponents it is held against."""
    from sk_brainmae import BrainMAEClassifier
    from sk_brainmae.baselines import (
        ConnectivityBaseline,
        FeatureBaseline,
        FlatWindow,
        MeanActivation,
    )

    # A trial of eight frames is one window.
    ours = BrainMAEClassifier(t_r=t_r, window_size=8 * t_r, max_epochs=n_epochs, random_state=seed)
    return {
        "BrainMAE": ours.set_callbacks(bar),
        "mean activation": FeatureBaseline(MeanActivation(), random_state=seed),
        "flat window": FeatureBaseline(FlatWindow(), random_state=seed),
        "FC (correlation)": ConnectivityBaseline("correlation", random_state=seed),
    }


class EpochBar:
    """Shows an estimator's epochs, by scikit-learn's callbacks, as a bar of a rich progress.

    Parameters
    ----------
    progress : rich.progress.Progress
        What shows the bar.
    """

    def __init__(self, progress: Progress):
        self.progress = progress
        self.bar = progress.add_task("epoch", visible=False)

    def setup(self, estimator: Any, context: Any) -> None:
        """Show the bar."""
        self.progress.reset(self.bar, visible=True)

    def teardown(self, estimator: Any, context: Any) -> None:
        """Hide the bar."""
        self.progress.update(self.bar, visible=False)

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        """Count the epochs done before the one that begins."""
        if context.task_name == "epoch":
            total = context.parent.max_subtasks
            self.progress.update(self.bar, total=total, completed=context.task_id)

    def on_fit_task_end(self, estimator: Any, context: Any) -> None:
        """Do nothing: the beginning of an epoch says it all."""


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )


def _write(comparison: "Comparison", output: Path) -> None:
    """Write tables and figure."""
    import matplotlib.pyplot as plt

    comparison.to_csv(output)
    plt.switch_backend("Agg")  # no display needed
    comparison.plot()
    plt.savefig(output / "scores.png", dpi=150)


def _finished(output: Path) -> str:
    """Say which results are on disk."""
    scores = output / "scores.csv"
    n = len(scores.read_text().splitlines()) - 1 if scores.exists() else 0
    return f"Finished fits: {n}, in {scores}" if n > 0 else "No fit had finished."


def _as_rich(table: "pd.DataFrame") -> Table:
    """Lay out one metric's rows of ``Comparison.table`` for the terminal."""
    ours = table.index[0]
    shown = Table(
        title="Hot against warm: area under the ROC curve (AUC)",
        caption="± SD over folds, paired by fold; * best opponent",
    )
    shown.add_column("estimator")
    for heading in ("AUC", f"{ours} − it", "fit (s)"):
        shown.add_column(heading, justify="right")
    for name, row in table.iterrows():
        shown.add_row(
            f"{name} *" if row["best_opponent"] else str(name),
            _plus_minus(row["mean"], row["std"]),
            _plus_minus(row["difference"], row["difference_std"], sign="+"),
            f"{row['fit_time']:.1f}",
            style="bold" if name == ours else None,
        )
    return shown


def _plus_minus(mean: float, std: float, sign: str = "") -> str:
    """Format what there is: no spread of one fold, no difference to oneself."""
    parts = [f"{value:{form}.3f}" for value, form in ((mean, sign), (std, "")) if value == value]
    return " ± ".join(parts)
