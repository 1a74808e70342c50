"""The argument NAME|FILE and its `--set` options: from what the user typed to a scenario."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from flowsim.cli.command_error import as_command_error

if TYPE_CHECKING:
    from flowsim.scenario.spec.scenario import Scenario


def read_scenario(name_or_file: str, settings: Iterable[str] = ()) -> tuple[str, Scenario]:
    """Return the name and the scenario that NAME|FILE and the `--set` options give."""
    from flowsim.experiment.plan.reading import read
    from flowsim.scenario import catalog
    from flowsim.scenario.overrides import parse_assignment
    from flowsim.scenario.spec.errors import ScenarioError

    with as_command_error(catalog.CatalogError, ScenarioError):
        overrides = dict(map(parse_assignment, settings))
        path = catalog.resolve(name_or_file)
        return path.stem, read(path, overrides)


def default_directory(name: str, digest: str) -> Path:
    """Return the folder of a run without -o."""
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:64].strip(".-") or "scenario"
    return Path("runs") / f"{slug}-{digest[:8]}"
