"""How Sphinx builds the site: `sphinx-build -W --keep-going docs build/docs`.

Nothing in it may be fetched from a network when read: MathJax and its fonts are copied into the
site, and whatever would load from elsewhere stays off (`tests/test_site.py` holds the site to it).
"""

from __future__ import annotations

import os
import re
from itertools import groupby
from pathlib import Path
from posixpath import normpath
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")  # JAX looks for no other device, and says nothing

import flowsim

project = "flowsim"
author = "The flowsim developers"
copyright = f"2026, {author}"
version = release = flowsim.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx-mathjax-offline",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["examples"]  # sphinx-gallery's sources; its pages are in generated/

html_theme = "furo"
html_title = f"flowsim {version}"
html_copy_source = False

myst_enable_extensions = ["dollarmath"]
myst_fence_as_directive = {"math"}
myst_heading_anchors = 3

default_role = "code"  # docstrings have Markdown's `code`
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_google_docstring = False
napoleon_use_param = False  # one entry where parameters share one
suppress_warnings = ["ref.python"]  # of attributes' names that several classes share
napoleon_use_ivar = True  # attributes are told once, by their class

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "generated/examples",
    "image_srcset": ["2x"],
    "reset_modules": ("matplotlib",),
    "abort_on_example_error": True,
    "show_signature": False,
    "download_all_examples": False,
    "write_computation_times": False,  # that page loads its table from a network
}

ELSEWHERE = (
    (r"docs/examples", "generated/examples/index.rst"),
    (r"docs/(examples/plot_\w+)\.py", r"generated/\1.rst"),
    (r"plots/README\.md", "gallery.md"),
    (r"benchmarks/README\.md", "benchmarks.md"),
    (r"flowsim/theory", "api.md"),
    (r"CHANGELOG\.md", "changes.md"),
)
"""What the repository holds outside the site's sources, and the page that shows it."""

UNLISTED = ("__init__", "spec", "measure", "figure", "regime_strip")
"""Modules of a subject that hold no formulas."""

LINK = re.compile(r"(?<=\]\()[\w./-]+(?=[)#])")
BAR = re.compile(r"\|(?=(?:[^`]*`[^`]*`)*[^`]*$)")  # outside of `code`


def lead_to_the_site(_app: Any, docname: str, source: list[str]) -> None:
    """Turn links to what lies `ELSEWHERE` into links to the page that shows it."""
    folder = Path("docs", docname).parent

    def link(found: re.Match[str]) -> str:
        target = normpath((folder / found[0]).as_posix())
        for place, page in ELSEWHERE:
            if inside := re.fullmatch(place, target):
                return os.path.relpath(Path("docs", inside.expand(page)), folder)
        return found[0]

    source[0] = LINK.sub(link, source[0])


def list_the_theory(_app: Any, docname: str, source: list[str]) -> None:
    """Replace `{theory}` on the page of the Python interface by the formulas of every subject."""
    if docname != "api":
        return
    home = Path(flowsim.__file__).parent
    files = sorted((home / "theory").glob("*/*.py"))
    shown = [file for file in files if file.stem not in UNLISTED]
    blocks = []
    for subject, modules in groupby(shown, lambda file: file.parent.name):
        directives = [
            f".. automodule:: flowsim.theory.{subject}.{file.stem}\n   :members:\n"
            for file in modules
        ]
        title = subject.replace("_", " ").capitalize()
        blocks.append(f"### {title}\n\n```{{eval-rst}}\n{chr(10).join(directives)}```\n")
    source[0] = source[0].replace("{theory}", "\n".join(blocks))


def keep_bars(_app: Any, _what: str, _name: str, _it: Any, _options: Any, lines: list[str]) -> None:
    """Keep |x| in docstrings an absolute value, which reStructuredText takes for a reference."""
    lines[:] = [BAR.sub(r"\\|", line) for line in lines]


def setup(app: Any) -> None:
    """Register what this site needs beside Sphinx's extensions."""
    app.connect("source-read", lead_to_the_site)
    app.connect("source-read", list_the_theory)
    app.connect("autodoc-process-docstring", keep_bars)
