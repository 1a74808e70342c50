"""From step sizes relative to a sharpness to step sizes η, before a scenario is run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flowsim.critical_step_size import (
    Critical,
    Following,
    NoCriticalStepSizeError,
    critical_step_size,
)
from flowsim.scenario import building
from flowsim.scenario.errors import Mistake, ScenarioError
from flowsim.scenario.footprint import refuse_if_impossible

if TYPE_CHECKING:
    from flowsim.scenario import Scenario
    from flowsim.task import Interrupted


@dataclass(frozen=True)
class Absolute:
    """A scenario as it was written, the same with step sizes η, and what their unit was.

    After an interrupt no descent is left in the second.
    """

    written: Scenario
    scenario: Scenario
    unit: Critical | None = None


def absolute(
    scenario: Scenario, watch: Callable[[float], None], interrupted: Interrupted
) -> Absolute:
    """Find the sharpness that step sizes are relative to, if they are.

    Raises
    ------
    ScenarioError
        If there is none, or if such step sizes take longer than is sensible.

    """
    descent, flow = scenario.descent, scenario.flow
    if descent is None or descent.relative_to is None:
        return Absolute(scenario, scenario)
    following = Following(
        building.saved_times(scenario), flow.method, flow.rtol, flow.atol, flow.max_steps
    )
    problem = scenario.problem()
    try:
        unit = critical_step_size(
            descent.relative_to, problem, following, watch=watch, interrupted=interrupted
        )
    except NoCriticalStepSizeError as error:
        text = f"{error}; write step sizes that are relative to nothing, or to another place"
        raise ScenarioError([str(Mistake(("descent", "step_sizes"), text))]) from None
    if unit is None:
        return Absolute(scenario, scenario.model_copy(update={"descent": None}))
    sizes = tuple(unit.step_size * multiple for multiple in descent.written)
    found = scenario.model_copy(
        update={"descent": descent.model_copy(update={"step_sizes": sizes})}
    )
    refuse_if_impossible(found)
    return Absolute(scenario, found, unit)
