"""`flowsim schema`."""

from __future__ import annotations

import json

import click

from flowsim.cli.terminal import print_answer


@click.command("schema")
def command() -> None:
    """Print the JSON Schema of scenario files, for editors."""
    from flowsim.experiment.plan.reading import json_schema

    print_answer(json.dumps(json_schema(), indent=2))
