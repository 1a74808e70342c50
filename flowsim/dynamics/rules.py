"""Update rules: how descent turns the gradient in the layers, and what it remembers, into a step.

Gradient descent is ours; AdaGrad (Duchi, Hazan & Singer 2011) and AdaDelta (Zeiler 2012) are those
of optax, with its defaults.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from importlib import import_module
from typing import Any, Literal, TypeAlias

import equinox as eqx
import jax.numpy as jnp

from flowsim.arrays import Array, Layers

AlgorithmName = Literal["gradient", "adagrad", "adadelta"]
"""The name of an algorithm; those but the first are the functions of that name in optax."""

Memory: TypeAlias = Any
"""What a rule remembers of earlier gradients: arrays in any structure."""

Gradient: TypeAlias = Callable[[Layers], Layers]
"""Layers ↦ the gradients g_j there."""


class Rule(eqx.Module):
    """A rule that moves the layers by gradients g_j, taken where it wants, at a step size η."""

    @abc.abstractmethod
    def start(self, layers: Layers) -> Memory:
        """Return what is remembered before the first step."""

    @abc.abstractmethod
    def moves(
        self, eta: Array, gradient: Gradient, memory: Memory, layers: Layers
    ) -> tuple[Layers, Memory]:
        """Return what is added to each layer, and what is remembered after it."""


class HeavyBall(Rule):
    """V_j ← μ V_j - η g_j, W_j ← W_j + V_j (Polyak 1964); gradient descent at μ = 0."""

    momentum: Array

    def start(self, layers: Layers) -> Memory:
        """Return velocities of 0."""
        return tuple(jnp.zeros_like(W) for W in layers)

    def moves(
        self, eta: Array, gradient: Gradient, memory: Memory, layers: Layers
    ) -> tuple[Layers, Memory]:
        """Return the new velocities, which are also what is remembered."""
        pairs = zip(memory, gradient(layers), strict=True)
        velocities = tuple(self.momentum * V - eta * g for V, g in pairs)
        return velocities, velocities


class Adaptive(Rule):
    """A rule of optax: `transformation(η)` is one of its gradient transformations."""

    transformation: Callable[[Array], Any] = eqx.field(static=True)

    def start(self, layers: Layers) -> Memory:
        """Return the transformation's own state, which does not depend on η."""
        return self.transformation(jnp.zeros((), layers[0].dtype)).init(layers)

    def moves(
        self, eta: Array, gradient: Gradient, memory: Memory, layers: Layers
    ) -> tuple[Layers, Memory]:
        """Return the transformed gradients and the state after them."""
        moves, memory = self.transformation(eta).update(gradient(layers), memory, layers)
        return moves, memory


def rule(algorithm: AlgorithmName, momentum: Array) -> Rule:
    """Return the rule of an algorithm; momentum is for gradient descent alone.

    Raises
    ------
    ValueError
        If another algorithm is asked for with momentum.

    """
    if algorithm == "gradient":
        return HeavyBall(momentum)
    if momentum != 0:
        raise ValueError(f"Momentum is not used by {algorithm!r}, but is {float(momentum)}.")
    return Adaptive(getattr(import_module("optax"), algorithm))
