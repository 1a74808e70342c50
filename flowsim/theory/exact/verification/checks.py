"""Verification of an installation: every formulation and method against exact solutions.

The first checks involve no solver of flows: arithmetic, gradients, descent, and the formulas.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby

import jax
import jax.numpy as jnp
import numpy as np

from flowsim.dynamics.registry import FLOWS
from flowsim.problem import losses
from flowsim.problem.losses import Loss
from flowsim.problem.problem import Problem
from flowsim.solvers.descend import descend
from flowsim.solvers.methods import METHODS
from flowsim.solvers.programs import free_programs
from flowsim.solvers.solve import solve
from flowsim.solvers.trajectory import Trajectory
from flowsim.solvers.verdict import Verdict
from flowsim.theory.exact.quadratic import LinearFlow
from flowsim.theory.exact.verification.cases import Case, cases

STEP_SIZES = (0.1, 0.9, 1.05)
EPSILON = float(np.finfo(np.float64).eps)
RTOL = 1e-9
MOST_STEPS = 200_000
MOST_WORKERS = 4
"""Programs compiled at once, each of which takes some 100 MB."""
SOME_METHODS = ("tsit5", "rodas5p")
"""An explicit and an implicit method, for the shapes that are not solved by all."""

Job = tuple[Sequence[Case], str, str]
"""Cases of one shape, the formulation and the method by which they are solved."""


@dataclass(frozen=True)
class Check:
    """The result of one check.

    Attributes
    ----------
    name, space, method
        The case, the formulation and the method.
    error, tolerance
        The largest error, nan if there is none, and its upper bound.
    steps, seconds
        Costs.
    note
        Why there is no error: the reason of a rejection, or how the integration ended before the
        final time.
    refused
        Whether the formulation or method does not apply to the case, which is no failure.

    """

    name: str
    space: str = ""
    method: str = ""
    error: float = float("nan")
    tolerance: float = float("nan")
    steps: int = 0
    seconds: float = 0.0
    note: str = ""
    refused: bool = False

    @property
    def passed(self) -> bool:
        """Whether the error is within the tolerance, or the check does not apply."""
        return self.refused or self.error <= self.tolerance


def checks(
    spaces: Sequence[str] | None = None, methods: Sequence[str] | None = None
) -> Iterator[Check]:
    """Yield every check as soon as it is done, for all or for the given formulations and methods.

    The tolerance of a flow is steps × rtol × magnification: a step's error may be rtol relative to
    the state (`flowsim.solvers.methods.tolerances`), and the flow amplifies it by at most
    `Case.magnification`. This is an upper bound; errors are usually far below it.
    """
    yield float64()
    yield from map(gradient, every_loss())
    yield from descent(STEP_SIZES)
    known = cases()
    yield from map(agreement, known)
    yield from flows(known, spaces or tuple(FLOWS), methods or tuple(METHODS))


def quick() -> Iterator[Check]:
    """Yield a check of the arithmetic, and of one flow against its exact solution: about 1 s."""
    yield float64()
    case = next(case for case in cases() if case.name == "modes, N = 2")
    yield from flows([case], ["layers"], ["tsit5"])


def expected(spaces: Sequence[str] | None = None, methods: Sequence[str] | None = None) -> int:
    """Return the largest possible number of checks."""
    plain, known = 1 + len(every_loss()) + len(STEP_SIZES), cases()
    solved = [
        len(group)
        for space in spaces or FLOWS
        for group, *_ in _jobs(known, space, methods or tuple(METHODS))
    ]
    return plain + len(known) + sum(solved)


def float64() -> Check:
    """Check that compiled code computes in float64 and does not reassociate sums."""
    # in float32 the result is 0, as 1 + ε rounds to 1
    added = jax.jit(lambda x, y: (x + y) - x)(1.0, jnp.asarray(EPSILON))
    return Check("float64", error=abs(float(added) - EPSILON) / EPSILON, tolerance=0.0)


def every_loss() -> list[Loss]:
    """Return one loss of each kind on 3 × 4 matrices, the logistic loss on 1 × 4."""
    rng = np.random.default_rng(1)
    Phi, X, Y = (rng.standard_normal(shape) for shape in ((3, 4), (4, 9), (3, 9)))
    return [
        losses.Linear(Phi),
        losses.Squared(Phi),
        losses.Completion(Phi, np.eye(3, 4)),
        losses.Sensing(Phi, rng.standard_normal((5, 3, 4))),
        losses.LeastSquares.from_data(X, Y),
        losses.PowerRegression(X, Y, 4.0),
        losses.CrossEntropy(X, np.arange(9) % 3),
        losses.Logistic(X, np.sign(Y[:1])),
    ]


def gradient(loss: Loss) -> Check:
    """Check a gradient against JAX's derivative of the value, up to rounding."""
    outputs = 1 if isinstance(loss, losses.Logistic) else 3
    W = jnp.asarray(np.random.default_rng(2).standard_normal((outputs, 4)))
    started = time.perf_counter()
    actual, required = jax.jit(lambda W: (loss.gradient(W), jax.grad(loss.value)(W)))(W)
    error = float(jnp.linalg.norm(actual - required))
    tolerance = 100 * EPSILON * (1 + float(jnp.linalg.norm(required)))
    seconds = time.perf_counter() - started
    return Check(f"∇ {type(loss).__name__}", "", "", error, tolerance, 0, seconds)


def descent(step_sizes: Sequence[float]) -> Iterator[Check]:
    """Yield checks of gradient descent on a quadratic loss against (I - ηH)^k, up to rounding.

    On θᵀ diag(1, 0.01) θ from (-0.35, -0.2) (Rosca et al. 2023) it converges, oscillates or
    diverges, depending on the step size.
    """
    R = np.sqrt(2 * np.diag([1.0, 0.01]))
    loss = losses.LeastSquares(R, np.zeros((1, 2)), np.asarray(0.0))
    problem = Problem(loss, (np.array([[-0.35, -0.2]]),), 20.0)
    exact = LinearFlow.of(problem)
    run = descend(problem, step_sizes, np.linspace(0.0, 20.0, 21))
    for eta, counts, W in zip(run.step_sizes, run.iteration, run.end_to_end, strict=True):
        required = exact.iterates(float(eta), counts)
        error = float(np.linalg.norm(W - required, axis=(1, 2)).max())
        steps, size = int(counts[-1]), float(np.linalg.norm(required, axis=(1, 2)).max())
        tolerance = 4 * EPSILON * (steps + 1) * size
        yield Check(f"descent, η = {eta:g}", "layers", "", error, tolerance, steps, run.seconds)


def agreement(case: Case) -> Check:
    """Check the exact solutions of a case against each other and against its initialization."""
    started = time.perf_counter()
    starts = [case.problem.initial, *(W[0] for W in case.exact)]
    gaps = [np.linalg.norm(W - case.exact[0], axis=(1, 2)).max() for W in case.exact]
    gaps += [np.linalg.norm(W - starts[0]) for W in starts]
    tolerance = 1000 * EPSILON * case.magnification
    seconds = time.perf_counter() - started
    return Check(f"{case.name}: formulas", "", "", float(max(gaps)), tolerance, 0, seconds)


def flows(known: Sequence[Case], spaces: Sequence[str], methods: Sequence[str]) -> Iterator[Check]:
    """Yield the checks of all cases in all spaces, in order, as they are done.

    Cases of one shape share a compiled program and are solved one after the other; different
    programs run in parallel, a few at a time, and are then freed. A formulation that applies to no
    case fails.
    """
    workers = min(os.cpu_count() or 1, MOST_WORKERS)
    pool = ThreadPoolExecutor(workers)
    try:
        for space in spaces:
            reasons = {case: _rejection(case, space) for case in known}
            yield from (
                Check(case.name, space, note=reason, refused=True)
                for case, reason in reasons.items()
                if reason
            )
            applicable = [case for case, reason in reasons.items() if not reason]
            if not applicable:
                yield Check("any", space, note="refused in every case")
            jobs = _jobs(applicable, space, methods)
            for start in range(0, len(jobs), workers):
                for results in pool.map(_all_checked, jobs[start : start + workers]):
                    yield from results
                free_programs()
    finally:
        pool.shutdown(cancel_futures=True)


def _jobs(known: Sequence[Case], space: str, methods: Sequence[str]) -> list[Job]:
    """Return what is solved in a space: the most frequent shape by all methods, others by some.

    Compiling takes nearly all of the time, a program per shape, space and method.
    """
    shapes = [list(cases) for _, cases in groupby(known, key=lambda case: case.problem.widths)]
    some = [method for method in methods if method in SOME_METHODS] or methods[:1]
    most = max(shapes, key=len, default=[])
    return [
        (cases, space, method)
        for cases in shapes
        for method in (methods if cases is most else some)
    ]


def _all_checked(job: Job) -> list[Check]:
    cases, space, method = job
    return [_checked(case, space, method) for case in cases]


def _rejection(case: Case, space: str) -> str:
    """Return the reason why a formulation does not yield the layer flow of a case, or ""."""
    if space != "layers" and not case.balanced:
        return "the start is not balanced; only the layers follow the exact solution"
    try:
        FLOWS[space].build(case.problem)
    except ValueError as error:
        return str(error)
    return ""


def _checked(case: Case, space: str, method: str) -> Check:
    try:
        trajectory = solve(
            case.problem,
            space,
            times=case.times,
            method=method,
            rtol=RTOL,
            max_steps=MOST_STEPS,
            estimate_error=False,
        )
    except ValueError as error:
        return Check(case.name, space, method, note=str(error), refused=True)
    except Exception as error:  # whatever fails in a broken installation is reported as a check
        return Check(case.name, space, method, note=f"{type(error).__name__}: {error}")
    return _compared(case, space, method, trajectory)


def _compared(case: Case, space: str, method: str, trajectory: Trajectory) -> Check:
    costs = trajectory.statistics
    steps, seconds = costs.accepted + costs.rejected, costs.integration + costs.compile
    if trajectory.stopped is not Verdict.REACHED_HORIZON:
        note = f"{trajectory.stopped.name.lower()} at t = {trajectory.stopped_at:g}"
        return Check(case.name, space, method, steps=steps, seconds=seconds, note=note)
    W = trajectory.end_to_end
    error = max(np.linalg.norm(W - exact, axis=(1, 2)).max() for exact in case.exact)
    tolerance = max(1, steps) * RTOL * case.magnification
    return Check(case.name, space, method, float(error), tolerance, steps, seconds)
