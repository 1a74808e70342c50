"""Long-term behaviour of gradient descent at each step size of a run, and the modes that move.

Sorted singular values are misleading: where one mode oscillates across another, they change places,
and both seem to oscillate. Where W was recorded, modes are therefore the strengths u_rᵀ W v_r, with
u_r and v_r the singular vectors of the last W of the flow.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from flowsim.pictures.kit import reading
from flowsim.pictures.kit.words import join_words, number, with_subscripts
from flowsim.problem.spectra import strengths
from flowsim.results.run import Run
from flowsim.solvers.behaviour import Behaviour, LongTermBehaviour
from flowsim.solvers.long_run import (
    LEAST_ITERATES,
    STATIONARY,
    window_behaviour,
    window_rows,
)
from flowsim.solvers.storage import Series

LEAST_MATRICES = 32
"""Recorded matrices W per step size below which the sorted singular values show more."""
MOST_NAMED = 4
"""Modes that are listed by their numbers; more are counted."""


@dataclass(frozen=True, eq=False)
class Modes:
    """The modes of a flow `(time, mode)` and of descent `(step_size, sample, mode)`.

    If `projected`, they are u_rᵀ W v_r, and `matrices` are descent's W `(step_size, sample, output,
    input)`. Otherwise they are the sorted singular values.
    """

    projected: bool
    flow_time: np.ndarray
    flow: np.ndarray
    iteration: np.ndarray
    time: np.ndarray
    descent: np.ndarray
    matrices: np.ndarray | Series | None


def can_project(run: Run) -> bool:
    """Return whether enough matrices W of the flow and of descent were recorded."""
    if not (
        reading.has_numbers(run, "descent.end_to_end") and reading.flows_with(run, "end_to_end")
    ):
        return False
    saved = run["descent.end_to_end"].shape[1]
    return bool(saved >= min(LEAST_MATRICES, run["descent.time"].shape[1]))


def sorted_modes(run: Run) -> Modes:
    """Return the sorted singular values of the first flow and of descent."""
    values = run["descent.singular_values"]
    time, flow = np.zeros(0), np.zeros((0, values.shape[2]))
    if spaces := reading.flows_with(run, "singular_values"):
        time, flow = run[f"{spaces[0]}.time"], run[f"{spaces[0]}.singular_values"]
    iteration, times = run["descent.iteration"], run["descent.time"]
    return Modes(False, time, flow, iteration, times, values, None)


def projected_modes(run: Run) -> Modes:
    """Return the mode strengths of the first flow and of descent."""
    space = reading.flows_with(run, "end_to_end")[0]
    flow, W = run.variable(f"{space}.end_to_end"), run.variable("descent.end_to_end")
    U, _, Vt = np.linalg.svd(_last_finite(flow.held), full_matrices=False)
    project = partial(strengths, U, Vt)
    picked = np.arange(run["descent.time"].shape[1])
    if "saved_sample" in W.dims:
        picked = run["descent.saved_sample"].astype(int)
    return Modes(
        True,
        run[f"{space}.{flow.dims[0]}"],
        flow.over(project),
        run["descent.iteration"][:, picked],
        run["descent.time"][:, picked],
        W.over(project),
        W.held,
    )


def _last_finite(matrices: np.ndarray | Series) -> np.ndarray:
    backwards = (matrices[k] for k in reversed(range(len(matrices))))
    return next(W for W in backwards if np.isfinite(W).all())


def behaviour(found: Modes, k: int, diverged: bool) -> LongTermBehaviour:
    """Return the long-term behaviour at step size number `k`, from the recorded iterates."""
    known = np.isfinite(found.descent[k]).all(axis=1)
    if diverged or not known.all():
        gone = int(np.argmin(known)) if not known.all() else len(known) - 1
        last = gone if diverged else max(gone - 1, 0)
        kind = Behaviour.DIVERGES if diverged else Behaviour.INCOMPLETE
        return LongTermBehaviour(kind, time=float(found.time[k, last]))
    rows = window_rows(found.iteration[k])
    if len(rows) < LEAST_ITERATES:
        return LongTermBehaviour(Behaviour.UNDECIDED)
    iteration, window = found.iteration[k, rows], found.descent[k, rows]
    ended = window_behaviour(window)
    if ended.kind is not Behaviour.CONVERGES:
        return ended
    if found.matrices is not None and _moves_elsewhere(found.matrices, k, rows, window):
        return LongTermBehaviour(Behaviour.MOVES_BETWEEN_MODES)
    # Every second iterate of a 2-cycle is the same: only all iterates, or the flow's limit, prove
    # convergence.
    stride = int(np.gcd.reduce(np.diff(iteration)))
    if stride == 1 or _at_limit_of_flow(found.flow, window):
        return ended
    return LongTermBehaviour(Behaviour.UNMOVED_WHERE_RECORDED, stride=stride)


def _moves_elsewhere(W: np.ndarray | Series, k: int, rows: np.ndarray, window: np.ndarray) -> bool:
    """Return whether W moves over these samples although its modes are stationary."""
    low = high = W[k, rows[0]]
    for row in rows[1:].tolist():
        low, high = np.minimum(low, W[k, row]), np.maximum(high, W[k, row])
    return bool((high - low).max() > STATIONARY * np.abs(window).max())


def _at_limit_of_flow(flow: np.ndarray, window: np.ndarray) -> bool:
    """Return whether descent ends where the flow does."""
    known = flow[np.isfinite(flow).all(axis=1)]
    size = np.abs(window).max()
    return bool(len(known) and np.abs(window[-1] - known[-1]).max() <= STATIONARY * size)


def mode_names(modes: tuple[int, ...], projected: bool) -> str:
    """Return names of modes: "mode 1", "modes 1 and 2", "σ₁ and σ₂", "7 modes", or ""."""
    if not modes:
        return ""
    if len(modes) > MOST_NAMED:
        return f"{len(modes)} {'modes' if projected else 'singular values'}"
    if not projected:
        return join_words(with_subscripts("σ", r + 1) for r in modes)
    return f"mode{'s' * (len(modes) > 1)} {join_words(str(r + 1) for r in modes)}"


def panel_titles(found: LongTermBehaviour, projected: bool) -> list[str]:
    """Return titles of the panel of one step size, from the most detailed to the shortest."""
    who, s = mode_names(found.modes, projected), "s" * (len(found.modes) == 1)
    between = f" between {number(found.low)} and {number(found.high)}"
    shorter = f" in {number(found.low)}…{number(found.high)}"
    return {
        Behaviour.CONVERGES: ["converges"],
        Behaviour.UNMOVED_WHERE_RECORDED: [
            f"unmoved every {found.stride} iterates",
            "may converge",
        ],
        Behaviour.MOVES_BETWEEN_MODES: ["its modes converge, W does not", "moves"],
        Behaviour.DRIFTS: [f"{who} still move{s}", "moves"],
        Behaviour.DECAYING: [f"{who}: decaying oscillation", "decays"],
        Behaviour.IRREGULAR: [f"{who}: irregular oscillation", "irregular"],
        Behaviour.PERSISTENT: [
            *([f"{who} oscillates{between}", f"{who} oscillates{shorter}"] if s else []),
            f"{who} oscillate{s}",
            "oscillates",
        ],
        Behaviour.DIVERGES: [f"diverges by t = {number(found.time)}", "diverges"],
        Behaviour.INCOMPLETE: [f"ends at t = {number(found.time)}", "ends early"],
        Behaviour.UNDECIDED: ["too few iterates to tell", "undecided"],
    }[found.kind]
