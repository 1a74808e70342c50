"""The verdict on a flow: how it stopped, whether it can be relied on, and where it is heading."""

from __future__ import annotations

import numpy as np

from flowsim.solvers.limit import heading
from flowsim.solvers.trajectory import Trajectory, stopping
from flowsim.solvers.verdict import Ending, Verdict

GROWING = 1e-3
"""Change of log σ over the last tenth of the time above which a singular value is growing."""


def ending_of(trajectory: Trajectory) -> Ending:
    """Return the verdict on a flow with an error estimate, if any."""
    if trajectory.stopped not in (Verdict.REACHED_HORIZON, Verdict.CONVERGED):
        return stopping(trajectory)
    if trajectory.decided_by_rounding_from is not None:
        return Ending(Verdict.DECIDED_BY_ROUNDING, trajectory.decided_by_rounding_from)
    watched = ((each.broken_at, each.name) for each in trajectory.invariants)
    broken = sorted((at, name) for at, name in watched if at is not None)
    if broken:
        at, name = broken[0]
        return Ending(Verdict.INVARIANT_BROKEN, at, {"invariant": name})
    layers = tuple(np.asarray(W) for W in trajectory.last_layers())
    growing = _is_growing(trajectory)
    problem = trajectory.problem.doubted() if trajectory.notes else trajectory.problem
    return heading(problem, layers, trajectory.times, trajectory.loss, growing=growing)


def _is_growing(trajectory: Trajectory) -> bool | None:
    """Return whether a singular value is growing; None where W alone could show it."""
    times, log_sigma = trajectory.times, trajectory.log_singular_values
    if log_sigma is None:
        return None
    late = log_sigma[times >= 0.9 * times[-1]]
    with np.errstate(invalid="ignore"):  # -inf - -inf of modes that are 0
        return bool((late[-1] - late[0] > GROWING).any())
