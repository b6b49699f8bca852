"""Reports in a real browser: Debian's Chromium, without a window."""

import html
import json
import re
import shutil
import subprocess

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ["chromium", "chromium-browser"])), None)
WIDTHS = (1280, 400)  # px: a desk, a telephone
DARK = {"light": 1, "dark": 0}  # Chromium's numbers

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="needs a browser: apt-get install chromium"
)

# What a person sees, measured in each frame. Contrast as in WCAG 2.2.
MEASURE = """
const luminance = ([r, g, b]) => [r, g, b]
  .map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
  .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
const numbers = colour => colour.match(/[\\d.]+/g).map(Number);
function background(element, view) {
  for (; element; element = element.parentElement) {
    const colour = numbers(view.getComputedStyle(element).backgroundColor);
    if (colour.length < 4 || colour[3] > 0) return colour;
  }
  return [255, 255, 255];
}
function contrast(element, view) {
  const pair = [numbers(view.getComputedStyle(element).color), background(element, view)];
  const [low, high] = pair.map(luminance).sort((a, b) => a - b);
  return (high + .05) / (low + .05);
}
function measure(frame) {
  const page = frame.contentDocument, view = frame.contentWindow;
  for (const details of page.querySelectorAll("details")) details.open = true;
  const said = [...page.body.querySelectorAll("*")].filter(element =>
    [...element.childNodes].some(node => node.nodeType == 3 && node.textContent.trim()));
  return {
    needs: page.documentElement.scrollWidth,
    has: page.documentElement.clientWidth,
    text: page.body.innerText,
    images: [...page.images].map(image => image.naturalWidth > 0 && image.clientWidth > 0),
    scripts: page.scripts.length,
    dark: view.matchMedia("(prefers-color-scheme: dark)").matches,
    contrast: Math.min(...said.map(element => contrast(element, view))),
  };
}
onload = () => {
  const found = [...document.querySelectorAll("iframe")].map(measure);
  document.body.textContent = JSON.stringify(found);
};
"""


@pytest.fixture(scope="module")
def look(tmp_path_factory):
    """Returns what a browser makes of a page: measures at each width, and console messages."""
    folder = tmp_path_factory.mktemp("browser")

    def opened(page, scheme):
        frames = "".join(
            f'<iframe style="width:{width}px; height:900px; border:0"'
            f' srcdoc="{html.escape(page)}"></iframe>'
            for width in WIDTHS
        )
        wrapper = folder / "wrapper.html"
        wrapper.write_text(
            '<!doctype html><meta charset="utf-8"><style>:root{color-scheme:light dark}</style>'
            f"<body>{frames}<script>{MEASURE}</script></body>",
            encoding="utf-8",
        )
        command = [
            CHROMIUM,
            "--headless",
            "--no-sandbox",  # root has none
            "--disable-gpu",
            "--hide-scrollbars",
            "--window-size=1400,1000",
            f"--blink-settings=preferredColorScheme={DARK[scheme]}",
            f"--user-data-dir={folder / 'profile'}",
            "--enable-logging=stderr",
            "--v=0",
            "--dump-dom",
            wrapper.as_uri(),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        (body,) = re.findall(r"<body>(.*?)</body>", done.stdout, flags=re.DOTALL)
        console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
        return json.loads(html.unescape(body)), console

    return opened


@pytest.mark.parametrize("scheme", DARK)
@pytest.mark.parametrize("name", ["model_report", "comparison_page"])
def test_page_fits_is_legible_and_complains_of_nothing(name, scheme, look, request):
    report = request.getfixturevalue(name)
    measured, console = look(report.to_html(), scheme)
    assert console == []
    for width, page in zip(WIDTHS, measured, strict=True):
        assert page["has"] == width
        assert page["needs"] == width
        assert page["scripts"] == 0
        assert page["images"]
        assert all(page["images"])
        assert page["dark"] == (scheme == "dark")
        assert page["contrast"] >= 4.5
        assert report.title in page["text"]
        assert "Before you read on" in page["text"]
    assert ("<script>alert(" if name == "model_report" else "mean ± standard") in page["text"]


def test_what_is_wrong_with_a_page_would_be_noticed(look, comparison_page):
    wrong = '<div style="width:3000px; color:#777">wide</div><script>alert(1)</script></main>'
    measured, console = look(comparison_page.to_html().replace("</main>", wrong), "light")
    assert all(page["needs"] > 3000 for page in measured)
    assert all(page["scripts"] == 1 for page in measured)
    assert all(page["contrast"] < 4.5 for page in measured)
    assert any("Content Security Policy" in line for line in console)
