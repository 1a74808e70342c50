"""The direction of imports: each room imports only from rooms before it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import flowsim

HOME = Path(flowsim.__file__).parent

ROOMS = [
    "cards", "arrays", "scratch", "series", "pacing", "network", "losses", "sampling", "noise",
    "inits", "problem", "dynamics", "methods", "choosing", "trajectory", "integrator",
    "recording", "task", "integration", "error_estimate", "accuracy", "solving", "walking",
    "descending", "invariants", "measures", "plane", "lowest", "theory", "critical_step_size",
    "verification", "scenario", "catalog", "results", "claims", "tables", "measuring",
    "summarizing", "absolute", "experiment", "archive", "figures", "cli",
]  # fmt: skip
"""What a scenario says, does, gives and shows, in this order."""

MODULES = sorted(HOME.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(HOME).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> Iterator[str]:
    """Yield the rooms that a module imports anywhere but for type checking."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            names = inner if node.module == "flowsim" else [node.module]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            if name.startswith("flowsim."):
                yield name.split(".")[1]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(HOME)))
def test_imports_only_rooms_before_its_own(path: Path) -> None:
    room = room_of(path)
    if room in ("__init__", "__main__"):
        return
    for other in set(imported_rooms(path)) & set(ROOMS):
        assert ROOMS.index(other) <= ROOMS.index(room), f"{room} imports {other}"


def test_every_room_is_named_here() -> None:
    rooms = {room_of(path) for path in MODULES} - {"__init__", "__main__"}
    assert rooms == set(ROOMS)


def test_figures_never_simulate() -> None:
    simulating = {
        "solving",
        "integration",
        "integrator",
        "walking",
        "descending",
        "experiment",
        "dynamics",
    }
    for path in (HOME / "figures").rglob("*.py"):
        assert not simulating & set(imported_rooms(path)), path


@pytest.mark.parametrize("room", ["network", "losses", "dynamics"])
def test_the_mathematics_knows_nothing_of_files_or_solvers(room: str) -> None:
    strangers = {"pathlib", "os", "json", "diffrax", "h5py", "h5netcdf", "xarray", "click"}
    for path in MODULES:
        if room_of(path) == room:
            tree = ast.parse(path.read_text(encoding="utf-8"))
            found = {
                name.name.split(".")[0]
                for node in ast.walk(tree)
                if isinstance(node, ast.Import)
                for name in node.names
            }
            assert not found & strangers, path
