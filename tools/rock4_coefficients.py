"""Compute the coefficients of ROCK4, and write flowsim/solvers/methods/rock4.npz.

    python tools/rock4_coefficients.py

With s stages the stability polynomial is R(z) = w(z) P(z) (Abdulle, SIAM J. Sci. Comput. 23, 2002).
w has degree 4 and two pairs of complex zeros; P has degree m = s - 4 and belongs to the polynomials
that are orthogonal with the weight w²/√(1 - x²) on -1 ≤ x ≤ 1, x = a + z/D, so that a three-term
recurrence computes it stably. The zeros of w, a and D are chosen so that
R = 1 + z + z²/2 + z³/6 + z⁴/24 + O(z⁵) and |R| ≤ 0.95 on as long an interval as possible. P is
followed by four Runge–Kutta stages with polynomial w, which raise the order of the whole to 4 for
nonlinear equations too.
"""

from __future__ import annotations

from math import prod
from pathlib import Path

import numpy as np
from scipy.linalg import null_space
from scipy.optimize import minimize

DATA = Path(__file__).resolve().parent.parent / "flowsim" / "solvers" / "methods" / "rock4.npz"

STAGES = (*range(5, 21), *(round(20 * 1.05**k) for k in range(1, 56)))
DAMPING = 0.95
SEED_STAGES, SEED = 12, (2.41, 1.28, 0.27, 3.44, 0.167, -1.1)
"""At s = 12: zeros -2.41 ± 1.28i and -0.27 ± 3.44i of w, D/s² and (a - 1)s²."""

GAMMA = 1 / np.array([1, 2, 3, 6, 4, 8, 12, 24])
"""The weights of an exact step on the trees of order ≤ 4:
τ, [τ], [τ,τ], [[τ]], [τ,τ,τ], [τ,[τ]], [[τ,τ]], [[[τ]]]."""

C_2, C_3 = 0.15, 0.4
"""Free in the last four stages; near here the error of order 5 is least, for every s."""

ERROR_SIZE = 1 / 40
"""The estimated error in h⁴y⁗, on y' = λy: errors then are about those of tsit5 at equal rtol."""


def unscaled(v: np.ndarray, s: int) -> tuple[np.ndarray, float, float]:
    """Return the zeros in the upper half plane, D and a from values that hardly depend on s."""
    return np.array([-v[0] + 1j * v[1], -v[2] + 1j * v[3]]), v[4] * s**2, 1 + v[5] / s**2


def w(zeros: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Return the polynomial w at z; it is 1 at 0."""
    return prod(np.abs(1 - z / zero) ** 2 for zero in zeros)


def recurrence(v: np.ndarray, s: int) -> tuple[np.ndarray, np.ndarray]:
    """Return μ, κ of P_j = (1 + κ_j + μ_j z) P_{j-1} - κ_j P_{j-2}, j = 1..s-4, P_j(0) = 1.

    The orthogonal polynomials come from the Stieltjes procedure, on Gauss–Chebyshev nodes, which
    are exact here.
    """
    zeros, D, a = unscaled(v, s)
    m = s - 4
    x = np.cos((np.arange(s + 2) + 0.5) * np.pi / (s + 2))
    weights = w(zeros, (x - a) * D) ** 2
    before, now, b = np.zeros(x.size), np.ones(x.size) / np.sqrt(weights.sum()), 0.0
    ratio = np.inf  # p_j(a) / p_{j-1}(a) of the monic polynomials
    mu, kappa = np.zeros(m), np.zeros(m)
    for j in range(m):
        mean = np.sum(weights * x * now**2)
        following = a - mean - b**2 / ratio
        mu[j], kappa[j] = 1 / (D * following), b**2 / ratio / following
        ratio = following
        rest = (x - mean) * now - b * before
        b = np.sqrt(np.sum(weights * rest**2))
        before, now = now, rest / b
    return mu, kappa


def run(mu: np.ndarray, kappa: np.ndarray, start: np.ndarray, times_z: object) -> np.ndarray:
    """Return P applied to `start`, with what multiplying by z means there."""
    before, now = np.zeros_like(start), start
    for m, k in zip(mu, kappa, strict=True):
        before, now = now, m * times_z(now) + (1 + k) * now - k * before
    return now


def order_defects(v: np.ndarray, s: int) -> np.ndarray:
    """Return how far the Taylor coefficients 1..4 of R are from those of e^z, relatively."""
    one = np.eye(5)[0]
    P = run(*recurrence(v, s), one, lambda p: np.append(0.0, p[:-1]))
    zeros, _, _ = unscaled(v, s)
    w_taylor = np.poly(np.concatenate([1 / zeros, 1 / zeros.conj()])).real
    R = np.convolve(P, w_taylor)[:5]
    return R[1:] * np.array([1, 2, 6, 24]) - 1


def peaks(v: np.ndarray, s: int) -> np.ndarray:
    """Return the first maxima of |R| left of 0, which are the highest, and |R| at the far end."""
    zeros, D, a = unscaled(v, s)
    angles = np.linspace(0, 8 * np.pi / s, 240)[1:]
    x = a - (1 + a) * (1 - np.cos(np.minimum(angles, np.pi))) / 2
    z = (np.append(x, -1.0) - a) * D
    R = np.abs(w(zeros, z) * run(*recurrence(v, s), np.ones(z.size), lambda p: z * p))
    i = 1 + np.flatnonzero((R[1:-2] >= R[:-3]) & (R[1:-2] > R[2:-1]))[: min(4, s - 4)]
    left, top, right = R[i - 1], R[i], R[i + 1]
    parabola = top - (right - left) ** 2 / (8 * (left - 2 * top + right))
    heights = np.zeros(min(4, s - 4))
    heights[: i.size] = parabola
    return np.append(heights, R[-1])


def optimum(s: int, guess: np.ndarray) -> np.ndarray:
    """Return the parameters of order 4 with the longest damped interval (a + 1)D."""
    found = minimize(
        lambda v: -v[4] * (2 + v[5] / s**2),
        guess,
        method="SLSQP",
        bounds=[(0.5, 5), (0.1, 3), (-0.5, 1.5), (2, 5), (0.05, 0.4), (-5, 15)],
        constraints=[
            {"type": "eq", "fun": lambda v: order_defects(v, s)},
            {"type": "ineq", "fun": lambda v: DAMPING - peaks(v, s)},
        ],
        options={"maxiter": 200, "ftol": 1e-13},
    )
    if np.abs(order_defects(found.x, s)).max() > 1e-12:
        raise ArithmeticError(f"no polynomial of order 4 was found for s = {s}")
    return found.x


def grafted(p: np.ndarray) -> np.ndarray:
    """Return the weights on trees of h f(y + …), where the weights of … are p."""
    return np.array([1, p[0], p[0] ** 2, p[1], p[0] ** 3, p[0] * p[1], p[2], p[3]])


def wanted_weights(p: np.ndarray) -> np.ndarray:
    """Return the weights that the last stages must have after P, whose weights are p.

    They are Σb, Σbc, Σbc², Σbd, Σbc³, Σbcd, ΣbAc², ΣbAd with d = Ac, from the order conditions of
    the composition, in which c becomes p_1 + c and d becomes p_2 + p_1 c + d.
    """
    p1, p2, p3, p4, p5, p6, p7, p8 = p
    w1 = GAMMA[0] - p1
    w2 = GAMMA[1] - p2 - p1 * w1
    w3 = GAMMA[2] - p3 - p1**2 * w1 - 2 * p1 * w2
    w4 = GAMMA[3] - p4 - p2 * w1 - p1 * w2
    w5 = GAMMA[4] - p5 - p1**3 * w1 - 3 * p1**2 * w2 - 3 * p1 * w3
    w6 = GAMMA[5] - p6 - p1 * p2 * w1 - (p1**2 + p2) * w2 - p1 * w3 - p1 * w4
    w7 = GAMMA[6] - p7 - p3 * w1 - p1**2 * w2 - 2 * p1 * w4
    w8 = GAMMA[7] - p8 - p4 * w1 - p2 * w2 - p1 * w4
    return np.array([w1, w2, w3, w4, w5, w6, w7, w8])


def last_stages(wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return A and b of the four stages at 0, C_2, C_3 and c_4.

    c_4 follows from (Σ bAc(c - c_2)) (Σ b(c - c_4)d) = (ΣbAd) (Σ bc(c - c_2)(c - c_4)), in which
    both sides are b_4 a_43 a_32 c_2 b_3 c_3 (c_3 - c_2) (c_3 - c_4).
    """
    w1, w2, w3, w4, w5, w6, w7, w8 = wanted
    rest = w7 - C_2 * w4
    c_4 = (w8 * (w5 - C_2 * w3) - rest * w6) / (w8 * (w3 - C_2 * w2) - rest * w4)
    c = np.array([0, C_2, C_3, c_4])
    b = np.linalg.solve(np.vander(c, increasing=True).T, [w1, w2, w3, w5])
    d_3, d_4 = np.linalg.solve([b[2:], b[2:] * c[2:]], [w4, w6])
    a_32 = d_3 / C_2
    a_43 = rest / (b[3] * C_3 * (C_3 - C_2))
    a_42 = (d_4 - a_43 * C_3) / C_2
    A = np.zeros((4, 4))
    A[1, 0], A[2, :2], A[3, :3] = C_2, (C_3 - a_32, a_32), (c_4 - a_42 - a_43, a_42, a_43)
    return A, b


def finished(mu: np.ndarray, kappa: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return A of the last stages with b as its fifth row, and the weights e of the error.

    The error e_0 u + h Σ e_i k_i annuls every tree of order ≤ 3. It takes f neither at the start
    nor at the end of the step: h f would multiply the rounding in stiff directions.
    """
    p = run(mu, kappa, np.zeros(8), grafted)
    A, b = last_stages(wanted_weights(p))
    c = A.sum(axis=1)
    d = A @ c
    stages = np.array([np.ones(4), p[0] + c, (p[0] + c) ** 2, p[1] + p[0] * c + d])
    e = null_space(np.column_stack([p[:4], stages]))[:, 0]
    tallest = e[0] * p[7] + e[1:] @ (p[3] + p[1] * c + p[0] * d + A @ d)
    return np.vstack([A, b]), e * ERROR_SIZE / tallest


def parameters() -> dict[int, np.ndarray]:
    """Return the optimal parameters for every number of stages, each found from its neighbours."""
    above, found = np.array(SEED), {}
    for s in (s for s in STAGES if s >= SEED_STAGES):
        above = found[s] = optimum(s, above)
    for s in range(SEED_STAGES - 1, STAGES[0] - 1, -1):
        found[s] = optimum(s, 2 * found[s + 1] - found[s + 2])
    return found


def coefficients() -> dict[str, np.ndarray]:
    """Return everything, one row for each number of stages."""
    found = parameters()
    shape = (len(STAGES), STAGES[-1] - 4)
    table = {"stages": np.array(STAGES), "reach": np.zeros(len(STAGES))}
    table |= {"mu": np.zeros(shape), "kappa": np.zeros(shape)}
    table |= {"rows": np.zeros((len(STAGES), 5, 4)), "e": np.zeros((len(STAGES), 5))}
    for i, s in enumerate(STAGES):
        _, D, a = unscaled(found[s], s)
        mu, kappa = recurrence(found[s], s)
        table["reach"][i] = (1 + a) * D
        table["mu"][i, : s - 4], table["kappa"][i, : s - 4] = mu, kappa
        table["rows"][i], table["e"][i] = finished(mu, kappa)
    return table


if __name__ == "__main__":
    table = coefficients()
    np.savez_compressed(DATA, **table)
    print(f"{DATA.name}: {len(STAGES)} methods, {DATA.stat().st_size / 1024:.0f} KiB")
    for s, reach in zip(table["stages"], table["reach"], strict=True):
        print(f"s = {s}: |R| ≤ {DAMPING} down to -{reach:.1f} = -{reach / s**2:.4f} s²")
