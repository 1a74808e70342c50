"""What became of gradient descent at each step size: it settles, swings, diverges; in which modes.

Sorted singular values change places when one mode swings across another, so that both seem to
swing. Modes are therefore followed by u_rᵀ W v_r, with u_r and v_r the singular vectors of the
flow's last W, where W was saved; otherwise by the sorted singular values.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from flowsim.pictures.kit import reading
from flowsim.pictures.kit.words import indexed, listed, number
from flowsim.results.run import Run
from flowsim.solvers.storage import Series
from flowsim.theory.long_run.fates import LEAST_ITERATES, STILL, Fate, moving, tail_rows

LEAST_MATRICES = 32
MOST_NAMED = 4


@dataclass(frozen=True, eq=False)
class Modes:
    """The modes of the flow `(time, mode)` and of descent `(step_size, sample, mode)`.

    `followed` says whether they are u_rᵀ W v_r, rather than sorted singular values; `matrices`
    are then descent's W, `(step_size, sample, output, input)`.
    """

    followed: bool
    flow_time: np.ndarray
    flow: np.ndarray
    iteration: np.ndarray
    time: np.ndarray
    descent: np.ndarray
    matrices: np.ndarray | Series | None


def can_follow(run: Run) -> bool:
    """Say whether enough of W was saved, of the flow and of descent, to follow its modes."""
    if not (reading.drawable(run, "descent.end_to_end") and reading.spaces(run, "end_to_end")):
        return False
    saved = run["descent.end_to_end"].shape[1]
    return bool(saved >= min(LEAST_MATRICES, run["descent.time"].shape[1]))


def modes(run: Run, follow: bool) -> Modes:
    """Return the modes of the first flow and of descent, followed or as sorted singular values."""
    return _followed(run) if follow else _sorted(run)


def _sorted(run: Run) -> Modes:
    values = run["descent.singular_values"]
    time, flow = np.zeros(0), np.zeros((0, values.shape[2]))
    if spaces := reading.spaces(run, "singular_values"):
        time, flow = run[f"{spaces[0]}.time"], run[f"{spaces[0]}.singular_values"]
    iteration, times = run["descent.iteration"], run["descent.time"]
    return Modes(False, time, flow, iteration, times, values, None)


def _followed(run: Run) -> Modes:
    space = reading.spaces(run, "end_to_end")[0]
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


def strengths(U: np.ndarray, Vt: np.ndarray, W: np.ndarray) -> np.ndarray:
    """Return u_rᵀ W v_r for matrices W `(…, output, input)`, shape `(…, mode)`."""
    with np.errstate(invalid="ignore", over="ignore"):
        return np.asarray(((W @ Vt.T) * U).sum(axis=-2))


def fates(run: Run, found: Modes) -> list[Fate]:
    """Return what became of descent at every step size."""
    return [fate(found, k, bool(lost)) for k, lost in enumerate(reading.diverged(run))]


def fate(found: Modes, k: int, lost: bool) -> Fate:
    """Return what became of descent at step size number `k`, given whether it diverged."""
    known = np.isfinite(found.descent[k]).all(axis=1)
    if lost or not known.all():
        gone = int(np.argmin(known)) if not known.all() else len(known) - 1
        last = gone if lost else max(gone - 1, 0)
        return Fate("diverges" if lost else "ends", time=float(found.time[k, last]))
    rows = tail_rows(found.iteration[k])
    if len(rows) < LEAST_ITERATES:
        return Fate("unclear")
    iteration, tail = found.iteration[k, rows], found.descent[k, rows]
    ended = moving(tail)
    if ended.kind != "settles":
        return ended
    if found.matrices is not None and _moves_elsewhere(found.matrices, k, rows, tail):
        return Fate("turns")
    stride = int(np.gcd.reduce(np.diff(iteration)))
    return (
        Fate("settles")
        if stride == 1 or _at_rest(found.flow, tail)
        else Fate("seems", (), stride=stride)
    )


def _moves_elsewhere(W: np.ndarray | Series, k: int, rows: np.ndarray, tail: np.ndarray) -> bool:
    """Say whether W moves over these samples although its modes stand still."""
    low = high = W[k, rows[0]]
    for row in rows[1:].tolist():
        low, high = np.minimum(low, W[k, row]), np.maximum(high, W[k, row])
    return bool((high - low).max() > STILL * np.abs(tail).max())


def _at_rest(flow: np.ndarray, tail: np.ndarray) -> bool:
    """Say whether descent ends where the flow does, so that it cannot swing unseen."""
    known = flow[np.isfinite(flow).all(axis=1)]
    size = np.abs(tail).max()
    return bool(len(known) and np.abs(tail[-1] - known[-1]).max() <= STILL * size)


def named(modes: tuple[int, ...], followed: bool) -> str:
    """Name modes: "mode 1", "modes 1 and 2", "σ₁ and σ₂", "7 modes"; nothing if none."""
    if not modes:
        return ""
    if len(modes) > MOST_NAMED:
        return f"{len(modes)} {'modes' if followed else 'singular values'}"
    if not followed:
        return listed(indexed("σ", r + 1) for r in modes)
    return f"mode{'s' * (len(modes) > 1)} {listed(str(r + 1) for r in modes)}"


def descriptions(found: Fate, followed: bool) -> list[str]:
    """Return what is said of one step size above its panel, the fullest first."""
    who, s = named(found.modes, followed), "s" * (len(found.modes) == 1)
    between = f" between {number(found.low)} and {number(found.high)}"
    shorter = f" in {number(found.low)}…{number(found.high)}"
    return {
        "settles": ["settles"],
        "seems": [f"unmoved every {found.stride} iterates", "seems to settle"],
        "turns": ["its modes settle, W does not", "moves"],
        "drifts": [f"{who} still move{s}", "moves"],
        "shrinks": [f"{who} swing{s} ever less", "swings less"],
        "wavers": [f"{who} swing{s} unevenly", "wavers"],
        "swings": [
            *([f"{who} swings{between}", f"{who} swings{shorter}"] if s else []),
            f"{who} swing{s}",
            "swings",
        ],
        "diverges": [f"diverges by t = {number(found.time)}", "diverges"],
        "ends": [f"ends at t = {number(found.time)}", "ends early"],
        "unclear": ["too few iterates to tell", "unclear"],
    }[found.kind]
