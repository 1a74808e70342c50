"""The chord iteration that solves the stages of diagonally implicit methods."""

from __future__ import annotations

from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import optimistix


class Chord(diffrax.VeryChord):
    """A chord iteration whose increments are measured in the state, at the tolerance of a step.

    The unknown of diffrax is the velocity f of a stage. Its own iteration compares increments of f
    with the tolerance of the state: in large units rounding in f, about ε ρ|y|, never meets it, and
    steps are rejected without end. An increment Δf changes the state of the stage by γhΔf, which is
    compared here with rtol |y| + atol.

    It also ends where rounding keeps increments below `kappa`, 1 % of the tolerance, from
    decreasing further.
    """

    def step(
        self, fn: Any, y: Any, args: Any, options: Any, state: Any, tags: frozenset[object]
    ) -> tuple[Any, Any, Any]:
        """Return the next velocity of the stage, with the state of the iteration."""
        velocity, after, aux = super().step(fn, y, args, options, state, tags)
        _, diagonal, _, product, _, known, _, control = args  # y = known + γ f h
        increment = jax.tree.map(lambda d: diagonal * d, product(after.diff, control))
        scaled = jax.tree.map(
            lambda d, y: d / (self.atol + self.rtol * jnp.abs(y)), increment, known
        )
        size = self.norm(scaled)
        return velocity, eqx.tree_at(lambda s: s.diffsize, after, size), aux

    def terminate(
        self, fn: Any, y: Any, args: Any, options: Any, state: Any, tags: frozenset[object]
    ) -> tuple[Any, Any]:
        """Return whether the iteration ends, and with which result."""
        ends, result = super().terminate(fn, y, args, options, state, tags)
        # the first increment alone shows nothing about the next one
        within = (state.step >= 2) & (state.diffsize < self.kappa)
        successful = optimistix.RESULTS.successful
        return ends | within, optimistix.RESULTS.where(within, successful, result)


def kvaerno5() -> diffrax.Kvaerno5:
    """Return Kværnø's method with this iteration, whose tolerances `ImplicitMethod` sets."""
    return diffrax.Kvaerno5(root_finder=Chord(rtol=0.0, atol=0.0))
