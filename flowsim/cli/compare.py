"""`flowsim compare`."""

from __future__ import annotations

from pathlib import Path

import click

from flowsim.cli.errors import CommandError, as_command_error
from flowsim.cli.terminal import print_answer


@click.command("compare")
@click.argument("first", type=click.Path(path_type=Path), metavar="RUN_A")
@click.argument("second", type=click.Path(path_type=Path), metavar="RUN_B")
@click.option("--json", "as_json", is_flag=True, help='As JSON: {"agrees", "variables": […], …}.')
def compare_command(first: Path, second: Path, as_json: bool) -> int:
    """Compare two stored runs, variable by variable.

    Show the largest difference of each variable beside the error estimates of both runs. Values
    are compared on the times and step sizes that both have; nan equals nan.

    The exit code is 0 if no difference exceeds the error estimates, 1 if one does, and 2 if the
    runs cannot be read or compared.
    """
    from flowsim.results import archive
    from flowsim.results.archive.writing import strict_json
    from flowsim.results.comparison import compare

    with as_command_error(archive.ArchiveError):
        runs = archive.read(first), archive.read(second)
    try:
        found = compare(*runs)
    except ValueError as error:
        raise CommandError(str(error)) from error
    if as_json:
        print_answer(strict_json({"runs": [str(first), str(second)], **found.record()}).rstrip())
    else:
        for line in found.lines((str(first), str(second))):
            print_answer(line)
    return 0 if found.agrees else 1
