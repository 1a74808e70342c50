"""Integration of a flow: the Python loop around the compiled integrator.

The integration runs in chunks of a fraction of a second. Between chunks, progress is reported, stop
requests are answered and states are recorded. The solution is bitwise independent of the chunks.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TypeVar

import jax
import numpy as np

from flowsim.dynamics.flow import State
from flowsim.solvers import methods
from flowsim.solvers.chunks import ChunkSize
from flowsim.solvers.crossing import Step
from flowsim.solvers.edges import at_rest, exit_time, without_step
from flowsim.solvers.methods import DECISION_STEPS, TRIAL_STEPS, Choice
from flowsim.solvers.methods.method import Method, StiffnessInfo
from flowsim.solvers.monitor import COMPILING
from flowsim.solvers.options import Task
from flowsim.solvers.recorder import Recorder
from flowsim.solvers.stepper import (
    CRITERION_MET,
    LEFT_RANGE,
    RUNNING,
    STEP_UNDERFLOW,
    Integrator,
    Progress,
)
from flowsim.solvers.stopping import Converged, Criterion
from flowsim.solvers.trajectory import Statistics, Trajectory
from flowsim.solvers.verdict import Verdict

T = TypeVar("T")


def integrate(task: Task) -> Trajectory:
    """Return the solution up to the final time, the loss at which to stop, a stop or a failure."""
    state = IntegrationState.begin(task)
    verdict = state.verdict_at_start()
    if verdict is not None:
        state.record(0.0, state.progress.y)
        return state.trajectory(verdict)
    return state.trajectory(state.run())


def wait_for(arrays: T) -> T:
    """Return the arrays once they are computed."""
    return jax.block_until_ready(arrays)  # type: ignore[no-untyped-call, no-any-return]


@dataclass
class IntegrationState:
    """An integration under way: the method in use, its progress, what is recorded, and costs.

    Attributes
    ----------
    choices
        The methods used so far, the present one last.
    reached
        Number of the task's times that are recorded.
    t, steps
        The present time, and all steps attempted so far.
    decided
        Time and steps when the method was last reconsidered.
    next_decision
        The number of steps at which it is reconsidered next.
    criterion
        The title of the criterion that ended the integration, if one did.
    seconds
        Wall time of integration and of compiling.

    """

    task: Task
    choices: list[Choice]
    integrator: Integrator
    recorder: Recorder
    progress: Progress
    chunk: ChunkSize
    reached: int = 0
    t: float = 0.0
    steps: int = 0
    decided: tuple[float, int] = (0.0, 0)
    next_decision: int = DECISION_STEPS
    criterion: str = ""
    seconds: dict[str, float] = field(default_factory=lambda: {"integration": 0.0, "compile": 0.0})

    @classmethod
    def begin(cls, task: Task) -> IntegrationState:
        """Return the state at t = 0, with the programs compiled."""
        started = time.perf_counter()
        choice = methods.initial_choice(
            task.method, asked_for=not task.adaptive_method, rtol=task.tolerances.rtol
        )
        integrator = task.integrator(task.method)
        progress = integrator.start(task.start, task.save.end)
        recorder = Recorder(integrator.system, task.save, task.problem.initial.shape)
        chunk = compiled_chunk(task, task.method, integrator, progress)
        state = cls(task, [choice], integrator, recorder, progress, chunk)
        state.seconds["compile"] += time.perf_counter() - started
        return state

    @property
    def method(self) -> Method:
        """The method in use."""
        return self.choices[-1].method

    def verdict_at_start(self) -> Verdict | None:
        """Return the verdict if the integration ends before its first step, else None."""
        if self.task.armed and self.task.criteria:
            excesses = self.integrator.excesses(self.progress.t, self.progress.y)
            for criterion, excess in zip(self.integrator.criteria, excesses, strict=True):
                if excess <= 0 and not isinstance(criterion, Converged):
                    self.criterion = criterion.title
                    return Verdict.STOPPED_AT_CRITERION
        return Verdict.INTERRUPTED if self.task.monitor.stop_requested() else None

    def record(self, t: float, y: State) -> None:
        """Record one state, in a batch of the size for which measuring is compiled."""
        batch = tuple(np.broadcast_to(y_j, (self.task.window_size, *y_j.shape)) for y_j in y)
        self.recorder.take(np.array([t]), batch)

    def run(self) -> Verdict:
        """Return the verdict after advancing chunk by chunk."""
        task, end = self.task, float(self.task.save.end)
        while True:
            status = self._advance()
            task.monitor.report(self.t / end if end > 0 else 1.0)
            if status == CRITERION_MET:
                verdict = self._criterion_met()
                if verdict is not None:
                    return verdict
            if status == LEFT_RANGE:
                last = float(task.save.times[max(self.reached - 1, 0)])
                self.t = max(exit_time(self.integrator.system, self.t, self.progress.y), last)
                return Verdict.OUT_OF_RANGE
            if status == STEP_UNDERFLOW:
                return without_step(self.integrator.system, self.t, self.progress.y, end)
            if self.reached == task.save.times.size:
                return Verdict.REACHED_HORIZON
            if task.monitor.stop_requested():
                return Verdict.INTERRUPTED
            if self.steps >= task.max_steps:
                stiff = self.method.limited_by_stability(
                    float(self.progress.h) * self._spectral_radius()
                )
                return Verdict.STIFF if stiff else Verdict.BUDGET_EXHAUSTED
            if self._reconsidered and self.steps >= self.next_decision and self._reconsider():
                return Verdict.REACHED_HORIZON

    def _advance(self) -> int:
        """Return the status after one chunk of steps, whose states are recorded."""
        task, before = self.task, self.steps
        window = task.save.window(self.reached, task.window_size, self.method)
        budget = np.asarray(min(self.chunk.steps, self._steps_allowed()))
        started = time.perf_counter()
        self.progress, count, states = wait_for(
            self.integrator.advance(self.progress, window, budget)
        )
        elapsed = time.perf_counter() - started
        self.seconds["integration"] += elapsed
        now = self.progress
        self.t, self.steps = float(now.t), int(now.accepted) + int(now.rejected)
        times = task.save.times[self.reached : self.reached + int(count)]
        self.recorder.take(times, states)
        self.reached += times.size
        if self.steps > before:
            self.chunk.update(self.steps - before, elapsed)
        return int(now.status)

    def _steps_allowed(self) -> int:
        """Return the steps left before `max_steps` or the next decision on the method."""
        left = self.task.max_steps - self.steps
        return min(left, self.next_decision - self.steps) if self._reconsidered else left

    @property
    def _reconsidered(self) -> bool:
        """Whether the method may change, or rest may keep it from taking longer steps."""
        return self.task.adaptive_method or self.method.family == "implicit"

    def _reconsider(self) -> bool:
        """Return whether the flow is at rest up to its final time; else take the best method."""
        (t, steps), self.decided = self.decided, (self.t, self.steps)
        patience = methods.patience(len(self.choices) - 1)
        self.next_decision = self.steps + DECISION_STEPS * patience
        if self.t == t:
            return False  # every step was rejected: there is no mean step size
        info = StiffnessInfo(
            t=self.t,
            step=(self.t - t) / (self.steps - steps),
            radius=self._spectral_radius(),
            ahead=float(self.task.save.end) - self.t,
            entries=sum(y.size for y in self.task.start),
            rtol=self.task.tolerances.rtol,
        )
        if at_rest(self.integrator.system, self.progress.y, info):
            self._rest()
            return True
        choice = methods.next_choice(self.method, info) if self.task.adaptive_method else None
        if choice is not None:
            self._change_method(choice)
            self.next_decision = self.steps + TRIAL_STEPS * patience
        return False

    def _rest(self) -> None:
        """Keep the present state up to the final time."""
        times, self.t = self.task.save.times, float(self.task.save.end)
        for time_ahead in times[self.reached :].tolist():
            self.record(time_ahead, self.progress.y)
        self.reached = times.size
        self.progress = replace(self.progress, t=np.asarray(self.t))

    def _change_method(self, choice: Choice) -> None:
        started, before = time.perf_counter(), self.progress
        self.choices.append(choice)
        criteria = self.integrator.criteria  # one of them may be postponed
        self.integrator = replace(self.task.integrator(choice.method), criteria=criteria)
        # a fresh initial step size, since stability may have limited the steps of the old method
        fresh = self.integrator.begin(before.t, before.y, self.task.save.end)
        self.chunk = compiled_chunk(self.task, choice.method, self.integrator, fresh)
        self.progress = replace(fresh, accepted=before.accepted, rejected=before.rejected)
        self.seconds["compile"] += time.perf_counter() - started

    def _spectral_radius(self) -> float:
        return float(self.integrator.system.spectral_radius(self.progress.t, self.progress.y))

    def _criterion_met(self) -> Verdict | None:
        """Return the verdict where the last step meets a criterion, after recording the state.

        It is None where the loss changes little without having converged; that is judged later.
        """
        step = Step(self.integrator, self.progress)
        number, t, y = step.first_crossing()
        criterion, problem = self.integrator.criteria[number], self.task.problem
        verdict = Verdict.STOPPED_AT_CRITERION
        if isinstance(criterion, Converged):
            layers = self.task.flow.layers(self.integrator.system.unscaled(y), problem.depth)
            if not criterion.confirmed(problem, layers, t):
                self._postpone(number, criterion.postponed(t))
                return None
            verdict = Verdict.CONVERGED
        inside = self.task.save.times[self.reached :]
        for time_inside in inside[inside < t].tolist():
            self.record(time_inside, step.after(time_inside - step.t))
        self.recorder.expect(t)
        self.record(t, y)
        self.t, self.criterion = t, criterion.title
        self.progress = replace(self.progress, t=np.asarray(t), y=y, status=np.asarray(RUNNING))
        return verdict

    def _postpone(self, number: int, criterion: Criterion) -> None:
        """Take the step again with a criterion that is decided later."""
        criteria = list(self.integrator.criteria)
        criteria[number] = criterion
        self.integrator = replace(self.integrator, criteria=tuple(criteria))
        self.progress = replace(self.progress, status=np.asarray(RUNNING))

    def trajectory(self, verdict: Verdict) -> Trajectory:
        """Return the recorded states and statistics, with a verdict."""
        recorded = self.recorder.recorded()
        unknown = np.full(recorded["times"].size, np.nan)
        flow, system, y = self.task.flow, self.integrator.system, self.progress.y
        return Trajectory(
            space=self.task.flow.space,
            **recorded,
            stopped=verdict,
            stopped_at=self.t,
            criterion=self.criterion,
            problem=self.task.problem,
            last_layers=lambda: flow.layers(system.unscaled(y), self.task.problem.depth),
            choices=tuple(self.choices),
            rtol=self.task.tolerances.rtol,
            error_estimate=unknown,
            loss_error=unknown,
            statistics=Statistics(
                accepted=int(self.progress.accepted),
                rejected=int(self.progress.rejected),
                **self.seconds,
            ),
        )


def compiled_chunk(
    task: Task, method: Method, integrator: Integrator, progress: Progress
) -> ChunkSize:
    """Return the chunk size of an integrator, after compiling its steps if they are new."""
    window = task.save.window(0, task.window_size, method)
    chunk = ChunkSize(integrator, progress, window)
    if not chunk.known:
        task.monitor.named(COMPILING).report(0.0)
        wait_for(integrator.advance(progress, window, np.asarray(0)))
    return chunk
