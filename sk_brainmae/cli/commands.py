"""The commands by name."""

from typing import Annotated

import typer

from sk_brainmae.cli.check import check
from sk_brainmae.cli.demo import demo
from sk_brainmae.cli.evaluate import evaluate
from sk_brainmae.cli.report import report
from sk_brainmae.version import __version__

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="BrainMAE: fMRI scans in, honest scores out."
)
app.command()(demo)
app.command()(check)
app.command()(evaluate)
app.command()(report)


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
    """Take the options that belong to no single command."""
