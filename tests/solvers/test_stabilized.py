"""Stabilized methods at work: the spectral radius they estimate, their cost, their memory."""

from __future__ import annotations

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import problems
import pytest

from flowsim.dynamics.layers import LayerFlow
from flowsim.problem.losses import Loss
from flowsim.problem.problem import Problem
from flowsim.solvers.methods import METHODS
from flowsim.solvers.methods.spectral_radius import MOST, SAFETY, chirp, spectral_radius
from flowsim.solvers.methods.stabilized import LIFETIME, Memory
from flowsim.solvers.methods.tolerances import Tolerances
from flowsim.solvers.solve import solve
from flowsim.solvers.stepper import Integrator, Window
from flowsim.solvers.system import ScaledFlow

NAMES = ("rkc2", "rock4")


def estimated(eigenvalues: np.ndarray, seed: int) -> tuple[float, int]:
    """Return the estimate for a symmetric matrix with that spectrum, and its evaluations of f."""
    rng = np.random.default_rng(seed)
    Q = np.linalg.qr(rng.standard_normal((eigenvalues.size,) * 2))[0]
    J = Q * eigenvalues @ Q.T
    calls = []

    @jax.jit
    def estimate(y):
        def field(y):
            jax.debug.callback(lambda: calls.append(1))
            return (J @ y[0],)

        return spectral_radius(field, y, (J @ y[0],), chirp(y))

    radius = float(estimate((rng.standard_normal(eigenvalues.size),))[0])
    jax.effects_barrier()
    return radius, len(calls)


class TestSpectralRadius:
    @pytest.mark.slow
    @pytest.mark.parametrize("kind", ["uniform", "separated", "clustered", "one positive"])
    def test_is_never_below_the_truth_and_seldom_far_above(self, kind) -> None:
        for seed in range(6):
            rng = np.random.default_rng(seed)
            spectrum = {
                "uniform": -np.linspace(0, 1, 100),
                "separated": -np.append(rng.uniform(0, 0.5, 99), 1.0),
                "clustered": -rng.uniform(0.95, 1.0, 100),
                "one positive": np.append(-rng.uniform(0, 0.8, 99), 1.0),
            }[kind]
            scale = 10.0 ** rng.uniform(-6, 6)
            radius, calls = estimated(scale * spectrum, seed)
            truth = scale * np.abs(spectrum).max()
            assert truth <= radius <= SAFETY * truth * (1 + 1e-6)
            assert calls <= MOST / 2

    def test_of_a_field_at_rest_is_zero(self) -> None:
        radius, vector = spectral_radius(
            lambda y: (0 * y[0],), (jnp.zeros(3),), (jnp.zeros(3),), (jnp.ones(3),)
        )
        assert radius == 0
        assert np.all(np.isfinite(vector[0]))

    def test_finds_a_direction_that_has_overtaken_the_one_it_begins_with(self) -> None:
        J = np.diag([-1.0, -2.0])
        y = (jnp.zeros(2),)
        found, _ = spectral_radius(lambda y: (J @ y[0],), y, y, (jnp.array([1.0, 0.0]),))
        assert 2 <= found <= 2 * SAFETY


def evaluations(method: str, stiffness: float, rtol: float = 1e-4) -> int:
    """Return how often plain diffrax evaluates ẏ = -(1, stiffness)·y on the way to t = 10."""
    rates = jnp.array([1.0, stiffness])
    calls = []

    def field(t, y, args):
        jax.debug.callback(lambda: calls.append(1))
        return (-rates * y[0],)

    found = diffrax.diffeqsolve(
        diffrax.ODETerm(field),
        METHODS[method].make(),
        *(0.0, 10.0, None, (jnp.ones(2),)),
        stepsize_controller=diffrax.PIDController(rtol=rtol, atol=rtol),
        max_steps=100_000,
    )
    jax.effects_barrier()
    assert abs(found.ys[0][0, 0] - np.exp(-10)) < 100 * rtol ** (2 / 3)
    return len(calls)


class TestCost:
    @pytest.mark.parametrize("method", NAMES)
    def test_grows_like_the_square_root_of_the_stiffness(self, method) -> None:
        """Here ten times, for a hundredfold; an ordinary method takes a hundred times as many."""
        low, high = (evaluations(method, stiffness) for stiffness in (100.0, 10_000.0))
        assert 4 < high / low < 14

    @pytest.mark.parametrize("method", NAMES)
    def test_a_step_at_rest_is_as_long_as_the_stages_allow(self, method) -> None:
        """And no step is tried in vain for want of stages."""
        integrator, progress, window = quadratic([1.0, 2.0, 3.0], method, 1e-2, horizon=1e5)
        after, reached, _ = integrator.advance(progress, window, np.asarray(100_000))
        reach = float(integrator.solver.recurrences.reach[-1])
        assert int(reached) == 1
        assert int(after.rejected) < 30
        shortest = 1e5 / (reach / 3)
        assert shortest < int(after.accepted) < 1.5 * shortest + 200


class Quadratic(Loss):
    """½ Σ rates·w², whose flow has a known spectrum."""

    rates: jax.Array

    def value(self, W):
        return jnp.sum(self.rates * W**2) / 2

    def gradient(self, W):
        return self.rates * W


def quadratic(rates, method: str, rtol: float, horizon: float):
    """Return the integrator of ẇ = -rates·w, depth 1, its progress at w = 1, and a window."""
    loss, start = Quadratic(jnp.asarray([rates])), (np.ones((1, len(rates))),)
    problem = Problem(loss, start, horizon)
    flow = LayerFlow.of(problem)
    system = ScaledFlow.of(flow, problem, start, Tolerances(rtol))
    integrator = Integrator.of(system, rtol, METHODS[method])
    y = system.scaled(flow.initial_state(problem))
    progress = integrator.begin(np.asarray(0.0), y, np.asarray(horizon))
    return integrator, progress, Window(*np.full((2, 1), horizon), np.asarray(1))


@pytest.mark.parametrize("method", NAMES)
class TestMemory:
    def test_a_refused_step_estimates_the_radius_again(self, method) -> None:
        """A radius a hundred times too small makes the step unstable, and its error large."""
        integrator, progress, window = quadratic([1.0, 2.0, 1e4], method, 1e-4, horizon=10.0)
        wrong = progress.solver_state._replace(
            radius=jnp.asarray(100.0), age=jnp.asarray(3, progress.solver_state.age.dtype)
        )
        progress = eqx.tree_at(
            lambda p: (p.h, p.solver_state), progress, (jnp.asarray(0.02), wrong)
        )
        refused, _, _ = integrator.advance(progress, window, np.asarray(1))
        assert int(refused.rejected) == 1
        assert float(refused.t) == 0
        assert int(refused.solver_state.age) == LIFETIME
        np.testing.assert_array_equal(refused.solver_state.slope[0], wrong.slope[0])
        retried, _, _ = integrator.advance(refused, window, np.asarray(1))
        assert 1e4 <= float(retried.solver_state.radius) <= 1.2e4 * (1 + 1e-6)

    def test_an_estimate_made_in_a_refused_step_is_not_made_again(self, method) -> None:
        solver = METHODS[method].make()
        one = (jnp.ones(2),)
        before = Memory(one, jnp.asarray(1.0), one, jnp.asarray(LIFETIME))
        after = Memory((2 * one[0],), jnp.asarray(3.0), one, jnp.asarray(1))
        kept = solver.after_rejection(before, after)
        assert (float(kept.radius), int(kept.age), float(kept.slope[0][0])) == (3.0, 0, 1.0)
        assert (
            int(solver.after_rejection(before, after._replace(age=jnp.asarray(2))).age) == LIFETIME
        )

    def test_an_estimate_is_used_for_some_steps_only(self, method) -> None:
        integrator, progress, window = quadratic([1.0, 2.0, 1e3], method, 1e-6, horizon=10.0)
        ages = []
        for _ in range(2 * LIFETIME + 5):
            progress, _, _ = integrator.advance(progress, window, np.asarray(1))
            ages.append(int(progress.solver_state.age))
        assert max(ages) == LIFETIME
        assert ages.count(1) >= 2

    def test_pieces_of_any_length_give_the_same_bits(self, method) -> None:
        whole = quadratic([1.0, 30.0, 1e3], method, 1e-6, horizon=3.0)
        integrator, progress, window = whole
        at_once, _, _ = integrator.advance(progress, window, np.asarray(100_000))
        while int(progress.accepted) < int(at_once.accepted):
            progress, _, _ = integrator.advance(progress, window, np.asarray(7))
        for a, b in zip(jax.tree.leaves(at_once), jax.tree.leaves(progress), strict=True):
            np.testing.assert_array_equal(a, b)


class TestSolving:
    @pytest.mark.parametrize(("method", "space"), [("rkc2", "end_to_end"), ("rock4", "layers")])
    def test_a_stop_is_at_the_loss_asked_for(self, method, space) -> None:
        case = problems.aligned(2, 1e-3)
        choices = {"method": method, "rtol": 1e-6, "estimate_error": False}
        found = solve(case.problem, space, times=[0, case.horizon], stop_at_loss=1.0, **choices)
        assert found.loss[-1] == pytest.approx(1.0, rel=1e-12)
        assert case.error(found)[-1] < 1e-3

    @pytest.mark.parametrize(("method", "rtol"), [("rkc2", 1e-7), ("rock4", 1e-6)])
    def test_what_is_read_inside_a_step_is_as_accurate_as_its_ends(self, method, rtol) -> None:
        case = problems.aligned(2, 1e-3)
        between = np.sort(np.random.default_rng(0).uniform(0, case.horizon, 500))
        found = solve(
            case.problem,
            times=[0.0, case.horizon / 2, case.horizon],
            between=between,
            method=method,
            rtol=rtol,
            estimate_error=False,
        )
        gaps = np.linalg.norm(found.between[1] - case.solution(between), axis=(1, 2))
        on_steps = solve(
            case.problem,
            times=np.union1d(0, between),
            method=method,
            rtol=rtol,
            estimate_error=False,
        )
        assert gaps.max() < 2 * case.error(on_steps).max() + 10 * rtol * case.size

    @pytest.mark.parametrize(
        ("method", "tolerances", "power"),
        [("rkc2", (1e-4, 1e-7), 2 / 3), ("rock4", (1e-6, 1e-9), 1.0)],
    )
    def test_the_error_goes_with_a_power_of_the_tolerance(self, method, tolerances, power) -> None:
        """Over four problems: in one alone, the errors of the steps cancel by chance."""
        rng = np.random.default_rng(0)
        logs = np.zeros((4, 2))
        for i in range(4):
            case = problems.aligned(2, 1e-3, rng.uniform(0.5, 3, 3), seed=rng)
            times = np.linspace(0, case.horizon, 4)
            for j, rtol in enumerate(tolerances):
                choices = {"method": method, "rtol": rtol, "times": times}
                found = solve(case.problem, **choices, estimate_error=False)
                logs[i, j] = np.log10(case.error(found).max())
        slope = (logs[:, 0] - logs[:, 1]).mean() / 3
        assert slope == pytest.approx(power, abs=0.1)

    def test_rock4_takes_a_long_plateau_in_fewer_steps_than_tsit5(self) -> None:
        """Where the fast modes have settled and the last one is still on its plateau."""
        case = problems.aligned(3, 1e-4, (10.0, 5.0, 0.4), horizon=200.0)
        times = np.linspace(0, 200.0, 3)
        taken = {}
        for method in ("rock4", "tsit5"):
            found = solve(case.problem, times=times, method=method, rtol=1e-6, estimate_error=False)
            assert case.error(found).max() < 1e-3 * case.size
            taken[method] = found.statistics.accepted + found.statistics.rejected
        assert taken["rock4"] < taken["tsit5"] / 5
