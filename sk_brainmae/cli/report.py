"""``sk-brainmae report``: the results in a folder as one HTML file."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from sk_brainmae.cli.terminal import one_line


def report(
    folder: Annotated[Path, typer.Argument(help="Where demo, evaluate or compare() wrote to.")],
    show: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Write report.html beside the scores of a folder: who is better, and how sure one can be.

    Of an interrupted call, the report is about the fits that have finished.
    """
    with one_line(OSError, ValueError):
        from sk_brainmae.evaluation import Comparison
        from sk_brainmae.reporting import comparison_report

        path = comparison_report(Comparison.from_csv(folder)).save(folder / "report.html")
    Console().print(f"Written to {path}", soft_wrap=True, markup=False)
    if show:
        typer.launch(str(path))
