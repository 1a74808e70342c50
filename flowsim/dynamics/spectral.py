"""Spectral flow: the end-to-end flow in coordinates that keep every singular value and its sign.

W = Q C_N Pᵀ with orthonormal columns in Q (d_N × r) and P (d_0 × r), C_k = R Rᵀ R ⋯ (k factors),
and R = e^Δ K, Δ diagonal and K unit upper triangular. Balanced layers have this form:
W_{j+1}ᵀW_{j+1} = W_jW_jᵀ makes each of them R or Rᵀ, in turn, between orthonormal frames. So R
carries σ^{1/N}, and no fractional power is taken. The layer flow becomes, with G = ∇ℓ(W),

    V_Q = -G P C_{N-2}ᵀ,   Q̇ = V_Q + Q (Ω_Q - QᵀV_Q),   Ω_Q + Ṙ R⁻¹ = QᵀV_Q + R Ψ R⁻¹ - λ I,
    V_P = -Gᵀ Q C_{N-2},   Ṗ = V_P + P (Ω_P - PᵀV_P),   Ω_P = Ω + A - Aᵀ,
    A = Σ_{k<n} S^k B S^{n-1-k},   n = ⌊N/2⌋,   H = QᵀGP,
    (Ω, S, B) = (Ω_Q, R Rᵀ, H) for even N,   (Ψ, Rᵀ R, Rᵀ H) for odd N.

Ω_Q is skew and Ṙ R⁻¹ upper triangular, which determines both. Ψ is skew and arbitrary: it rotates
the frames between the layers, on which W does not depend, and is chosen to keep K small.

Why not (log σ, U, V): its equations divide by σ_r^{2/N} - σ_c^{2/N}. Where singular values stay
equal, as for a target with repeated ones, that is roundoff over roundoff, and from an identity
initialization the singular vectors jump. Here nothing is divided by: the right-hand side is a
polynomial in Q, P, R and the ratios of e^Δ, is differentiable, and needs no decomposition.
W = Q e^Δ Kᵀ has no such singularity either, but its velocity needs an accurate singular value
decomposition of a graded matrix at every evaluation, for the fractional powers.

At N = 2 it is the log-Cholesky form W = Q R Rᵀ Pᵀ. Differential equations of matrix decompositions:
Dieci & Eirola (1999), SIAM Review 41; those of σ: Arora, Cohen, Hu & Luo (2019), Theorem 3.
"""

from __future__ import annotations

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from flowsim.dynamics.flow import Flow, State
from flowsim.dynamics.graded import (
    log_singular_values,
    straightening,
    triangular_root,
    triangular_velocity,
)
from flowsim.problem import network
from flowsim.problem.errors import NotApplicable
from flowsim.problem.losses import Loss
from flowsim.problem.problem import Problem
from flowsim.problem.types import Array, Layers, Matrix, Scalar


class SpectralFlow(Flow):
    """The end-to-end flow of W of constant rank r, for N ≥ 2, in the state (Q, Δ + K - I, P).

    W(t) is that of `EndToEndFlow`: exact for balanced layers, the same approximation elsewhere.
    Singular values keep their relative accuracy at any size, e^{-2500} say, and the sign of det W
    cannot change: it is that of det Q · det P. The state has shapes (d_N × r, r × r, d_0 × r).
    """

    space: ClassVar[str] = "spectral"

    depth: int = eqx.field(static=True)

    @classmethod
    def of(cls, problem: Problem) -> SpectralFlow:
        """Return the flow of a problem's depth.

        Raises
        ------
        NotApplicable
            At depth 1, where W may lose rank, for W(0) = 0, and where W(0) is below float64's range
            and not the product of balanced layers, which hold log σ.

        """
        if problem.depth == 1:
            raise NotApplicable(
                "The spectral space needs at least 2 layers: with one, singular values may pass "
                'through 0, where they have no logarithm; take "layers" or "end_to_end".'
            )
        if not network.is_balanced_to_rounding(problem.layers):
            try:
                network.require_size(problem.layers)
            except NotApplicable as reason:
                raise NotApplicable(f'spectral: {reason}; take "layers".') from None
        if network.log_size(problem.layers) == -np.inf:
            raise NotApplicable(
                "The spectral space needs an end-to-end matrix that is not 0 at the start, since 0 "
                'has no logarithm; take "layers" or "end_to_end".'
            )
        return cls(depth=problem.depth)

    def initial_state(self, problem: Problem) -> State:
        """Return (Q, Δ + K - I, P) with the singular vectors of W(0) as frames, and K = I."""
        U, log_sigma, V = singular_value_decomposition(problem.layers)
        return U, np.diag(log_sigma / self.depth), V

    def units(self, initial: State) -> tuple[float, ...]:
        """Return ones: frames have unit columns, and errors of log σ are relative errors of σ."""
        return (1.0,) * len(initial)

    def velocity(self, state: State, loss: Loss, weight_decay: Array | float) -> State:
        """Return (Q̇, Δ̇ + K̇, Ṗ)."""
        Q, T, P = state
        N, R = self.depth, triangular_root(T)
        inner = _alternating(R, N - 2)
        G = loss.gradient(Q @ R @ R.T @ inner @ P.T)
        GP = G @ P
        V_Q, V_P = -GP @ inner.T, -(G.T @ Q) @ inner
        Y_Q, Y_P = Q.T @ V_Q, P.T @ V_P
        # the time scale of the frames: both corrections below act as fast as the frames move
        speed = _norm(Y_Q, Y_P)
        Psi = speed * straightening(T)
        Omega_Q, T_velocity = triangular_velocity(T, Y_Q, Psi)
        if N % 2 == 0:
            Omega_P = Omega_Q + _relative_rotation(R @ R.T, Q.T @ GP, N // 2)
        else:
            Omega_P = Psi + _relative_rotation(R.T @ R, R.T @ (Q.T @ GP), N // 2)
        return (
            V_Q + Q @ _with_restoring_term(Q, Omega_Q - Y_Q, speed),
            T_velocity - weight_decay * np.eye(T.shape[0]),
            V_P + P @ _with_restoring_term(P, Omega_P - Y_P, speed),
        )

    def end_to_end(self, state: State) -> Matrix:
        """Return W = Q C_N Pᵀ."""
        Q, T, P = state
        return Q @ _alternating(triangular_root(T), self.depth) @ P.T

    def layers(self, state: State, depth: int) -> Layers:
        """Return layers R or Rᵀ, in turn, between Q and Pᵀ."""
        Q, T, P = state
        R = triangular_root(T)
        inner = [R if (depth - j) % 2 == 0 else R.T for j in range(1, depth + 1)]
        return (inner[0] @ P.T, *inner[1:-1], Q @ inner[-1])

    def log_size(self, state: State) -> Scalar:
        """Return the largest N·T_ii: T has log σ/N on its diagonal where it is straightened."""
        return self.depth * jnp.max(jnp.diagonal(state[1]))

    def exact_spectrum(self, state: State) -> tuple[Array, Array]:
        """Return log σ, descending (-inf past the rank), and the sign of det W = det Q C_N Pᵀ.

        The sign is 0 if W is not square or not of full rank.
        """
        Q, T, P = state
        rank, modes = T.shape[0], min(Q.shape[0], P.shape[0])
        logs = self.depth * log_singular_values(T)
        log_sigma = jnp.concatenate([logs, jnp.full(modes - rank, -jnp.inf)])
        if not Q.shape == P.shape == (rank, rank):
            return log_sigma, jnp.zeros(())
        return log_sigma, jnp.linalg.slogdet(Q)[0] * jnp.linalg.slogdet(P)[0]


def _alternating(R: Matrix, k: int) -> Matrix:
    """Return C_k = R Rᵀ R ⋯, k factors."""
    C = jnp.eye(R.shape[0])
    for j in range(k):
        C = C @ (R if j % 2 == 0 else R.T)
    return C


def _relative_rotation(S: Matrix, B: Matrix, n: int) -> Matrix:
    """Return A - Aᵀ, A = Σ_{k<n} S^k B S^{n-1-k}: the frames' rotation across 2n layers.

    Across two layers X = Ω_j - Ω_{j+2} solves S X + X S = F - Fᵀ, F = S^{k+1} B S^{n-1-k} +
    S^k B S^{n-k} the velocity of their product; X = S^k B S^{n-1-k} - (…)ᵀ.
    """
    A, power = B, S
    for _ in range(n - 1):
        A, power = A @ S + power @ B, power @ S
    return A - A.T


def _norm(*matrices: Matrix) -> Array:
    """Return the Frobenius norm of all matrices together, with derivative 0 at 0."""
    square = sum(jnp.sum(M**2) for M in matrices)
    # where twice: the derivative of √ at 0 is inf, and 0 · inf in the unused branch would be nan
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1.0)), 0.0)


def _with_restoring_term(Q: Matrix, rotation: Matrix, speed: Array) -> Matrix:
    """Return rotation + speed (I - QᵀQ), which makes QᵀQ = I attracting.

    Rounding errors of QᵀQ = I would grow at the rate of QᵀV_Q, which `speed` bounds.
    """
    return rotation + speed * (np.eye(Q.shape[1]) - Q.T @ Q)


def singular_value_decomposition(layers: Layers) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return U, log σ (descending) and V of W = U diag(σ) Vᵀ, as many as W has rank.

    Balanced layers share singular values and frames, so that W_jᵀ maps the frame of its output to
    that of its input times σ^{1/N}. Carried from layer to layer, log σ is as accurate as the
    layers are, even where σ is far below eps·σ_1. For other layers the decomposition is that of W,
    without the singular values below rounding.
    """
    rank = network.rank_bound(layers)
    rounding = float(np.finfo(np.float64).eps) * max(network.widths(layers))
    if network.is_balanced_to_rounding(layers):
        return _from_balanced_layers(layers, rank)
    U, sigma, Vt = np.linalg.svd(network.end_to_end(layers), full_matrices=False)
    rank = min(rank, int(np.sum(sigma > rounding * sigma[0])))
    return U[:, :rank], np.log(sigma[:rank]), Vt[:rank].T


def _from_balanced_layers(layers: Layers, rank: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return U, log σ and V by one QR decomposition per layer."""
    U = np.linalg.svd(layers[-1])[0][:, :rank]
    frame, log_sigma = U, np.zeros(rank)
    for layer in reversed(layers):
        frame, R = np.linalg.qr(layer.T @ frame)
        # QR leaves the signs of R free; with a positive diagonal it is σ^{1/N}
        frame = frame * np.sign(np.diag(R))
        log_sigma += np.log(np.abs(np.diag(R)))
    return U, log_sigma, frame
