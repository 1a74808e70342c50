"""Exact solutions, written as the maths they are and sharing no code with flowsim."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy.integrate import solve_ivp
from scipy.linalg import expm

# --- modes: ṡ = N s^{2-2/N} (φ - s), s(0) = s_0 in (0, φ) -------------------------------------


def mode_time(z: np.ndarray, phi: float, depth: int) -> np.ndarray:
    """Return the time, up to a constant, at which log(s/(φ - s)) = z.

    With y = (s/φ)^{1/N}, φ^{2-2/N} dt = dy / (y^{N-1} (1 - y^N)) = (y^{1-N} + y/(1 - y^N)) dy, and
    y/(1 - y^N) = -(1/N) Σ_k ω_k²/(y - ω_k) over the N-th roots of unity ω_k.
    """
    if depth == 2:
        return z / (2 * phi)
    log_share = -np.log1p(np.exp(-z))  # log(s/φ)
    y = np.exp(log_share / depth)
    below_one = -np.expm1(log_share / depth)  # 1 - y
    omega = np.exp(2j * np.pi * np.arange(1, depth) / depth)
    others = np.sum(omega**2 * np.log1p(-y[..., None] / omega), axis=-1).real
    antiderivative = -(y ** (2 - depth)) / (depth - 2) - (np.log(below_one) + others) / depth
    return antiderivative / phi ** (2 - 2 / depth)


def mode(times: np.ndarray, s_0: float, phi: float, depth: int) -> np.ndarray:
    """Return s(t), by bisection of the time in log(s/(φ - s))."""
    if depth == 1:
        return phi + (s_0 - phi) * np.exp(-times)
    z_0 = np.log(s_0 / (phi - s_0))
    if depth == 2:  # Saxe, McClelland & Ganguli 2014, eq. 8
        return phi / (1 + np.exp(-z_0 - 2 * phi * times))
    low, high = np.full(times.shape, z_0), np.full(times.shape, 45.0)
    for _ in range(70):
        middle = (low + high) / 2
        early = mode_time(middle, phi, depth) - mode_time(np.asarray(z_0), phi, depth) < times
        low, high = np.where(early, middle, low), np.where(early, high, middle)
    return phi / (1 + np.exp(-(low + high) / 2))


def half_time(s_0: float, phi: float, depth: int) -> float:
    """Return the time at which s = φ/2: the exit from the plateau."""
    if depth == 1:
        return float(np.log(2 * (phi - s_0) / phi))
    z_0 = np.log(s_0 / (phi - s_0))
    return float(mode_time(np.zeros(()), phi, depth) - mode_time(np.asarray(z_0), phi, depth))


def aligned(
    times: np.ndarray, U: np.ndarray, phi: np.ndarray, Vt: np.ndarray, scale: float, depth: int
) -> np.ndarray:
    """Return W(t) for ½‖W - U diag(φ) Vᵀ‖² from the balanced start W = scale · U Vᵀ."""
    s = np.stack([mode(times, scale, p, depth) for p in phi], axis=-1)
    return np.einsum("or,tr,ri->toi", U, s, Vt)


# --- depth 2 on whitened data, unaligned ------------------------------------------------------


def unaligned(times: np.ndarray, W_1: np.ndarray, W_2: np.ndarray, Phi: np.ndarray) -> np.ndarray:
    """Return W(t) for ½‖W - Φ‖² at N = 2 from W_2ᵀW_2 - W_1W_1ᵀ = λI, in any position.

    Q = [W_1ᵀ; W_2] obeys a matrix Riccati equation (Fukumizu 1998; Braun et al. 2022; Dominé et al.
    2025): QQᵀ(t) = e^{Ft}Q_0 [I + Q_0ᵀCQ_0]^{-1} Q_0ᵀe^{Ft}, F = [[-λ/2 I, Φᵀ], [Φ, λ/2 I]],
    C = ∫_0^t e^{2Fs} ds. The bracket is factored by a QR of [I; C^{1/2}Q_0], which cancels nothing.
    """
    hidden, inputs = W_1.shape
    outputs = W_2.shape[0]
    defect = W_2.T @ W_2 - W_1 @ W_1.T
    lam = np.trace(defect) / hidden
    np.testing.assert_allclose(defect, lam * np.eye(hidden), atol=1e-13)
    F = np.block([[-lam / 2 * np.eye(inputs), Phi.T], [Phi, lam / 2 * np.eye(outputs)]])
    rates, E = np.linalg.eigh(F)
    rates = np.where(np.abs(rates) < 1e-14 * np.abs(rates).max(), 0.0, rates)
    Q = E.T @ np.vstack([W_1.T, W_2])
    found = []
    for t in times:
        safe = np.where(rates == 0, 1.0, rates)
        c = np.where(rates == 0, t, np.expm1(2 * rates * t) / (2 * safe))
        R = np.linalg.qr(np.vstack([np.eye(hidden), np.sqrt(c)[:, None] * Q]), mode="r")
        Z = np.linalg.solve(R.T, Q.T * np.exp(rates * t)) @ E.T
        found.append((Z.T @ Z)[inputs:, :inputs])
    return np.array(found)


# --- depth 1 ----------------------------------------------------------------------------------


def linear(times: np.ndarray, W_0: np.ndarray, X: np.ndarray, Y: np.ndarray) -> np.ndarray:
    """Return W(t) of Ẇ = -(W X - Y) Xᵀ/m, the gradient flow of 1/(2m)‖W X - Y‖² at N = 1."""
    m = X.shape[1]
    C, D = X @ X.T / m, Y @ X.T / m
    rest = np.linalg.solve(C, D.T).T
    return np.array([rest + (W_0 - rest) @ expm(-C * t) for t in times])


# --- one output -------------------------------------------------------------------------------


def one_output_velocity(w: np.ndarray, gradient: np.ndarray, depth: int) -> np.ndarray:
    """Return -‖w‖^{2-2/N} (∇ℓ + (N-1) Pr_w ∇ℓ) (Arora, Cohen & Hazan 2018, Claim 2)."""
    norm = np.linalg.norm(w)
    if norm == 0:
        return -gradient if depth == 1 else np.zeros_like(w)
    along = w * np.sum(w * gradient) / norm**2
    return -(norm ** (2 - 2 / depth)) * (gradient + (depth - 1) * along)


def one_output(
    times: np.ndarray,
    w_0: np.ndarray,
    gradient: Callable[[np.ndarray], np.ndarray],
    depth: int,
) -> np.ndarray:
    """Return the row vectors w(t), integrated by SciPy's DOP853 nearly to rounding."""
    solution = solve_ivp(
        lambda _, w: one_output_velocity(w, gradient(w), depth),
        (0, times[-1]),
        w_0.ravel(),
        method="DOP853",
        t_eval=times,
        rtol=2.3e-14,
        atol=1e-16,
    )
    return solution.y.T[:, None, :]


# --- any layers --------------------------------------------------------------------------------


def layer_flow(
    times: np.ndarray,
    layers: Sequence[np.ndarray],
    gradient: Callable[[np.ndarray], np.ndarray],
    weight_decay: float = 0.0,
) -> np.ndarray:
    """Return W(t) of Ẇ_j = -(W_N⋯W_{j+1})ᵀ G (W_{j-1}⋯W_1)ᵀ - λW_j, nearly to rounding."""
    shapes = [np.shape(layer) for layer in layers]
    cuts = np.cumsum([np.size(layer) for layer in layers])[:-1]
    inputs = shapes[0][1]

    def unpacked(y: np.ndarray) -> list[np.ndarray]:
        return [part.reshape(shape) for part, shape in zip(np.split(y, cuts), shapes, strict=True)]

    def product(some: Sequence[np.ndarray], width: int) -> np.ndarray:
        total = np.eye(width)
        for layer in some:
            total = layer @ total
        return total

    def velocity(_: float, y: np.ndarray) -> np.ndarray:
        W = unpacked(y)
        G = gradient(product(W, inputs))
        moved = [
            product(W[j + 1 :], len(W[j])).T @ G @ product(W[:j], inputs).T + weight_decay * W[j]
            for j in range(len(W))
        ]
        return -np.concatenate([g.ravel() for g in moved])

    start = np.concatenate([np.ravel(layer) for layer in layers])
    found = solve_ivp(
        velocity, (0, times[-1]), start, method="DOP853", t_eval=times, rtol=1e-12, atol=1e-14
    )
    return np.array([product(unpacked(y), inputs) for y in found.y.T])


# --- the 2×2 completion of Razin & Cohen 2020, in coordinates that keep the sign -----------------


def razin_cohen_bound(loss: float) -> float:
    """Return the smallest |w_11| that a matrix of positive determinant has at that loss."""
    return (1 - np.sqrt(2 * loss)) ** 2 / np.sqrt(2 * loss)


# --- gradient descent -------------------------------------------------------------------------


def quadratic_descent(
    A: np.ndarray, theta_0: np.ndarray, eta: float, counts: Sequence[int]
) -> np.ndarray:
    """Return θ_k = (I - 2ηA)^k θ_0, descent on θᵀAθ with a symmetric A."""
    step = np.eye(len(A)) - 2 * eta * A
    return np.array([np.linalg.matrix_power(step, k) @ theta_0 for k in counts])
