"""The direction of imports: each subpackage imports only from those below it, and none in circles.

Imports for type checking and imports inside functions count like any other.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import flowsim

HOME = Path(flowsim.__file__).parent

ROOMS = [
    "cards", "process", "problem", "dynamics", "scenario", "solvers", "results", "pictures",
    "theory", "experiment", "cli",
]  # fmt: skip
"""The subpackages, lowest first, above one leaf of helpers."""


def _name(path: Path) -> str:
    parts = path.relative_to(HOME.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


MODULES = {_name(path): path for path in sorted(HOME.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def imported(module: str) -> Iterator[str]:
    """Yield the modules of flowsim that a module imports, wherever in it that is written."""
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import"
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in MODULES else str(node.module) for name in inner]
        else:
            continue
        yield from (name for name in names if name in MODULES and name not in (module, "flowsim"))


@pytest.mark.parametrize("module", [name for name in MODULES if room_of(name) in ROOMS])
def test_imports_only_what_is_below(module: str) -> None:
    room = room_of(module)
    for other in {room_of(name) for name in imported(module)}:
        assert ROOMS.index(other) <= ROOMS.index(room), f"{room} imports {other}"


def test_every_room_is_named_here() -> None:
    rooms = {room_of(module) for module in MODULES} - {"", "__main__"}
    assert rooms == set(ROOMS)


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {name: set(imported(name)) for name in MODULES if name != "flowsim"}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))


NAMES_AND_ARRAYS = {
    "flowsim.solvers.storage",
    "flowsim.solvers.behaviour",
    "flowsim.solvers.verdict",
    "flowsim.dynamics.registry",
}
"""Modules of what simulates that hold names or arrays alone."""


def test_pictures_never_simulate() -> None:
    simulating = ("flowsim.solvers", "flowsim.dynamics", "flowsim.experiment.run")
    drawing = [name for name in MODULES if room_of(name) == "pictures" or name.endswith(".figure")]
    for name in drawing:
        used = [other for other in imported(name) if other.startswith(simulating)]
        assert set(used) <= NAMES_AND_ARRAYS, name


@pytest.mark.parametrize("room", ["problem", "dynamics"])
def test_the_mathematics_knows_nothing_of_files_or_solvers(room: str) -> None:
    strangers = {"pathlib", "os", "json", "diffrax", "h5py", "h5netcdf", "xarray", "click"}
    for module in MODULES:
        if room_of(module) == room:
            found = {
                name.name.split(".")[0]
                for node in ast.walk(TREES[module])
                if isinstance(node, ast.Import)
                for name in node.names
            }
            assert not found & strangers, module
