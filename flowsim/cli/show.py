"""`flowsim show`."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import click

from flowsim.cli.scenario_argument import read_scenario
from flowsim.cli.terminal import print_answer

if TYPE_CHECKING:
    from flowsim.scenario.spec.scenario import Scenario


@click.command("show")
@click.argument("name_or_file", metavar="NAME|FILE")
def command(name_or_file: str) -> None:
    """Show what a scenario simulates and claims, and the memory and work it needs."""
    _, scenario = read_scenario(name_or_file)
    for line in _card(scenario):
        print_answer(line)


def _card(scenario: Scenario) -> Iterator[str]:
    from flowsim.experiment.plan.footprint import footprint, human, machine_memory

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
    memory = machine_memory()
    if memory is not None:
        yield f"  this machine has {human(memory)} of memory"


def _listed(title: str, items: Iterable[str]) -> Iterator[str]:
    lines = [f"  {item}" for item in items]
    if lines:
        yield f"\n{title}"
        yield from lines
