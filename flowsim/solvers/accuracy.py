"""The wanted accuracy of a flow: whether it was reached, and what would reach it.

What is wanted is an estimated error of at most 1 % of the largest ‖W‖_F over the saved times. Where
that was missed there is a remedy; under "auto" the flow is solved again with it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from flowsim.problem import network
from flowsim.problem.problem import Problem
from flowsim.solvers import methods
from flowsim.solvers.error_estimate import with_error_estimate
from flowsim.solvers.integrate import follow
from flowsim.solvers.methods import AUTO
from flowsim.solvers.options import Task
from flowsim.solvers.trajectory import Statistics, Trajectory

WANTED = 0.01
"""The estimated error may be this share of ‖W‖."""

PROPORTIONAL = 0.03
"""Up to this share of ‖W‖ the error of the end-to-end flow falls in proportion to rtol."""

RETRIES = 2
TIGHTEST = 1e-13


@dataclass(frozen=True)
class Remedy:
    """The space and the tolerance in which the wanted accuracy would be reached."""

    space: str
    rtol: float


def size(trajectory: Trajectory) -> float:
    """Return the largest ‖W‖_F over the saved times."""
    return float(np.linalg.norm(trajectory.singular_values, axis=1).max())


def missed(trajectory: Trajectory) -> bool:
    """Say whether the estimated error is above 1 % of ‖W‖."""
    return trajectory.largest_error > WANTED * size(trajectory)


def remedy(trajectory: Trajectory, problem: Problem) -> Remedy:
    """Return what would bring the error to what is wanted.

    A power of ten for rtol, to which the error is proportional. Not so where the end-to-end flow
    has lost small singular values among the rounding of W's entries: no tolerance brings them
    back, and from a balanced start the layers, which have them, follow the same flow.
    """
    share = trajectory.largest_error / size(trajectory)
    rtol = 10.0 ** np.floor(np.log10(trajectory.rtol * WANTED / share))
    lost = trajectory.space == "end_to_end" and share > PROPORTIONAL
    space = "layers" if lost and network.is_balanced(problem.layers) else trajectory.space
    return Remedy(space, float(max(rtol, TIGHTEST)))


def tightened(trajectory: Trajectory, task: Task) -> Trajectory:
    """Return the flow solved again at the remedy's rtol, up to twice, while the estimate halves.

    `max_steps` bounds the steps of all these solutions together; seconds are summed.
    """
    for _ in range(RETRIES):
        if not missed(trajectory) or trajectory.verdict.outcome != "completed":
            break
        rtol, spent = remedy(trajectory, task.problem).rtol, trajectory.statistics
        left = task.max_steps - spent.accepted - spent.rejected
        if rtol >= trajectory.rtol or left < 1:
            break
        task = _at(rtol, replace(task, max_steps=left))
        again = with_error_estimate(follow(task), task)
        if again.verdict is not trajectory.verdict or not _closer(again, trajectory):
            break
        trajectory = replace(again, statistics=_summed(spent, again.statistics))
    return trajectory


def _closer(one: Trajectory, other: Trajectory) -> bool:
    return one.largest_error < other.largest_error / 2


def _at(rtol: float, task: Task) -> Task:
    """Return the same task at another tolerance, with the method that suits it."""
    return replace(
        task,
        tolerances=task.tolerances.loosened(rtol / task.tolerances.rtol),
        method=methods.first_choice(AUTO, rtol),
    )


def _summed(before: Statistics, now: Statistics) -> Statistics:
    """Return the steps of the present solution and the seconds of both."""
    return replace(
        now,
        integration=before.integration + now.integration,
        compile=before.compile + now.compile,
        error_estimate=before.error_estimate + now.error_estimate,
    )
