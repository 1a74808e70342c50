"""The central flow: the time-averaged path of gradient descent, at the edge of stability too.

The iterates θ_k oscillate about a smooth path θ(t), t = kη, with a covariance Σ. Averaging the
gradient over this oscillation gives, with g = ∇φ and H = ∇²φ,

    θ̇ = -g - ½ ∇⟨Σ, H(θ)⟩,   Σ ⪰ 0,   H ⪯ (2/η) I,   ⟨Σ, (2/η) I - H⟩ = 0,

with the least Σ that keeps H ⪯ (2/η) I (Cohen, Damian, Talwalkar, Kolter & Lee 2024, Understanding
optimization in deep learning with central flows). By complementarity Σ = U X Uᵀ, where the columns
of U are eigenvectors with the eigenvalue 2/η. With a single one, u, the sharpness λ stays at 2/η by

    X = max(0, ⟨∇λ, -g⟩ / (½‖∇λ‖²)),   ∇λ = ∇(uᵀHu) for fixed u.

While the sharpness is below 2/η, Σ = 0, and the central flow is the gradient flow. tr Σ predicts
the variance of the iterates about θ(t).

Discretization: a half-explicit midpoint rule, as for differential-algebraic equations of index 2.
X is found such that (2/η) I - H is ⪰ 0, and complementary to X, at the *end* of the step of length
h, to first order in h. So the constraint does not drift, and no threshold has to decide which
eigenvalues are critical: complementarity does. The order is 2.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from flowsim.problem.types import Array
from flowsim.theory.modified_flows import complementarity
from flowsim.theory.modified_flows.objective import Hessian, Objective, Weights

CRITICAL = 4
"""Eigenvalues that may be at 2/η at once. The subproblem has k(k + 1)/2 = 10 unknowns."""

NEAR = 0.9
"""Eigenvalues below this fraction of 2/η are not constrained in a step.

One that rises beyond 2/η within a single step is constrained from the next step on.
"""

UNSOLVED = 1e-6
"""Largest relative residual of the complementarity problem that counts as a solution."""

REASONS = (
    "",
    f"more than {CRITICAL} eigenvalues of the Hessian reach 2/η",
    "no covariance of oscillations holds the sharpness at 2/η",
    "is not finite",
)
"""Why a step of the central flow fails, by its code; code 0 is success."""


class ConstrainedVelocity(NamedTuple):
    """The velocity θ̇ of the central flow at some θ, tr Σ, and the code of a failure."""

    velocity: Weights
    variance: Array
    failure: Array


def central_step(
    objective: Objective, theta: Weights, eta: Array, h: Array
) -> tuple[Weights, ConstrainedVelocity]:
    """Return θ(t + h) from θ(t), and the velocity with which it was reached.

    Both the half step to the midpoint and the full step start from the Hessian at θ(t).
    """
    H = objective.hessian(theta)
    halfway = constrained_velocity(objective, theta, H, H, eta, h / 2)
    middle = theta + h / 2 * halfway.velocity
    found = constrained_velocity(objective, middle, objective.hessian(middle), H, eta, h)
    after = theta + h * found.velocity
    failure = jnp.where(halfway.failure > 0, halfway.failure, found.failure)
    failure = jnp.where(jnp.isfinite(after).all() | (failure > 0), failure, 3)
    return after, ConstrainedVelocity(found.velocity, found.variance, failure)


def constrained_velocity(
    objective: Objective, theta: Weights, H: Hessian, H_start: Hessian, eta: Array, h: Array
) -> ConstrainedVelocity:
    """Return the velocity at θ that keeps the Hessian ⪯ 2/η at the end of a step.

    Parameters
    ----------
    objective
        The objective φ.
    theta
        The point at which g, the eigenvectors and their derivatives are taken.
    H
        The Hessian there.
    H_start
        The Hessian at the start of the step.
    eta
        The step size η of gradient descent.
    h
        The length of the step.

    """
    g = objective.gradient(theta)
    limit = 2 / eta
    values, vectors = jnp.linalg.eigh(H)
    largest = values[-1:-3:-1]

    def free() -> ConstrainedVelocity:
        return ConstrainedVelocity(-g, jnp.asarray(0.0), jnp.asarray(0))

    def constrained_on(k: int) -> ConstrainedVelocity:
        return _velocity_constrained_on(objective, theta, g, vectors[:, -k:], limit, H_start, h)

    def constrained() -> ConstrainedVelocity:
        if theta.size == 1:
            return constrained_on(1)
        # Almost always one eigenvalue is critical, for which X has a closed form.
        several = largest[1] > NEAR * limit
        most = min(CRITICAL, theta.size)
        found: ConstrainedVelocity = jax.lax.cond(
            several, lambda: constrained_on(most), lambda: constrained_on(1)
        )
        if theta.size <= CRITICAL:
            return found
        too_many = values[-CRITICAL - 1] > limit
        return found._replace(failure=jnp.where(too_many, 1, found.failure))

    kept: ConstrainedVelocity = jax.lax.cond(largest[0] > NEAR * limit, constrained, free)
    return kept


def _velocity_constrained_on(
    objective: Objective,
    theta: Weights,
    g: Weights,
    U: Array,
    limit: Array,
    H_start: Hessian,
    h: Array,
) -> ConstrainedVelocity:
    """Return the velocity that constrains the Hessian in the span of U's columns.

    With an orthonormal basis E_i of the symmetric k × k matrices, T_i = ∇⟨E_i, UᵀHU⟩ for fixed U,
    and X = Σ x_i E_i, the velocity is θ̇ = -g - ½ Σ_i x_i T_i. After the time h, to first order,

        (2/η) I - UᵀHU = (2/η) I - UᵀH_start U + h Σ_i [⟨T_i, g⟩ + ½ Σ_j ⟨T_i, T_j⟩ x_j] E_i,

    which has to be ⪰ 0 and complementary to X: the problem of `complementarity` with C the terms
    without x, and Q = (h/2) TTᵀ.
    """
    k = U.shape[1]
    E = complementarity.basis(k)
    rows, columns = zip(*[(a, b) for a in range(k) for b in range(a, k)], strict=True)
    T = jax.vmap(lambda a, b: objective.third_derivative(theta, U[:, a], U[:, b]))(
        jnp.asarray(rows), jnp.asarray(columns)
    )
    # E_i has two entries 1/√2 off the diagonal, so that ⟨E_i, UᵀHU⟩ = √2 u_aᵀHu_b.
    T = T * jnp.where(jnp.asarray(rows) == jnp.asarray(columns), 1.0, 2**0.5)[:, None]
    slack = limit * jnp.eye(k) - U.T @ H_start @ U + h * jnp.einsum("i,iab->ab", T @ g, E)
    if k == 1:
        found = complementarity.solve_scalar(slack, h / 2 * T @ T.T)
    else:
        found = complementarity.solve(slack, h / 2 * T @ T.T)
    velocity = -g - jnp.einsum("iab,ab,iw->w", E, found.X, T) / 2
    failure = jnp.where(found.residual <= UNSOLVED, 0, 2)
    return ConstrainedVelocity(velocity, jnp.trace(found.X), failure)
