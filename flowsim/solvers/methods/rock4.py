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
    """The orthogonal Runge–Kutta–Chebyshev method of order 4, stable to about -0.35 s².

    A recurrence of m = s - 4 stages yields g = y + u_m. The last stages,
    k_i = f(g + h Σ_j last_ij k_j), i = 0..4, raise the order to 4; k_4 = f(y_1). On its stability
    interval |R_s| ≤ 0.95. The estimated error e_0 u_m + h Σ e_i k_i is of order h⁴.
    tools/rock4_coefficients.py computes the coefficients and states their conditions.

    Attributes
    ----------
    recurrences
        The recurrences, one row per number of stages.
    last
        The tableaux last_ij, one per row.
    error_weights
        The weights e_i, one set per row.

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
    """Return Σ_j w_j k_j over the slopes k_j."""
    return reduce(jnp.add, (weights[j] * k_j for j, k_j in enumerate(k)))


@cache
def coefficients() -> tuple[Recurrences, np.ndarray, np.ndarray]:
    """Return the recurrences, the tableaux of the last stages, and the weights of the error."""
    with np.load(Path(__file__).with_name("rock4.npz")) as data:
        mu, kappa = data["mu"], data["kappa"]
        length = data["stages"] - 4
        # μ_j + ν_j = 1: y drops out of the recurrence of the increments u_j
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
    """Return the solver."""
    return ROCK4(*coefficients())
