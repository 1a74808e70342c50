"""Oscillations of modes and catapults of gradient descent beyond the edge of stability."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from flowsim.dynamics.accumulators import HighestLoss
from flowsim.dynamics.descent import Iterates
from flowsim.problem import network
from flowsim.problem.errors import NotApplicable
from flowsim.problem.types import Layers
from flowsim.solvers.behaviour import Behaviour
from flowsim.solvers.iterate import initial_iterates, iterate, make_descent
from flowsim.solvers.long_run import (
    STATIONARY_LONG_TERM,
    alternating_part,
    attractor,
    oscillation_behaviour,
    period,
)
from flowsim.theory.oscillation.period_doubling import (
    critical_step_size,
    instability_onset,
    second_doubling,
    sign_change,
    two_cycle,
)
from flowsim.theory.oscillation.spec import VISITS
from flowsim.theory.setting import Arrays, Setting
from flowsim.theory.sharpness.measure import extremes_or_nan

RAISED, LOWERED = 0.01, 0.01
"""Definition of a catapult, in fractions of the decrease of the loss along the flow.

The loss first rises by more than `RAISED`, and finally is at most `LOWERED` above its limit."""


def measure(setting: Setting) -> Arrays:
    """Return the long-term behaviour of every mode at each step size, and its prediction.

    All values are nan after an interrupt; those of the last iterates also where descent diverged.
    """
    problem, descent = setting.problem, setting.descent
    assert descent is not None
    U, Vt, target, h = _modes(setting)
    iterates = _LastIterates.along(setting, U, Vt)
    moves = iterates.oscillations(float(target.max(initial=0.0)))
    return {
        "step_size": descent.step_sizes,
        **moves,
        **iterates.catapults(setting, moves["period"]),
        **_predicted(target, h, problem.depth, descent.step_sizes),
        **_onsets(descent.step_sizes, moves["period"]),
        "target": target,
    }


def _modes(setting: Setting) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Return U, Vᵀ and strengths of the recorded modes, and the curvature h of the loss.

    For ½h‖W - Φ‖² without weight decay they are the modes of Φ. Otherwise they are those of the
    final W of the flow, and h is nan.
    """
    W, h = np.asarray(setting.reference.end_to_end_series[-1]), float("nan")
    if not setting.problem.weight_decay:
        with suppress(NotApplicable):
            W, h = setting.problem.loss.isotropic()
    U, sigma, Vt = np.linalg.svd(W, full_matrices=False)
    return U, Vt, sigma, h


class _LastIterates:
    """Modes at consecutive iterates half-way and at the end, `(visit, step_size, mode)`.

    It also holds the highest and the final loss, and the final layers, per step size.
    """

    def __init__(self, step_sizes: np.ndarray, modes: int) -> None:
        self.step_sizes, count = step_sizes, step_sizes.size
        self.early, self.late = np.full((2, VISITS, count, modes), np.nan)
        self.highest = self.final = np.full(count, np.nan)
        self.layers: Layers | None = None

    @classmethod
    def along(cls, setting: Setting, U: np.ndarray, Vt: np.ndarray) -> _LastIterates:
        """Return the modes ⟨u_r v_rᵀ, W⟩ along gradient descent at all step sizes of the run.

        It iterates to the last recorded iterate, at least to twice `VISITS`.
        """
        descent = setting.descent
        assert descent is not None
        sizes = descent.step_sizes
        last = np.maximum(descent.iteration[:, -1], 2 * VISITS)[:, None]
        tail = np.arange(1 - VISITS, 1)
        # the amplitude half-way beside the one at the end separates decaying from persistent
        count = np.concatenate([last // 2 + tail, last + tail], axis=1)
        modes = cls(sizes, len(Vt))

        def visit(sample: int, iterates: Iterates) -> None:
            seen, loss = _strengths(setting.problem.loss, U, Vt, iterates.layers)
            alive = np.asarray(iterates.alive)
            tails = modes.early if sample < VISITS else modes.late
            tails[sample % VISITS, alive] = np.asarray(seen)[alive]
            if sample == count.shape[1] - 1:
                modes.final = np.where(alive, np.asarray(loss), np.nan)
                modes.highest = np.where(alive, np.asarray(iterates.accumulated), np.inf)
                modes.layers = tuple(np.asarray(W) for W in iterates.layers)

        steps = make_descent(setting.problem, sizes.tolist(), accumulator=HighestLoss())
        start = initial_iterates(steps, setting.problem)
        iterate(steps, start, count, visit, monitor=setting.monitor)
        return modes

    def oscillations(self, size: float) -> dict[str, np.ndarray]:
        """Return period, amplitude, centre and orbit of every mode at each step size.

        `size` is the largest target strength, the scale on which amplitudes are compared with 0.
        """
        grid = np.full((3, *self.late.shape[1:]), np.nan)
        for k in range(self.late.shape[1]):
            if np.isfinite(self.late[:, k]).all():
                grid[:, k] = np.transpose(oscillations(self.early[:, k], self.late[:, k], size))
        period, amplitude, centre = grid
        orbit = np.moveaxis(self.late, 0, 2)
        return {"period": period, "amplitude": amplitude, "centre": centre, "orbit": orbit}

    def catapults(self, setting: Setting, period: np.ndarray) -> dict[str, np.ndarray]:
        """Return the highest loss, whether a catapult occurred, and ηλ_max/2 where one did.

        The sharpness λ_max is that at the final iterate; a catapult ends where it is below 2/η.
        """
        problem, loss = setting.problem, setting.reference.loss
        start, end = float(loss[0]), float(loss[-1])
        converged = (period == 1).all(axis=1)
        with np.errstate(invalid="ignore"):
            up = self.highest - start > RAISED * (start - end)
            up_and_down = up & converged & (self.final - end <= LOWERED * (start - end))
        sharpness = np.full(converged.size, np.nan)
        for k in np.flatnonzero(up_and_down):
            assert self.layers is not None
            largest = extremes_or_nan(problem, [W[k] for W in self.layers]).largest
            sharpness[k] = largest * self.step_sizes[k] / 2
        return {
            "highest_loss": self.highest,
            "catapult": np.where(np.isnan(self.highest), np.nan, up_and_down),
            "sharpness_over_limit": sharpness,
        }


@jax.jit
def _strengths(loss: Any, U: np.ndarray, Vt: np.ndarray, layers: Any) -> Any:
    """Return u_rᵀ W v_r and ℓ(W) at every step size."""
    W = jax.vmap(network.end_to_end)(layers)
    return jnp.einsum("or,koi,ri->kr", U, W, Vt), jax.vmap(loss.value)(W)


def _predicted(phi: np.ndarray, h: float, depth: int, sizes: np.ndarray) -> dict[str, np.ndarray]:
    """Return the predictions for each mode on its own: 2-cycles, and step sizes of instabilities.

    Gradient descent on ½h‖W - Φ‖² at step size η is that on ½‖W - Φ‖² at step size hη. Predictions
    are nan at N = 1, where descent is linear, and for other losses.
    """
    critical = critical_step_size(phi, depth) / h
    low, high = np.full((2, sizes.size, phi.size), np.nan)
    nonlinear = depth > 1 and np.isfinite(h)
    for r in np.flatnonzero(np.isfinite(critical)) if nonlinear else ():
        for k, eta in enumerate(sizes):
            cycle = two_cycle(float(eta / critical[r]), depth)
            if cycle.stable:
                low[k, r], high[k, r] = (phi[r] * u**depth for u in (cycle.low, cycle.high))
    none = np.full(phi.size, np.nan)
    unaligned = none.copy()
    for r in np.flatnonzero(np.isfinite(critical[1:])) if nonlinear else ():
        unaligned[r] = instability_onset((float(phi[r]), float(phi[r + 1])), depth) / h
    return {
        "critical": critical,
        "predicted_low": low,
        "predicted_high": high,
        "second_doubling": critical * second_doubling(depth) if nonlinear else none,
        "turning": unaligned,
        "sign_change": critical * sign_change(depth) if nonlinear else none,
    }


def _onsets(sizes: np.ndarray, period: np.ndarray) -> dict[str, np.ndarray]:
    """Return for each mode the smallest step size at which it oscillates, `onset`.

    `onset_above` is the largest step size below it at which the mode converges, so that the true
    onset is between both. nan where no such step size exists.
    """
    order = np.argsort(sizes)
    onset, above = np.full((2, period.shape[1]), np.nan)
    for r, column in enumerate(period[order].T):
        oscillating = np.flatnonzero((column == 0) | (column > 1))
        if oscillating.size:
            onset[r] = sizes[order][oscillating[0]]
            converged = np.flatnonzero(column[: oscillating[0]] == 1)
            above[r] = sizes[order][converged[-1]] if converged.size else np.nan
    return {"onset": onset, "onset_above": above}


class Oscillation(NamedTuple):
    """The long-term behaviour of one mode.

    Attributes
    ----------
    period
        1 if the mode converges; the period in iterations if it is periodic; 0 if it is irregular,
        no iterate of the window recurring within half the window; nan if a longer run is required,
        because the oscillation grows, decays slowly, or follows irregular dynamics.
    amplitude
        Half the range over the late window.
    centre
        The mean over the late window.

    """

    period: float
    amplitude: float
    centre: float


def oscillations(early: np.ndarray, late: np.ndarray, size: float) -> list[Oscillation]:
    """Return the long-term behaviour of each mode from its strengths `(iterate, mode)`.

    The early window of iterates lies half-way along the run, the late one at its end. Each mode is
    classified on its own. Motion below `STATIONARY_LONG_TERM` times `size`, the strength of the
    largest target, is rounding in a mode that converges.
    """
    pairs = zip(early.T, late.T, strict=True)
    return [_oscillation(before, after, STATIONARY_LONG_TERM * size) for before, after in pairs]


def _oscillation(early: np.ndarray, late: np.ndarray, least: float) -> Oscillation:
    amplitude, centre = float(np.ptp(late)) / 2, float(late.mean())
    # a slow monotone approach to the limit is no oscillation and would pass for a large amplitude
    before, after = (alternating_part(tail[:, None])[:, 0] for tail in (early, late))
    first, last = float(np.ptp(before)), float(np.ptp(after))
    if last <= least:
        return Oscillation(1.0, amplitude, centre)
    cycle = period(after[:, None])
    kind = oscillation_behaviour(first, last, cycle, [attractor(before, after, least)])
    if kind in (Behaviour.GROWING, Behaviour.UNDECIDED):
        return Oscillation(np.nan, amplitude, centre)
    return Oscillation(1.0 if kind is Behaviour.DECAYING else float(cycle), amplitude, centre)
