"""Edges of what float64 can integrate: poles, the end of its range, and rest."""

from __future__ import annotations

import jax
import numpy as np

from flowsim.dynamics.flow import State
from flowsim.solvers.methods import DECISION_STEPS
from flowsim.solvers.methods.method import StiffnessInfo
from flowsim.solvers.system import LARGEST, LOG_LARGEST, ScaledFlow
from flowsim.solvers.verdict import Verdict

POLE = 1e-6
"""A solution that would double within this fraction of the elapsed time is at a pole.

Steps underflow there. They also do at a tolerance that float64 cannot meet, but on solutions that
change slowly: the doubling time separates the two failures."""

NOISE = 100 * float(np.finfo(np.float64).eps)
"""Velocity over ρ|y|, ρ the spectral radius, up to which it may be rounding alone."""

ENDLESS = 1e9
"""Mean step in time constants 1/ρ from which on rounding may decide whether a step is accepted.

An implicit method inverts I - hJ. Where J vanishes along some directions, as along those that
change the layers but not W, rounding makes this matrix singular at hρ = 1/ε, or earlier where J is
ill-conditioned."""


def without_step(system: ScaledFlow, t: float, y: State, end: float) -> Verdict:
    """Return the verdict where no step is small enough to be accepted."""
    velocity = system.velocity(t, y, None)
    if np.isfinite(_largest(velocity)) and _largest(velocity) > LARGEST:
        return Verdict.OUT_OF_RANGE
    return Verdict.BLOW_UP if _at_pole(y, velocity, t, end) else Verdict.TOLERANCE_TOO_TIGHT


def _at_pole(y: State, velocity: State, t: float, end: float) -> bool:
    """Return whether y grows and its doubling time |y|/|ẏ| vanishes (see `POLE`)."""
    # the velocity is infinite too where the loss has no derivative, as √W at 0
    if sum(float(np.vdot(y_j, v)) for y_j, v in zip(y, velocity, strict=True)) <= 0:
        return False
    speed, size = _largest(velocity), _largest(y)
    doubling_time = size / speed if np.isfinite(speed) and speed > 0 else 0.0
    # a pole at the very start is compared with the final time, as t is 0
    return doubling_time < POLE * max(t, POLE * end)


def exit_time(system: ScaledFlow, t: float, y: State) -> float:
    """Return when W left the range of float64, from its growth rate after the last step."""
    size, rate = jax.jvp(system.log_size, (y,), (system.velocity(t, y, None),))
    return float(t - (size - LOG_LARGEST) / rate)


def at_rest(system: ScaledFlow, y: State, info: StiffnessInfo) -> bool:
    """Return whether the velocity is rounding, and keeps the steps from growing with t."""
    growing = info.step * DECISION_STEPS > info.t
    if info.stiffness < ENDLESS or growing:
        return False
    return _largest(system.velocity(info.t, y, None)) <= NOISE * info.radius * _largest(y)


def _largest(state: State) -> float:
    return max(float(np.max(np.abs(part))) for part in state)
