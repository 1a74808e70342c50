"""Stopping criteria: functions of time and state that end a flow where they fall to 0.

Every criterion is one function `excess`, positive before the stop. The compiled steps evaluate it
at their ends, and `crossing` locates its zero within the step that passes it.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from flowsim.dynamics.flow import State
from flowsim.problem import functions
from flowsim.problem.arguments import finite_number, shown
from flowsim.problem.losses import Loss
from flowsim.problem.problem import Problem
from flowsim.problem.types import Array, Layers, Matrix, Scalar
from flowsim.solvers.limit import CONVERGED, heading
from flowsim.solvers.system import ScaledFlow, distance_to_target
from flowsim.solvers.verdict import Verdict

CONVERGES = "converged"

AGAIN = 1.25
"""Factor on time after which a flow that seemed to have converged, but had not, is judged again."""


def _effective_rank(W: Matrix) -> Scalar:
    """Return exp(-Σ p log p), p = σ/Σσ, as `flowsim.problem.spectra` does."""
    sigma = jnp.linalg.svd(W, compute_uv=False)
    return jnp.exp(jnp.sum(jax.scipy.special.entr(sigma / jnp.sum(sigma))))


QUANTITIES: dict[str, Callable[[ScaledFlow, Loss, State], Scalar]] = {
    "loss": lambda system, _, y: system.loss_at(y),
    "gradient_norm": lambda system, loss, y: jnp.linalg.norm(loss.gradient(system.end_to_end(y))),
    "distance": lambda system, loss, y: distance_to_target(loss, system.end_to_end(y)),
    "held_out_loss": lambda system, loss, y: loss.value(system.end_to_end(y)),
    "effective_rank": lambda system, _, y: _effective_rank(system.end_to_end(y)),
}
"""What a flow can stop at, of its system, the loss (that on held-out samples), and its state."""


class Criterion(eqx.Module):
    """A criterion that ends a flow where its excess falls to 0."""

    @property
    @abc.abstractmethod
    def title(self) -> str:
        """The name in a verdict."""

    @abc.abstractmethod
    def excess(self, system: ScaledFlow, t: Scalar, y: State) -> Scalar:
        """Return a continuous function of time and scaled state, positive before the stop."""


class Level(Criterion):
    """A level of a named quantity; `sign` is -1 where it is reached from below."""

    name: str = eqx.field(static=True)
    level: Array
    sign: Array
    held_out: Loss | None

    @property
    def title(self) -> str:
        """The name of the quantity."""
        return self.name

    def excess(self, system: ScaledFlow, t: Scalar, y: State) -> Scalar:  # noqa: ARG002
        """Return the distance to the level."""
        loss = system.loss if self.held_out is None else self.held_out
        return self.sign * (QUANTITIES[self.name](system, loss, y) - self.level)


class Crossing(Criterion):
    """A zero of a function g(t, W) of the user; `sign` is that of g at the start."""

    name: functions.Name = eqx.field(static=True)
    function: functions.Function
    sign: Array

    @property
    def title(self) -> str:
        """The name of the function."""
        return str(self.name)

    def excess(self, system: ScaledFlow, t: Scalar, y: State) -> Scalar:
        """Return |g| before the stop."""
        return self.sign * self.function.value(system.end_to_end(y), t)


class Converged(Criterion):
    """A loss that hardly changes: |dℓ/dt| t ≤ 1e-6 |ℓ(W(0))|, which also holds on a plateau.

    It is a first sign. Whether the loss is at its minimum is then decided as for the verdict, and
    if it is not, again when t has grown by `AGAIN`.
    """

    initial: Array
    since: Array

    @property
    def title(self) -> str:
        """The name of the verdict."""
        return CONVERGES

    def excess(self, system: ScaledFlow, t: Scalar, y: State) -> Scalar:
        """Return by how much the loss changes too fast, or the time before the next decision."""
        loss, rate = jax.jvp(system.loss_at, (y,), (system.velocity(t, y, None),))
        scale = jnp.maximum(jnp.abs(self.initial), jnp.abs(self.initial - loss))
        return jnp.maximum(jnp.abs(rate) * t - CONVERGED * scale, self.since - t)

    def confirmed(self, problem: Problem, layers: Layers, t: float) -> bool:
        """Return whether the loss is at its minimum, as for the verdict at the end of a flow."""
        arrays = tuple(map(np.asarray, layers))
        loss = float(problem.loss.evaluate(arrays))
        found = heading(problem, arrays, np.array([0.0, t]), np.array([float(self.initial), loss]))
        return found.verdict is Verdict.CONVERGED

    def postponed(self, t: float) -> Converged:
        """Return the criterion with its next decision after a time at which it did not hold."""
        return replace(self, since=np.asarray(AGAIN * t))


Criteria = tuple[Criterion, ...]
Stop = str | Mapping[str, float] | Callable[[Scalar, Matrix], Scalar]


def criteria(stop: Any, problem: Problem, held_out: Loss | None = None) -> Criteria:
    """Return the criteria of an argument `stop` of `flowsim.solve`.

    Raises
    ------
    ValueError
        If it is of another kind, or a criterion does not exist for the problem.

    """
    if stop is None:
        return ()
    if isinstance(stop, list | tuple):
        return tuple(each for part in stop for each in criteria(part, problem, held_out))
    if isinstance(stop, str) and stop == CONVERGES:
        initial = np.asarray(problem.loss.evaluate(problem.layers))
        return (Converged(initial=initial, since=np.zeros(())),)
    if isinstance(stop, Mapping):
        return tuple(_level(name, value, problem, held_out) for name, value in stop.items())
    if callable(stop):
        return (_crossing(stop, problem),)
    raise ValueError(
        'stop must be "converged", a table such as {"gradient_norm": 1e-6}, a function g(t, W), or '
        f"a list of those, but is {shown(stop)}."
    )


def _level(name: str, value: Any, problem: Problem, held_out: Loss | None) -> Level:
    if name not in QUANTITIES:
        raise ValueError(f"stop must name one of {', '.join(QUANTITIES)}, but has {shown(name)}.")
    if name == "distance" and problem.loss.target is None:
        raise ValueError("stop: the distance needs a loss with a target, which this one lacks.")
    if name == "held_out_loss" and held_out is None:
        raise ValueError("stop: held_out_loss needs held_out, the loss on held-out samples.")
    if name == "gradient_norm" and problem.loss.on_layers:
        raise ValueError(f"stop: gradient_norm does not exist: {problem.loss.why_not_of_matrix}.")
    other = held_out if name == "held_out_loss" else None
    level = finite_number(f"stop: {name}", value)
    # the effective rank falls as one mode is learned before the others, and rises with each of them
    rises = name == "effective_rank" and _effective_rank(problem.initial) < level
    sign = -1.0 if rises else 1.0
    return Level(name=name, level=np.asarray(level), sign=np.asarray(sign), held_out=other)


def _crossing(function: Callable[[Scalar, Matrix], Scalar], problem: Problem) -> Crossing:
    given = functions.Given(lambda W, t: function(t, W))
    label = functions.Name(functions.name_of(function, "a function of t and W"))
    try:
        traced = given.traced(problem.initial, jnp.zeros(()), name="W")
        value = np.asarray(traced.value(problem.initial, jnp.zeros(())))
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise ValueError(
            "stop must be a differentiable function g(t, W) from a time and a matrix of shape "
            f"{problem.initial.shape} to a single number, but it failed: {error}"
        ) from error
    if value.shape != () or not np.isfinite(value):
        raise ValueError(f"stop: g(0, W(0)) must be a finite number, but is {shown(value)}.")
    sign = 1.0 if value >= 0 else -1.0
    return Crossing(name=label, function=traced, sign=np.asarray(sign))
