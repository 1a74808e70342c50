"""Update rules: the step of the layers as a function of gradients and of earlier ones.

Gradient descent is Euler's method on the gradient flow with step size η; other Runge-Kutta methods
track the flow more closely. Momentum is Polyak's (1964) or Nesterov's (1983). AdaGrad (Duchi, Hazan
& Singer 2011) and AdaDelta (Zeiler 2012) are those of optax, with its defaults.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from flowsim.dynamics.registry import ALGORITHMS, AlgorithmName, Momentum
from flowsim.problem.types import Array, Layers

Memory: TypeAlias = Any
"""What a rule keeps of earlier gradients: a tree of arrays."""

Gradient: TypeAlias = Callable[[Layers], Layers]
"""Layers ↦ the gradients g_j there."""


class Rule(eqx.Module):
    """An update rule W_j ← W_j + increment_j at a step size η, from gradients g_j."""

    @abc.abstractmethod
    def initial_memory(self, layers: Layers) -> Memory:
        """Return the memory before the first step."""

    @abc.abstractmethod
    def increments(
        self, eta: Array, gradient: Gradient, memory: Memory, layers: Layers
    ) -> tuple[Layers, Memory]:
        """Return what is added to each layer, and the memory after the step.

        `gradient` may be evaluated at any layers, not only at the iterate; with noise every
        evaluation of one step has the same ζ.
        """


class HeavyBall(Rule):
    """V_j ← μ V_j - η g_j, W_j ← W_j + V_j (Polyak 1964); gradient descent at μ = 0."""

    momentum: Array

    def initial_memory(self, layers: Layers) -> Memory:
        """Return velocities of 0."""
        return tuple(jnp.zeros_like(W) for W in layers)

    def increments(
        self, eta: Array, gradient: Gradient, memory: Memory, layers: Layers
    ) -> tuple[Layers, Memory]:
        """Return the new velocities, which are also the memory."""
        pairs = zip(memory, gradient(layers), strict=True)
        velocities = tuple(self.momentum * V - eta * g for V, g in pairs)
        return velocities, velocities


class Nesterov(Rule):
    """V_j ← μ V_j - η g_j(W + μV), W_j ← W_j + V_j, with all gradients at the layers W + μV.

    So W_{k+1} = Y_k - η g(Y_k) and Y_{k+1} = W_{k+1} + μ (W_{k+1} - W_k): Nesterov's (1983) method
    as Sutskever et al. (2013) write it. With `momentum` None, μ = (k - 1)/(k + 2) in the step from
    W_k, k = 0, 1, … (Su, Boyd & Candès 2014); the negative μ of k = 0 multiplies a velocity of 0.
    """

    momentum: Array | None

    def initial_memory(self, layers: Layers) -> Memory:
        """Return velocities of 0 and k = 0."""
        return tuple(jnp.zeros_like(W) for W in layers), jnp.asarray(0)

    def increments(
        self, eta: Array, gradient: Gradient, memory: Memory, layers: Layers
    ) -> tuple[Layers, Memory]:
        """Return the new velocities, and as memory these and k + 1."""
        velocities, k = memory
        mu = ((k - 1) / (k + 2)).astype(eta.dtype) if self.momentum is None else self.momentum
        carried = tuple(mu * V for V in velocities)
        ahead = tuple(W + V for W, V in zip(layers, carried, strict=True))
        pairs = zip(carried, gradient(ahead), strict=True)
        velocities = tuple(V - eta * g for V, g in pairs)
        return velocities, (velocities, k + 1)


class Tableau(NamedTuple):
    """A Runge-Kutta method: g_1 at W, g_{i+1} at W - η Σ_l a_il g_l, the step -η Σ_i b_i g_i."""

    a: tuple[tuple[float, ...], ...]
    b: tuple[float, ...]


TABLEAUS: Mapping[str, Tableau] = {
    "midpoint": Tableau(a=((1 / 2,),), b=(0, 1)),
    "heun": Tableau(a=((1,),), b=(1 / 2, 1 / 2)),
    "rk4": Tableau(a=((1 / 2,), (0, 1 / 2), (0, 0, 1)), b=(1 / 6, 1 / 3, 1 / 3, 1 / 6)),
}
"""The methods of Runge (1895), Heun (1900) and Kutta (1901), of orders 2, 2 and 4."""


class RungeKutta(Rule):
    """A step η of an explicit Runge-Kutta method on the gradient flow Ẇ_j = -g_j.

    Its iterates deviate from the flow at kη by O(η^p), p the order of the method.
    """

    tableau: Tableau = eqx.field(static=True)

    def initial_memory(self, layers: Layers) -> Memory:  # noqa: ARG002
        """Return an empty tree: a step depends on no earlier one."""
        return ()

    def increments(
        self, eta: Array, gradient: Gradient, memory: Memory, layers: Layers
    ) -> tuple[Layers, Memory]:
        """Return -η Σ_i b_i g_i."""
        stages = [gradient(layers)]
        for row in self.tableau.a:
            # row i of a holds the weights of the stages so far
            there = zip(layers, _along(stages, eta, row), strict=True)
            stages.append(gradient(tuple(W + move for W, move in there)))
        return _along(stages, eta, self.tableau.b), memory


def _along(stages: Sequence[Layers], eta: Array, weights: Sequence[float]) -> Layers:
    """Return -η Σ_i w_i g_i of every layer."""
    used = [[w * g for g in stage] for w, stage in zip(weights, stages, strict=True) if w]
    return tuple(-eta * sum(parts) for parts in zip(*used, strict=True))


class Adaptive(Rule):
    """A rule of optax: `transformation(η)` is one of its gradient transformations.

    η is the length of a step in other units than time, so that iterates belong to no time of the
    gradient flow.
    """

    transformation: Callable[[Array], Any] = eqx.field(static=True)

    def initial_memory(self, layers: Layers) -> Memory:
        """Return the transformation's own state, which does not depend on η."""
        return self.transformation(jnp.zeros((), layers[0].dtype)).init(layers)

    def increments(
        self, eta: Array, gradient: Gradient, memory: Memory, layers: Layers
    ) -> tuple[Layers, Memory]:
        """Return the transformed gradients and the state after them."""
        moves, memory = self.transformation(eta).update(gradient(layers), memory, layers)
        return moves, memory


def rule(algorithm: AlgorithmName, momentum: Momentum = 0.0, dtype: Any = np.float64) -> Rule:
    """Return the update rule of an algorithm, with its momentum in this precision.

    Raises
    ------
    ValueError
        If momentum is not 0 for an algorithm without momentum, or "increasing" for another than
        "nesterov".

    """
    if algorithm == "nesterov":
        return Nesterov(None if momentum == "increasing" else np.asarray(momentum, dtype=dtype))
    if momentum == "increasing":
        raise ValueError(f"Momentum increases in 'nesterov' alone, not in {algorithm!r}.")
    if momentum != 0 and not ALGORITHMS[algorithm].momentum:
        raise ValueError(f"Momentum is not used by {algorithm!r}, but is {momentum}.")
    if algorithm == "gradient":
        return HeavyBall(np.asarray(momentum, dtype=dtype))
    if ALGORITHMS[algorithm].adaptive:
        import optax

        return Adaptive(getattr(optax, algorithm))
    return RungeKutta(TABLEAUS[algorithm])
