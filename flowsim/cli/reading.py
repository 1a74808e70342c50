"""From what the user typed to a scenario."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from flowsim.cli.refusal import refusing

if TYPE_CHECKING:
    from flowsim.scenario import Scenario


def scenario_at(name_or_file: str, settings: Iterable[str] = ()) -> tuple[str, Scenario]:
    """Return the name and the scenario of what NAME|FILE and `--set` options say."""
    from flowsim.experiment.plan.reading import read
    from flowsim.scenario import ScenarioError, catalog, parse_assignment

    with refusing(catalog.CatalogError, ScenarioError):
        overrides = dict(map(parse_assignment, settings))
        path = catalog.resolve(name_or_file)
        return path.stem, read(path, overrides)


def default_directory(name: str, digest: str) -> Path:
    """Return where a run goes unless the user says otherwise."""
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:64].strip(".-") or "scenario"
    return Path("runs") / f"{slug}-{digest[:8]}"
