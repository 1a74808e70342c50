"""`flowsim list`, `flowsim show` and `flowsim schema`, and the argument NAME|FILE."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flowsim.cli import completion
from flowsim.cli.errors import as_command_error
from flowsim.cli.terminal import print_answer, printable
from flowsim.scenario import catalog

if TYPE_CHECKING:
    from flowsim.scenario.spec.scenario import Scenario


OPTION = "--set"
"""What gives overrides on the command line."""

name_or_file_argument = click.argument(
    "name_or_file", metavar="NAME|FILE", shell_complete=completion.scenarios
)
"""The scenario of a command."""

settings_option = click.option(
    OPTION,
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    shell_complete=completion.settings,
    help="Replace a value of the scenario, e.g. flow.rtol=1e-6 (repeatable).",
)
"""What replaces values of the scenario."""


def read_scenario(name_or_file: str, settings: Iterable[str] = ()) -> tuple[str, Scenario]:
    """Return the name and the scenario that NAME|FILE and the `--set` options give."""
    from flowsim.experiment.plan.reading import read
    from flowsim.scenario.overrides import parse_assignment
    from flowsim.scenario.spec.errors import ScenarioError

    with as_command_error(catalog.CatalogError, ScenarioError):
        overrides = dict(map(parse_assignment, settings))
        path = catalog.resolve(name_or_file)
        return path.stem, read(path, overrides, origin=OPTION)


@contextmanager
def mistakes_located(name_or_file: str, settings: Iterable[str]) -> Iterator[None]:
    """Report mistakes that are found after reading with their file and line, as bad input."""
    from flowsim.scenario.overrides import parse_assignment
    from flowsim.scenario.reading import located
    from flowsim.scenario.spec.errors import ScenarioError

    path, overrides = catalog.resolve(name_or_file), dict(map(parse_assignment, settings))
    with as_command_error(ScenarioError), located(path, overrides, OPTION):
        yield


def default_directory(name: str, digest: str) -> Path:
    """Return the folder of a run without -o."""
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:64].strip(".-") or "scenario"
    return Path("runs") / f"{slug}-{digest[:8]}"


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help='As JSON: [{"name", "title"}, …].')
def list_command(as_json: bool) -> None:
    """List the named scenarios."""
    titles = catalog.titles()
    if as_json:
        rows = [{"name": name, "title": title} for name, title in titles.items()]
        print_answer(json.dumps(rows, indent=2))
        return
    width = max(map(len, titles), default=0)
    for name, title in titles.items():
        print_answer(f"{name:<{width}}  {printable(title)}")


@click.command("schema")
def schema_command() -> None:
    """Print the JSON Schema of scenario files, for editors."""
    from flowsim.experiment.plan.reading import json_schema

    print_answer(json.dumps(json_schema(), indent=2))


@click.command("show")
@name_or_file_argument
@settings_option
def show_command(name_or_file: str, settings: tuple[str, ...]) -> None:
    """Show what a scenario simulates and claims, and the memory and work it needs."""
    _, scenario = read_scenario(name_or_file, settings)
    for line in _card(scenario):
        print_answer(line)


def _card(scenario: Scenario) -> Iterator[str]:
    from flowsim.experiment.plan.footprint import footprint, human
    from flowsim.experiment.plan.machine import memory_limit

    yield repr(scenario)
    if scenario.summary:
        yield ""
        yield textwrap.fill(" ".join(scenario.summary.split()), 100)
    yield from _listed("claims", (claim.sentence for claim in scenario.claims))
    for variant in scenario.variant:
        changes = ", ".join(f"{key} = {value}" for key, value in variant.set.items())
        yield from _listed(f"variant {variant.name}", [textwrap.shorten(changes, 200)])
    yield from _listed("sources", scenario.sources)
    yield ""
    yield repr(footprint(scenario))
    if limit := memory_limit():
        yield f"  {limit.limited_by} {human(limit.size)} of memory"


def _listed(title: str, items: Iterable[str]) -> Iterator[str]:
    lines = [f"  {item}" for item in items]
    if lines:
        yield f"\n{title}"
        yield from lines
