"""Adaptive integration in bounded pieces: the compiled part of solving.

The state is held in units of its scale (`Tolerances.scales`), matrix by matrix, so that one
relative tolerance serves them all, and as one row of numbers, so that a step costs few operations.
Steps end exactly on every time that must be landed on; other wanted times inside a step come from
the method's dense output.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import accumulate
from math import prod
from typing import Any, NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from flowsim.dynamics.flow import Flow, State
from flowsim.problem.losses import Loss
from flowsim.problem.types import Array, Matrix, Scalar
from flowsim.solvers.methods import Method
from flowsim.solvers.methods.rosenbrock import Rosenbrock
from flowsim.solvers.methods.spectral_radius import SAFETY, chirp, spectral_radius
from flowsim.solvers.methods.stabilized import Field, Stabilized

RUNNING, LOSS_REACHED, STEP_UNDERFLOW = 0, 1, 2

# A PI controller (Hairer & Wanner, Solving ODEs II, §IV.2) rejects less than an I controller
# where stability, not accuracy, limits the step.
PROPORTIONAL, INTEGRAL = 0.3, 0.4

TINIEST_STEP_ULPS = 8
STRETCH = 1.01


class Window(NamedTuple):
    """The next wanted `times`, for each the next one to land on, and how many are `filled`.

    The rest, up to a fixed size, are inf.
    """

    times: Array
    landings: Array
    filled: Array


class Progress(eqx.Module):
    """Where an integration stands; everything needed to go on bitwise as if never stopped."""

    t: Scalar
    y: State
    h: Scalar
    solver_state: Any
    controller_state: Any
    accepted: Array
    rejected: Array
    status: Array


class Integrator(eqx.Module):
    """A flow, its loss, a method and a tolerance, ready to be advanced."""

    flow: Flow
    loss: Loss
    weight_decay: Array
    scales: tuple[Array, ...]
    rtol: Array
    stop_at_loss: Array
    shapes: tuple[tuple[int, ...], ...] = eqx.field(static=True)
    watch_loss: bool = eqx.field(static=True)
    solver: Any

    @classmethod
    def of(
        cls,
        flow: Flow,
        loss: Loss,
        weight_decay: float,
        shapes: tuple[tuple[int, ...], ...],
        scales: tuple[float, ...],
        rtol: float,
        method: Method,
        stop_at_loss: float | None,
    ) -> Integrator:
        """Gather the pieces, every number as an array so that values never trigger compiling."""
        return cls(
            flow=flow,
            loss=loss,
            weight_decay=np.asarray(weight_decay),
            shapes=shapes,
            scales=tuple(np.asarray(s) for s in scales),
            rtol=np.asarray(rtol),
            stop_at_loss=np.asarray(-np.inf if stop_at_loss is None else stop_at_loss),
            watch_loss=stop_at_loss is not None,
            solver=method.make(),
        )

    def without_solver(self) -> Integrator:
        """Return what measures a state, in a form that one compiled program serves every method."""
        return replace(self, solver=None)

    def velocity(self, t: Any, y: State, args: None) -> State:  # noqa: ARG002
        """Return dy/dt in scaled units."""
        return self.scaled(self.flow.velocity(self.unscaled(y), self.loss, self.weight_decay))

    def scaled(self, state: State) -> State:
        """Return a state in units of its scales, as one row: steps then cost few operations."""
        parts = (jnp.ravel(y) / s for y, s in zip(state, self.scales, strict=True))
        return (jnp.concatenate(list(parts)),)

    def unscaled(self, y: State) -> State:
        """Return a scaled state, or many along leading axes, in its own units."""
        (row,) = y
        parts = jnp.split(row, list(accumulate(map(prod, self.shapes)))[:-1], axis=-1)
        return tuple(
            (part * s).reshape(*row.shape[:-1], *shape)
            for part, s, shape in zip(parts, self.scales, self.shapes, strict=True)
        )

    def end_to_end(self, y: State) -> Matrix:
        """Return the end-to-end matrix of a scaled state."""
        return self.flow.end_to_end(self.unscaled(y))

    @property
    def symmetric(self) -> bool:
        """Return whether the Jacobian in scaled units is symmetric under `inner`."""
        return self.flow.symmetric

    def resolvent(self, y: State, tau: Array) -> Callable[[State], State]:
        """Return an approximation of x ↦ (I - τJ)⁻¹ x, J the Jacobian in scaled units."""
        inverse = self.flow.resolvent(self.unscaled(y), self.loss, self.weight_decay, tau)
        return lambda x: self.scaled(inverse(self.unscaled(x)))

    def inner(self, x: State, y: State) -> Scalar:
        """Return ⟨x, y⟩ of two scaled states in their own units."""
        pairs = zip(self.unscaled(x), self.unscaled(y), strict=True)
        return jnp.asarray(sum(jnp.vdot(x_j, y_j) for x_j, y_j in pairs))

    def _controller(self) -> Any:
        return diffrax.PIDController(
            rtol=self.rtol, atol=self.rtol, pcoeff=PROPORTIONAL, icoeff=INTEGRAL
        )

    def _prepared(self) -> tuple[Any, Any, Any]:
        controller, solver = self._controller(), self.solver
        if isinstance(solver, diffrax.AbstractImplicitSolver):
            # as `diffeqsolve` does: the root finder takes the controller's tolerances
            solver = eqx.tree_at(
                lambda s: (s.root_finder.rtol, s.root_finder.atol, s.root_finder.norm),
                solver,
                (self.rtol, self.rtol, controller.norm),
            )
        elif isinstance(solver, Rosenbrock):
            solver = solver.on(self)
        return diffrax.ODETerm(self.velocity), solver, controller

    @eqx.filter_jit
    def start(self, state: State, end: Scalar) -> Progress:
        """Return the progress at time 0 in a state that is not scaled yet."""
        progress: Progress = self.begin(jnp.zeros(()), self.scaled(state), end)
        return progress

    @eqx.filter_jit
    def begin(self, t: Scalar, y: State, end: Scalar) -> Progress:
        """Return the progress at time t in scaled state y, with a first step chosen by the method.

        The first step follows Hairer, Nørsett & Wanner (Solving ODEs I, §II.4).
        """
        terms, solver, controller = self._prepared()
        first, controller_state = controller.init(
            terms, t, end, y, None, None, solver.func, solver.error_order(terms)
        )
        progress = Progress(
            t=t,
            y=y,
            h=jnp.minimum(first - t, end - t),
            solver_state=solver.init(terms, t, first, y, None),
            controller_state=controller_state,
            accepted=jnp.asarray(0),
            rejected=jnp.asarray(0),
            status=jnp.asarray(RUNNING),
        )
        typed: Progress = jax.tree.map(_strongly_typed, progress)
        return typed

    @eqx.filter_jit
    def advance(
        self, progress: Progress, window: Window, budget: Array
    ) -> tuple[Progress, Any, Any]:
        """Step until the window is filled, `budget` steps are taken, or the status says stop.

        Returns the progress, how many of the window's times were reached, and the scaled states
        there, with a leading axis of the window's length. A first time that is the present one,
        as at the start, is reached without a step.
        """
        size = window.times.shape[0]
        saved = tuple(jnp.zeros((size, *y.shape), y.dtype).at[0].set(y) for y in progress.y)
        here = jnp.asarray(window.times[0] == progress.t, dtype=int)
        taken_before = progress.accepted + progress.rejected

        def wants_more(carry: tuple[Progress, Any, Any]) -> Any:
            now, reached, _ = carry
            taken = now.accepted + now.rejected - taken_before
            return (reached < window.filled) & (taken < budget) & (now.status == RUNNING)

        def step(carry: tuple[Progress, Any, Any]) -> tuple[Progress, Any, Any]:
            now, reached, saved = carry
            after, end, y, dense, kept = self._attempt(now, window.landings[reached])
            reached, saved = _save(window, reached, saved, kept, end, y, dense)
            return after, reached, saved

        return jax.lax.while_loop(wants_more, step, (progress, here, saved))

    def _attempt(self, now: Progress, target: Scalar) -> tuple[Progress, Scalar, State, Any, Array]:
        """Try one step that ends at `target` at the latest.

        Returns the progress after it, where it ended and in which state, its dense output, and
        whether it was kept: a step is not if its error is too large, or if it reaches the loss at
        which to stop, which leaves the progress before it for the exact stop to be found.
        """
        terms, solver, controller = self._prepared()
        now = self._within_reach(now)
        clipped = now.t + now.h > target
        end = jnp.where(now.t + STRETCH * now.h >= target, target, now.t + now.h)
        y, error, dense, solver_state, _ = solver.step(
            terms, now.t, end, now.y, None, now.solver_state, False
        )
        # the controller takes an infinite error, but neither nan nor a state that overflowed
        usable = _all_finite((y, error))
        y = _where(usable, y, now.y)
        error = jax.tree.map(lambda e: jnp.where(usable, e, jnp.inf), error)
        keep, t, proposed, _, controller_state, _ = controller.adapt_step_size(
            now.t, end, now.y, y, None, error, solver.error_order(terms), now.controller_state
        )
        # a step cut short to land says nothing against the step that was proposed
        h = jnp.where(keep & clipped, jnp.maximum(proposed - t, now.h), proposed - t)
        underflow = ~keep & (h < TINIEST_STEP_ULPS * jnp.spacing(t))
        moved = Progress(
            t=t,
            y=_where(keep, y, now.y),
            h=h,
            solver_state=_where(keep, solver_state, self._refused(now, solver_state)),
            controller_state=_where(keep & clipped, now.controller_state, controller_state),
            accepted=jnp.where(keep, now.accepted + 1, now.accepted),
            rejected=jnp.where(keep, now.rejected, now.rejected + 1),
            status=jnp.where(underflow, STEP_UNDERFLOW, RUNNING).astype(now.status.dtype),
        )
        stop = keep & self._loss_reached(y)
        before = eqx.tree_at(
            lambda p: (p.h, p.status), now, (end - now.t, jnp.asarray(LOSS_REACHED))
        )
        dense_output = solver.interpolation_cls(t0=now.t, t1=end, **dense)
        return _where(stop, before, moved), end, y, dense_output.evaluate, keep & ~stop

    def _within_reach(self, now: Progress) -> Progress:
        """Return the progress with a next step for which a stabilized method has the stages."""
        if not isinstance(self.solver, Stabilized):
            return now
        longest = self.solver.longest_step(now.solver_state)
        shortened: Progress = eqx.tree_at(lambda p: p.h, now, jnp.fmin(now.h, longest))
        return shortened

    def _refused(self, now: Progress, solver_state: Any) -> Any:
        """Return the method's state after a step from `now` that was not kept."""
        if isinstance(self.solver, Stabilized):
            return self.solver.refused(now.solver_state, solver_state)
        return now.solver_state

    def _loss_reached(self, y: State) -> Array:
        if not self.watch_loss:
            return jnp.asarray(False)
        return self.loss.value(self.end_to_end(y)) <= self.stop_at_loss

    @eqx.filter_jit
    def single_step(self, t: Scalar, y: State, h: Scalar) -> State:
        """Return the scaled state one step of size h later."""
        terms, solver, _ = self._prepared()
        solver_state = solver.init(terms, t, t + h, y, None)
        after: State = solver.step(terms, t, t + h, y, None, solver_state, False)[0]
        return after

    @eqx.filter_jit
    def spectral_radius(self, t: Scalar, y: State) -> Scalar:
        """Return an estimate of the largest |eigenvalue| of the Jacobian, by power iteration.

        The Jacobian of a gradient flow is symmetric; in end-to-end space it is similar to one.
        """
        field: Field = lambda x: self.velocity(t, x, None)  # noqa: E731
        bound, _ = spectral_radius(field, y, field(y), chirp(y))
        return bound / SAFETY


def _save(
    window: Window, reached: Array, saved: Any, keep: Array, end: Scalar, y: State, dense: Any
) -> tuple[Array, Any]:
    """Write the states at the window's times up to the step's end into the next free slots."""

    def due(carry: tuple[Array, Any]) -> Array:
        slot, _ = carry
        in_step = window.times[jnp.minimum(slot, window.times.shape[0] - 1)] <= end
        return keep & (slot < window.filled) & in_step

    def write(carry: tuple[Array, Any]) -> tuple[Array, Any]:
        slot, saved = carry
        time = window.times[slot]
        value = _where(time == end, y, dense(time))
        saved = jax.tree.map(lambda buffer, v: buffer.at[slot].set(v), saved, value)
        return slot + 1, saved

    return jax.lax.while_loop(due, write, (reached, saved))


def _strongly_typed(x: Any) -> Array:
    # a weakly typed scalar would make `advance` compile a second time
    array = jnp.asarray(x)
    return jax.lax.convert_element_type(array, array.dtype)


def _all_finite(tree: Any) -> Array:
    return jnp.all(jnp.asarray([jnp.isfinite(x).all() for x in jax.tree.leaves(tree)]))


def _where(condition: Array, new: Any, old: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), new, old)
