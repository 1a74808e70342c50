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

from typing import NamedTuple, TypeAlias

import equinox as eqx
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


STEPS = 4
"""Steps of the central flow per time η. A second solve with half as many estimates the error."""


class JointState(NamedTuple):
    """Gradient descent and the central flow after some iterations.

    Attributes
    ----------
    previous, iterate
        θ_{k-1} and θ_k.
    fine, coarse
        The central flow at t = kη, with `STEPS` and with half as many steps per time η.
    oscillations, variances
        Sums over the iterations since Σ first was not 0: of ‖(2θ_k - θ_{k-1} - θ_{k+1})/4‖², and of
        tr Σ. If θ_k = θ(kη) + (-1)^k δ, the former is ‖δ‖², up to what the smooth θ(t) adds.
    failure
        Code of the first failure of the central flow, which then remains at its last point.
    counted
        Number of iterations in the sums.

    """

    previous: Weights
    iterate: Weights
    fine: Weights
    coarse: Weights
    oscillations: Array
    variances: Array
    failure: Array
    counted: Array

    @classmethod
    def start(cls, iterate: Weights, central: Weights) -> JointState:
        """Return the state with these positions and empty sums."""
        none, zero = jnp.asarray(0.0), jnp.asarray(0)
        here = jnp.asarray(iterate)
        return cls(here, here, central, central, none, none, zero, zero)


def descent_step(objective: Objective, theta: Weights, eta: Array) -> Weights:
    """Return θ - ηg(θ)."""
    return theta - eta * objective.gradient(theta)


@eqx.filter_jit
def iterate_descent(objective: Objective, theta: Weights, eta: Array, count: Array) -> Weights:
    """Return θ after `count` iterations of gradient descent."""
    after: Weights = jax.lax.fori_loop(
        0, count, lambda _, at: descent_step(objective, at, eta), theta
    )
    return after


@eqx.filter_jit
def iterate_both(objective: Objective, start: JointState, eta: Array, count: Array) -> JointState:
    """Return the state after `count` more iterations.

    After a failure of the central flow, only gradient descent continues.
    """

    def one(_: Array, at: JointState) -> JointState:
        after = descent_step(objective, at.iterate, eta)
        moved = at._replace(previous=at.iterate, iterate=after)
        found: JointState = jax.lax.cond(
            at.failure == 0, lambda: _with_central_flow(objective, at, moved, eta), lambda: moved
        )
        return found

    found: JointState = jax.lax.fori_loop(0, count, one, start)
    return found


def _with_central_flow(
    objective: Objective, at: JointState, moved: JointState, eta: Array
) -> JointState:
    """Return `moved`, one iteration of descent after `at`, with the central flow advanced as well.

    The steps of both solutions follow one another in one loop: `central_step` is a large program,
    and so is compiled once rather than per step length.
    """
    State: TypeAlias = tuple[Weights, Weights, Array, Array]

    def substep(i: Array, state: State) -> State:
        fine, coarse, variance, failure = state
        first = i < STEPS
        h = jnp.where(first, eta / STEPS, 2 * eta / STEPS)
        after, by = central_step(objective, jnp.where(first, fine, coarse), eta, h)
        return (
            jnp.where(first, after, fine),
            jnp.where(first, coarse, after),
            variance + jnp.where(first, by.variance / STEPS, 0.0),
            jnp.maximum(failure, by.failure),
        )

    begun = at.fine, at.coarse, jnp.asarray(0.0), jnp.asarray(0)
    steps = STEPS + STEPS // 2
    fine, coarse, variance, failure = jax.lax.fori_loop(0, steps, substep, begun)
    # The second difference removes the smooth path, known to O(η²) without the central flow.
    oscillation = (2 * at.iterate - at.previous - moved.iterate) / 4
    counted = (variance > 0) | (at.counted > 0)
    succeeded = moved._replace(
        fine=fine,
        coarse=coarse,
        oscillations=at.oscillations + jnp.where(counted, oscillation @ oscillation, 0.0),
        variances=at.variances + variance,
        counted=at.counted + jnp.where(counted, 1, 0),
    )
    failed = moved._replace(failure=failure)
    found: JointState = jax.tree.map(
        lambda new, old: jnp.where(failure == 0, new, old), succeeded, failed
    )
    return found
