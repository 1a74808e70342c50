"""Stochastic gradient descent and its stochastic modified equations (SDEs).

The iterates θ_{k+1} = θ_k - η ĝ(θ_k), with E ĝ = ∇φ and Cov ĝ = Σ, have the law of θ(kη) of

    order 1:   dθ = -∇φ dt + √η Σ^{1/2} dB,
    order 2:  dθ = -∇(φ + (η/4)‖∇φ‖²) dt + √η Σ^{1/2} dB,

in the sense of Itô, up to a weak error of that order: |E f(θ_k) - E f(θ(kη))| = O(η^order) for
smooth f (Li, Tai & E 2017; 2019). For Gaussian noise ĝ = ∇φ + S(θ)ζ_k, SSᵀ = Σ, descent is the
Euler–Maruyama scheme of the order-1 SDE, √η ζ_k being the increment of B over the k-th step. Driven
by the same draws, descent and the SDEs can therefore be compared run by run.

Both are solved by Strang splitting with steps h = η/n: the drift over h/2, the noise over h by an
Euler–Maruyama step, the drift over h/2, each half drift by a midpoint step. As the noise is small,
√η, the weak error is O(h²) + O(η²h). That of the Euler–Maruyama scheme alone is O(h), which is too
large to resolve the difference between the SDEs and descent.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Float, Int, Key

from flowsim.problem import network
from flowsim.problem.gradient_noise import Noise
from flowsim.problem.losses import Loss
from flowsim.problem.types import Array, Layers, Matrix, Scalar

Drift: TypeAlias = Callable[[Layers], Layers]

Stacked: TypeAlias = tuple[Array, ...]
"""Layers with further leading axes, of runs and solutions."""

PIECES = 4
"""Steps of a solution per step of descent. The second solve, for its error, takes half as many."""

LENGTHS = ((1.0, 1.0, 1.0, 1.0), (2.0, 0.0, 2.0, 0.0))
"""Step lengths of both solves in quarters of η. Steps of length 0 pad the second to one shape."""

SECOND = (0.0, 1.0, 0.0, 1.0)
"""1 for solutions of the order-2 SDE, 0 for order 1: both, then both of the second solve."""


class Driven(eqx.Module):
    """One run: the layers of descent and of `solutions` of the SDEs, driven by the same noise.

    The leading axis of `solutions` has length 4: the order-1 and the order-2 SDE, and both again
    from the second solve, which takes half as many steps.
    """

    descent: Stacked
    solutions: Stacked


class Ensemble(eqx.Module):
    """Many runs at one step size, and the number of steps taken."""

    runs: Driven
    iteration: Int[Array, " 1"]
    alive: Array


class StochasticFlows(eqx.Module):
    """Stochastic gradient descent at a step size η and its SDEs, over many draws of the noise.

    Each run has a key in `keys` for the noise of descent, as in `flowsim.dynamics.descent`. Its key
    in `bridges` is for the increments of Brownian motion within the steps of descent.
    """

    loss: Loss
    noise: Noise
    weight_decay: Scalar
    eta: Scalar
    keys: Key[Array, " run"]
    bridges: Key[Array, " run"]

    def start(self, layers: Layers) -> Ensemble:
        """Return every run at the initial layers."""
        many = tuple(jnp.broadcast_to(W, (self.keys.size, *W.shape)) for W in layers)
        runs = Driven(many, tuple(jnp.stack([W] * len(SECOND), axis=1) for W in many))
        return Ensemble(runs, jnp.zeros(1, dtype=int), jnp.ones(1, dtype=bool))

    @eqx.filter_jit
    def advance(self, ensemble: Ensemble, until: Int[Array, " 1"], budget: Array) -> Ensemble:
        """Return the ensemble at the iteration `until`, or `budget` steps on if that is earlier."""
        count = jnp.minimum(budget, (until - ensemble.iteration).max())

        def step(i: Array, runs: Driven) -> Driven:
            k = ensemble.iteration[0] + i
            moved: Driven = jax.vmap(self._step, (0, 0, 0, None))(runs, self.keys, self.bridges, k)
            return moved

        runs = jax.lax.fori_loop(0, count, step, ensemble.runs)
        return Ensemble(runs, ensemble.iteration + count, ensemble.alive)

    def _step(self, run: Driven, key: Key[Array, ""], bridge: Key[Array, ""], k: Array) -> Driven:
        zeta = self.noise.draw(jax.random.fold_in(key, k))
        fine = bridged(jax.random.fold_in(bridge, k), zeta, PIECES)
        noisy = self._gradient(run.descent, lambda W: self.noise.gradient(W, zeta))
        return Driven(_moved(run.descent, -self.eta, noisy), self.solved(run.solutions, fine))

    def drift(self, second: Scalar, layers: Layers) -> Layers:
        """Return the drift of the order-1 SDE, -∇φ, or of the order-2 SDE where `second` is 1.

        The latter is -∇(φ + (η/4)‖∇φ‖²) = -g - (η/2) H g with g = ∇φ. With weight decay φ stands
        for φ + (λ/2)‖θ‖².
        """

        def b(layers: Layers) -> Layers:
            return tuple(-g for g in self._gradient(layers, None))

        g, curved = jax.jvp(b, (layers,), (b(layers),))  # b'b = H g
        return _moved(g, -second * self.eta / 2, curved)

    def diffusion(self, layers: Layers, zeta: Array) -> Layers:
        """Return S(θ)ζ with SSᵀ = Σ: Gaussian noise of ∇ℓ(W), mapped to the layers."""
        return network.layer_gradients(layers, lambda W: self.noise.gaussian(W, zeta))

    def trace(self, layers: Layers) -> Scalar:
        """Return tr Σ(θ) = Σ_a ‖S e_a‖²."""
        columns = self.noise.columns(network.end_to_end(layers))

        def size(C: Matrix) -> Scalar:
            return network.squared_norm(network.layer_gradients(layers, lambda W: C))  # noqa: ARG005

        return jnp.sum(jax.vmap(size)(columns))

    def _gradient(self, layers: Layers, of_loss: Callable[[Matrix], Matrix] | None) -> Layers:
        g = self.loss.layer_gradients(layers, of_loss)
        return _moved(g, self.weight_decay, layers)

    def solved(self, solutions: Stacked, fine: Float[Array, "piece draw"]) -> Stacked:
        """Return the solutions of the SDEs after one step of descent.

        `fine` are the increments of Brownian motion over `PIECES` equal pieces of the step, each
        scaled to variance 1.
        """
        # the second solve sees the same Brownian path: sums of two increments, scaled to variance 1
        coarse = jnp.repeat((fine[0::2] + fine[1::2]) / math.sqrt(2.0), 2, axis=0)
        lengths = self.eta / PIECES * jnp.asarray(LENGTHS)

        def one(layers: Layers, second: Scalar, h: Array, increments: Array) -> Layers:
            noise = jnp.sqrt(self.eta * h)[:, None] * increments
            # Strang splitting as pairs of half steps: drift and noise, then drift without noise
            halves = jnp.stack([noise, jnp.zeros_like(noise)], axis=1).reshape(-1, noise.shape[1])
            return jax.lax.scan(
                partial(self._half, second), layers, (jnp.repeat(h / 2, 2), halves)
            )[0]

        each = jnp.stack([fine, fine, coarse, coarse])
        after: Stacked = jax.vmap(one)(
            solutions, jnp.asarray(SECOND), jnp.repeat(lengths, 2, axis=0), each
        )
        return after

    def _half(
        self, second: Scalar, layers: Layers, step: tuple[Scalar, Array]
    ) -> tuple[Layers, None]:
        """Return the layers after a midpoint step of the drift over h, then the noise √η ΔB."""
        h, noise = step
        at = midpoint(partial(self.drift, second), layers, h)
        return _moved(at, -jnp.ones(()), self.diffusion(at, noise)), None


def midpoint(b: Drift, layers: Layers, h: Scalar) -> Layers:
    """Return the midpoint step of θ̇ = b(θ) over h, of order 2."""
    return _moved(layers, h, b(_moved(layers, h / 2, b(layers))))


def bridged(key: Key[Array, ""], zeta: Array, pieces: int) -> Float[Array, "piece draw"]:
    """Return increments of Brownian motion over equal pieces of a step, each of variance 1.

    Their sum over √pieces is ζ, the increment over the whole step. This is a Brownian bridge:
    independent normal numbers, minus their mean, plus ζ/√pieces.
    """
    z = jax.random.normal(key, (pieces, *zeta.shape))
    return z - jnp.mean(z, axis=0, keepdims=True) + zeta[None] / math.sqrt(pieces)


def _moved(layers: Layers, by: Scalar, along: Layers) -> Layers:
    return tuple(W + by * V for W, V in zip(layers, along, strict=True))
