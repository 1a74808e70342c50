"""Adaptive integration in chunks of bounded size: the compiled part of solving.

Steps end exactly on every landing. States at the other saved times follow from the dense output of
the method.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from flowsim.dynamics.flow import State
from flowsim.problem.types import Array, Scalar
from flowsim.solvers.methods.method import Method
from flowsim.solvers.stopping import Criteria
from flowsim.solvers.system import ScaledFlow
from flowsim.solvers.window import Window, save_states, where

RUNNING, CRITERION_MET, STEP_UNDERFLOW, LEFT_RANGE = 0, 1, 2, 3
"""Values of `Progress.status`, integers since compiled code can hold no enumeration."""

PROPORTIONAL, INTEGRAL = 0.3, 0.4
"""Coefficients of the PI controller (Hairer & Wanner, Solving ODEs II, §IV.2).

It rejects fewer steps than an I controller where stability, not accuracy, limits the step: there
the error grows suddenly, and an I controller alternates between too long and too short."""

TINIEST_STEP_ULPS = 8
"""Smallest step in units of the spacing of floats at t; below it, t + h loses most digits of h."""

STRETCH = 1.01
"""Largest factor by which a step is stretched to a landing, where a tiny step would remain."""


class Progress(eqx.Module):
    """The complete state of an integration, from which it continues bitwise as if never stopped.

    Attributes
    ----------
    t, y
        The time, and the scaled state there.
    h
        The proposed size of the next step.
    solver_state, controller_state
        The states of the method and of the step size controller.
    accepted, rejected
        Numbers of steps so far.
    end
        The end of the last step attempted.
    status
        `RUNNING`, `CRITERION_MET`, `STEP_UNDERFLOW` or `LEFT_RANGE`.

    """

    t: Scalar
    y: State
    h: Scalar
    solver_state: Any
    controller_state: Any
    accepted: Array
    rejected: Array
    end: Scalar
    status: Array


class Integrator(eqx.Module):
    """The compiled integrator of a system of differential equations by a method.

    Attributes
    ----------
    system
        The flow, in a scaled state.
    rtol
        The tolerance of the scaled state, relative and absolute.
    criteria, armed
        The criteria that end the flow, each evaluated once per step, and whether they do.
    method, solver
        The method, and its diffrax solver.

    """

    system: ScaledFlow
    rtol: Array
    criteria: Criteria
    armed: Array
    method: Method = eqx.field(static=True)
    solver: Any

    @classmethod
    def of(
        cls,
        system: ScaledFlow,
        rtol: float,
        method: Method,
        criteria: Criteria = (),
        *,
        armed: bool = True,
    ) -> Integrator:
        """Return an integrator; its numbers are arrays, so that a new value does not recompile."""
        return cls(
            system=system,
            rtol=np.asarray(rtol),
            criteria=criteria,
            armed=np.asarray(armed),
            method=method,
            solver=method.make(),
        )

    def _prepared(self) -> tuple[Any, Any, Any]:
        """Return diffrax's terms, solver and step size controller."""
        controller = diffrax.PIDController(
            rtol=self.rtol, atol=self.rtol, pcoeff=PROPORTIONAL, icoeff=INTEGRAL
        )
        solver = self.method.prepare(self.solver, self.system, self.rtol, controller.norm)
        return diffrax.ODETerm(self.system.velocity), solver, controller

    @eqx.filter_jit
    def start(self, state: State, end: Scalar) -> Progress:
        """Return the progress at time 0 in an unscaled state."""
        progress: Progress = self.begin(jnp.zeros(()), self.system.scaled(state), end)
        return progress

    @eqx.filter_jit
    def begin(self, t: Scalar, y: State, end: Scalar) -> Progress:
        """Return the progress at time t in scaled state y.

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
            end=t,
            status=jnp.asarray(RUNNING),
        )
        typed: Progress = jax.tree.map(_strongly_typed, progress)
        return typed

    @eqx.filter_jit
    def advance(
        self, progress: Progress, window: Window, budget: Array
    ) -> tuple[Progress, Any, Any]:
        """Return the progress once all times of the window are reached or `budget` steps are taken.

        It also ends when `status` is no longer `RUNNING`. With the progress it returns the number
        of times reached, and the scaled states there, with a leading axis of the window's length. A
        first time equal to the present one, as t = 0, takes no step.
        """
        size = window.times.shape[0]
        saved = tuple(jnp.zeros((size, *y.shape), y.dtype).at[0].set(y) for y in progress.y)
        here = jnp.asarray(window.times[0] == progress.t, dtype=int)
        taken_before = progress.accepted + progress.rejected

        def unfinished(carry: tuple[Progress, Any, Any]) -> Any:
            now, reached, _ = carry
            taken = now.accepted + now.rejected - taken_before
            going = (now.status == RUNNING) & self.system.in_range(now.y)
            return (reached < window.filled) & (taken < budget) & going

        def step(carry: tuple[Progress, Any, Any]) -> tuple[Progress, Any, Any]:
            now, reached, saved = carry
            after, end, y, dense, kept = self._attempt(now, window.landings[reached])
            reached, saved = save_states(window, reached, saved, kept, end, y, dense)
            return after, reached, saved

        now, reached, saved = jax.lax.while_loop(unfinished, step, (progress, here, saved))
        left = (now.status == RUNNING) & ~self.system.in_range(now.y)
        status = jnp.where(left, LEFT_RANGE, now.status).astype(now.status.dtype)

        def within_range() -> Array:
            within = jax.lax.map(self.system.in_range, saved) & (jnp.arange(size) < reached)
            return jnp.sum(within)

        # a long step may pass several saved times, some of them beyond the range
        reached = jax.lax.cond(left, within_range, lambda: reached)
        return replace(now, status=status), reached, saved

    def _attempt(self, now: Progress, target: Scalar) -> tuple[Progress, Scalar, State, Any, Array]:
        """Return the result of one attempted step that ends at `target` at the latest.

        That is the progress after it, its end, the state there, its dense output, and whether its
        states are saved. They are not if the error is too large, or if the step meets a criterion
        that ends the flow. In the latter case the progress remains before the step, within which
        `IntegrationState` then computes the exact time.
        """
        terms, solver, controller = self._prepared()
        h = self.method.limit_step(self.solver, now.solver_state, now.h)
        now = replace(now, h=h)
        # exact equality with `target`, as t + h would be rounded: saved times are reached bitwise
        clipped = now.t + now.h > target
        end = jnp.where(now.t + STRETCH * now.h >= target, target, now.t + now.h)
        y, error, dense, solver_state, _ = solver.step(
            terms, now.t, end, now.y, None, now.solver_state, False
        )
        # the controller rejects an infinite error, but not nan nor a state that overflowed
        usable = _all_finite((y, error))
        y = where(usable, y, now.y)
        error = jax.tree.map(lambda e: jnp.where(usable, e, jnp.inf), error)
        keep, t, proposed, _, controller_state, _ = controller.adapt_step_size(
            now.t, end, now.y, y, None, error, solver.error_order(terms), now.controller_state
        )
        # a step cut short to land has a small error, which must not change the proposed step
        h = jnp.where(keep & clipped, jnp.maximum(proposed - t, now.h), proposed - t)
        # only after a rejection: an accepted step may be tiny because a landing was close
        # the step is nan where a velocity squares beyond the range, and the spacing is 0 at t = 0
        tiniest = jnp.maximum(TINIEST_STEP_ULPS * jnp.spacing(t), np.finfo(np.float64).tiny)
        underflow = ~keep & ~(h >= tiniest)
        # for the same reason the controller's memory of errors is kept from before a clipped step
        moved = Progress(
            t=t,
            y=where(keep, y, now.y),
            h=h,
            solver_state=where(
                keep,
                solver_state,
                self.method.after_rejection(solver, now.solver_state, solver_state),
            ),
            controller_state=where(keep & clipped, now.controller_state, controller_state),
            accepted=jnp.where(keep, now.accepted + 1, now.accepted),
            rejected=jnp.where(keep, now.rejected, now.rejected + 1),
            end=end,
            status=jnp.where(underflow, STEP_UNDERFLOW, RUNNING).astype(now.status.dtype),
        )
        stop = keep & self._criterion_met(end, y)
        before = replace(now, end=end, status=jnp.asarray(CRITERION_MET))
        dense_output = solver.interpolation_cls(t0=now.t, t1=end, **dense)
        return where(stop, before, moved), end, y, dense_output.evaluate, keep & ~stop

    def _criterion_met(self, t: Scalar, y: State) -> Array:
        met = [excess <= 0 for excess in self.excesses(t, y)]
        return self.armed & jnp.any(jnp.asarray(met, dtype=bool))

    @eqx.filter_jit
    def excesses(self, t: Scalar, y: State) -> tuple[Scalar, ...]:
        """Return the excess of each criterion at a time and a scaled state."""
        return tuple(criterion.excess(self.system, t, y) for criterion in self.criteria)

    @eqx.filter_jit
    def single_step(self, t: Scalar, y: State, h: Scalar) -> State:
        """Return the scaled state after one step of size h, without error control."""
        terms, solver, _ = self._prepared()
        solver_state = solver.init(terms, t, t + h, y, None)
        after: State = solver.step(terms, t, t + h, y, None, solver_state, False)[0]
        return after


def _strongly_typed(x: Any) -> Array:
    # a weakly typed scalar would make `advance` compile a second time
    array = jnp.asarray(x)
    return jax.lax.convert_element_type(array, array.dtype)


def _all_finite(tree: Any) -> Array:
    return jnp.all(jnp.asarray([jnp.isfinite(x).all() for x in jax.tree.leaves(tree)]))
