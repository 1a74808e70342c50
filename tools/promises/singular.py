"""Right-hand sides at singular and non-square W, against sums in extended precision.

From balanced layers Ẇ = -Σ_j A_j A_jᵀ G B_jᵀ B_j - λ N W with A_j = W_N⋯W_{j+1}, B_j = W_{j-1}⋯W_1,
in which no decomposition and no fractional power occurs.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from flowsim.dynamics.flow import Flow
from flowsim.dynamics.registry import FLOWS
from flowsim.problem import initialization, losses
from flowsim.problem.errors import NotApplicable
from flowsim.problem.problem import Problem
from promises import reference
from promises.part import Part, Record, Verdict, generator

LARGEST_ERROR = 1e-12
"""Largest error of Ẇ relative to ‖P_W‖ ‖G‖ = N σ_1^{2-2/N} ‖G‖."""

TOGETHER = 50
"""Consecutive cases of the same widths."""


def case(seed: int, k: int) -> Record:
    """Return the relative error of Ẇ in every space at one W."""
    block = generator("singular", seed, 0, k // TOGETHER)
    depth = int(block.integers(1, 9))
    widths = [int(d) for d in block.integers(1, 7, depth + 1)]
    problem = _problem(widths, generator("singular", seed, 1, k))
    found = {}
    for space, formulation in FLOWS.items():
        try:
            flow = formulation.build(problem)
        except NotApplicable:
            continue
        state = flow.initial_state(problem)
        W_dot, finite = _velocity(flow, state, problem.loss, problem.weight_decay)
        found[space] = {"error": _error(np.asarray(W_dot), problem), "finite": bool(finite)}
    return {"widths": widths, "spaces": found}


def _problem(widths: Sequence[int], rng: np.random.Generator) -> Problem:
    """Return a problem whose W is singular or not square, with balanced layers."""
    inputs, outputs, most = widths[0], widths[-1], min(widths)
    square = inputs == outputs == most
    rank = int(rng.integers(0, most if square else most + 1))
    if rng.random() < 0.3:
        # exact: no rounding in W, and repeated singular values
        U, V = np.eye(outputs)[:, :rank], np.eye(inputs)[:, :rank]
        sigma = 2.0 ** (len(widths) - 1) * np.ones(rank)
    else:
        U, V = (np.linalg.qr(rng.standard_normal((d, d)))[0][:, :rank] for d in (outputs, inputs))
        sigma = np.sort(10 ** rng.uniform(-2, 1, rank))[::-1]
    layers = initialization.from_svd(widths, U, sigma, V.T)
    Phi = rng.standard_normal((outputs, inputs))
    if rng.random() < 0.3:
        # a target with the singular vectors of W, for which the modes decouple
        Phi = (U * rng.uniform(-2, 2, rank)) @ V.T
    return Problem(losses.Squared(Phi), layers, 1.0, float(rng.choice([0.0, 0.1])))


@jax.jit
def _velocity(
    flow: Flow, state: tuple[jax.Array, ...], loss: losses.Loss, weight_decay: float
) -> tuple[jax.Array, jax.Array]:
    """Return Ẇ, and whether the velocity of the state is finite."""
    velocity = flow.velocity(state, loss, weight_decay)
    finite = jnp.stack([jnp.isfinite(v).all() for v in velocity]).all()
    state, velocity = (tuple(map(jnp.asarray, y)) for y in (state, velocity))
    return jax.jvp(flow.end_to_end, (state,), (velocity,))[1], finite


def _error(W_dot: np.ndarray, problem: Problem) -> float:
    layers = [np.asarray(W, dtype=np.longdouble) for W in problem.layers]
    N, (inputs, *_, outputs) = len(layers), problem.widths
    W = reference.product(layers, inputs)
    G = W - np.asarray(problem.loss.target, dtype=np.longdouble)
    exact = -problem.weight_decay * N * W
    for j in range(N):
        A = reference.product([layer.T for layer in reversed(layers[j + 1 :])], outputs).T
        B = reference.product(layers[:j], inputs)
        exact = exact - A @ (A.T @ G @ B.T) @ B
    largest = float(np.linalg.norm(W.astype(float), 2))
    scale = N * largest ** (2 - 2 / N) * float(np.sqrt(np.sum(G**2)))
    return float(np.sqrt(np.sum((W_dot - exact) ** 2))) / (scale or 1.0)


def judge(records: Sequence[Record]) -> Verdict:
    """Return the largest error, and the number of right-hand sides that are not finite."""
    found = [value for record in records for value in record["spaces"].values()]
    unbounded = sum(not value["finite"] for value in found)
    largest = max(value["error"] for value in found if value["finite"])
    line = f"{len(found)} right-hand sides, {unbounded} not finite, largest error {largest:.2e}"
    return Verdict(line, unbounded == 0 and largest <= LARGEST_ERROR)


PART = Part(
    "At singular and non-square W every right-hand side is finite and accurate to 1e-12.",
    10_000,
    case,
    judge,
)
