"""``sk-brainmae check``: what is odd about scans, before a model is fitted to them."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from sk_brainmae.cli.terminal import one_line


def check(
    scans: Annotated[
        Path, typer.Argument(help="Folder with a file a scan: csv, tsv, npy, mat, ...")
    ],
    t_r: Annotated[float | None, typer.Option(help="Seconds between frames.")] = None,
) -> None:
    """Find faults that silently make results wrong: transposed or doubled scans, flat regions.

    Exits with 1 if a finding is an error.
    """
    console = Console()
    with one_line(OSError, ValueError):
        from sk_brainmae.datasets.files import read_scans
        from sk_brainmae.doctor import check_scans

        signals, ids = read_scans(scans)
        report = check_scans(signals, t_r, names=ids)
    console.print(str(report), markup=False, highlight=False, soft_wrap=True)
    if any(finding.severity == "error" for finding in report.findings):
        raise typer.Exit(1)
