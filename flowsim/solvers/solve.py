"""Solving a problem: from a problem and options to a trajectory with an error estimate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from flowsim.dynamics.registry import FLOWS
from flowsim.problem.arguments import (
    checked,
    finite_number,
    instance_of,
    mask,
    one_of,
    optional,
    times_from_zero,
    times_in_any_order,
    truth,
    whole_number,
)
from flowsim.problem.losses import Loss
from flowsim.problem.problem import Problem
from flowsim.process.environment import computing, threads_for
from flowsim.solvers import methods
from flowsim.solvers.accuracy import solve_to_accuracy
from flowsim.solvers.ending import ending_of
from flowsim.solvers.error_estimate import compared_times, with_error_estimate
from flowsim.solvers.integrate import integrate
from flowsim.solvers.invariants import of_flow
from flowsim.solvers.methods import AUTO
from flowsim.solvers.methods.tolerances import Tolerances
from flowsim.solvers.monitor import SILENT, Monitor
from flowsim.solvers.options import SaveAt, Task, default_times, window_size
from flowsim.solvers.programs import make_room
from flowsim.solvers.stopping import Stop, criteria
from flowsim.solvers.storage import with_read_only_arrays
from flowsim.solvers.trajectory import Trajectory


@computing()
@checked(
    problem=instance_of(Problem, required="a flowsim.Problem"),
    space=partial(one_of, names=FLOWS),
    times=optional(times_from_zero),
    method=instance_of(str, required='"auto" or a name from flowsim.methods'),
    max_steps=partial(whole_number, least=1),
    stop_at_loss=optional(finite_number),
    held_out=optional(instance_of(Loss, required="one of flowsim.losses")),
    between=times_in_any_order,
    keep_layers=truth,
    estimate_error=truth,
    monitor=instance_of(Monitor, required="a Monitor"),
)
def solve(
    problem: Problem,
    space: str = "layers",
    *,
    times: Sequence[float] | np.ndarray | None = None,
    method: str = AUTO,
    rtol: float = 1e-8,
    atol: float | None = None,
    max_steps: int = 10_000_000,
    stop: Stop | Sequence[Stop] | None = None,
    stop_at_loss: float | None = None,
    held_out: Loss | None = None,
    between: Sequence[float] | np.ndarray = (),
    keep: np.ndarray | None = None,
    keep_layers: bool = False,
    estimate_error: bool = True,
    monitor: Monitor = SILENT,
) -> Trajectory:
    """Return the solution of gradient flow from t = 0 to the problem's final time.

    Loss and singular values over time show the saddle-to-saddle dynamics of small initializations:
    long plateaus, at whose ends one singular value after the other is learned.

    Parameters
    ----------
    problem
        The loss, the starting layers, the final time and the weight decay.
    space
        The formulation of the flow.

        - `"layers"`: Ẇ_j = -∂φ/∂W_j over all layers, φ(W_1, …, W_N) = ℓ(W_N⋯W_1).
        - `"end_to_end"`: Ẇ = -P_W[∇ℓ(W)] over W alone (Arora, Cohen & Hazan 2018), the same flow
          from balanced layers.
        - `"spectral"`: the same over U, log σ and V, which resolves singular values far below the
          rounding of W's entries.
        - `"modes"`: the same over log σ alone, where the singular vectors are constant.
    times
        Saved times, increasing from 0; default: 200 equally spaced ones up to the final time. The
        last one takes the place of the problem's final time, also where it is later.
    method
        A name from `flowsim.methods`, or "auto": explicit, and changed where the flow is stiff.
    rtol, atol
        The error allowed per step is rtol·|y| + atol. By default atol is rtol times the root mean
        square entry of each starting matrix, so that tiny initializations are resolved. Good
        values of rtol: 1e-6 for pictures, 1e-8 for numbers.
    max_steps
        Steps attempted at most, over all solves.
    stop
        Where the flow ends before its final time; that time becomes the last saved one. One of
        these, or a list of which the first that is met counts:

        - `{"loss": 1e-3}`, or another of `"gradient_norm"` (‖∇ℓ(W)‖_F), `"distance"` (‖W - Φ‖_F),
          `"held_out_loss"` and `"effective_rank"`: where the quantity falls to the value; the
          effective rank also where it rises to it.
        - A function g(t, W) written with jax.numpy: where it changes its sign.
        - `"converged"`: where |dℓ/dt| t is at most 1e-6 ℓ(W(0)), and the loss at its minimum as for
          the verdict "converged" rather than on a plateau.

        The time is located to rounding within the step that ends past it. A quantity that returns
        within the same step is missed.
    stop_at_loss
        Shorthand for `stop={"loss": value}`.
    held_out
        The loss of `"held_out_loss"`.
    between
        Further times, at which W alone is saved.
    keep
        Booleans over `times`: at which W is kept (default: all). The last one always is.
    keep_layers
        Whether to keep W_1, …, W_N at the saved times.
    estimate_error
        Whether to solve once more at ten times the tolerance; the difference is an upper estimate
        of the error. Where it exceeds 1 % of ‖W‖, "auto" solves again at a tighter rtol, at most
        twice, and the trajectory has that `rtol`.
    monitor
        Where progress is reported and stop requests come from.

    Returns
    -------
    Trajectory
        The solution with a verdict and an error estimate. A flow that grows without bound, or
        takes more than `max_steps`, has such a verdict and the solution up to there.

    Raises
    ------
    ValueError
        If an argument is outside its range, or if the flow does not exist in this space (for
        example `"end_to_end"` where it does not depend on W alone).
    SettingError
        If JAX cannot compute in double precision with its present settings.

    """
    make_room()
    tolerances = Tolerances(rtol, atol)
    chosen = methods.first_choice(method, rtol)
    saved = default_times(problem) if times is None else np.asarray(times)
    kept = mask("keep", keep, saved.size)
    kept[-1] = True
    # the error estimate compares W at these times; those not requested are dropped at the end
    saved_too = compared_times(saved.size, problem) if estimate_error else False
    flow = FLOWS[space].build(problem)
    start = flow.initial_state(problem)
    save = SaveAt(saved, np.asarray(between, dtype=float), kept | saved_too, layers=keep_layers)
    level = None if stop_at_loss is None else {"loss": stop_at_loss}
    task = Task(
        problem=problem,
        flow=flow,
        method=chosen,
        adaptive_method=method == AUTO,
        tolerances=tolerances,
        max_steps=max_steps,
        criteria=criteria([stop, level], problem, held_out),
        start=start,
        save=save,
        window_size=window_size(start, save.times.size),
        monitor=monitor,
    )
    with threads_for(problem.widths):
        trajectory = integrate(task)
        if estimate_error:
            trajectory = with_error_estimate(trajectory, task)
            if method == AUTO:
                trajectory = solve_to_accuracy(trajectory, task)
    judged = replace(trajectory.thinned(kept), judge=ending_of, watch=of_flow)
    return with_read_only_arrays(judged)
