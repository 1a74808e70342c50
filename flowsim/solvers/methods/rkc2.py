"""RKC2, the Runge–Kutta–Chebyshev method of order 2 (Sommeijer, Shampine & Verwer 1998)."""

from __future__ import annotations

from functools import cache
from typing import Any

import jax
import numpy as np

from flowsim.problem.types import Array
from flowsim.solvers.methods.stabilized import Field, Recurrences, Stabilized

DAMPING = 2 / 13
"""Damping ε, as in RKC: |R_s| < 1 inside the stability interval, which becomes 2 % shorter."""

STAGES = (*range(2, 21), *(round(20 * 1.05**k) for k in range(1, 56)))
"""Numbers of stages: all up to 20, then in steps of 5 %, the largest fraction of stages wasted."""

CAVEAT = (
    "the error of rkc2 falls with rtol^(2/3) only, and exceeded 10 rtol ‖W‖ in 4 of 60 random "
    'flows; see the error estimate, or set flow.method = "rock4"'
)
"""A note for every run: the estimated error of a step is h³, that of the solution h²."""


class RKC2(Stabilized):
    """The Runge–Kutta–Chebyshev method of order 2, with a stability interval of about 0.65 s².

    y_1 = y + u_s with the last increment u_s of the recurrences. The stability polynomial has
    |R_s| ≤ 1 - ε/3 on most of [-0.65 (s² - 1), 0], ε = 2/13. The estimated error is
    (12 (y - y_1) + 6h (f + f_1))/15, of order h³ (Sommeijer, Shampine & Verwer 1998, eq. 2.6).
    """

    recurrences: Recurrences

    def order(self, terms: Any) -> int:  # noqa: ARG002
        """Return 2."""
        return 2

    def error_order(self, terms: Any) -> int:  # noqa: ARG002
        """Return 3: the error of a step is of order h³."""
        return 3

    def finish(
        self,
        row: Array,  # noqa: ARG002
        field: Field,
        h: Array,
        y: Any,
        slope: Any,
        u: Any,
    ) -> tuple[Any, Any, Any]:
        """Return the state at the step's end, f there, and the estimated error."""
        y_1 = jax.tree.map(lambda a, b: a + b, y, u)
        f_1 = field(y_1)
        # y - y_1 = -u is at hand, without the cancellation of that difference
        error = jax.tree.map(lambda u, f, g: 0.4 * h * (f + g) - 0.8 * u, u, slope, f_1)
        return y_1, f_1, error


@cache
def recurrences() -> Recurrences:
    """Return the coefficients for every number of stages in `STAGES`.

    Sommeijer, Shampine & Verwer 1998, eqs. 2.1 to 2.4, in increments u_j = y_j - y: there the terms
    with y drop out, as 1 - μ_j - ν_j is their factor.
    """
    s, most = np.array(STAGES)[:, None], max(STAGES)
    w_0 = 1 + DAMPING / s**2
    T, dT, ddT = chebyshev(w_0, most)
    # w_1 = T_s'(w_0)/T_s''(w_0) gives order 2
    w_1 = np.take_along_axis(dT, s, axis=1) / np.take_along_axis(ddT, s, axis=1)
    b = np.empty_like(T)
    b[:, 2:] = ddT[:, 2:] / dT[:, 2:] ** 2
    b[:, :1], b[:, 1:2] = b[:, 2:3], 1 / w_0
    a = 1 - b * T
    nu, mu = np.zeros((2, len(STAGES), most))
    mu[:, 1:], nu[:, 1:] = 2 * w_0 * b[:, 2:] / b[:, 1:-1], -b[:, 2:] / b[:, :-2]
    alpha = np.hstack([b[:, 1:2], 2 * b[:, 2:] / b[:, 1:-1]]) * w_1
    beta = -np.hstack([np.zeros_like(w_0), a[:, 1:-1] * alpha[:, 1:]])
    # rows of fewer stages are padded with zeros to one shape
    used = np.arange(1, most + 1) <= s
    mu, nu, alpha, beta = (np.where(used, c, 0.0) for c in (mu, nu, alpha, beta))
    return Recurrences(((w_0 + 1) / w_1)[:, 0], s[:, 0], mu, nu, alpha, beta)


def chebyshev(x: np.ndarray, most: int) -> np.ndarray:
    """Return T_j, T_j' and T_j'' at x for j = 0..most, shape (3, x, j), x being a column.

    The three-term recurrence and its first two derivatives, stable for x ≥ 1, where T_j grows.
    """
    T = np.zeros((3, x.shape[0], most + 1))
    T[0, :, :1], T[0, :, 1:2], T[1, :, 1] = 1, x, 1
    for j in range(2, most + 1):
        T[:, :, j] = 2 * x[:, 0] * T[:, :, j - 1] - T[:, :, j - 2]
        T[1, :, j] += 2 * T[0, :, j - 1]
        T[2, :, j] += 4 * T[1, :, j - 1]
    return T


def rkc2() -> RKC2:
    """Return the solver."""
    return RKC2(recurrences())
