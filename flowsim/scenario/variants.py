"""Variants: the scenario with some keys replaced, each as its own scenario."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flowsim.scenario.overrides import replace_key
from flowsim.scenario.spec.scenario import Scenario


def variants(scenario: Scenario) -> dict[str, Scenario]:
    """Return each variant as its own scenario, without variants and claims."""
    base = without_variants(dict(scenario))
    return {
        variant.name: Scenario.model_validate(apply_changes(base, variant.set))
        for variant in scenario.variant
    }


def without_variants(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return a scenario's data without variants and claims."""
    return {key: value for key, value in data.items() if key not in ("variant", "claims")}


def apply_changes(data: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return data with dotted keys replaced, in the order given."""
    result = dict(data)
    for key, value in changes.items():
        result = replace_key(result, key, value)
    return result
