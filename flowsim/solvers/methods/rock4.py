"""ROCK4, the orthogonal Runge–Kutta–Chebyshev method of order 4 (Abdulle 2002)."""

from __future__ import annotations

from functools import cache, reduce
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flowsim.problem.types import Array
from flowsim.solvers.methods.stabilized import Field, Recurrences, Stabilized


class ROCK4(Stabilized):
    """y_1 = W(y + u_m): a recurrence of m = s - 4 stages, then four that raise the order to 4.

    |R_s| ≤ 0.95 down to about -0.35 s². The estimated error e_0 u_m + h Σ e_i k_i, of order h⁴,
    takes the last four stages. The coefficients are our own, computed by
    tools/rock4_coefficients.py, where the conditions that they meet are said.

    `last` holds the stages k_i = f(g + h Σ_j last_ij k_j), i = 0..4, of which the last is f(y_1).
    """

    recurrences: Recurrences
    last: Array
    error_weights: Array

    def order(self, terms: Any) -> int:  # noqa: ARG002
        """Return 4."""
        return 4

    def error_order(self, terms: Any) -> int:  # noqa: ARG002
        """Return 4: the estimate is that of a method of order 3."""
        return 4

    def finish(
        self,
        row: Array,
        field: Field,
        h: Array,
        y: Any,
        slope: Any,  # noqa: ARG002
        u: Any,
    ) -> tuple[Any, Any, Any]:
        """Return the state at the step's end, f there, and the estimated error."""
        last, e = h * jnp.asarray(self.last)[row], jnp.asarray(self.error_weights)[row]
        g = jax.tree.map(lambda a, b: a + b, y, u)
        at, k = g, [field(g)]
        for i in range(1, 5):
            at = jax.tree.map(lambda g, *k, i=i: g + weighted(last[i], k), g, *k)
            k.append(field(at))
        error = jax.tree.map(lambda u, *k: e[0] * u + h * weighted(e[1:], k), u, *k[:4])
        return at, k[-1], error


def weighted(weights: Array, k: Any) -> Any:
    """Return Σ w_j k_j over the slopes k."""
    return reduce(jnp.add, (weights[j] * k_j for j, k_j in enumerate(k)))


@cache
def coefficients() -> tuple[Recurrences, np.ndarray, np.ndarray]:
    """Return the recurrences, the tableaux of the last stages, and the weights of the error."""
    with np.load(Path(__file__).with_name("rock4.npz")) as data:
        mu, kappa = data["mu"], data["kappa"]
        length = data["stages"] - 4
        used = np.arange(mu.shape[1]) < length[:, None]
        recurrences = Recurrences(
            reach=data["reach"],
            length=length,
            mu=np.where(used, 1 + kappa, 0.0),
            nu=-kappa,
            alpha=mu,
            beta=np.zeros_like(mu),
        )
        return recurrences, data["rows"], data["e"]


def rock4() -> ROCK4:
    """Return the method."""
    return ROCK4(*coefficients())
