"""Update rules: the step of the layers as a function of gradients and of earlier ones.

Gradient descent is Euler's method on the gradient flow with step size η; other Runge-Kutta methods
track the flow more closely. Momentum is Polyak's (1964) or Nesterov's (1983). SAM (Foret et al.
2021) and normalized gradient descent use the direction of the gradient. Rules of optax and rules
of the user are in `flowsim.dynamics.custom_rules`.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from flowsim.dynamics.registry import RHO, Momentum
from flowsim.problem import arguments
from flowsim.problem.types import Layers, Scalar

Memory: TypeAlias = Any
"""What a rule keeps of earlier gradients: a tree of arrays."""

Gradient: TypeAlias = Callable[[Layers], Layers]
"""Layers ↦ the gradients g_j there."""


class Rule(eqx.Module):
    """An update rule: the next layers from the gradients g_j, at a step size η.

    Its parameters are fields. Those that are real numbers share one compiled program.
    """

    @property
    def label(self) -> str:
        """The name of the rule in summary tables."""
        return type(self).__name__

    @property
    def follows_flow(self) -> bool:
        """Whether iterate k approximates the gradient flow at time kη; false unless stated."""
        return False

    def prepared(self, layers: Layers, dtype: Any = np.float64) -> Rule:  # noqa: ARG002
        """Return the rule for layers like these, with its parameters in this precision."""
        prepared: Rule = jax.tree.map(
            lambda x: np.asarray(x, dtype=dtype) if eqx.is_inexact_array_like(x) else x, self
        )
        return prepared

    @abc.abstractmethod
    def initial_memory(self, layers: Layers) -> Memory:
        """Return the memory before the first step."""

    @abc.abstractmethod
    def step(
        self, layers: Layers, gradient: Gradient, memory: Memory, eta: Scalar
    ) -> tuple[Layers, Memory]:
        """Return the layers and the memory after a step.

        `gradient` may be evaluated at any layers, not only at the iterate; with noise every
        evaluation of one step has the same ζ.
        """


class Memoryless(Rule):
    """A rule whose step depends on no earlier one."""

    def initial_memory(self, layers: Layers) -> Memory:  # noqa: ARG002
        """Return an empty tree."""
        return ()


class HeavyBall(Rule):
    """V_j ← μ V_j - η g_j, W_j ← W_j + V_j (Polyak 1964); gradient descent at μ = 0."""

    momentum: float = eqx.field(
        default=0.0, converter=partial(arguments.constant_momentum, "momentum")
    )

    @property
    def label(self) -> str:
        """Gradient descent, and its momentum unless that is 0."""
        return "gradient descent" + (f", momentum {self.momentum:g}" if self.momentum else "")

    @property
    def follows_flow(self) -> bool:
        """True, also with momentum: then kη is a convention."""
        return True

    def initial_memory(self, layers: Layers) -> Memory:
        """Return velocities of 0."""
        return tuple(jnp.zeros_like(W) for W in layers)

    def step(
        self, layers: Layers, gradient: Gradient, memory: Memory, eta: Scalar
    ) -> tuple[Layers, Memory]:
        """Return the layers moved by the new velocities, which are the memory."""
        pairs = zip(memory, gradient(layers), strict=True)
        velocities = tuple(self.momentum * V - eta * g for V, g in pairs)
        return _sum(layers, velocities), velocities


class Nesterov(Rule):
    """V_j ← μ V_j - η g_j(W + μV), W_j ← W_j + V_j, with all gradients at the layers W + μV.

    So W_{k+1} = Y_k - η g(Y_k) and Y_{k+1} = W_{k+1} + μ (W_{k+1} - W_k): Nesterov's (1983) method
    as Sutskever et al. (2013) write it. Of "increasing" momentum, μ = (k - 1)/(k + 2) in the step
    from W_k, k = 0, 1, … (Su, Boyd & Candès 2014); the negative μ of k = 0 multiplies a velocity
    of 0.
    """

    momentum: Momentum = eqx.field(converter=partial(arguments.momentum, "momentum"))

    @property
    def label(self) -> str:
        """Nesterov's method and its momentum."""
        return f"Nesterov's method, momentum {self.momentum}"

    @property
    def follows_flow(self) -> bool:
        """True at constant momentum: then kη is a convention."""
        return not isinstance(self.momentum, str)

    def initial_memory(self, layers: Layers) -> Memory:
        """Return velocities of 0 and k = 0."""
        return tuple(jnp.zeros_like(W) for W in layers), jnp.asarray(0)

    def step(
        self, layers: Layers, gradient: Gradient, memory: Memory, eta: Scalar
    ) -> tuple[Layers, Memory]:
        """Return the layers moved by the new velocities, and as memory these and k + 1."""
        velocities, k = memory
        increasing = isinstance(self.momentum, str)
        mu = ((k - 1) / (k + 2)).astype(eta.dtype) if increasing else self.momentum
        carried = tuple(mu * V for V in velocities)
        pairs = zip(carried, gradient(_sum(layers, carried)), strict=True)
        velocities = tuple(V - eta * g for V, g in pairs)
        return _sum(layers, velocities), (velocities, k + 1)


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


class RungeKutta(Memoryless):
    """A step η of an explicit Runge-Kutta method on the gradient flow Ẇ_j = -g_j.

    Its iterates deviate from the flow at kη by O(η^p), p the order of the method.
    """

    tableau: Tableau = eqx.field(static=True)

    @property
    def label(self) -> str:
        """The name of the method."""
        return next((name for name, tableau in TABLEAUS.items() if tableau == self.tableau), "RK")

    @property
    def follows_flow(self) -> bool:
        """True."""
        return True

    def step(
        self, layers: Layers, gradient: Gradient, memory: Memory, eta: Scalar
    ) -> tuple[Layers, Memory]:
        """Return W_j - η Σ_i b_i g_i."""
        stages = [gradient(layers)]
        for row in self.tableau.a:
            # row i of a holds the weights of the stages so far
            stages.append(gradient(_sum(layers, _along(stages, eta, row))))
        return _sum(layers, _along(stages, eta, self.tableau.b)), memory


class SAM(Memoryless):
    """W_j ← W_j - η g_j(W + ρ g(W)/‖g(W)‖): sharpness-aware minimization (Foret et al. 2021).

    ‖g‖² = Σ_j ‖g_j‖²_F. The loss is minimized at the point of the ball of radius ρ where it is
    largest, to first order in ρ. At ρ = 0 it is gradient descent, from which it deviates by O(ρ);
    near a minimum the iterates oscillate.
    """

    rho: float = eqx.field(
        default=RHO, converter=partial(arguments.finite_number, "rho", least=0.0)
    )

    @property
    def label(self) -> str:
        """SAM and its radius."""
        return f"SAM, ρ = {self.rho:g}"

    @property
    def follows_flow(self) -> bool:
        """True, up to O(ρ) beside O(η)."""
        return True

    def step(
        self, layers: Layers, gradient: Gradient, memory: Memory, eta: Scalar
    ) -> tuple[Layers, Memory]:
        """Return the layers after a step along the gradient at the perturbed layers."""
        uphill = tuple(self.rho * u for u in _normalized(gradient(layers)))
        return _sum(layers, tuple(-eta * g for g in gradient(_sum(layers, uphill)))), memory


class NormalizedDescent(Memoryless):
    """W_j ← W_j - η g_j/‖g‖, ‖g‖² = Σ_j ‖g_j‖²_F: every step has length η.

    The iterates approximate the path of the gradient flow, at the arc length kη in place of the
    time kη. Near a minimum they oscillate at a distance of about η/2. Where g = 0 they stay.
    """

    @property
    def label(self) -> str:
        """Its name in words."""
        return "normalized gradient descent"

    def step(
        self, layers: Layers, gradient: Gradient, memory: Memory, eta: Scalar
    ) -> tuple[Layers, Memory]:
        """Return the layers after a step of length η."""
        return _sum(layers, tuple(-eta * u for u in _normalized(gradient(layers)))), memory


def _sum(layers: Layers, increments: Layers) -> Layers:
    """Return W_j + V_j of every layer."""
    return tuple(W + V for W, V in zip(layers, increments, strict=True))


def _along(stages: Sequence[Layers], eta: Scalar, weights: Sequence[float]) -> Layers:
    """Return -η Σ_i w_i g_i of every layer."""
    used = [[w * g for g in stage] for w, stage in zip(weights, stages, strict=True) if w]
    return tuple(-eta * sum(parts) for parts in zip(*used, strict=True))


def _normalized(gradients: Layers) -> Layers:
    """Return g_j/‖g‖ of every layer, 0 where g = 0."""
    # relative to the largest entry, whose square may underflow
    largest = jnp.max(jnp.stack([jnp.max(jnp.abs(g)) for g in gradients]))
    scaled = tuple(g / jnp.where(largest > 0, largest, 1) for g in gradients)
    norm = jnp.sqrt(sum(jnp.sum(g**2) for g in scaled))
    return tuple(g / jnp.where(largest > 0, norm, 1) for g in scaled)
