"""Replacing single keys of a scenario, from the command line and in variants."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenario_texts import SQUARED, spoilt, told

from flowsim.experiment.plan.reading import from_toml
from flowsim.scenario.overrides import parse_assignment, set_path, variants
from flowsim.scenario.spec.errors import ScenarioError
from flowsim.scenario.toml.writing import dumps


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("flow.method=tsit5", "flow.method", "tsit5"),
        ('flow.method="tsit5"', "flow.method", "tsit5"),
        ("flow.rtol=1e-6", "flow.rtol", 1e-6),
        ("seed=3", "seed", 3),
        (" seed = 3 ", "seed", 3),
        ("output.layers=true", "output.layers", True),
        ("network.widths=[4, 3]", "network.widths", [4, 3]),
        ("loss.target={ identity = 2 }", "loss.target", {"identity": 2}),
        ("title=two words = one", "title", "two words = one"),
        ("title=", "title", ""),
        ("title=1\nseed = 4", "title", "1\nseed = 4"),
        ("title=[1, ", "title", "[1,"),
        ("title=1 # one", "title", 1),
    ],
)
def test_an_assignment_is_a_key_and_a_toml_value_or_a_bare_word(text: str, key: str, value) -> None:
    assert parse_assignment(text) == (key, value)
    assert type(parse_assignment(text)[1]) is type(value)


@pytest.mark.parametrize("text", ["", "seed", "=3", " = 3", "\x1b[31m"])
def test_what_is_no_assignment_is_told(text: str) -> None:
    with pytest.raises(ScenarioError, match="is no assignment; write KEY=VALUE, such as") as error:
        parse_assignment(text)
    assert str(error.value).isprintable()


@pytest.mark.parametrize("text", ["a=" + "[" * 10**5, "a=" + "{a=" * 10**5, "a=" + "9" * 5000])
def test_pathological_values_are_taken_for_words(text: str) -> None:
    assert parse_assignment(text) == ("a", text.removeprefix("a="))


@given(st.text(max_size=30))
@settings(max_examples=100)
def test_no_assignment_upsets_the_parser(value: str) -> None:
    assert parse_assignment(f"key={value}")[0] == "key"


def test_setting_a_path_leaves_the_data_as_they_were() -> None:
    data = {"flow": {"horizon": 1.0}, "seed": 0}
    assert set_path(data, "flow.rtol", 1) == {"flow": {"horizon": 1.0, "rtol": 1}, "seed": 0}
    assert set_path(data, "descent.step_sizes", [1])["descent"] == {"step_sizes": [1]}
    assert set_path(data, "flow", {"horizon": 2})["flow"] == {"horizon": 2}
    assert data == {"flow": {"horizon": 1.0}, "seed": 0}


@pytest.mark.parametrize(
    ("key", "mistake"),
    [
        ("flow.rtl", "flow.rtl: unknown key; did you mean flow.rtol"),
        ("rtol", "rtol: unknown key; did you mean flow.rtol"),
        ("step_sizes", "step_sizes: unknown key; did you mean descent.step_sizes"),
        ("flow.step_sizes", "flow.step_sizes: unknown key; did you mean descent.step_sizes"),
        ("flow", None),
        ("loss.target.rank", None),
        ("", ": unknown key; see `flowsim schema`"),
        ("\x1b" * 200, None),
    ],
)
def test_unknown_keys_are_told_with_the_nearest(key: str, mistake: str | None) -> None:
    if key in ("flow", "loss.target.rank"):
        set_path({}, key, 1)
        return
    with pytest.raises(ScenarioError) as error:
        set_path({}, key, 1)
    assert str(error.value).isprintable()
    assert mistake is None or str(error.value) == mistake


def test_a_path_into_an_array_is_told() -> None:
    with pytest.raises(ScenarioError, match=r"loss.target is an array, not a table; replace it"):
        set_path({"loss": {"target": [[1]]}}, "loss.target.rank", 1)
    assert told(spoilt("{ spectrum = [3, 2, 1] }", "[[1]]"), **{"loss.target.rank": 1})[0] == (
        "override loss.target.rank: loss.target is an array, not a table; replace it as a whole"
    )


def test_overrides_apply_to_the_base_before_its_variants() -> None:
    members = (
        '\n[[variant]]\nname = "a"\nset = { "flow.rtol" = 1e-4 }\n[[variant]]\nname = "b"\n'
        'set = { "network.widths" = [4, 3] }\n'
    )
    scenario = from_toml(SQUARED + members, overrides={"flow.rtol": 1e-6})
    expanded = variants(scenario)
    assert {name: one.flow.rtol for name, one in expanded.items()} == {"a": 1e-4, "b": 1e-6}
    assert expanded["b"].network.depth == 1
    assert expanded["a"].variant == expanded["a"].claims == ()
    assert variants(from_toml(SQUARED)) == {}


def test_a_table_that_a_variant_sets_replaces_the_whole_table() -> None:
    variant = '\n[[variant]]\nname = "a"\nset = { init = { kind = "xavier" } }\n'
    scenario = from_toml(SQUARED + variant)
    assert variants(scenario)["a"].init.kind == "xavier"
    again = from_toml(dumps(scenario))
    assert again == scenario
    assert variants(again) == variants(scenario)
