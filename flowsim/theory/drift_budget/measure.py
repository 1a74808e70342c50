"""Imbalance drift: how gradient descent loses balancedness per step, and its effect on W.

With D_j = W_{j+1}ᵀW_{j+1} - W_jW_jᵀ and layer gradients g_j = L_jᵀ G R_jᵀ, L_j = W_N⋯W_{j+1},
R_j = W_{j-1}⋯W_1, one step W_j ← W_j - ηg_j changes it by

    D_j ← D_j + η² (g_{j+1}ᵀg_{j+1} - g_jg_jᵀ)

exactly. The terms in η cancel since W_{j+1}ᵀg_{j+1} = g_jW_jᵀ, which is also why gradient flow
conserves D_j (Arora, Cohen & Hazan 2018, proof of Theorem 1). The effect on W: to first order in η
a step changes W by -ηΘ[G], Θ[G] = Σ_j L_jL_jᵀ G R_jᵀR_j, and with balanced layers of the same
product by -ηP_W[G].
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from flowsim.dynamics.accumulators import Accumulator, ManyLayers, Step
from flowsim.dynamics.preconditioner import precondition
from flowsim.problem import network
from flowsim.problem.losses import Loss
from flowsim.problem.types import Array, Layers, Matrix, Scalar
from flowsim.scenario.build.problem import saved_times
from flowsim.solvers.iterate import iterations
from flowsim.theory.setting import Arrays, Setting, replay

EPS = float(np.finfo(np.float64).eps)
"""Twice the unit roundoff u = 2^{-53}: the factor 2 covers the terms of order u²."""


class Budget(NamedTuple):
    """Sums over the steps so far.

    Attributes
    ----------
    drift
        Σ η² (g_{j+1}ᵀg_{j+1} - g_jg_jᵀ) for each pair of neighbours, d_j × d_j.
    rounding
        A bound on ‖drift - (D_j - D_j(0))‖_F by the rounding of the steps, shape (pair,).
    cost
        Σ η ‖Θ[G] - P_W[G]‖_F.
    rebalanced
        W of gradient descent whose layers are rebalanced, at the same product, before every step.

    """

    drift: tuple[Array, ...]
    rounding: Array
    cost: Scalar
    rebalanced: Matrix


class Budgeting(Accumulator):
    """Adds up a `Budget` along gradient descent whose W has at most this rank, for N ≥ 2."""

    rank: int = eqx.field(static=True)

    def initial(self, loss: Loss, layers: ManyLayers) -> Budget:  # noqa: ARG002
        """Return the budgets before the first step."""
        budget: Budget = jax.vmap(self._nothing)(layers)
        return budget

    def update(self, loss: Loss, step: Step, sums: Budget) -> Budget:
        """Return the budgets after one more step."""
        # one after the other: batched decompositions of large matrices can deadlock on few cores
        before = step.step_sizes, step.before, sums
        budget: Budget = jax.lax.map(lambda of: self._spent(loss, *of), before)
        return budget

    def _nothing(self, layers: Layers) -> Budget:
        hidden = [W.shape[0] for W in layers[:-1]]
        return Budget(
            drift=tuple(jnp.zeros((d, d)) for d in hidden),
            rounding=jnp.zeros(len(hidden)),
            cost=jnp.zeros(()),
            rebalanced=network.end_to_end(layers),
        )

    def _spent(self, loss: Loss, eta: Scalar, layers: Layers, budget: Budget) -> Budget:
        """Return the budget after one more step of size η from these layers."""
        W, N = network.end_to_end(layers), len(layers)
        G = loss.gradient(W)
        g = network.layer_gradients(layers, loss.gradient)
        changes = network.imbalances(g)  # g_{j+1}ᵀg_{j+1} - g_jg_jᵀ
        drift = tuple(S + eta**2 * D for S, D in zip(budget.drift, changes, strict=True))
        rounding = step_rounding(eta, layers, G, g) + EPS * _norms(drift)
        deviation = layer_movement(layers, g) - precondition(W, G, N, self.rank)
        return Budget(
            drift=drift,
            rounding=budget.rounding + rounding,
            cost=budget.cost + eta * jnp.linalg.norm(deviation),
            rebalanced=balanced_step(loss, eta, budget.rebalanced, N, self.rank),
        )


def layer_movement(layers: Layers, g: Layers) -> Matrix:
    """Return Θ[G] = Σ_j L_jL_jᵀ G R_jᵀR_j = Σ_j L_j g_j R_j of gradients g_j = L_jᵀ G R_jᵀ."""
    above = [*network.suffix_products(layers)[1:], None]
    below = [None, *network.prefix_products(layers)[:-1]]
    moved = jnp.zeros((layers[-1].shape[0], layers[0].shape[1]))
    for L, g_j, R in zip(above, g, below, strict=True):
        term = g_j if L is None else L @ g_j
        moved += term if R is None else term @ R
    return moved


def balanced_step(loss: Loss, eta: Scalar, W: Matrix, depth: int, rank: int) -> Matrix:
    """Return the product after one step of gradient descent from balanced layers of product W.

    Balanced layers of one product differ by rotations of the hidden units, under which the step is
    equivariant, so that the result depends on W alone. One choice is Σ^{1/N}Vᵀ, Σ^{1/N}, …,
    UΣ^{1/N} for W = UΣVᵀ with `rank` singular values.
    """
    U, sigma, Vt = jnp.linalg.svd(W, full_matrices=False)
    root = jnp.diag(sigma[:rank] ** (1 / depth))
    layers = (root @ Vt[:rank], *[root] * (depth - 2), U[:, :rank] @ root)
    g = network.layer_gradients(layers, loss.gradient)
    return network.end_to_end(tuple(A - eta * g_j for A, g_j in zip(layers, g, strict=True)))


def step_rounding(eta: Scalar, layers: Layers, G: Matrix, g: Layers) -> Array:
    """Return a bound on the rounding error of each D_j in one step, in ‖·‖_F, shape (pair,).

    With γ = ε times the inner dimension for each matrix product, ‖fl(AB) - AB‖ ≤ γ‖A‖‖B‖:

    - the terms in η cancel up to the rounding of the products in g_j and g_{j+1}, from the common
      A = L_{j+1}ᵀG and R_j: 2ηε(2d_0 + d_{j-1} + d_{j+1}) ‖W_{j+1}‖‖A‖‖R_j‖‖W_j‖;
    - layers are rounded to W_j - ηg_j + δ, ‖δ‖ ≤ ε(‖W_j‖ + 2η‖g_j‖), which changes their squares
      by 2(‖W_j‖ + η‖g_j‖)‖δ‖;
    - the formula's own products by η²ε(d + 3)‖g‖², d their inner dimension.
    """
    below = [1.0, *_norms(network.prefix_products(layers)[:-1])]  # ‖R_j‖, R_1 = I as a factor
    above = [G]
    for W in reversed(layers[1:]):
        above.insert(0, W.T @ above[0])
    sizes, slopes, carried = _norms(layers), _norms(g), _norms(above)
    d = network.widths(layers)
    stored = 2 * EPS * (sizes + eta * slopes) * (sizes + 2 * eta * slopes)
    inner = np.array([d[:-1], d[1:]]) + 3.0  # of g_jg_jᵀ and of g_jᵀg_j
    formula = eta**2 * EPS * slopes**2
    bounds = []
    for j, (low, high) in enumerate(pairwise(range(len(layers)))):
        order = 2 * d[0] + d[j] + d[j + 2]
        crossed = 2 * eta * EPS * order * sizes[high] * carried[high] * below[j] * sizes[low]
        products = inner[0, low] * formula[low] + inner[1, high] * formula[high]
        bounds.append(crossed + stored[low] + stored[high] + products)
    return jnp.stack(bounds)


def compared(
    layers: Sequence[np.ndarray], start: Sequence[np.ndarray], budget: Budget
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return ‖drift‖_F, ‖D_j - D_j(0)‖_F, their distance, and a bound on it, per pair of layers.

    The bound adds the rounding of the products computed here, ε(d + 1)‖W‖² each, to that of the
    steps.
    """
    now, then = (network.imbalances(tuple(each)) for each in (layers, start))
    measured = [np.asarray(a - b) for a, b in zip(now, then, strict=True)]
    apart = [np.asarray(a - b) for a, b in zip(budget.drift, measured, strict=True)]
    norms = [
        np.array([np.linalg.norm(A) for A in each]) for each in (budget.drift, measured, apart)
    ]
    squares = [sum(float(np.sum(A**2)) for A in pair) for pair in zip(layers, start, strict=True)]
    d = network.widths(tuple(layers))
    products = [
        EPS * ((d[j] + 1) * squares[j] + (d[j + 2] + 1) * squares[j + 1]) for j in range(len(now))
    ]
    return *norms, np.asarray(budget.rounding) + np.array(products)


def _norms(matrices: Sequence[Array]) -> Array:
    return jnp.stack([jnp.linalg.norm(A) for A in matrices])


OF_PAIRS = ("accumulated", "measured", "difference", "error")


def measure(setting: Setting) -> Arrays:
    """Return the imbalance drift and its effect on W at the recorded iterates of descent.

    Values are nan where descent has diverged or their squares overflow, and after an interrupt.
    """
    scenario, problem = setting.scenario, setting.problem
    assert scenario.descent is not None
    sizes = np.asarray(scenario.descent.sizes)
    count = iterations(saved_times(scenario), sizes.tolist())
    pairs = np.full((len(OF_PAIRS), *count.shape, problem.depth - 1), np.nan)
    cost, rebalanced = np.full((2, *count.shape), np.nan)

    def visit(k: int, sample: int, layers: Layers, budget: Budget) -> None:
        matrices, start = ([np.asarray(W) for W in each] for each in (layers, problem.layers))
        pairs[:, k, sample] = compared(matrices, start, budget)
        difference = np.asarray(network.end_to_end(layers)) - np.asarray(budget.rebalanced)
        cost[k, sample], rebalanced[k, sample] = float(budget.cost), np.linalg.norm(difference)

    replay(
        problem,
        sizes.tolist(),
        count,
        visit,
        accumulator=Budgeting(network.rank_bound(problem.layers)),
        monitor=setting.monitor,
    )
    found = {"cost": cost, "rebalanced": rebalanced, **dict(zip(OF_PAIRS, pairs, strict=True))}
    return {
        "step_size": sizes,
        "time": count * sizes[:, None],
        **{name: np.where(np.isfinite(values), values, np.nan) for name, values in found.items()},
    }
