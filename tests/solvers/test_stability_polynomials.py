"""Coefficients of the stabilized methods: what their polynomials and order conditions say."""

from __future__ import annotations

import runpy
from functools import cache
from pathlib import Path

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from flowsim.solvers.methods import METHODS

NAMES = ("rkc2", "rock4")
REACH = {"rkc2": 0.65, "rock4": 0.35}
"""Of the stability interval, in s², for many stages (the papers' figures)."""

ROOT = Path(__file__).resolve().parents[2]


def stage_counts(solver) -> np.ndarray:
    """Return the evaluations of f in a step of every row."""
    extra = 4 if solver.order(None) == 4 else 0
    return np.asarray(solver.recurrences.length) + extra


@cache
def polynomial(name: str):
    """Return a function of a row and z that makes one step of y' = z y from 1, and its error."""
    solver = METHODS[name].make()

    @eqx.filter_jit
    def step(solver, row, z):
        field = lambda y: z * y  # noqa: E731
        one = jnp.ones_like(z)
        u = solver.recurrences.run(row, field, jnp.asarray(1.0), one, z)
        end, _, error = solver.finish(row, field, jnp.asarray(1.0), one, z, u)
        return end, error

    return lambda row, z: tuple(np.asarray(x) for x in step(solver, jnp.asarray(row), z))


def on_paper(solver, row: int, z: np.ndarray) -> np.ndarray:
    """Return R(z), the stages themselves being combined and not their distances from y."""
    rkc2 = solver.order(None) == 2
    r, before, g = solver.recurrences, np.zeros_like(z), np.ones_like(z)
    for j in range(int(r.length[row])):
        mu, nu, alpha, beta = r.mu[row, j], r.nu[row, j], r.alpha[row, j], r.beta[row, j]
        constant = 1 - mu - nu + beta * z if rkc2 else 0.0  # 0, but for rounding, in rock4
        g, before = (mu + alpha * z) * g + nu * before + constant, g
    if rkc2:
        return g
    k = [z * g]
    for i in range(1, 5):
        k.append(z * (g + sum(solver.last[row, i, j] * k[j] for j in range(min(i, 4)))))
    return k[4] / z


@pytest.mark.parametrize("name", NAMES)
class TestStabilityPolynomials:
    def test_are_damped_as_far_as_they_reach(self, name) -> None:
        """From the first minimum on: every mode but the slow ones decays in every step."""
        solver = METHODS[name].make()
        for row, s in enumerate(stage_counts(solver)):
            angles = np.linspace(0, np.pi, 20 * s + 1)[1:]
            z = -float(solver.recurrences.reach[row]) * (1 - np.cos(angles)) / 2
            R = np.abs(on_paper(solver, row, z))
            assert R.max() < 1
            below = np.flatnonzero(R < 0.9)[0]
            assert R[below:].max() < (0.9501 if name == "rock4" else 0.964), f"s = {s}"

    def test_are_those_of_the_steps_taken(self, name) -> None:
        solver = METHODS[name].make()
        for row in (0, 1, 12, 30):
            z = -np.linspace(0, float(solver.recurrences.reach[row]), 4001)[1:]
            taken = polynomial(name)(row, z)[0]
            np.testing.assert_allclose(taken, on_paper(solver, row, z), atol=1e-5)

    def test_end_where_the_interval_ends(self, name) -> None:
        solver = METHODS[name].make()
        for row in (0, 10, 40):
            beyond = -1.05 * float(solver.recurrences.reach[row])
            assert abs(on_paper(solver, row, np.array([beyond]))[0]) > 1

    def test_reach_about_as_far_as_published(self, name) -> None:
        solver = METHODS[name].make()
        s, reach = stage_counts(solver), np.asarray(solver.recurrences.reach)
        assert reach[-1] / s[-1] ** 2 == pytest.approx(REACH[name], abs=0.01)
        assert np.all(np.diff(reach) > 0)
        assert np.all(s[1:] <= np.maximum(s[:-1] + 1, np.ceil(1.1 * s[:-1])))

    def test_agree_with_the_exponential_to_their_order(self, name) -> None:
        order = METHODS[name].order
        h = np.zeros(4000)
        h[:2] = 0.02, 0.01
        for row in (0, 5, 30, 60):
            value, error = polynomial(name)(row, -h)
            gap, estimate = np.abs(value - np.exp(-h))[:2], np.abs(error[:2])
            assert np.log2(gap[0] / gap[1]) == pytest.approx(order + 1, abs=0.1)
            order_of_estimate = METHODS[name].make().error_order(None)
            assert np.log2(estimate[0] / estimate[1]) == pytest.approx(order_of_estimate, abs=0.1)
            assert np.all(estimate > 0.5 * gap), "not below the error"


def test_rkc2_estimates_nearly_twice_the_error_of_slow_modes() -> None:
    """With R = 1 + z + z²/2 + cz³ it is (0.2 - 0.8c)z³, the error (1/6 - c)z³; c → 0.1."""
    z = np.full(4000, -1e-2)
    value, error = polynomial("rkc2")(60, z)
    assert error[0] / (np.exp(z) - value)[0] == pytest.approx(0.12 / 0.0667, rel=0.05)


class TestRock4Coefficients:
    def test_are_what_the_tool_computes(self) -> None:
        tool = runpy.run_path(str(ROOT / "tools" / "rock4_coefficients.py"))
        s = tool["SEED_STAGES"]
        found = tool["optimum"](s, np.array(tool["SEED"]))
        mu, kappa = tool["recurrence"](found, s)
        last, error_weights = tool["finished"](mu, kappa)
        solver = METHODS["rock4"].make()
        (row,) = np.flatnonzero(stage_counts(solver) == s)
        np.testing.assert_allclose(solver.recurrences.alpha[row, : s - 4], mu, rtol=1e-6)
        np.testing.assert_allclose(solver.recurrences.nu[row, : s - 4], -kappa, rtol=1e-6)
        np.testing.assert_allclose(solver.last[row], last, rtol=1e-5, atol=1e-9)
        np.testing.assert_allclose(solver.error_weights[row], error_weights, rtol=1e-5)

    def test_meet_the_eight_conditions_of_order_4_with_any_number_of_stages(self) -> None:
        solver = METHODS["rock4"].make()
        for row in range(len(solver.recurrences.reach)):
            A, b = whole_tableau(solver, row)
            c = A.sum(axis=1)
            d = A @ c
            found = [
                b.sum(),
                b @ c,
                b @ c**2,
                b @ d,
                b @ c**3,
                b @ (c * d),
                b @ A @ c**2,
                b @ A @ d,
            ]
            np.testing.assert_allclose(found, 1 / np.array([1, 2, 3, 6, 4, 8, 12, 24]), rtol=1e-12)


def whole_tableau(solver, row: int) -> tuple[np.ndarray, np.ndarray]:
    """Return A and b of a method as an ordinary Runge–Kutta method of s stages."""
    r, m = solver.recurrences, int(solver.recurrences.length[row])
    A = np.zeros((m + 5, m + 4))
    for j in range(m):
        A[j + 1] = r.mu[row, j] * A[j] + (r.nu[row, j] * A[j - 1] if j else 0)
        A[j + 1, j] += r.alpha[row, j]
    A[m + 1 :] = A[m]
    A[m + 1 :, m:] += solver.last[row][1:]
    return A[:-1], A[-1]
