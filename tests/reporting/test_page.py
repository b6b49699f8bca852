import base64
import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from jinja2 import UndefinedError

from sk_brainmae.reporting.page import Notice, render


class Elements(HTMLParser):
    """Lists (tag, attributes) of all elements, and collects the text."""

    def __init__(self, html):
        super().__init__()
        self.found, self.text = [], ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def attributes(self, tag):
        return [attributes for name, attributes in self.found if name == tag]


@pytest.fixture(params=["model_report", "comparison_page"])
def report(request):
    return request.getfixturevalue(request.param)


def test_page_asks_no_server_for_anything(report):
    for _, attributes in Elements(report.to_html()).found:
        for name in ("src", "href", "srcset", "data", "action"):
            assert attributes.get(name, "data:").startswith("data:")
    assert "url(" not in report.to_html()
    assert "@import" not in report.to_html()


def test_page_runs_no_script_whatever_names_and_classes_say(report):
    page = Elements(report.to_html())
    tags = {tag for tag, _ in page.found}
    assert not tags & {"script", "b", "i", "signal"}
    assert all("onerror" not in attributes for _, attributes in page.found)


def test_names_are_shown_as_they_are(model_report, comparison_page):
    assert "<script>alert(" in Elements(model_report.to_html()).text
    text = Elements(comparison_page.to_html()).text
    assert "control & <i>co</i>" in text
    assert "mean <signal>" in text


def test_figures_hold_no_script_either(report):
    for image in Elements(report.to_html()).attributes("img"):
        header, _, data = image["src"].partition(",")
        assert header == "data:image/svg+xml;base64"
        assert b"<script" not in base64.b64decode(data)


def test_every_figure_says_in_words_what_is_to_be_seen(report):
    images = Elements(report.to_html()).attributes("img")
    assert images
    assert all(len(image["alt"]) > 40 for image in images)


def test_headings_form_an_outline_without_gaps(report):
    levels = [int(level) for level in re.findall(r"<h(\d)", report.to_html())]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(below - above <= 1 for above, below in pairwise(levels))
    assert '<html lang="en">' in report.to_html()


def test_notebook_shows_the_page_in_a_frame(report):
    (frame,) = Elements(report._repr_html_()).found
    assert frame[0] == "iframe"
    assert frame[1]["srcdoc"] == report.to_html()
    assert frame[1]["title"] == report.title


def test_save_writes_the_page_into_a_new_folder(report, tmp_path):
    path = report.save(tmp_path / "new" / "report.html")
    assert path.read_text(encoding="utf-8") == report.to_html()


def test_gravest_notice_comes_first():
    notices = [Notice("note", "harmless"), Notice("error", "wrong"), Notice("warning", "look")]
    html = render("page.html", "title", notices).to_html()
    assert html.index("wrong") < html.index("look") < html.index("harmless")


def test_template_without_its_content_is_an_error():
    with pytest.raises(UndefinedError):
        render("model.html", "title", [])
