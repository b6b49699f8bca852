"""A page: one HTML file that needs nothing else, runs no script and asks no server."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined

from sk_brainmae.doctor.report import SEVERITIES
from sk_brainmae.persistence import replace_file
from sk_brainmae.version import __version__

FRAME_HEIGHT = 640  # px, of a report in a notebook


class Notice(NamedTuple):
    """Something that readers have to know before they believe a number.

    Attributes
    ----------
    severity : {"error", "warning", "note"}
        As of the doctor's findings.
    text : str
        What was found, what it means, and what to do.
    """

    severity: str
    text: str


class Table(NamedTuple):
    """Numbers in rows, ready to be read.

    Attributes
    ----------
    caption : str
        What they are.
    header : sequence of str
        One a column; the first one is of the names of the rows.
    rows : sequence of sequence of str
        As long as the header each.
    emphasis : int or None
        A row in bold.
    words : bool
        Whether columns hold words, which start on the left, and not numbers.
    """

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    emphasis: int | None = None
    words: bool = False


@dataclass(frozen=True, eq=False)
class Report:
    """A report as one HTML file; a notebook shows it when it is the last line of a cell.

    Attributes
    ----------
    title : str
        What it is about.
    html : str
        The whole file.
    """

    title: str
    html: str

    def to_html(self) -> str:
        """Return the whole file as text."""
        return self.html

    def save(self, path: str | PathLike) -> Path:
        """Write the report to a file.

        Parameters
        ----------
        path : path
            Such as ``report.html``; replaced if there is one. Its folder is made if needed.

        Returns
        -------
        Path
            Where it is.
        """
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, self.html.encode())
        return path

    def _repr_html_(self) -> str:
        # A frame keeps the notebook's style and the report's apart.
        return (
            f'<iframe title="{escape(self.title)}" srcdoc="{escape(self.html)}"'
            f' style="width:100%; height:{FRAME_HEIGHT}px; border:1px solid #8886"></iframe>'
        )

    def __repr__(self) -> str:
        return f"Report({self.title!r}, {len(self.html) / 1e6:.1f} MB)"


def render(template: str, title: str, notices: Sequence[Notice], **content: Any) -> Report:
    """Fill in a template; all text is escaped.

    Parameters
    ----------
    template : str
        File in ``templates/``.
    title : str
        Of the page.
    notices : sequence of Notice
        They come first, the gravest on top.
    **content : Any
        What the template asks for; it is an error to leave something out.

    Returns
    -------
    Report
        The page.
    """
    environment = Environment(
        loader=PackageLoader("sk_brainmae.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    notices = sorted(notices, key=lambda notice: SEVERITIES.index(notice.severity))
    page = environment.get_template(template)
    html = page.render(title=title, notices=notices, version=__version__, **content)
    return Report(title, html)
