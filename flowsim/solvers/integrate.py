"""Following a flow: the host loop around the compiled integrator.

The integration runs in pieces of a fraction of a second, between which progress is shown,
interrupts are heard and states are recorded. Where the pieces end never changes a bit of the
solution.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TypeVar

import jax
import numpy as np

from flowsim.dynamics.flow import State
from flowsim.solvers import stiffness
from flowsim.solvers.chunks import Pacing
from flowsim.solvers.methods import Method
from flowsim.solvers.options import Task
from flowsim.solvers.recorder import Recorder
from flowsim.solvers.stepper import LOSS_REACHED, RUNNING, STEP_UNDERFLOW, Integrator, Progress
from flowsim.solvers.stiffness import DECISION_STEPS, LIMITED, TRIAL_STEPS, Choice, Situation
from flowsim.solvers.trajectory import Statistics, Trajectory, Verdict

T = TypeVar("T")

POLE = 1e-6
"""A solution that would double within this share of the time so far is at a pole."""


def finished(arrays: T) -> T:
    """Return the arrays once they are computed."""
    return jax.block_until_ready(arrays)  # type: ignore[no-untyped-call, no-any-return]


@dataclass
class Journey:
    """How far an integration has come: the method in use, its progress, and what it cost."""

    task: Task
    choices: list[Choice]
    integrator: Integrator
    recorder: Recorder
    progress: Progress
    pacing: Pacing
    done: int = 0
    t: float = 0.0
    steps: int = 0
    decided: tuple[float, int] = (0.0, 0)
    next_decision: int = DECISION_STEPS
    seconds: dict[str, float] = field(default_factory=lambda: {"integration": 0.0, "compile": 0.0})

    @property
    def method(self) -> Method:
        """Return the method in use."""
        return self.choices[-1].method


def follow(task: Task) -> Trajectory:
    """Integrate and record until the horizon, a stop, an interrupt or a failure."""
    started = time.perf_counter()
    choice = stiffness.first(
        task.method, asked_for=not task.adaptive_method, rtol=task.tolerances.rtol
    )
    integrator = task.integrator(task.method)
    progress = integrator.start(task.start, np.asarray(task.wanted.times[-1]))
    pacing = _compiled(task, task.method, integrator, progress)
    journey = Journey(task, [choice], integrator, _recorder(task, integrator), progress, pacing)
    journey.seconds["compile"] += time.perf_counter() - started
    verdict = _ends_at_once(task)
    if verdict is not None:
        _record(journey, 0.0, progress.y)
        return _trajectory(journey, verdict)
    verdict = _march(journey)
    if verdict is Verdict.REACHED_HORIZON and _at_rest(journey, progress.y):
        verdict = Verdict.AT_REST
    return _trajectory(journey, verdict)


def _recorder(task: Task, integrator: Integrator) -> Recorder:
    wanted = task.wanted
    layers = [y.shape for y in task.start] if wanted.layers and task.flow.space == "layers" else []
    return Recorder(
        integrator.without_solver(),
        wanted.saved,
        wanted.keep,
        wanted.times.size - wanted.saved.size,
        task.problem.initial.shape,
        layers,
        measures=wanted.measures,
    )


def _compiled(task: Task, method: Method, integrator: Integrator, progress: Progress) -> Pacing:
    """Return the pacing of an integrator's steps, which are compiled."""
    window = task.wanted.window(0, task.window_size, method)
    pacing = Pacing(integrator, progress, window)
    if not pacing.known:
        finished(integrator.advance(progress, window, np.asarray(0)))
    return pacing


def _record(journey: Journey, t: float, y: State) -> None:
    """Record one state, in a batch of the size for which measuring is compiled."""
    batch = tuple(np.broadcast_to(y_j, (journey.task.window_size, *y_j.shape)) for y_j in y)
    journey.recorder.take(np.array([t]), batch)


def _ends_at_once(task: Task) -> Verdict | None:
    """Return the verdict if not a step is to be taken."""
    level, problem = task.stop_at_loss, task.problem
    if level is not None and problem.loss.value(problem.initial) <= level:
        return Verdict.STOPPED_AT_LOSS
    return Verdict.INTERRUPTED if task.monitor.stop_requested() else None


def _at_rest(journey: Journey, y: State) -> bool:
    """Say whether nothing has moved although the loss has a gradient at the start."""
    if not all(map(np.array_equal, journey.progress.y, y)):
        return False
    return bool(np.any(journey.task.problem.loss.gradient(journey.integrator.end_to_end(y))))


def _march(journey: Journey) -> Verdict:
    """Go on, piece by piece, until there is a verdict."""
    task, end = journey.task, float(journey.task.wanted.times[-1])
    while True:
        status = _advance(journey)
        task.monitor.report(journey.t / end if end > 0 else 1.0)
        if status == LOSS_REACHED:
            _stop(journey)
            return Verdict.STOPPED_AT_LOSS
        if status == STEP_UNDERFLOW:
            return Verdict.BLOW_UP if _at_pole(journey) else Verdict.TOLERANCE_TOO_TIGHT
        if journey.done == task.wanted.times.size:
            return Verdict.REACHED_HORIZON
        if task.monitor.stop_requested():
            return Verdict.INTERRUPTED
        if journey.steps >= task.max_steps:
            return Verdict.STIFF if _limited_by_stability(journey) else Verdict.BUDGET_EXHAUSTED
        _reconsider(journey)


def _advance(journey: Journey) -> int:
    """Take the steps of one piece and record; return the status after them."""
    task, before = journey.task, journey.steps
    window = task.wanted.window(journey.done, task.window_size, journey.method)
    budget = np.asarray(min(journey.pacing.piece, _allowed(journey)))
    started = time.perf_counter()
    journey.progress, count, states = finished(
        journey.integrator.advance(journey.progress, window, budget)
    )
    elapsed = time.perf_counter() - started
    journey.seconds["integration"] += elapsed
    now, reached = journey.progress, int(count)
    journey.t, journey.steps = float(now.t), int(now.accepted) + int(now.rejected)
    times = task.wanted.times[journey.done : journey.done + reached]
    journey.recorder.take(times, states)
    journey.done += reached
    if journey.steps > before:
        journey.pacing.learn(journey.steps - before, elapsed)
    return int(now.status)


def _allowed(journey: Journey) -> int:
    """Return how many steps may be taken before the budget ends or a decision is due."""
    left = journey.task.max_steps - journey.steps
    if not journey.task.adaptive_method:
        return left
    return min(left, journey.next_decision - journey.steps)


def _reconsider(journey: Journey) -> None:
    """Under "auto", go on with another method where that takes less work."""
    if not journey.task.adaptive_method or journey.steps < journey.next_decision:
        return
    (t, steps), journey.decided = journey.decided, (journey.t, journey.steps)
    journey.next_decision = journey.steps + DECISION_STEPS
    if journey.t == t:
        return
    situation = Situation(
        t=journey.t,
        step=(journey.t - t) / (journey.steps - steps),
        radius=_spectral_radius(journey),
        ahead=float(journey.task.wanted.times[-1]) - journey.t,
        entries=sum(y.size for y in journey.task.start),
        rtol=journey.task.tolerances.rtol,
    )
    choice = stiffness.next_choice(journey.method, situation)
    if choice is not None:
        _change_method(journey, choice)
        journey.next_decision = journey.steps + TRIAL_STEPS


def _spectral_radius(journey: Journey) -> float:
    return float(journey.integrator.spectral_radius(journey.progress.t, journey.progress.y))


def _limited_by_stability(journey: Journey) -> bool:
    """Say whether the step is near the end of an explicit method's stability interval."""
    end = journey.method.stability
    return end is not None and float(journey.progress.h) * _spectral_radius(journey) > LIMITED * end


def _change_method(journey: Journey, choice: Choice) -> None:
    started, before = time.perf_counter(), journey.progress
    task, end = journey.task, np.asarray(journey.task.wanted.times[-1])
    journey.choices.append(choice)
    journey.integrator = task.integrator(choice.method)
    fresh = journey.integrator.begin(before.t, before.y, end)
    journey.pacing = _compiled(task, choice.method, journey.integrator, fresh)
    journey.progress = _changed(fresh, accepted=before.accepted, rejected=before.rejected)
    journey.seconds["compile"] += time.perf_counter() - started


def _at_pole(journey: Journey) -> bool:
    """Tell a pole, where |y|/|ẏ| vanishes, from a tolerance that float64 cannot meet."""
    progress = journey.progress
    velocity = journey.integrator.velocity(progress.t, progress.y, None)
    speed = max(float(np.max(np.abs(v))) for v in velocity)
    size = max(float(np.max(np.abs(y))) for y in progress.y)
    lifetime = size / speed if np.isfinite(speed) and speed > 0 else 0.0
    return lifetime < POLE * max(journey.t, POLE * float(journey.task.wanted.times[-1]))


def _stop(journey: Journey) -> None:
    """Find the step that ends exactly at the wanted loss, and record its end as a saved time."""
    from scipy.optimize import brentq

    integrator, t, y = journey.integrator, journey.progress.t, journey.progress.y
    wanted_loss = float(integrator.stop_at_loss)

    def excess(h: float) -> float:
        state = y if h == 0 else integrator.single_step(t, y, np.asarray(h))
        return float(integrator.loss.value(integrator.end_to_end(state))) - wanted_loss

    longest = float(journey.progress.h)
    h = brentq(excess, 0.0, longest, xtol=1e-15 * longest) if excess(longest) < 0 else longest
    end = float(t) + h
    inside = journey.task.wanted.times[journey.done :]
    for time_inside in inside[inside < end].tolist():
        state = integrator.single_step(t, y, np.asarray(time_inside - float(t)))
        _record(journey, time_inside, state)
    state = integrator.single_step(t, y, np.asarray(h))
    journey.recorder.expect(end)
    _record(journey, end, state)
    journey.t = end
    journey.progress = _changed(
        journey.progress, t=np.asarray(end), y=state, status=np.asarray(RUNNING)
    )


def _trajectory(journey: Journey, verdict: Verdict) -> Trajectory:
    task, recorder = journey.task, journey.recorder
    measures, none = recorder.measures(), np.zeros(0)
    return Trajectory(
        space=task.flow.space,
        times=np.array(recorder.times),
        loss=measures.get("loss", none),
        singular_values=measures.get("singular_values", none),
        distance_to_target=measures.get("distance", none),
        kept=np.array(recorder.kept, dtype=int),
        end_to_end_series=recorder.end_to_end,
        between=(np.array(recorder.between_times), recorder.between),
        verdict=verdict,
        stopped_at=journey.t,
        choices=tuple(journey.choices),
        rtol=task.tolerances.rtol,
        det_sign=measures.get("det_sign"),
        log_singular_values=measures.get("log_singular_values"),
        imbalance=measures.get("imbalance"),
        squared_norm=measures.get("squared_norm"),
        layer_series=recorder.layers or None,
        error_estimate=np.full(len(recorder.times), np.nan),
        loss_error=np.full(len(recorder.times), np.nan),
        statistics=Statistics(
            accepted=int(journey.progress.accepted),
            rejected=int(journey.progress.rejected),
            integration=journey.seconds["integration"],
            compile=journey.seconds["compile"],
        ),
    )


def _changed(progress: Progress, **changes: object) -> Progress:
    return replace(progress, **changes)  # type: ignore[arg-type]
