"""Values from Python: numbers and arrays of NumPy are those of a file, the rest is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from scenario_texts import SQUARED

import flowsim
from flowsim.scenario.spec.errors import ScenarioError
from flowsim.scenario.spec.plain import plain


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "s.toml"
    path.write_text(SQUARED)
    return path


class Frame:
    """What a data frame has that an array has not."""

    def to_numpy(self) -> np.ndarray:
        return np.eye(3, 4)


ROWS = np.eye(3, 4).tolist()


@pytest.mark.parametrize(
    ("key", "given", "written"),
    [
        ("seed", np.int64(3), 3),
        ("seed", np.array(3), 3),
        ("init.scale", np.float32(0.5), 0.5),
        ("output.layers", np.True_, True),
        ("title", np.str_("A line"), "A line"),
        ("network.widths", np.array([4, 2, 3]), [4, 2, 3]),
        ("network.widths", (4, 2, 3), [4, 2, 3]),
        ("flow.spaces", np.array(["layers"]), ["layers"]),
        ("loss.target", np.eye(3, 4, dtype=">f8"), ROWS),
        ("loss.target", jnp.eye(3, 4), ROWS),
        ("loss.target", Frame(), ROWS),
        ("loss.target", {"spectrum": np.array([2.0, 1.0])}, {"spectrum": [2.0, 1.0]}),
    ],
)
def test_overrides_of_numpy_are_those_of_a_file(
    path: Path, key: str, given: Any, written: Any
) -> None:
    assert flowsim.read(path, {key: given}) == flowsim.read(path, {key: written})
    assert type(plain(given)) is type(written)


@pytest.mark.parametrize(
    ("key", "given", "sentence"),
    [
        ("init.scale", 1j, "init.scale: is a complex, but a number is required; write"),
        ("loss.target", 1j * np.eye(3, 4), "loss.target: row 1, column 1 is a complex, but every"),
        ("network.widths", {4, 3}, "network.widths: is a set, which has no order; write a list"),
        ("seed", object(), "seed: is an object, but an integer is required; write seed = 0"),
        ("loss", {3: 1}, "loss: has the key 3; write strings as keys"),
        (3, 1, "3: is no key; write a string such as"),
        ("flow", {"rtol": 1e-6}, r"flow: flow.horizon: is missing.*replaces the whole \[flow\]"),
    ],
)
def test_other_overrides_are_refused(path: Path, key: Any, given: Any, sentence: str) -> None:
    with pytest.raises(ScenarioError, match=f"^override {sentence}"):
        flowsim.read(path, {key: given})


@pytest.mark.parametrize("overrides", [3, ["seed=3"], "seed=3"])
def test_overrides_are_a_mapping(path: Path, overrides: Any) -> None:
    with pytest.raises(TypeError, match=r"^overrides must be a mapping such as"):
        flowsim.read(path, overrides)


TABLES: dict[str, Any] = {
    "network": {"widths": np.array([2, 2])},
    "loss": {"kind": "squared", "target": np.eye(2)},
    "init": {"kind": "balanced", "scale": np.float64(0.1)},
    "flow": {"horizon": 1},
}


def test_a_scenario_is_made_of_tables_with_arrays() -> None:
    scenario = flowsim.Scenario(title="Made", **TABLES)
    assert scenario.network.widths == (2, 2)
    assert scenario.loss.target == ((1.0, 0.0), (0.0, 1.0))


@pytest.mark.parametrize(
    ("changed", "mistakes"),
    [
        ({"network": None}, ["network: is nothing, but required is: "]),
        ({"netwrk": {}}, ["netwrk: unknown key"]),
        ({"flow": {"horizon": "x"}}, ['flow.horizon: is "x", but required is: ']),
        ({"title": ""}, ["title: is empty; write title ="]),
        ({"seed": {1}}, ["is a set, which has no order; write a list"]),
    ],
)
def test_what_is_wrong_in_a_scenario_is_a_sentence(
    changed: dict[str, Any], mistakes: list[str]
) -> None:
    with pytest.raises(ScenarioError) as error:
        flowsim.Scenario(**{"title": "Made", **TABLES, **changed})
    assert len(error.value.mistakes) == len(mistakes)
    for actual, start in zip(error.value.mistakes, mistakes, strict=True):
        assert actual.startswith(start)


def test_missing_tables_are_named_each() -> None:
    with pytest.raises(ScenarioError) as error:
        flowsim.Scenario(title="x")
    assert error.value.mistakes == tuple(
        f"{name}: is missing" for name in ("network", "loss", "init", "flow")
    )
    with pytest.raises(TypeError, match="takes keywords alone"):
        flowsim.Scenario("x")
