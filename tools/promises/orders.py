"""Orders of convergence of every method, from errors at constant steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np

from flowsim.dynamics.layers import LayerFlow
from flowsim.dynamics.registry import RuleName
from flowsim.problem import losses
from flowsim.problem.problem import Problem
from flowsim.solvers.descend import descend
from flowsim.solvers.methods import METHODS
from flowsim.solvers.methods.tolerances import Tolerances
from flowsim.solvers.stepper import Integrator
from flowsim.solvers.system import ScaledFlow
from promises import reference
from promises.part import Part, Record, Verdict, generator

WITHIN = 0.2
ONE_STEP = {"gradient": 1, "midpoint": 2, "heun": 2, "rk4": 4}
"""Update rules of descent that are methods for the gradient flow, with their orders."""

NAMES = (*METHODS, *ONE_STEP)
STEPS = np.rint(2 ** np.arange(2, 8.5, 0.5)).astype(int)
"""Numbers of equal steps, about √2 times the one before."""

DESCENT_STEPS = 16 * STEPS
"""The same for descent, whose errors are larger and whose steps take less time."""

ROUNDING = 2e-13
"""Errors of W, relative to W, below which rounding counts."""

PROBLEMS = 12
"""Problems whose median is taken: in one alone, the errors of two orders may cancel."""


def case(seed: int, k: int) -> Record:
    """Return the measured order of one method, the median over random problems."""
    name = NAMES[k % len(NAMES)]
    rngs = [generator("orders", seed, k // len(NAMES), i) for i in range(PROBLEMS)]
    problems = [_problem(rng, plateau=_order(name) < 8) for rng in rngs]
    logs = np.log2([_errors(problem, name) for problem in problems])
    # between step sizes of the ratio 2
    slopes = np.median(logs[:, :-2] - logs[:, 2:], axis=0) / np.log2(STEPS[2:] / STEPS[:-2])
    # the smallest steps whose errors are not rounding
    resolved = np.flatnonzero(np.median(logs, axis=0) > np.log2(ROUNDING))
    return {"method": name, "order": _order(name), "measured": float(slopes[resolved[-1] - 2])}


def _errors(problem: Problem, name: str) -> np.ndarray:
    """Return the errors of W at the final time, relative to W, for each number of steps."""
    layers, Phi = [np.asarray(W) for W in problem.layers], np.asarray(problem.loss.target)
    times = np.array([0.0, problem.horizon])
    exact = reference.layer_flow(times, layers, lambda W: W - Phi)[-1]
    finals = _by_descent(problem, name) if name in ONE_STEP else _by_steps(problem, name)
    return np.asarray(np.linalg.norm(finals - exact, axis=(1, 2)) / np.linalg.norm(exact))


def _order(name: str) -> int:
    return ONE_STEP[name] if name in ONE_STEP else METHODS[name].order


def _problem(rng: np.random.Generator, *, plateau: bool) -> Problem:
    """Return a problem in which the principal error dominates at errors above rounding.

    For tsit5, whose principal error is small, that is at the end of a plateau; for order 8 it is
    along a smooth path.
    """
    if plateau:
        layers = [0.1 * rng.standard_normal((2, 2)) for _ in range(2)]
        Phi = 2 * np.linalg.qr(rng.standard_normal((2, 2)))[0]
        return Problem(losses.Squared(Phi), layers, 2.0)
    layers = [np.eye(2) + rng.standard_normal((2, 2)) for _ in range(2)]
    return Problem(losses.Squared(rng.standard_normal((2, 2))), layers, 0.5)


def _by_steps(problem: Problem, name: str) -> np.ndarray:
    """Return W after each number of equal steps of an integrator."""
    flow = LayerFlow.of(problem)
    # an absolute tolerance equal to rtol makes every scale 1; it is for Newton iterations alone
    rtol = 1e-13
    system = ScaledFlow.of(flow, problem, problem.layers, Tolerances(rtol, atol=rtol))
    integrator = Integrator.of(system, rtol, METHODS[name])
    found = []
    for n in STEPS:
        y, h = system.scaled(flow.initial_state(problem)), problem.horizon / n
        for i in range(n):
            y = integrator.single_step(np.asarray(i * h), y, np.asarray(h))
        found.append(np.asarray(system.end_to_end(y)))
    return np.array(found)


def _by_descent(problem: Problem, name: str) -> np.ndarray:
    """Return W after each number of steps of an update rule."""
    times = np.array([0.0, problem.horizon])
    sizes = [problem.horizon / n for n in DESCENT_STEPS]
    found = descend(problem, sizes, times, rule=cast(RuleName, name))
    return np.asarray(found.end_to_end[:, -1])


def judge(records: Sequence[Record]) -> Verdict:
    """Return the largest deviation of an order, and where it is."""
    worst = max(records, key=lambda record: abs(record["measured"] - record["order"]))
    deviation = abs(worst["measured"] - worst["order"])
    methods = len({record["method"] for record in records})
    line = (
        f"{methods} methods, largest deviation {deviation:.2f} "
        f"({worst['method']}: {worst['measured']:.2f})"
    )
    return Verdict(line, bool(deviation <= WITHIN))


PART = Part("Every method converges with its order, within 0.2.", 3 * len(NAMES), case, judge)
