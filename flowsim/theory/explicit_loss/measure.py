"""Tests of whether the end-to-end field is a gradient: at points and around closed loops.

The points are on the trajectory, and as many Gaussian random matrices.

Each Gaussian random matrix has the norm of one point on the trajectory. Values are nan at points
without full rank, where the field has no derivative.
"""

from __future__ import annotations

import numpy as np

from flowsim.problem.problem import Problem
from flowsim.scenario.build.loss_data import generator
from flowsim.theory.explicit_loss.formulas import Within, asymmetry_at, conservative, has_full_rank
from flowsim.theory.explicit_loss.line_integrals import closed_form, line_integral, reconstruct
from flowsim.theory.explicit_loss.loops import Piece, arora_cohen_hazan, random_circle
from flowsim.theory.explicit_loss.spec import ON_TRAJECTORY
from flowsim.theory.setting import Arrays, Setting

INNER = 0.5
"""Inner over outer radius of the loop of Arora, Cohen & Hazan."""

AT_POINTS = (
    "time", "asymmetry", "asymmetry_bound",
    "potential", "potential_error", "potential_apart", "closed_form", "closed_form_deviation",
)  # fmt: skip
AROUND_LOOPS = ("loop_integral", "loop_error", "circulation", "circulation_error")
"""Columns of the tables that `measure` fills."""


def measure(setting: Setting) -> Arrays:
    """Return asymmetries and loop integrals, the conclusion, and the explicit loss if it exists."""
    problem = setting.problem
    rng = generator(setting.scenario.seed, "explicit_loss")
    times, points = sampled(setting, rng)
    loops = [main_loop(problem, points, rng)]
    loops += [random_circle(W, rng) if has_full_rank(W) else () for W in points]
    at_points = np.full((len(points), len(AT_POINTS)), np.nan)
    around = np.full((len(loops), len(AROUND_LOOPS)), np.nan)
    at_points[:, 0] = times
    numbers: list[Within] = []
    for k, loop in enumerate(loops):
        if setting.monitor.stop_requested():
            numbers = []  # a part of the numbers decides nothing
            break
        if loop:
            integral = line_integral(problem.loss, problem.depth, loop)
            around[k] = integral.value, integral.error, *integral.circulation
            numbers.append(integral.circulation)
        if loop and k:
            numbers.append(asymmetry_at(problem.loss, points[k - 1], problem.depth))
            at_points[k - 1, 1:3] = numbers[-1]
        setting.monitor.report((k + 1) / len(loops))
    answer = conservative(numbers)
    if answer:
        at_points[:, 3:] = potentials(problem, points)
    return {
        "conservative": np.nan if answer is None else float(answer),
        "points": points,
        **dict(zip(AT_POINTS, at_points.T, strict=True)),
        **dict(zip(AROUND_LOOPS, around.T, strict=True)),
    }


def sampled(setting: Setting, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return times and matrices W: `ON_TRAJECTORY` saved ones, and random ones of the same norms.

    The times of random matrices are nan.
    """
    trajectory = setting.reference
    picked = np.linspace(0, len(trajectory.times) - 1, ON_TRAJECTORY).round().astype(int)
    on_it = np.array([trajectory.end_to_end_series[k] for k in picked])
    norms = np.linalg.norm(on_it, axis=(1, 2))
    drawn = rng.standard_normal(on_it.shape)
    drawn *= (np.where(norms > 0, norms, 1.0) / np.linalg.norm(drawn, axis=(1, 2)))[:, None, None]
    times = np.concatenate([trajectory.times[picked], np.full(len(drawn), np.nan)])
    return times, np.concatenate([on_it, drawn])


def main_loop(problem: Problem, points: np.ndarray, rng: np.random.Generator) -> tuple[Piece, ...]:
    """Return the loop of Arora, Cohen & Hazan along ∇ℓ(0), or a random matrix if that is 0."""
    E = np.asarray(problem.loss.gradient(np.zeros(points.shape[1:])))
    if not (np.isfinite(E).all() and E.any()):
        E = rng.standard_normal(E.shape)
    outer = float(np.linalg.norm(points, axis=(1, 2)).max())
    return arora_cohen_hazan(E, INNER * outer, outer)


def potentials(problem: Problem, points: np.ndarray) -> np.ndarray:
    """Return the last five columns of `AT_POINTS` per point; nan where W is rank-deficient."""
    F = closed_form(problem.loss, problem.depth, points.shape[1:])
    rows = np.full((len(points), 5), np.nan)
    for row, W in zip(rows, points, strict=True):
        if has_full_rank(W):
            row[:3] = reconstruct(problem.loss, problem.depth, W)
            row[3] = np.nan if F is None else F(W)
            row[4] = abs(row[0] - row[3])
    return rows
