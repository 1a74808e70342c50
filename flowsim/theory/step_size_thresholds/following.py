"""Distance of gradient descent to a flow after every step, rather than at saved times alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from flowsim.dynamics.accumulators import Accumulator, ManyLayers, Step
from flowsim.problem import network
from flowsim.problem.losses import Loss
from flowsim.problem.types import Array, Layers, Matrix, Scalar
from flowsim.theory.tracking_bound.formulas import derivatives

if TYPE_CHECKING:
    from scipy.interpolate import PPoly

SAME_TIME = 1e-12
"""Relative difference below which two times are equal, as kη is rounded."""


@dataclass(frozen=True, eq=False)
class Course:
    """The end-to-end matrix of a flow at all times, a polynomial of degree 5 between saved ones.

    It interpolates W, Ẇ and Ẅ at every saved time (quintic Hermite interpolation, of order 6). The
    derivatives follow from the layers and cost no further solve.

    Attributes
    ----------
    times
        The saved times.
    pieces
        Coefficients by falling power, shape (6, interval, d_N, d_0).
    end
        W at the last time.
    size
        The largest ‖W‖_F at saved times.
    error
        Estimated largest error of the interpolant in the Frobenius norm.

    """

    times: np.ndarray
    pieces: np.ndarray
    end: np.ndarray
    size: float
    error: float

    @classmethod
    def of(
        cls, loss: Loss, times: np.ndarray, layers: Sequence[np.ndarray], weight_decay: float = 0.0
    ) -> Course:
        """Return the course of the layer flow from layers `(time, out, in)` at two times or more.

        The error is estimated by a second interpolant of every other saved time, as its largest
        deviation at the times left out. At order 6 that is 2⁶ = 64 times the error where the times
        resolve the flow, so it is a safe bound. It is inf for two times, which leave none out.
        """
        at = [tuple(W[i] for W in layers) for i in range(times.size)]
        known = np.array([_moving(loss, each, weight_decay) for each in at])
        kept = np.zeros(times.size, dtype=bool)
        # the last time stays, since extrapolation to it would not measure interpolation
        kept[::2] = kept[-1] = True
        missed = _hermite(times[kept], known[kept])(times[~kept]) - known[~kept, 0]
        return cls(
            times=times,
            pieces=np.asarray(_hermite(times, known).c),
            end=known[-1, 0],
            size=float(np.linalg.norm(known[:, 0], axis=(1, 2)).max()),
            error=float(np.linalg.norm(missed, axis=(1, 2)).max()) if len(missed) else np.inf,
        )


@eqx.filter_jit
def _moving(
    loss: Loss, layers: Layers, weight_decay: Array | float
) -> tuple[Matrix, Matrix, Matrix]:
    """Return W, Ẇ and Ẅ along the layer flow.

    They are the derivatives at t = 0 of the product of the layers' Taylor polynomials of degree 2,
    which agrees with the flow to that order. This avoids the product rule for N factors.
    """
    moving = derivatives(loss, layers, weight_decay)

    def path(t: Scalar) -> Matrix:
        series = zip(layers, moving.first, moving.second, strict=True)
        return network.end_to_end(tuple(W + t * V + 0.5 * t**2 * A for W, V, A in series))

    def velocity(t: Scalar) -> tuple[Matrix, Matrix]:
        both: tuple[Matrix, Matrix] = jax.jvp(path, (t,), (jnp.ones(()),))
        return both

    (W, first), (_, second) = jax.jvp(velocity, (jnp.zeros(()),), (jnp.ones(()),))
    return W, first, second


def _hermite(times: np.ndarray, known: np.ndarray) -> PPoly:
    """Return the polynomials with these W, Ẇ and Ẅ, `(time, order, output, input)`."""
    from scipy.interpolate import BPoly, PPoly

    return PPoly.from_bernstein_basis(BPoly.from_derivatives(times, list(known)))


class Followed(NamedTuple):
    """The largest ‖W_k - W(kη)‖_F so far, and the loss of the last iterate before the end."""

    distance: Float[Array, " step_size"]
    loss: Float[Array, " step_size"]


class Following(Accumulator):
    """Compares every iterate with a flow at t = kη, to the flow's end."""

    times: Float[Array, " time"]
    pieces: Float[Array, "power piece output input"]

    @classmethod
    def along(cls, course: Course) -> Following:
        """Return the comparison with a course."""
        return cls(times=course.times, pieces=course.pieces)

    def initial(self, loss: Loss, layers: ManyLayers) -> Followed:
        """Return the distance 0, and the loss at initialization."""
        values = jax.vmap(lambda W: loss.value(network.end_to_end(W)))(layers)
        return Followed(distance=jnp.zeros_like(values), loss=values)

    def update(self, loss: Loss, step: Step, sums: Followed) -> Followed:  # noqa: ARG002
        """Return the distance and loss including one more iterate, ignored after the final time."""
        t = step.iteration.astype(step.step_sizes.dtype) * step.step_sizes
        lasts = t <= self.times[-1] * (1 + SAME_TIME)
        farther = jnp.maximum(sums.distance, jax.vmap(self._distance)(t, step.after))
        return Followed(
            distance=jnp.where(lasts, farther, sums.distance),
            loss=jnp.where(lasts, step.loss, sums.loss),
        )

    def _distance(self, t: Scalar, layers: Layers) -> Scalar:
        """Return ‖W_N⋯W_1 - W(t)‖_F."""
        last = self.times.shape[0] - 2
        piece = jnp.clip(jnp.searchsorted(self.times, t, side="right") - 1, 0, last)
        # Horner's scheme in the time since the interval's start
        flow = jnp.zeros(self.pieces.shape[2:])
        for coefficient in self.pieces[:, piece]:
            flow = flow * (t - self.times[piece]) + coefficient
        distance: Scalar = jnp.linalg.norm(network.end_to_end(layers) - flow)
        return distance
