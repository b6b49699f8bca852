"""What a command shows in the terminal: progress bars, a table of scores, errors in one line."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

if TYPE_CHECKING:
    from sk_brainmae.evaluation import Comparison

PAPER_RATE = 1e-3  # of learning: a random start takes larger steps badly
RANDOM_START = ".*use init='spectral'"  # what the paper's network warns of, in every fold

# Heavy libraries are imported inside the functions, so that --help answers at once.


@contextmanager
def one_line(*errors: type[Exception]) -> Iterator[None]:
    """Print errors that the user can act on without a traceback, and exit with 1."""
    try:
        yield
    except errors as error:
        Console(stderr=True, style="red").print(f"Error: {error}", markup=False, soft_wrap=True)
        raise typer.Exit(1) from None


@contextmanager
def interruptible(console: Console, output: Path) -> Iterator[None]:
    """On Ctrl-C, say where the finished results are, and exit with 130."""
    try:
        yield
    except KeyboardInterrupt:
        console.print(f"[yellow]Interrupted.[/] {escape(_finished(output))}", soft_wrap=True)
        raise typer.Exit(130) from None


class EpochBar:
    """A callback of scikit-learn that shows an estimator's epochs as a bar."""

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
        """Do nothing: the start of the next epoch moves the bar."""


def make_progress(console: Console) -> Progress:
    """Return progress bars that vanish at the end."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )


def fold_bar(progress: Progress, names: list[str], n_folds: int) -> Callable[[str, int], None]:
    """Add a bar of all fits, and return the function that ``compare`` calls before each."""
    fits = progress.add_task("")

    def show(name: str, fold: int) -> None:
        progress.update(
            fits,
            description=f"fold {fold + 1} of {n_folds}: {escape(name)}",
            completed=fold * len(names) + names.index(name),
            total=n_folds * len(names),
        )

    return show


def write(
    comparison: "Comparison", output: Path, scans: Any = None, t_r: float | None = None
) -> None:
    """Write tables, figures and the report of a comparison, with a check of its scans."""
    import matplotlib.pyplot as plt

    from sk_brainmae.reporting import comparison_report

    comparison.to_csv(output)
    plt.switch_backend("Agg")  # no display needed
    comparison.plot()
    plt.savefig(output / "scores.png", dpi=150)
    comparison.plot_differences()
    plt.savefig(output / "differences.png", dpi=150)
    plt.close("all")
    comparison_report(comparison, scans, t_r=t_r).save(output / "report.html")


def with_controls(model: Any, paper_epochs: int) -> dict[str, Any]:
    """Name a BrainMAE estimator and, beside it, its closed-form start and the paper's network."""
    from sklearn.base import clone

    from sk_brainmae.evaluation.results import NOT_TRAINED

    untrained = {f"BrainMAE{NOT_TRAINED}": clone(model).set_params(max_epochs=0)}
    if not model.max_epochs:
        return untrained
    paper = clone(model).set_params(
        init="random", views="states", max_epochs=paper_epochs, lr=PAPER_RATE
    )
    return {"BrainMAE": model, **untrained, "paper's network": paper}


def show_scores(comparison: "Comparison", title: str, console: Console) -> None:
    """Print the table of a comparison, what pretraining added, and which views are read."""
    from sk_brainmae.reporting.comparison import training_gain

    console.print(as_rich(comparison, title))
    if gain := training_gain(comparison):
        console.print(gain, soft_wrap=True, markup=False)
    table: Any = comparison.table.loc[comparison.metrics[0]]
    if "views" in table:  # as a column they would be too wide for a terminal
        for name, views in table["views"][table["views"] != ""].items():
            console.print(f"{name} reads: {views}", soft_wrap=True, markup=False)


def as_rich(comparison: "Comparison", title: str) -> Table:
    """Lay out the first metric of a comparison as a table, one row an estimator."""
    from sk_brainmae.evaluation.metrics import find_metric

    metric = comparison.metrics[0]
    table: Any = comparison.table.loc[metric]
    differences: Any = comparison.differences.loc[metric]
    ours = table.index[0]
    shown = Table(
        title=escape(title),
        caption="± SD over folds; [95 % interval, corrected resampled t-test]; * best opponent",
    )
    shown.add_column("estimator")
    for heading in (find_metric(metric).label, f"{escape(str(ours))} − it", "fit (s)"):
        shown.add_column(heading, justify="right")
    for name, row in table.to_dict("index").items():
        shown.add_row(
            escape(str(name)) + " *" * row["best_opponent"],
            _plus_minus(row["mean"], row["std"]),
            "" if name == ours else _interval(differences.loc[name]),
            "" if row["n_folds"] == 0 else f"{row['fit_time']:.1f}",
            style="bold" if name == ours else None,
        )
    return shown


def _plus_minus(mean: float, std: float) -> str:
    """Format mean and standard deviation, leaving out what is NaN, such as that of one fold."""
    return " ± ".join(f"{value:.3f}" for value in (mean, std) if value == value)


def _interval(row: Any) -> str:
    """Format a difference and its interval, leaving out what is NaN."""
    if row["difference"] != row["difference"]:
        return ""
    interval = f" [{row['low']:+.3f}, {row['high']:+.3f}]" if row["low"] == row["low"] else ""
    return f"{row['difference']:+.3f}{interval}"


def _finished(output: Path) -> str:
    """Say how many fits are on disk."""
    import pandas as pd

    scores = output / "scores.csv"
    if not scores.exists() or scores.read_text().count("\n") < 2:
        return "No fit has finished."
    n = len(pd.read_csv(scores).groupby(["estimator", "repeat", "fold"]))
    return f"Finished fits: {n}, in {scores}"
