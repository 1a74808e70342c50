"""Scenarios: files that say what to simulate, and the frozen objects that they become."""

from flowsim.scenario.errors import ScenarioError
from flowsim.scenario.footprint import Footprint, footprint, refuse_if_impossible
from flowsim.scenario.model import Scenario
from flowsim.scenario.overrides import parse_assignment, set_path
from flowsim.scenario.reading import read
from flowsim.scenario.schema import json_schema

__all__ = [
    "Footprint",
    "Scenario",
    "ScenarioError",
    "footprint",
    "json_schema",
    "parse_assignment",
    "read",
    "refuse_if_impossible",
    "set_path",
]
