"""The required accuracy of a flow, and the options that reach it where a solution does not.

The estimated error has to be at most 1 % of the largest ‖W‖_F over the saved times. Otherwise a
remedy is proposed. With the method "auto" the flow is solved again with that remedy.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from flowsim.problem import network
from flowsim.problem.problem import Problem
from flowsim.solvers import methods
from flowsim.solvers.error_estimate import with_error_estimate
from flowsim.solvers.integrate import integrate
from flowsim.solvers.methods import AUTO
from flowsim.solvers.options import Task
from flowsim.solvers.trajectory import Statistics, Trajectory
from flowsim.solvers.verdict import Verdict

ALLOWED_ERROR = 0.01
"""Largest allowed error estimate, as a fraction of ‖W‖: 1 % is not visible in a figure."""

PROPORTIONAL = 0.03
"""Error, as a fraction of ‖W‖, up to which that of the end-to-end flow is proportional to rtol.

Larger errors in the benchmarks were due to small singular values lost to rounding."""

RETRIES = 2
"""Largest number of further solves; one usually suffices, as the error is proportional to rtol."""

TIGHTEST = 1e-13
"""Smallest rtol proposed; `SMALLEST_RTOL` is 2e-14, and rounding dominates before."""


@dataclass(frozen=True)
class Remedy:
    """The formulation and the tolerance that would reach the required accuracy."""

    space: str
    rtol: float


def largest_norm(trajectory: Trajectory) -> float:
    """Return the largest ‖W‖_F over the saved times."""
    # unlike the root of a sum of squares, hypot does not underflow
    return float(np.hypot.reduce(trajectory.singular_values, axis=1).max())


def is_inaccurate(trajectory: Trajectory) -> bool:
    """Return whether the estimated error is above 1 % of ‖W‖."""
    return trajectory.largest_error > ALLOWED_ERROR * largest_norm(trajectory)


def remedy(trajectory: Trajectory, problem: Problem) -> Remedy:
    """Return the options that would reach the required accuracy.

    Usually this is a smaller rtol, a power of ten, since the error is proportional to rtol. The
    end-to-end flow, however, may lose small singular values to the rounding of W's entries, which
    no tolerance recovers. From balanced layers the layer flow is the same and resolves them.
    """
    fraction = trajectory.largest_error / largest_norm(trajectory)
    # rounded down to a power of ten, which leaves a margin of up to ten for the estimate
    needed = max(trajectory.rtol * ALLOWED_ERROR / fraction, TIGHTEST)
    rtol = 10.0 ** np.floor(np.log10(needed))
    lost = trajectory.space == "end_to_end" and fraction > PROPORTIONAL
    space = "layers" if lost and network.is_balanced(problem.layers) else trajectory.space
    return Remedy(space, float(max(rtol, TIGHTEST)))


def solve_to_accuracy(trajectory: Trajectory, task: Task) -> Trajectory:
    """Return the flow solved again at the rtol of its remedy, at most `RETRIES` times.

    A new solution is kept only if its error estimate is less than half. Otherwise rounding is the
    main error, which more steps at a smaller rtol would only increase. `max_steps` limits the steps
    of all solves together, and seconds are summed. A stop request in a new solution leaves the
    previous one, with the verdict `INTERRUPTED`.
    """
    for _ in range(RETRIES):
        if not is_inaccurate(trajectory) or trajectory.stopped.outcome != "completed":
            break
        rtol, spent = remedy(trajectory, task.problem).rtol, trajectory.statistics
        left = task.max_steps - spent.accepted - spent.rejected
        # `TIGHTEST` limits the remedy: at the same rtol a further solve would change nothing
        if rtol >= trajectory.rtol or left < 1:
            break
        task = _at(rtol, replace(task, max_steps=left))
        again = with_error_estimate(integrate(task), task)
        if again.stopped is Verdict.INTERRUPTED:
            return replace(trajectory, stopped=Verdict.INTERRUPTED)
        if again.stopped is not trajectory.stopped or not _closer(again, trajectory):
            break
        trajectory = replace(again, statistics=_summed(spent, again.statistics))
    return trajectory


def _closer(one: Trajectory, other: Trajectory) -> bool:
    return one.largest_error < other.largest_error / 2


def _at(rtol: float, task: Task) -> Task:
    """Return the task at another tolerance, with the method that suits it."""
    return replace(
        task,
        tolerances=task.tolerances.loosened(rtol / task.tolerances.rtol),
        method=methods.first_choice(AUTO, rtol),
    )


def _summed(before: Statistics, now: Statistics) -> Statistics:
    """Return the steps of the present solve and the seconds of both."""
    return replace(
        now,
        integration=before.integration + now.integration,
        compile=before.compile + now.compile,
        error_estimate=before.error_estimate + now.error_estimate,
    )
