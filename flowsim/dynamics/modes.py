"""Mode flow: the end-to-end flow where its singular vectors are constant, one equation per mode.

ṡ_r = N s_r^{2-2/N} (b_r - h_r s_r) - λ N s_r, solved in log s_r.
"""

from __future__ import annotations

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from flowsim.dynamics.fixed_basis import fixed_basis
from flowsim.dynamics.flow import Flow, State
from flowsim.problem.errors import NotApplicable
from flowsim.problem.initialization import from_svd
from flowsim.problem.losses import Loss
from flowsim.problem.problem import Problem
from flowsim.problem.types import Array, Layers, Matrix, Scalar


class ModeFlow(Flow):
    """The mode strengths s of W = U diag(s) Vᵀ (Saxe, McClelland & Ganguli 2014).

    Each is a sigmoid from its initial value to φ_r = b_r/h_r, at a time of about 1/(2 b_r) ·
    log(φ_r/s_r(0)) for N = 2. For N ≥ 2 the state is log s, so that modes of any size have the same
    relative accuracy and keep their sign, and a mode of strength 0 stays 0. At N = 1 strengths may
    change sign, and the state is s.

    Attributes
    ----------
    U, Vt, h, b
        As in `flowsim.dynamics.fixed_basis.FixedBasis`.
    initial
        s(0).
    orientation
        det U · det V = ±1, or 0 where W is not square.
    depth
        N.

    """

    space: ClassVar[str] = "modes"

    U: Float[Array, "output mode"]
    Vt: Float[Array, "mode input"]
    h: Float[Array, " mode"]
    b: Float[Array, " mode"]
    initial: Float[Array, " mode"]
    orientation: Float[Array, ""]
    depth: int = eqx.field(static=True)

    @classmethod
    def of(cls, problem: Problem) -> ModeFlow:
        """Return the mode flow of a problem.

        Raises
        ------
        NotApplicable
            With the condition that fails, if the modes do not decouple.

        """
        try:
            basis = fixed_basis(problem)
        except NotApplicable as reason:
            raise NotApplicable(f"modes: {reason}; take another space.") from None
        return cls(
            U=basis.U,
            Vt=basis.Vt,
            h=basis.h,
            b=basis.b,
            initial=basis.initial,
            orientation=_orientation(basis.U, basis.Vt),
            depth=problem.depth,
        )

    def initial_state(self, problem: Problem) -> State:  # noqa: ARG002
        """Return (log s(0),), at N = 1 (s(0),)."""
        if self.depth == 1:
            return (self.initial,)
        return (np.log(np.where(self.nonzero, self.initial, 1.0)),)

    def units(self, initial: State) -> tuple[float, ...] | None:
        """Return 1 for log s, whose absolute error is a relative one of s; None at N = 1."""
        return None if self.depth == 1 else (1.0,) * len(initial)

    @property
    def nonzero(self) -> Bool[Array, " mode"]:
        """Which modes are not 0; those that are have no logarithm, and the state 0 in its place."""
        return self.initial > 0

    def velocity(self, state: State, loss: Loss, weight_decay: Array | float) -> State:  # noqa: ARG002
        """Return (d log s/dt,), at N = 1 (ṡ,)."""
        s = self.strengths(state)
        if self.depth == 1:
            return (self.b - self.h * s - weight_decay * s,)
        # s^{1-2/N} of ṡ/s, exactly 1 at N = 2
        factor = s ** (1 - 2 / self.depth) if self.depth > 2 else jnp.ones_like(s)
        # d log s/dt = ṡ/s: nothing is divided by s, which may underflow
        velocity = self.depth * (factor * (self.b - self.h * s) - weight_decay)
        return (jnp.where(self.nonzero, velocity, 0.0),)

    def strengths(self, state: State) -> Float[Array, " mode"]:
        """Return s, in the order of the basis."""
        (y,) = state
        return jnp.asarray(y) if self.depth == 1 else jnp.where(self.nonzero, jnp.exp(y), 0.0)

    def end_to_end(self, state: State) -> Matrix:
        """Return U diag(s) Vᵀ."""
        return (self.U * self.strengths(state)[None, :]) @ self.Vt

    def layers(self, state: State, depth: int) -> Layers:
        """Return balanced layers, with s^{1/N} in each of them."""
        widths = (self.Vt.shape[1], *(self.U.shape[1],) * (depth - 1), self.U.shape[0])
        return from_svd(widths, *map(np.asarray, (self.U, self.strengths(state), self.Vt)))

    def log_size(self, state: State) -> Scalar:
        """Return log max s."""
        (y,) = state
        return super().log_size(state) if self.depth == 1 else jnp.max(y)

    def exact_spectrum(self, state: State) -> tuple[Array, Array]:
        """Return log σ, descending, and the sign of det W (0 if W is not square)."""
        (y,) = state
        if self.depth == 1:
            log_sigma, signs = jnp.log(jnp.abs(y)), jnp.sign(y)
        else:
            log_sigma = jnp.where(self.nonzero, y, -jnp.inf)
            signs = jnp.where(self.nonzero, 1.0, 0.0)
        return jnp.sort(log_sigma)[::-1], self.orientation * jnp.prod(signs)


def _orientation(U: np.ndarray, Vt: np.ndarray) -> np.ndarray:
    """Return det U · det V = ±1, or 0 where they are not square."""
    if U.shape[0] != Vt.shape[1]:
        return np.zeros(())
    return np.asarray(np.linalg.slogdet(U).sign * np.linalg.slogdet(Vt).sign)
