"""`flowsim list`."""

from __future__ import annotations

import json

import click

from flowsim.cli.terminal import print_answer, printable
from flowsim.scenario import catalog


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help='As JSON: [{"name", "title"}, …].')
def command(as_json: bool) -> None:
    """List the named scenarios."""
    titles = catalog.titles()
    if as_json:
        rows = [{"name": name, "title": title} for name, title in titles.items()]
        print_answer(json.dumps(rows, indent=2))
        return
    width = max(map(len, titles), default=0)
    for name, title in titles.items():
        print_answer(f"{name:<{width}}  {printable(title)}")
