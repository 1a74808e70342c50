"""Declared variables: groups made from arrays, stored meanings of numbers, and former names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import made_runs
import numpy as np
import pytest

from flowsim.results import archive
from flowsim.results.archive import netcdf
from flowsim.results.run import Variable, group
from flowsim.solvers.variables import RENAMED, STEP_SIZE, VariableSpec

FATE = VariableSpec("fate", ("step_size",), "behaviour", {0: "tracks_flow", 1: "diverges"})
DECLARED = (STEP_SIZE, FATE, VariableSpec("note", ("note",), "notes", text=True))


def test_a_group_has_the_declared_order_dimensions_and_meanings(tmp_path: Path) -> None:
    made = group(DECLARED, {"note": ["a", "b"], "fate": np.zeros(3), "step_size": np.ones(3)})
    assert [(name, one.dims) for name, one in made.items()] == [
        ("step_size", ("step_size",)),
        ("fate", ("step_size",)),
        ("note", ("note",)),
    ]
    netcdf.write(tmp_path / "one.nc", {"made": made}, {})
    read = netcdf.read(tmp_path / "one.nc")["made"]["fate"]
    assert dict(read.attributes) == dict(made["fate"].attributes)
    assert read.attributes["flag_values"] == (0.0, 1.0)
    assert read.attributes["flag_meanings"] == "tracks_flow diverges"


@pytest.mark.parametrize(
    ("arrays", "why"),
    [
        ({"fates": np.zeros(3)}, "not declared: fates"),
        ({"fate": np.zeros((3, 1))}, "one name per axis is required"),
        ({"step_size": np.ones(2), "fate": np.zeros(3)}, "'fate' has length 3, but length 2"),
    ],
)
def test_arrays_that_do_not_fit_the_declaration_are_rejected(arrays: dict, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        group(DECLARED, arrays)


@pytest.mark.parametrize(("former", "present"), RENAMED.items())
def test_an_archive_with_a_former_name_is_read_with_the_present_one(
    former: tuple[str, str], present: str, tmp_path: Path
) -> None:
    group_name, name = former
    old = {name: Variable(("point",), np.arange(3.0), {"long_name": "old"})}
    run = made_runs.plain()
    archive.write(replace(run, groups={**run.groups, group_name: old}), tmp_path / "run")
    read = archive.read(tmp_path / "run")
    assert read[f"{group_name}.{present}"].tolist() == [0.0, 1.0, 2.0]
    assert not read.has(f"{group_name}.{name}")
    tree = archive.load(tmp_path / "run")
    assert list(tree[group_name].data_vars) == [present]
