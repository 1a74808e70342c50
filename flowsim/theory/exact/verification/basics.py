"""Checks that involve no solver of flows: arithmetic, gradients, descent, and the formulas."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from flowsim.problem import losses
from flowsim.problem.losses import Loss
from flowsim.problem.problem import Problem
from flowsim.solvers.descend import descend
from flowsim.theory.exact.quadratic import QuadraticDescent
from flowsim.theory.exact.verification.cases import Case
from flowsim.theory.exact.verification.check import Check

EPSILON = float(np.finfo(np.float64).eps)


def float64() -> Check:
    """Check that compiled code computes in float64 and does not reassociate sums."""
    # in float32 the result is 0, as 1 + ε rounds to 1
    added = jax.jit(lambda x, y: (x + y) - x)(1.0, jnp.asarray(EPSILON))
    return Check("float64", error=abs(float(added) - EPSILON) / EPSILON, tolerance=0.0)


def every_loss() -> list[Loss]:
    """Return one loss of each kind on 3 × 4 matrices, the logistic loss on 1 × 4."""
    rng = np.random.default_rng(1)
    Phi, X, Y = (rng.standard_normal(shape) for shape in ((3, 4), (4, 9), (3, 9)))
    return [
        losses.Linear(Phi),
        losses.Squared(Phi),
        losses.Completion(Phi, np.eye(3, 4)),
        losses.Sensing(Phi, rng.standard_normal((5, 3, 4))),
        losses.LeastSquares.from_data(X, Y),
        losses.PowerRegression(X, Y, 4.0),
        losses.CrossEntropy(X, np.arange(9) % 3),
        losses.Logistic(X, np.sign(Y[:1])),
    ]


def gradient(loss: Loss) -> Check:
    """Check a gradient against JAX's derivative of the value, up to rounding."""
    outputs = 1 if isinstance(loss, losses.Logistic) else 3
    W = jnp.asarray(np.random.default_rng(2).standard_normal((outputs, 4)))
    started = time.perf_counter()
    actual, required = jax.jit(lambda W: (loss.gradient(W), jax.grad(loss.value)(W)))(W)
    error = float(jnp.linalg.norm(actual - required))
    tolerance = 100 * EPSILON * (1 + float(jnp.linalg.norm(required)))
    seconds = time.perf_counter() - started
    return Check(f"∇ {type(loss).__name__}", "", "", error, tolerance, 0, seconds)


def descent(step_sizes: Sequence[float]) -> Iterator[Check]:
    """Yield checks of gradient descent on a quadratic loss against (I - ηH)^k, up to rounding.

    On θᵀ diag(1, 0.01) θ from (-0.35, -0.2) (Rosca et al. 2023) it converges, oscillates or
    diverges, depending on the step size.
    """
    R = np.sqrt(2 * np.diag([1.0, 0.01]))
    loss = losses.LeastSquares(R, np.zeros((1, 2)), np.asarray(0.0))
    problem = Problem(loss, (np.array([[-0.35, -0.2]]),), 20.0)
    exact = QuadraticDescent.of(problem)
    run = descend(problem, step_sizes, np.linspace(0.0, 20.0, 21))
    for eta, counts, W in zip(run.step_sizes, run.iteration, run.end_to_end, strict=True):
        required = exact.end_to_end(float(eta), counts)
        error = float(np.linalg.norm(W - required, axis=(1, 2)).max())
        steps, size = int(counts[-1]), float(np.linalg.norm(required, axis=(1, 2)).max())
        tolerance = 4 * EPSILON * (steps + 1) * size
        yield Check(f"descent, η = {eta:g}", "layers", "", error, tolerance, steps, run.seconds)


def agreement(case: Case) -> Check:
    """Check the exact solutions of a case against each other and against its initialization."""
    started = time.perf_counter()
    starts = [case.problem.initial, *(W[0] for W in case.exact)]
    gaps = [np.linalg.norm(W - case.exact[0], axis=(1, 2)).max() for W in case.exact]
    gaps += [np.linalg.norm(W - starts[0]) for W in starts]
    tolerance = 1000 * EPSILON * case.magnification
    seconds = time.perf_counter() - started
    return Check(f"{case.name}: formulas", "", "", float(max(gaps)), tolerance, 0, seconds)
