"""Scenarios: files that define a simulation, and the frozen data that they become."""

from flowsim.scenario.overrides import parse_assignment, set_path
from flowsim.scenario.spec.errors import ScenarioError
from flowsim.scenario.spec.scenario import Scenario

__all__ = ["Scenario", "ScenarioError", "parse_assignment", "set_path"]
