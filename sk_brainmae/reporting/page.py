"""A page: one HTML file that needs no other file, runs no script and asks no server."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined

from sk_brainmae.doctor.report import SEVERITIES
from sk_brainmae.persistence.files import replace_file
from sk_brainmae.version import __version__

FRAME_HEIGHT = 640  # px in a notebook


class Notice(NamedTuple):
    """Something that readers have to know before they believe a number."""

    severity: str  # "error", "warning" or "note", as in the doctor's findings
    text: str  # what was found, what it means, and what to do


class Table(NamedTuple):
    """Rows of text, ready to be shown; the first column names the rows."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    emphasis: int | None = None  # the row in bold
    words: bool = False  # words are aligned left, numbers right


@dataclass(frozen=True, eq=False)
class Report:
    """A report as one HTML file; a notebook shows it when it is the last line of a cell.

    Attributes
    ----------
    title : str
        Title of the page.
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
            Such as ``report.html``. An existing file is replaced; the folder is made if needed.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, self.html.encode())
        return path

    def _repr_html_(self) -> str:
        # A frame keeps the style of the notebook out of the report, and the other way round.
        return (
            f'<iframe title="{escape(self.title)}" srcdoc="{escape(self.html)}"'
            f' style="width:100%; height:{FRAME_HEIGHT}px; border:1px solid #8886"></iframe>'
        )

    def __repr__(self) -> str:
        return f"Report({self.title!r}, {len(self.html) / 1e6:.1f} MB)"


def render(template: str, title: str, notices: Sequence[Notice], **content: Any) -> Report:
    """Fill in a file of ``templates/``: notices first, the gravest on top, then the content.

    All text is escaped. It is an error to leave out content that the template asks for.
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
