"""The dynamics that are compared: layer flow, end-to-end flow, gradient descent."""

from flowsim.dynamics.descent import Descent
from flowsim.dynamics.end_to_end import EndToEndFlow
from flowsim.dynamics.flow import Flow, State
from flowsim.dynamics.layers import LayerFlow
from flowsim.dynamics.modes import ModeFlow
from flowsim.dynamics.spectral import SpectralFlow

__all__ = ["Descent", "EndToEndFlow", "Flow", "LayerFlow", "ModeFlow", "SpectralFlow", "State"]
