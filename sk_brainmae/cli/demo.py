"""``sk-brainmae demo``: BrainMAE and its opponents on real pain runs."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

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
    from sklearn.utils import Bunch

    from sk_brainmae.evaluation import Comparison

# Epochs are few: the spectral start is kept where pretraining does not improve it.
# The paper's random start needs more of them.
N_FOLDS, N_EPOCHS, PAPER_EPOCHS = 5, 3, 10
QUICK_FOLDS, QUICK_EPOCHS = 1, 2
RESULTS = ("scores.csv", "predictions.csv", "comparison.json", "call.json")


def demo(
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
        Path | None, typer.Option(help="Folder to keep the scans in.", show_default="nilearn's")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the folds and of all training.")] = 0,
) -> None:
    """Decode hot against warm pain trials of unseen subjects: BrainMAE and its opponents.

    Fetches 66 fMRI runs of 33 subjects (24 MB, once) and cross-validates by subject.
    """
    console = Console()
    with interruptible(console, output):
        with one_line(OSError, ValueError):
            output.mkdir(parents=True, exist_ok=True)
            for name in RESULTS:
                (output / name).unlink(missing_ok=True)
            data = _fetch(data_dir, console)
        with one_line(OSError):
            comparison = _compare_on_pain(data, quick, output, seed, console)
            write(comparison, output, data.scans, data.t_r)
    show_scores(comparison, "Hot against warm: area under the ROC curve (AUC)", console)
    text = f"Written to {output}: tables, figures and report.html"
    console.print(text, soft_wrap=True, markup=False)


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
    paper_epochs = QUICK_EPOCHS if quick else PAPER_EPOCHS
    folds = list(splitter.split(X, y, groups))[:n_folds]
    console.print(
        f"{len(y)} trials ({sum(y == 1)} hot, {sum(y == 0)} warm) of {len(set(groups))} subjects;"
        f" tested on unseen subjects, {n_folds} of {N_FOLDS} folds; BrainMAE pretrained for"
        f" {n_epochs} epochs in each, the paper's network for {paper_epochs}",
        soft_wrap=True,
    )
    if quick:
        console.print("[yellow]A quick look: no numbers to quote[/]")

    with make_progress(console) as progress, warnings.catch_warnings():
        # These runs are known to have some; every fold would warn again.
        warnings.filterwarnings("ignore", message="constant regions")
        warnings.filterwarnings("ignore", message=RANDOM_START)
        estimators = _demo_estimators(data.t_r, (n_epochs, paper_epochs), seed, EpochBar(progress))
        show = fold_bar(progress, list(estimators), n_folds)
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


def _demo_estimators(
    t_r: float, n_epochs: tuple[int, int], seed: int, bar: "EpochBar"
) -> dict[str, Any]:
    """Return BrainMAE, pretrained inside each training fold, and its opponents."""
    from sk_brainmae import BrainMAEClassifier
    from sk_brainmae.baselines import (
        ConnectivityBaseline,
        FeatureBaseline,
        FlatWindow,
        MeanActivation,
    )

    # A trial has eight frames: one window.
    window, epochs = 8 * t_r, n_epochs[0]
    ours = BrainMAEClassifier(t_r=t_r, window_size=window, max_epochs=epochs, random_state=seed)
    models = with_controls(ours, n_epochs[1])
    ours.set_callbacks(bar)
    return {
        **models,
        "mean activation": FeatureBaseline(MeanActivation(), random_state=seed),
        "flat window": FeatureBaseline(FlatWindow(), random_state=seed),
        "FC (correlation)": ConnectivityBaseline("correlation", random_state=seed),
    }
