"""The documentation as a site: it builds without a warning, and reading it needs no network."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).resolve().parent.parent
SITE = ROOT / "build" / "docs"

LOADED = {"src", "srcset", "poster", "data", "background", "xlink:href"}
"""The attributes by which a page loads a file, on whatever element they stand."""
LOADING_LINKS = {"stylesheet", "icon", "preload", "prefetch", "modulepreload", "manifest"}
"""A `<link>` of these relations loads; others, such as rel="next", wait to be followed."""
IN_CSS = re.compile(r"url\(\s*(?:\"([^\"]*)\"|'([^']*)'|([^)\"']*))\s*\)|@import\s+[\"']([^\"']+)")


class Loads(HTMLParser):
    """Collects the addresses that a page loads by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.in_style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.in_style = tag == "style"
        given = {name: value or "" for name, value in attrs}
        for name in LOADED & given.keys():
            parts = given[name].split(",") if name == "srcset" else [given[name]]
            self.found += [part.split()[0] for part in parts if part.strip()]
        if tag == "link" and LOADING_LINKS & set(given.get("rel", "").lower().split()):
            self.found.append(given["href"])
        self.found += loaded_by_css(given.get("style", ""))

    def handle_data(self, data: str) -> None:
        if self.in_style:
            self.found += loaded_by_css(data)


def loaded_by_css(text: str) -> list[str]:
    return ["".join(match) for match in IN_CSS.findall(text)]


def loaded_by(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".css":
        return loaded_by_css(text)
    page = Loads()
    page.feed(text)
    return page.found


def missing(path: Path, site: Path) -> Iterator[str]:
    """Yield what a page or style sheet loads from elsewhere than a file of the site."""
    for address in loaded_by(path):
        parts = urlsplit(address)
        if parts.scheme == "data":
            continue
        file = (path.parent / unquote(parts.path)).resolve()
        if parts.scheme or parts.netloc or not file.is_relative_to(site) or not file.is_file():
            yield f"{path.relative_to(site)}: {address}"


@pytest.fixture(scope="module")
def site() -> Path:
    """Build the site by the README's command; what has not changed since is kept."""
    if importlib.util.find_spec("sphinx") is None:
        pytest.skip("Sphinx is not installed: pip install -e '.[docs]' -c constraints.txt")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-b", "html"]
    built = subprocess.run(
        [*command, "docs", "build/docs"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    return SITE


def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    read = [path for path in sorted(site.rglob("*")) if path.suffix in (".html", ".css")]
    assert {"index.html", "furo.css"} <= {path.name for path in read}
    assert [lost for path in read for lost in missing(path, site)] == []


def test_formulas_are_set_by_the_sites_own_mathjax_and_fonts(site: Path) -> None:
    page = (site / "mathematics.html").read_text(encoding="utf-8")
    assert re.search(r'<script[^>]*src="_static/mathjax/tex-chtml\.js', page)
    mathjax = site / "_static" / "mathjax"
    named = set(
        re.findall(r"%%URL%%/(MathJax_[\w-]+\.woff)", (mathjax / "tex-chtml.js").read_text())
    )
    fonts = mathjax / "output" / "chtml" / "fonts" / "woff-v2"
    assert "MathJax_Math-Italic.woff" in named
    assert named <= {path.name for path in fonts.iterdir()}


def test_every_theorem_and_example_is_reached_from_the_front_page(site: Path) -> None:
    front = (site / "index.html").read_text(encoding="utf-8")
    for folder, pattern in (("theorems", "*.md"), ("examples", "plot_*.py")):
        pages = {path.stem for path in (ROOT / "docs" / folder).glob(pattern)} - {"index"}
        assert pages
        for page in pages:
            assert f"{folder}/{page}.html" in front, page


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ('<script src="https://cdn.example/x.js"></script>', "https://cdn.example/x.js"),
        ('<img srcset="a.png, //cdn.example/b.png 2x">', "//cdn.example/b.png"),
        ('<link rel="stylesheet" href="//cdn.example/x.css">', "//cdn.example/x.css"),
        ('<p style="background: url(http://cdn.example/x.png)">', "http://cdn.example/x.png"),
        ("<style>@import 'https://cdn.example/x.css';</style>", "https://cdn.example/x.css"),
        ("<style>@font-face { src: url('//cdn.example/x.woff') }</style>", "//cdn.example/x.woff"),
        ('<script src="not-there.js"></script>', "not-there.js"),
    ],
)
def test_what_loads_from_elsewhere_is_seen(text: str, address: str, tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    page = tmp_path / "page.html"
    page.write_text(text + '<a href="https://example.org">one may follow</a>', encoding="utf-8")
    assert list(missing(page, tmp_path)) == [f"page.html: {address}"]
