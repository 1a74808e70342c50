"""The order p of an error e(η) = C η^p (1 + b η + O(η²)), fitted with a confidence interval.

The error of a one-step method has such an expansion in its step size (Hairer, Nørsett & Wanner
1993, Theorem II.8.1); Euler's, which is gradient descent, has p = 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95
LEAST_SIZES = 6
"""Fewest step sizes that leave degrees of freedom for a confidence interval."""


def straight_fit(eta: np.ndarray, error: np.ndarray) -> tuple[float, float]:
    """Return order p and factor C of error = C η^p, by least squares in logarithms.

    All entries must be positive, and two step sizes different. Higher powers of η bias p towards
    the slope at the middle step sizes: `power_law` models the next one and gives an interval.
    """
    order, shift = np.polyfit(np.log(eta), np.log(error), 1)
    return float(order), float(np.exp(shift))


@dataclass(frozen=True)
class PowerLaw:
    """log e = log C + p log η + b η, fitted to `count` step sizes from `smallest` to `largest`.

    [`low`, `high`] is a confidence interval of p, of at least 95 %. Without a fit all numbers are
    nan.
    """

    order: float = np.nan
    low: float = np.nan
    high: float = np.nan
    factor: float = np.nan
    bend: float = np.nan
    smallest: float = np.nan
    largest: float = np.nan
    count: int = 0

    def __call__(self, eta: np.ndarray) -> np.ndarray:
        """Return C η^p (1 + b η), to the first order in b η."""
        return np.asarray(self.factor * eta**self.order * np.exp(self.bend * eta))


def power_law(eta: np.ndarray, error: np.ndarray) -> PowerLaw:
    """Fit the order by least squares in logarithms, with Student's t interval for p.

    Without the term b η the fitted order would be that of the middle step sizes, not of η → 0. The
    bias by higher powers of η is systematic and no part of Student's interval. The interval is
    therefore widened, both ways, by the change of the order when only the smaller half of the step
    sizes is fitted. All numbers are nan with fewer than `LEAST_SIZES` step sizes.
    """
    rank = np.argsort(eta)
    eta, error = eta[rank], error[rank]
    if eta.size < LEAST_SIZES or eta[0] == eta[-1]:
        return PowerLaw()
    (shift, order, bend), spread = _fitted(eta, error)
    half = max(LEAST_SIZES, eta.size // 2)
    moved = abs(order - _fitted(eta[:half], error[:half])[0][1])
    return PowerLaw(
        order=order,
        low=order - spread - moved,
        high=order + spread + moved,
        factor=float(np.exp(shift)),
        bend=bend,
        smallest=float(eta[0]),
        largest=float(eta[-1]),
        count=int(eta.size),
    )


def _fitted(eta: np.ndarray, error: np.ndarray) -> tuple[tuple[float, float, float], float]:
    """Return log C, p and b, and half the width of Student's interval for p."""
    from scipy.special import stdtrit

    # η relative to the largest: columns of similar size, for the conditioning of AᵀA
    A = np.stack([np.ones_like(eta), np.log(eta), eta / eta[-1]], axis=1)
    found, *_ = np.linalg.lstsq(A, np.log(error), rcond=None)
    left = np.log(error) - A @ found
    freedom = eta.size - A.shape[1]
    variance = float(left @ left) / freedom * np.linalg.inv(A.T @ A)[1, 1]
    shift, order, bend = map(float, found)
    spread = float(stdtrit(freedom, (1 + CONFIDENCE) / 2) * np.sqrt(variance))
    return (shift, order, bend / float(eta[-1])), spread
