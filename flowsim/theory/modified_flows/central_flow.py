"""The central flow of gradient descent: its average path, past the edge of stability too.

Iterates θ_k oscillate with covariance Σ about a path θ(kη) that moves by the gradient's average,

    θ̇ = -g - ½ ∇⟨Σ, H(θ)⟩,   Σ ⪰ 0,   H ⪯ (2/η) I,   ⟨Σ, (2/η) I - H⟩ = 0,

with the least Σ for which H stays there (Cohen, Damian, Talwalkar, Kolter & Lee 2024). Σ = U X Uᵀ
lives on eigenvectors U whose eigenvalue is 2/η; with one of them, u, the flow holds the sharpness
at 2/η by X = max(0, ⟨∇λ, -g⟩/(½‖∇λ‖²)), ∇λ = ∇(uᵀHu). While the sharpness is below 2/η, Σ = 0 and
it is the gradient flow. tr Σ predicts the variance of the iterates.

A step of length h, after the half-explicit midpoint rule for differential-algebraic equations: in
the basis of the largest eigenvalues, X is such that (2/η) I - H is ⪰ 0 at the step's end to first
order, with complementary X. No threshold says which eigenvalues are critical: complementarity does.
The order is 2, and a run with steps twice as long estimates the error.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from flowsim.problem.types import Array
from flowsim.theory.modified_flows import complementarity
from flowsim.theory.modified_flows.descriptions import Hessian, Objective, Weights

CRITICAL = 4
"""Up to so many eigenvalues may be at 2/η."""

NEAR = 0.9
"""Eigenvalues below this share of 2/η are not held in this step."""

UNSOLVED = 1e-6
"""What may be left of the complementarity problem, relative to its size."""

REASONS = (
    "",
    f"more than {CRITICAL} eigenvalues of the Hessian reach 2/η",
    "no covariance of oscillations holds the sharpness at 2/η",
    "is not finite",
)
"""Why a step cannot be taken, by its code; 0 where it can."""


class Held(NamedTuple):
    """What holds H below 2/η at some θ: the velocity θ̇, tr Σ, and the code of a failure."""

    velocity: Weights
    variance: Array
    failure: Array


def step(objective: Objective, theta: Weights, eta: Array, h: Array) -> tuple[Weights, Held]:
    """Return θ(t + h) from θ(t), and what held it on the way."""
    H = objective.hessian(theta)
    halfway = held(objective, theta, H, H, eta, h / 2)
    middle = theta + h / 2 * halfway.velocity
    found = held(objective, middle, objective.hessian(middle), H, eta, h)
    after = theta + h * found.velocity
    failure = jnp.where(halfway.failure > 0, halfway.failure, found.failure)
    failure = jnp.where(jnp.isfinite(after).all() | (failure > 0), failure, 3)
    return after, Held(found.velocity, found.variance, failure)


def held(
    objective: Objective, theta: Weights, H: Hessian, before: Hessian, eta: Array, h: Array
) -> Held:
    """Return the velocity at θ, where the Hessian is H, that keeps it below 2/η.

    Namely the Hessian that was `before`, after a time h.
    """
    g = objective.gradient(theta)
    limit = 2 / eta
    values, vectors = jnp.linalg.eigh(H)
    largest = values[-1:-3:-1]

    def free() -> Held:
        return Held(-g, jnp.asarray(0.0), jnp.asarray(0))

    def by(k: int) -> Held:
        return _held_by(objective, theta, g, vectors[:, -k:], limit, before, h)

    def bound() -> Held:
        if theta.size == 1:
            return by(1)
        several = largest[1] > NEAR * limit
        most = min(CRITICAL, theta.size)
        found: Held = jax.lax.cond(several, lambda: by(most), lambda: by(1))
        if theta.size <= CRITICAL:
            return found
        too_many = values[-CRITICAL - 1] > limit
        return found._replace(failure=jnp.where(too_many, 1, found.failure))

    kept: Held = jax.lax.cond(largest[0] > NEAR * limit, bound, free)
    return kept


def _held_by(
    objective: Objective,
    theta: Weights,
    g: Weights,
    U: Array,
    limit: Array,
    before: Hessian,
    h: Array,
) -> Held:
    """Return what holds the Hessian in the span of U's columns.

    With T_i = ∇⟨E_i, UᵀHU⟩ over an orthonormal basis E_i, and X = Σ x_i E_i,

        (2/η) I - UᵀHU + h Σ_i [⟨T_i, g⟩ + ½ Σ_j ⟨T_i, T_j⟩ x_j] E_i ⪰ 0,   θ̇ = -g - ½ Σ_i x_i T_i.
    """
    k = U.shape[1]
    E = complementarity.basis(k)
    rows, columns = zip(*[(a, b) for a in range(k) for b in range(a, k)], strict=True)
    T = jax.vmap(lambda a, b: objective.turned(theta, U[:, a], U[:, b]))(
        jnp.asarray(rows), jnp.asarray(columns)
    )
    T = T * jnp.where(jnp.asarray(rows) == jnp.asarray(columns), 1.0, 2**0.5)[:, None]
    slack = limit * jnp.eye(k) - U.T @ before @ U + h * jnp.einsum("i,iab->ab", T @ g, E)
    if k == 1:
        found = complementarity.single(slack, h / 2 * T @ T.T)
    else:
        found = complementarity.solve(slack, h / 2 * T @ T.T)
    velocity = -g - jnp.einsum("iab,ab,iw->w", E, found.X, T) / 2
    failure = jnp.where(found.residual <= UNSOLVED, 0, 2)
    return Held(velocity, jnp.trace(found.X), failure)
