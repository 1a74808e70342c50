"""The documentation says what is so: code runs, scenarios are valid, links lead somewhere."""

from __future__ import annotations

import ast
import contextlib
import io
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import flowsim
from flowsim.dynamics.registry import FLOWS
from flowsim.experiment import run as experiment
from flowsim.experiment.figures import FIGURES
from flowsim.experiment.plan.reading import read
from flowsim.experiment.plan.variables import groups
from flowsim.results import archive
from flowsim.scenario.spec.data import LOSSES
from flowsim.scenario.spec.errors import ScenarioError
from flowsim.scenario.spec.init import INITS
from flowsim.scenario.spec.scenario import ITEMS, SECTIONS, Scenario, options
from flowsim.solvers.methods import AUTO, METHODS
from flowsim.solvers.verdict import Verdict
from flowsim.theory.registry import MEASURES

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = [*sorted(DOCS.glob("*.md")), *sorted(DOCS.glob("theorems/*.md")), ROOT / "README.md"]
LINKING = [*PAGES, ROOT / "CHANGELOG.md", ROOT / "plots" / "README.md"]
SHARED = "two-modes"
"""The example that the pages build upon: its file and its run lie where their code runs."""

FENCE = re.compile(r"^```([^\n`]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
NUMBER = re.compile(r"-?\d+(\.\d*)?(e[+-]?\d+)?")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block: what stands behind its fence, its text, and its page and line."""

    info: str
    text: str
    page: Path
    line: int

    def __str__(self) -> str:
        return f"{relative(self.page)}:{self.line}"

    @property
    def is_script(self) -> bool:
        """Return whether it is a file of its own: its first line, a comment, names one."""
        return re.fullmatch(r"# \w+\.py", self.text.partition("\n")[0]) is not None

    def run(self, namespace: dict[str, object]) -> str:
        """Return what it prints: a script as a process of its own, any other in the namespace."""
        if self.is_script:
            Path("script.py").write_text(self.text, encoding="utf-8")
            command = [sys.executable, "script.py"]
            return subprocess.run(command, capture_output=True, text=True, check=True).stdout
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(self.text, str(self), "exec", dont_inherit=True), namespace)
        return printed.getvalue()

    @property
    def name(self) -> str:
        """Return the file that its first line, a comment, names."""
        first = self.text.partition("\n")[0]
        return first.removeprefix("# ") if first.endswith(".toml") else "example.toml"


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(match[1].strip(), match[2], page, text.count("\n", 0, match.start()) + 2)
        for match in FENCE.finditer(text)
    ]


def every(info: str) -> list[Block]:
    return [block for page in PAGES for block in blocks(page) if block.info == info]


SLOW = {f"docs/{name}.md" for name in ("many-runs", "methods", "python", "referee", "studies")}


def with_python() -> list:
    """Return the pages with Python on them as parameters; those that take long are marked."""
    pages = [page for page in PAGES if any(block.info == "python" for block in blocks(page))]
    slow = {page: [pytest.mark.slow] if relative(page) in SLOW else [] for page in pages}
    return [pytest.param(page, marks=marks) for page, marks in slow.items()]


def relative(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def following(block: Block) -> Block | None:
    """Return the block of output right after this one, if there is one."""
    rest = blocks(block.page)
    after = rest[rest.index(block) + 1 :]
    return after[0] if after and after[0].info == "text" else None


def shape(output: str) -> str:
    """Return an output with every number, and the spaces around it, made alike."""
    return " ".join(NUMBER.sub("#", output).replace("[", "[ ").split())


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> Path:
    """Return a folder with the example's file and its run."""
    folder = tmp_path_factory.mktemp("example")
    (found,) = (block for block in every("toml") if block.name == f"{SHARED}.toml")
    path = folder / found.name
    path.write_text(found.text, encoding="utf-8")
    archive.write(experiment.run(read(path), SHARED), folder / SHARED)
    return folder


@pytest.mark.parametrize("page", with_python(), ids=relative)
def test_python_runs_and_prints_what_the_page_says(page, shared, tmp_path, monkeypatch) -> None:
    shutil.copytree(shared, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "page"}
    for block in (block for block in blocks(page) if block.info == "python"):
        printed, told = block.run(namespace), following(block)
        if told is not None:
            assert shape(printed) == shape(told.text), f"{told}: now it prints\n{printed}"


FORMULAS = "docs/mathematics.md"
"""The page that shows the formulas in their own modules."""


@pytest.mark.parametrize(
    "block", [block for block in every("python") if relative(block.page) != FORMULAS], ids=str
)
def test_python_on_a_page_needs_public_names_alone(block: Block) -> None:
    used = set()
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.Import):
            used |= {name.name for name in node.names if name.name.startswith("flowsim.")}
        elif isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] == "flowsim":
            used |= (
                {name.name for name in node.names} if node.module == "flowsim" else {node.module}
            )
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            used |= {node.attr} if node.value.id == "flowsim" else set()
    assert used - set(flowsim.__all__) == set()


@pytest.mark.parametrize("block", every("toml"), ids=str)
def test_scenarios_are_valid(block: Block, tmp_path: Path) -> None:
    if "[network]" not in block.text:
        tomllib.loads(block.text)
        return
    path = tmp_path / block.name
    path.write_text(block.text, encoding="utf-8")
    assert read(path).title


@pytest.mark.parametrize("block", every("toml wrong"), ids=str)
def test_mistaken_scenarios_are_answered_as_the_page_says(block, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path(block.name).write_text(block.text, encoding="utf-8")
    with pytest.raises(ScenarioError) as caught:
        read(block.name)
    all_blocks = blocks(block.page)
    told = next(b for b in all_blocks[all_blocks.index(block) :] if b.info == "text")
    assert str(caught.value).splitlines() == told.text.splitlines()


def links(page: Path) -> Iterator[tuple[str, str]]:
    """Yield the relative links of a page: the file, empty for the page itself, and the heading."""
    for target in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        if "://" not in target:
            file, _, heading = target.partition("#")
            yield file, heading


def anchors(page: Path) -> set[str]:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    kept = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in HEADING.findall(text))
    return {heading.replace(" ", "-") for heading in kept}


@pytest.mark.parametrize("page", LINKING, ids=relative)
def test_links_lead_somewhere(page: Path) -> None:
    lost = [
        f"{file}#{heading}"
        for file, heading in links(page)
        if not (page.parent / file).exists()
        or (heading and heading not in anchors(page.parent / file if file else page))
    ]
    assert lost == []


def section(page: str, heading: str) -> str:
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.split(r"^## ", text.partition(f"## {heading}\n")[2], flags=re.MULTILINE)[0]


def undocumented(names: Iterator[str] | list[str], text: str) -> list[str]:
    """Return the names that no table of the text has in backticks."""
    rows = "\n".join(line for line in text.splitlines() if line.startswith("|"))
    told = {word.strip('"') for word in re.findall(r"`([^`]+)`", rows)}
    return [name for name in names if name not in told]


@pytest.mark.parametrize("name", [*SECTIONS, *ITEMS])
def test_every_key_is_documented(name: str) -> None:
    heading = f"`[[{name}]]`" if name in ITEMS else f"`[{name}]`"
    keys = list(ITEMS[name].model_fields if name in ITEMS else options(name))
    if name == "claims":
        from flowsim.scenario.spec.claim import At

        keys += At.model_fields
    assert undocumented(keys, section("scenario-files.md", heading)) == []


def test_every_plain_key_and_kind_is_documented() -> None:
    plain = [key for key in Scenario.model_fields if key not in (*SECTIONS, *ITEMS)]
    assert undocumented(plain, section("scenario-files.md", "Top level")) == []
    for name, kinds in (("loss", LOSSES), ("init", INITS)):
        assert undocumented(list(kinds), section("scenario-files.md", f"`[{name}]`")) == []
    assert undocumented(list(FIGURES), section("scenario-files.md", "`[output]`")) == []


def test_every_measure_is_documented() -> None:
    assert undocumented(list(MEASURES), section("scenario-files.md", "`[output]`")) == []


def test_defaults_are_those_of_the_code() -> None:
    """Every default that a table gives as a literal is the model's own."""
    for name in SECTIONS:
        rows = re.findall(
            r"^\| `(\w+)` \| `([^`]+)`", section("scenario-files.md", f"`[{name}]`"), re.MULTILINE
        )
        for key, told in rows:
            default = options(name)[key].default if key in options(name) else None
            if default is not None:
                assert tomllib.loads(f"x = {told}")["x"] in (default, list_of(default)), key


def list_of(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def test_every_variable_is_documented() -> None:
    variables = section("results.md", "Groups and variables")
    coordinates = {"time", "step_size", *(f"{space}_time" for space in FLOWS)}
    for group, names in groups().items():
        heading = rf"^### [^\n]*`/{group}`.*?(?=^### |\Z)"
        told = re.search(heading, variables, re.MULTILINE | re.DOTALL)
        assert told is not None, group
        listed = [name for name in names if group == "descent" or name not in coordinates]
        assert undocumented(listed, told[0]) == [], group


def test_every_method_and_verdict_is_documented() -> None:
    assert undocumented([AUTO, *METHODS], section("methods.md", "Methods")) == []
    verdicts = [verdict.name.lower() for verdict in Verdict]
    assert undocumented(verdicts, section("methods.md", "Verdicts")) == []
