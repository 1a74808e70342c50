"""Variants: the scenario with some keys replaced, each as a scenario of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flowsim.scenario.overrides import replaced

if TYPE_CHECKING:
    from flowsim.scenario.model import Scenario


def expanded(scenario: Scenario) -> dict[str, Scenario]:
    """Return each variant as a scenario of its own; see `Scenario.expanded`."""
    from flowsim.scenario.model import Scenario as Model

    base = alone(dict(scenario))
    result = {}
    for variant in scenario.variant:
        data = with_set(base, variant.set)
        result[variant.name] = Model.model_validate(data, context={"examined": True})
    return result


def alone(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return a scenario's data without variants and claims."""
    return {key: value for key, value in data.items() if key not in ("variant", "claims")}


def with_set(data: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return data with dotted keys replaced, in the order given."""
    result = dict(data)
    for key, value in changes.items():
        result = replaced(result, key, value)
    return result
