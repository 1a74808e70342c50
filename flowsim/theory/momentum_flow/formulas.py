"""Flows that approximate gradient descent with momentum, θ being the entries of all layers.

With V_k = θ_k - θ_{k-1} (0 at k = 0) and g = ∇φ, weight decay included, both methods are

    θ_{k+1} = θ_k + μV_k - ηg(θ_k + aV_k),   a = 0: heavy ball (Polyak 1964), a = μ: Nesterov.

*Constant μ*, t = kη. Inserting V ≈ ηθ̇ into a step gives

    (1 - μ)θ̇ + ½(1 + μ)ηθ̈ = -g - aηHθ̇ + O(η²).

To leading order θ is the gradient flow at time t/(1 - μ), and to the next order the solution of

    ηmθ̈ + (1 - μ)θ̇ + ηbHθ̇ = -g,   m = (1 + μ)/2 and b = a.

Since (1 - μ)θ̈ = -Hθ̇ + O(η), b can be exchanged for inertia: b = 0 and m = (1 + μ)/2 - a(1 - μ),
which is (1 - μ + 2μ²)/2 for Nesterov (Kovachki & Stuart 2021). With b = μ it is a high-resolution
equation in the sense of Shi, Du, Jordan & Su (2021). Where g is constant, iterates lag behind the
steady motion -gt/(1 - μ) by μ/(1 - μ) steps. So does the equation from the velocity
θ̇(0) = -(1 - μ/m)g/(1 - μ). From θ̇(0) = 0 it deviates by a fraction of a step, an error of order 1.

*Increasing μ* = (k - 1)/(k + 2), t = k√η: θ̈ + (3/t)θ̇ = -g from θ̇ = 0 (Su, Boyd & Candès 2014), and
with the next order in h = √η, at t = (k + ½)h,

    θ̈ + (3/t)θ̇ + hHθ̇ = -(1 + 3h/(2t))g,   θ(h/2) = θ_0,   θ̇(h/2) = -(5/8)hg(θ_0),

which Shi, Du, Jordan & Su (2021) derive, one step later, for the points θ_k + μV_k. Where g is
constant, its solution is θ_0 - (k² + 5k)ηg/8, and the iterates are θ_0 - (k² + 5k + 2)ηg/8, k ≥ 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from flowsim.dynamics.registry import Momentum
from flowsim.problem.types import Array
from flowsim.solvers.monitor import SILENT, Monitor
from flowsim.theory.modified_flows.objective import Objective, Weights
from flowsim.theory.modified_flows.solution import ApproximatingFlow, FlowSolution, solve_flow

State = tuple[Weights, Weights]
"""θ and θ̇."""


class Rescaled(ApproximatingFlow):
    """The gradient flow with its time stretched: θ̇ = -g/(1 - μ)."""

    objective: Objective
    mu: Array

    def derivative(self, t: Array, y: Weights) -> Weights:  # noqa: ARG002
        """Return θ̇."""
        return -self.objective.gradient(y) / (1 - self.mu)


class Inertia(ApproximatingFlow):
    """Second-order flow with friction: η m θ̈ + (1 - μ) θ̇ + η b Hθ̇ = -g."""

    objective: Objective
    eta: Array
    mu: Array
    m: Array
    b: Array

    def start(self, theta: Weights) -> State:
        """Return θ_0 and the velocity from which the solution lags as much as the iterates do."""
        factor = (1 - self.mu / self.m) / (1 - self.mu)
        return theta, -factor * self.objective.gradient(theta)

    def derivative(self, t: Array, y: State) -> State:  # noqa: ARG002
        """Return (θ̇, θ̈)."""
        theta, v = y
        friction = (1 - self.mu) * v + self.eta * self.b * self.objective.hessian_product(theta, v)
        return v, -(self.objective.gradient(theta) + friction) / (self.eta * self.m)


class FadingFriction(ApproximatingFlow):
    """Second-order flow with vanishing friction: θ̈ + (3/t)θ̇ + h Hθ̇ = -(1 + 3h/(2t)) g.

    h = 0 omits the terms of the next order in the step size.
    """

    objective: Objective
    h: Array

    def start(self, theta: Weights) -> State:
        """Return θ_0 and its velocity at t = h/2."""
        return theta, -5 / 8 * self.h * self.objective.gradient(theta)

    def derivative(self, t: Array, y: State) -> State:
        """Return (θ̇, θ̈); at t = 0, where θ̇ = 0, (3/t)θ̇ is 3θ̈."""
        theta, v = y
        g, Hv = self.objective.gradient(theta), self.objective.hessian_product(theta, v)
        # any divisor but 0 at t = 0, where the other branch below is taken
        since = jnp.where(t > 0, t, 1.0)
        moving = -(1 + 3 * self.h / (2 * since)) * g - 3 / since * v - self.h * Hv
        return v, jnp.where(t > 0, moving, -g / 4)


@dataclass(frozen=True)
class Description:
    """An approximating flow, its initial state, and the time `(k + shift) · unit` of iterate k."""

    motion: ApproximatingFlow
    start: Weights | State
    unit: float
    shift: float = 0.0

    def at(self, iterations: np.ndarray, monitor: Monitor = SILENT) -> FlowSolution:
        """Return the solution at iterations from 0 on; nan from a stop request on."""
        times = (iterations + self.shift) * self.unit
        return solve_flow(self.motion, self.start, times, monitor)


def descriptions(
    objective: Objective, theta: Weights, eta: float, rule: str, momentum: Momentum
) -> Mapping[str, Description]:
    """Return the approximating flows of heavy ball ("gradient") or Nesterov's method, by name.

    With increasing momentum there is no approximating gradient flow. For heavy ball b = 0, so that
    the second-order equation is also the high-resolution one.
    """
    if momentum == "increasing":
        h = float(np.sqrt(eta))
        coarse, fine = (FadingFriction(objective, jnp.asarray(each)) for each in (0.0, h))
        return {
            "inertia": Description(coarse, coarse.start(theta), h),
            "high_resolution": Description(fine, fine.start(theta), h, 0.5),
        }
    mu = jnp.asarray(momentum, dtype=float)  # strongly typed, so that one program serves all
    rescaled = Rescaled(objective, mu)
    flows = {"flow": Description(rescaled, theta, eta)}
    # m and b of each equation of second order
    plain, none = (1 + mu) / 2, jnp.zeros(())
    terms = {"inertia": (plain, none)}
    if rule != "gradient":
        terms = {"inertia": ((1 - mu + 2 * mu**2) / 2, none), "high_resolution": (plain, mu)}
    for name, (m, b) in terms.items():
        motion = Inertia(objective, jnp.asarray(eta), mu, m, b)
        flows[name] = Description(motion, motion.start(theta), eta)
    return flows
