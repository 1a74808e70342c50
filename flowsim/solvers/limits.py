"""The loss above which gradient descent, or a flow that approximates it, counts as divergent."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from flowsim.problem.losses import value_and_gradient
from flowsim.problem.problem import Problem
from flowsim.problem.types import Array

DIVERGENCE_FACTOR = 1e12
"""Ratio of the loss to its usual size above which descent has diverged.

Large steps may raise the loss by orders of magnitude and still converge (catapults), so the factor
is far above any catapult and far below overflow."""


def divergence_threshold(at_start: Any, at_zero: Any, *, dtype: Any = np.float64) -> Array:
    """Return the loss above which descent has diverged, 10¹² max(|ℓ(W_0)|, |ℓ(0)|).

    It is a positive normal number of the type even where both losses are 0 or overflow.
    """
    limits = np.finfo(dtype)
    # an initialization near a minimum has a tiny loss, which any step may exceed by far
    usual = jnp.maximum(jnp.abs(at_start), jnp.abs(at_zero))
    threshold = DIVERGENCE_FACTOR * jnp.maximum(usual, float(limits.tiny))
    return jnp.minimum(threshold, float(limits.max))


def divergence_threshold_of(problem: Problem, dtype: Any = np.float64) -> np.ndarray:
    """Return the loss above which descent on a problem has diverged."""
    start = problem.initial
    values = [value_and_gradient(problem.loss, W)[0] for W in (start, 0 * start)]
    return np.asarray(divergence_threshold(*values, dtype=dtype), dtype=dtype)
