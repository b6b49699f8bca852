"""``sk-brainmae report``: the results in a folder as one HTML file."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from sk_brainmae.cli.terminal import one_line


def report(
    folder: Annotated[Path, typer.Argument(help="Folder of demo, evaluate or compare().")],
    show: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Write report.html into a folder of scores: which estimator is better, and how sure that is.

    After an interrupted call, the report holds the finished fits.
    """
    with one_line(OSError, ValueError):
        from sk_brainmae.evaluation import Comparison
        from sk_brainmae.reporting import comparison_report

        path = comparison_report(Comparison.from_csv(folder)).save(folder / "report.html")
    Console().print(f"Written to {path}", soft_wrap=True, markup=False)
    if show:
        typer.launch(str(path))
