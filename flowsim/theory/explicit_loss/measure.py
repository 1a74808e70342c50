"""Whether the end-to-end field is a gradient: on the trajectory, at random matrices, around loops.

Random matrices are Gaussian, each of the norm of the point on the trajectory that it stands beside.
Points without full rank, where the field has no derivative, are left out: nan.
"""

from __future__ import annotations

import numpy as np

from flowsim.problem.problem import Problem
from flowsim.results.run import Group, named
from flowsim.scenario.build.randomness import generator
from flowsim.theory.explicit_loss.formulas import Within, asymmetry_at, conservative, has_full_rank
from flowsim.theory.explicit_loss.line_integrals import line_integral
from flowsim.theory.explicit_loss.loops import Piece, arora_cohen_hazan, random_circle
from flowsim.theory.explicit_loss.potential import closed_form, reconstruct
from flowsim.theory.explicit_loss.spec import ON_TRAJECTORY
from flowsim.theory.setting import Setting

INNER = 0.5
"""Inner over outer radius of the loop of Arora, Cohen & Hazan."""

ANSWER = "1 where nothing excludes an explicit loss, 0 where there is none, nan where undecided"
OF_POINTS = {
    "time": "time t of a point on the trajectory; nan for a random matrix",
    "asymmetry": "relative asymmetry ‖J - Jᵀ‖_F/‖J‖_F of the Jacobian of W ↦ P_W[∇ℓ(W)]",
    "asymmetry_bound": "bound on the rounding of the asymmetry",
    "potential": "explicit loss F(W) - F(0) by integration; nan unless the field is conservative",
    "potential_error": "bound on the error of the explicit loss",
    "potential_apart": "by how much F(W) - F(0) differs along another path",
    "closed_form": "explicit loss F(W) - F(0) in formulas; nan where none is known",
    "closed_form_apart": "by how much integration and formulas differ",
}
OF_LOOPS = {
    "loop_integral": "∮ ⟨P_W[∇ℓ(W)], dW⟩: around the loop of Arora, Cohen & Hazan, then circles",
    "loop_error": "bound on the error of the loop integral",
    "circulation": "the loop integral over ∮ ‖P_W[∇ℓ(W)]‖ ‖dW‖",
    "circulation_error": "bound on the error of the circulation",
}


def measure(setting: Setting) -> Group:
    """Return the asymmetries, the loop integrals, what they say, and the explicit loss if any."""
    problem = setting.problem
    rng = generator(setting.scenario.seed, "explicit_loss")
    times, points = sampled(setting, rng)
    full = [has_full_rank(W) for W in points]
    loops = [main_loop(problem, points, rng)]
    loops += [random_circle(W, rng) if known else () for W, known in zip(points, full, strict=True)]
    at_points = np.full((len(points), len(OF_POINTS)), np.nan)
    around = np.full((len(loops), len(OF_LOOPS)), np.nan)
    at_points[:, 0] = times
    found: list[Within] = []
    for k, loop in enumerate(loops):
        if setting.monitor.stop_requested():
            found = []
            break
        if loop:
            integral = line_integral(problem.loss, problem.depth, loop)
            around[k] = integral.value, integral.error, *integral.circulation
            found.append(integral.circulation)
        if loop and k:
            found.append(asymmetry_at(problem.loss, points[k - 1], problem.depth))
            at_points[k - 1, 1:3] = found[-1]
        setting.monitor.report((k + 1) / len(loops))
    answer = conservative(found)
    if answer:
        at_points[:, 3:] = potentials(problem, points)
    return {
        "conservative": named((), np.array(np.nan if answer is None else float(answer)), ANSWER),
        "points": named(("point", "output", "input"), points, "matrices W asked about"),
        **_columns("point", at_points, OF_POINTS),
        **_columns("loop", around, OF_LOOPS),
    }


def sampled(setting: Setting, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return times and points: some of the trajectory, and as many random of the same norms."""
    trajectory = setting.reference
    picked = np.linspace(0, len(trajectory.times) - 1, ON_TRAJECTORY).round().astype(int)
    on_it = np.array([trajectory.end_to_end_series[k] for k in picked])
    norms = np.linalg.norm(on_it, axis=(1, 2))
    drawn = rng.standard_normal(on_it.shape)
    drawn *= (np.where(norms > 0, norms, 1.0) / np.linalg.norm(drawn, axis=(1, 2)))[:, None, None]
    times = np.concatenate([trajectory.times[picked], np.full(len(drawn), np.nan)])
    return times, np.concatenate([on_it, drawn])


def main_loop(problem: Problem, points: np.ndarray, rng: np.random.Generator) -> tuple[Piece, ...]:
    """Return the loop of Arora, Cohen & Hazan along ∇ℓ(0), a random matrix where that is 0."""
    E = np.asarray(problem.loss.gradient(np.zeros(points.shape[1:])))
    if not (np.isfinite(E).all() and E.any()):
        E = rng.standard_normal(E.shape)
    outer = float(np.linalg.norm(points, axis=(1, 2)).max())
    return arora_cohen_hazan(E, INNER * outer, outer)


def potentials(problem: Problem, points: np.ndarray) -> np.ndarray:
    """Return F(W) - F(0), its error, and how far another path and the formula are off, by rows."""
    F = closed_form(problem.loss, problem.depth, points.shape[1:])
    found = np.full((len(points), 5), np.nan)
    for row, W in zip(found, points, strict=True):
        if has_full_rank(W):
            row[:3] = reconstruct(problem.loss, problem.depth, W)
            row[3] = np.nan if F is None else F(W)
            row[4] = abs(row[0] - row[3])
    return found


def _columns(dimension: str, values: np.ndarray, told: dict[str, str]) -> Group:
    pairs = zip(told.items(), values.T, strict=True)
    return {name: named((dimension,), column, text) for (name, text), column in pairs}
