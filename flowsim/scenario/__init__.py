"""Scenarios: files that define a simulation, and the frozen data that they become."""

from flowsim.scenario.spec.errors import ScenarioError

__all__ = ["ScenarioError"]
