"""Singular-value dynamics: the balanced equation, and the time derivatives from the layers.

From a balanced initialization σ̇_r = -N σ_r^{2-2/N} ⟨∇ℓ(W), u_r v_rᵀ⟩ - λNσ_r along the layer
flow, for a simple singular value (Arora, Cohen, Hu & Luo 2019, Theorem 3). The layers themselves
give Ẇ = Σ_j W_{N:j+1} Ẇ_j W_{j-1:1}, and σ̇_r = u_rᵀ Ẇ v_r, balanced or not.
"""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from flowsim.dynamics.preconditioner import truncated
from flowsim.problem import network
from flowsim.problem.losses import Loss
from flowsim.problem.types import Array, Layers, Matrix
from flowsim.theory.setting import Arrays, Setting

Modes = Float[Array, " mode"]


class Rates(NamedTuple):
    """σ̇_r from the layers, from the balanced equation, and a bound on their difference."""

    velocity: Modes
    law: Modes
    error: Modes


@eqx.filter_jit
def rates(loss: Loss, layers: Layers, rank: int, weight_decay: Array | float = 0.0) -> Rates:
    """Return u_rᵀẆv_r, the balanced equation, and a bound on their difference.

    `rank` bounds the rank of W by the widths; singular values past it are exactly 0.

    The bound holds for any layers, balanced or not, and any vectors u, v and σ ≥ 0. With
    A_j = W_{N:j+1}, B_j = W_{j-1:1}, p = 2(N-j)/N, q = 2(j-1)/N and the defects of balance
    a_j = A_jA_jᵀu - σ^p u and b_j = B_jᵀB_jv - σ^q v, which vanish in balance,

        uᵀA_jA_jᵀ G B_jᵀB_jv - σ^{p+q} uᵀGv = σ^p uᵀGb_j + σ^q a_jᵀGv + a_jᵀGb_j,

    so that the difference is at most Σ_j (σ^p ‖Gᵀu‖‖b_j‖ + σ^q ‖a_j‖‖Gv‖ + ‖a_j‖‖G‖‖b_j‖), and
    rounding (see `rounding`).

    For equal singular values both depend on the basis of the singular subspace; they agree in every
    basis, and their sums over equal singular values do not depend on it.
    """
    layers, N = tuple(layers), len(layers)
    prefixes = network.prefix_products(layers)
    G, W = loss.gradient(prefixes[-1]), prefixes[-1]
    U, sigma, Vt = jnp.linalg.svd(W, full_matrices=False)
    V, s = Vt.T, truncated(sigma, rank)
    outputs = [A.T @ U for A in network.suffix_products(layers)[1:]] + [U]  # A_jᵀU
    inputs = [V] + [B @ V for B in prefixes[:-1]]  # B_jV
    slopes = network.layer_gradients(layers, lambda _: G)
    GU, GV, norm = G.T @ U, G @ V, jnp.linalg.norm(G)

    velocity, explained = jnp.zeros(s.size), jnp.zeros(s.size)
    for j in range(N):
        W_rate = -slopes[j] - weight_decay * layers[j]
        velocity += jnp.sum(outputs[j] * (W_rate @ inputs[j]), axis=0)
        p, q = _power(s, 2 * (N - 1 - j) / N), _power(s, 2 * j / N)
        a = _lengths(_applied(layers[j + 1 :], outputs[j]) - p[None, :] * U)
        b = _lengths(_applied_transposed(layers[:j], inputs[j]) - q[None, :] * V)
        explained += p * _lengths(GU) * b + q * a * _lengths(GV) + a * norm * b
    law = -N * _power(s, 2 - 2 / N) * jnp.sum(U * GV, axis=0) - weight_decay * N * sigma
    return Rates(velocity, law, explained + rounding(layers, norm, weight_decay))


def rounding(layers: Layers, slope: Array, weight_decay: Array | float) -> Array:
    """Return a bound on the difference of velocity and law by rounding; `slope` is ‖∇ℓ‖_F.

    Each W_i in a product has an error of γ_d ‖W_i‖_F, d its longer side, γ_n = nε/(1 - nε) (Higham
    2002, §3.5). The other factors amplify it by at most ‖W‖_2 each. Term j contains every layer but
    the j-th twice, and the gradient, u and v. Velocity, law and bound are three such sums; weight
    decay adds one.
    """
    N, ends = len(layers), layers[-1].shape[0] + layers[0].shape[1]
    sizes = jnp.stack([jnp.linalg.norm(W, 2) for W in layers])
    safe = jnp.where(sizes > 0, sizes, 1.0)  # a layer of zeros has no rounding error
    spread = jnp.stack([max(W.shape) * jnp.linalg.norm(W) for W in layers]) / safe
    others = jnp.stack([jnp.prod(jnp.delete(sizes, j) ** 2) for j in range(N)]).sum()
    decay = weight_decay * N * jnp.prod(sizes)
    off = 2.0 * (ends + jnp.sum(spread)) * float(np.finfo(np.float64).eps)
    return jnp.asarray(3 * off / (1 - off) * (others * slope + decay))


def _applied(layers: Layers, X: Array) -> Array:
    """Return the layers' product times X, the lowest layer first."""
    for W in layers:
        X = W @ X
    return X


def _applied_transposed(layers: Layers, X: Array) -> Array:
    """Return the transposed product times X, the highest layer first."""
    for W in reversed(layers):
        X = W.T @ X
    return X


def _lengths(columns: Matrix) -> Modes:
    return jnp.asarray(jnp.linalg.norm(columns, axis=0))


def _power(sigma: Modes, exponent: float) -> Modes:
    """Return σ^exponent, 0⁰ = 1."""
    return jnp.ones(sigma.size) if exponent == 0 else sigma**exponent


def measure(setting: Setting) -> Arrays:
    """Return velocity, law, their absolute difference and its bound, for every mode over time."""
    problem = setting.problem
    rank = network.rank_bound(problem.layers)

    def evaluate(i: int) -> dict[str, np.ndarray]:
        found = rates(problem.loss, setting.layers(i), rank, problem.weight_decay)
        velocity, law, error = (np.asarray(values) for values in found)
        difference = np.abs(velocity - law)
        return {"velocity": velocity, "law": law, "difference": difference, "error": error}

    return setting.at_saved_times(setting.layer_flow, evaluate)
