"""Former names of keys are read everywhere that a key can stand, and never written."""

from __future__ import annotations

from pathlib import Path

import pytest
from scenario_texts import SQUARED, spoilt, the_mistake

import flowsim
from flowsim.experiment.plan.reading import from_toml
from flowsim.scenario.spec.scenario import Scenario
from flowsim.scenario.toml.writing import dumps

OLD = spoilt("[0.4, 0.1]", '[0.4, 0.1]\nalgorithm = "heun"')
VARIANT = '\n[[variant]]\nname = "other"\nset = { SET }\n'


def test_a_file_is_read_and_written_with_the_present_name() -> None:
    scenario = from_toml(OLD)
    assert scenario.descent.rule == "heun"
    written = dumps(scenario)
    assert 'rule = "heun"' in written
    assert "algorithm" not in written
    assert from_toml(written) == scenario


@pytest.mark.parametrize(
    "setting",
    ['"descent.algorithm" = "rk4"', 'descent = { step_sizes = [0.1], algorithm = "rk4" }'],
)
def test_a_variant_may_set_it(setting: str) -> None:
    scenario = from_toml(OLD + VARIANT.replace("SET", setting))
    assert "algorithm" not in dumps(scenario)
    (changes,) = (variant.set for variant in scenario.variant)
    assert changes.get("descent.rule", changes.get("descent", {}).get("rule")) == "rk4"


@pytest.mark.parametrize(
    "overrides",
    [
        {"descent.algorithm": "rk4"},
        {"descent.rule": "rk4"},
        {"descent": {"step_sizes": [0.1], "algorithm": "rk4"}},
    ],
)
def test_an_override_may_set_it_over_either_name(overrides: dict) -> None:
    for text in (OLD, OLD.replace("algorithm", "rule")):
        assert from_toml(text, overrides=overrides).descent.rule == "rk4"


def test_a_scenario_made_in_python_may_have_it() -> None:
    data = dict(from_toml(SQUARED)) | {"descent": {"step_sizes": [0.1], "algorithm": "rk4"}}
    assert Scenario(**data).descent.rule == "rk4"


def test_a_file_on_disk_is_read_as_that_of_an_earlier_run_is(tmp_path: Path) -> None:
    path = tmp_path / "old.toml"
    path.write_text(OLD, encoding="utf-8")
    assert flowsim.read(path).descent.rule == "heun"


def test_a_mistake_is_reported_at_the_line_of_the_former_name() -> None:
    wrong = 'algorithm = "adam" #!'
    known = "gradient, nesterov, midpoint, heun, rk4, adagrad, adadelta, sam or normalized"
    mistake = the_mistake(spoilt("[0.4, 0.1]", f"[0.4, 0.1]\n{wrong}"))
    assert mistake == f'descent.rule: is "adam", which is not known; write one of {known}'
    both = '[0.4, 0.1]\nrule = "heun"\nalgorithm = "rk4" #!'
    assert the_mistake(spoilt("[0.4, 0.1]", both)) == (
        "descent.algorithm: is the former name of descent.rule; write that one alone"
    )


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ("rho = 0.1 #!", 'is not used by rule = "gradient"; remove it, or write rule = "sam"'),
        ('rule = "heun"\nrho = 0.1 #!', 'is not used by rule = "heun"; remove it, or write rule'),
        ('rule = "sam"\nrho = -0.1 #!', "is -0.1, but must be at least 0"),
        ('rule = "sam"\nrho = "small" #!', 'is "small", but a number is required'),
        ('rule = "sam"\nrho = nan #!', "is nan"),
    ],
)
def test_a_radius_that_does_not_fit_is_refused(lines: str, says: str) -> None:
    mistake = the_mistake(spoilt("[0.4, 0.1]", f"[0.4, 0.1]\n{lines}"))
    assert mistake.startswith(f"descent.rho: {says}")


def test_the_summary_table_names_the_rule_and_its_radius() -> None:
    for line, shown in (
        ('rule = "sam"', "sam, ρ 0.05, step sizes 0.4, 0.1, float64"),
        ('rule = "sam"\nrho = 0.2', "sam, ρ 0.2, step sizes"),
        ('rule = "normalized"', "normalized, step sizes"),
    ):
        assert shown in str(from_toml(spoilt("[0.4, 0.1]", f"[0.4, 0.1]\n{line}")))
