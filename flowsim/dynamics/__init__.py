"""The dynamics that are compared: layer flow, end-to-end flow, gradient descent."""

from flowsim.dynamics.base import Flow, State
from flowsim.dynamics.descent import Descent
from flowsim.dynamics.end_to_end import EndToEndFlow
from flowsim.dynamics.layers import LayerFlow

__all__ = ["Descent", "EndToEndFlow", "Flow", "LayerFlow", "State"]
