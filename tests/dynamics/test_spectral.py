"""Spectral space: the end-to-end flow with every singular value kept, however small."""

from __future__ import annotations

import jax
import numpy as np
import problems
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from flowsim.dynamics.end_to_end import EndToEndFlow
from flowsim.dynamics.graded import log_singular_values
from flowsim.dynamics.spectral import SpectralFlow, singular_value_decomposition
from flowsim.problem import initialization, losses
from flowsim.problem.problem import Problem
from flowsim.scenario.spec.errors import ScenarioError
from flowsim.solvers.solve import solve

CASES = [
    ((3, 3), 3, 2),
    ((3, 3), 3, 3),
    ((4, 6), 4, 4),
    ((6, 4), 4, 5),
    ((5, 5), 2, 6),
    ((4, 6), 3, 7),
    ((1, 4), 1, 3),
]
"""Shapes of W, square, wide and tall, with a rank, full or not, and a depth."""


LOG_TIMES = np.concatenate([[0], np.geomspace(1, 1e5, 40)])


def followed(problem: Problem, space: str = "spectral", times=None, **choices):
    times = np.linspace(0, problem.horizon, 9) if times is None else times
    options = {"rtol": 1e-9, "method": "tsit5", "estimate_error": False} | choices
    return solve(problem, space, times=times, **options)


def orthogonal(size: int, rng: np.random.Generator) -> np.ndarray:
    return np.linalg.qr(rng.standard_normal((size, size)))[0]


class TestVelocity:
    @pytest.mark.parametrize(("shape", "r", "depth"), CASES, ids=str)
    def test_is_that_of_the_end_to_end_flow(self, shape, r, depth) -> None:
        """For any Q, K, P: with entries of K above 1 and rows in any order too."""
        (m, n), rng = shape, np.random.default_rng(depth)
        flow, reduced = SpectralFlow(depth=depth), EndToEndFlow(depth=depth, rank=r)

        @jax.jit
        def rates(state, loss, decay):
            moved = flow.velocity(state, loss, decay)
            W, rate = jax.jvp(flow.end_to_end, (state,), (moved,))
            return moved, rate, reduced.velocity((W,), loss, decay)[0]

        for decay in (0.0, 0.3):
            for spread in (0.3, 2.0):
                Q, P = (orthogonal(size, rng)[:, :r] for size in (m, n))
                T = np.triu(spread * rng.standard_normal((r, r)))
                loss = losses.Squared(rng.standard_normal((m, n)))
                moved, rate, wanted = rates((Q, T, P), loss, decay)
                # the rate of W is a sum of N products that cancel, more so the more K is graded
                size = np.abs(wanted).max() * np.exp(2 * np.ptp(np.diag(T)))
                np.testing.assert_allclose(rate, wanted, rtol=0, atol=1e-11 * size)
                for frame, turn in ((Q, moved[0]), (P, moved[2])):
                    skew = frame.T @ turn + turn.T @ frame
                    assert np.abs(skew).max() < 1e-10 * max(1.0, np.abs(turn).max())

    def test_brings_frames_back_to_orthonormal(self) -> None:
        rng = np.random.default_rng(0)
        Q, P = orthogonal(3, rng) * 1.01, orthogonal(3, rng) * 0.98
        flow, loss = SpectralFlow(depth=3), losses.Squared(np.diag([3.0, 2.0, 1.0]))
        moved = flow.velocity((Q, np.zeros((3, 3)), P), loss, 0.0)
        assert np.trace(Q.T @ moved[0]) < 0 < np.trace(P.T @ moved[2])


class TestAgreement:
    """From a balanced start it is the layer flow."""

    @pytest.mark.parametrize("widths", [(4, 5, 6, 3), (4, 2, 5, 3)], ids=str)
    def test_from_random_starts(self, widths) -> None:
        problem = problems.balanced(widths, scale=0.01, horizon=20.0)
        spectral, layers = followed(problem), followed(problem, "layers", rtol=1e-11)
        apart = np.linalg.norm(spectral.end_to_end - layers.end_to_end, axis=(1, 2)).max()
        assert apart < 1e-6

    @pytest.mark.parametrize(
        "kind", ["identity", "repeated", "crossing", "near miss", "wrong order"]
    )
    def test_where_singular_values_meet(self, kind) -> None:
        """Modes that start equal, stay equal, cross by invariance, or turn past each other."""
        rng = np.random.default_rng(1)
        U, V = orthogonal(3, rng), orthogonal(3, rng)
        start = initialization.from_svd([3, 3, 3], U, np.array([0.1, 0.01, 0.001]), V.T)
        Phi, layers = {
            "identity": (rng.standard_normal((3, 3)), initialization.identity([3, 3, 3], 0.01)),
            "repeated": (U @ np.diag([2, 2, 1]) @ V.T, initialization.identity([3, 3, 3], 0.01)),
            "crossing": (U @ np.diag([1, 2, 3]) @ V.T, start),
            "near miss": (U @ (np.diag([1, 2, 3]) + 1e-3 * rng.random((3, 3))) @ V.T, start),
            "wrong order": (U @ np.diag([-1, 2, 3]) @ V.T, start),
        }[kind]
        problem = Problem(losses.Squared(Phi), layers, 15.0)
        spectral, layers = followed(problem), followed(problem, "layers", rtol=1e-11)
        apart = np.linalg.norm(spectral.end_to_end - layers.end_to_end, axis=(1, 2)).max()
        assert apart < 3e-7
        assert spectral.statistics.accepted < 500

    @pytest.mark.parametrize("depth", [2, 4])
    def test_with_exact_modes(self, depth) -> None:
        case = problems.aligned(depth, 1e-5)
        times = np.linspace(0, case.horizon, 9)
        # an error of rtol per step, in N log σ ~ 10, grows by the steps to the exit
        assert case.error(followed(case.problem, times=times)).max() < 1e-6 * case.size


def log_cholesky(alpha: float, level: float) -> tuple[float, float]:
    """Return when the loss of Razin & Cohen's completion reaches `level` from αI, and w_11 there.

    W = LLᵀ, L = [[p, 0], [c, q]], Ẇ = -(WG + GW): with δ = log q and g = pc - 1,
    ṗ = -cg, ċ = -(p + q²/p) g - c (c² + q²), δ̇ = -(c² + q²) + cg/p.
    """

    def rates(t: float, y: np.ndarray) -> list[float]:
        p, c, delta = y
        g, q2 = p * c - 1, np.exp(2 * delta)
        return [-c * g, -(p + q2 / p) * g - c * (c * c + q2), -(c * c + q2) + c * g / p]

    def jacobian(t: float, y: np.ndarray) -> list[list[float]]:
        p, c, delta = y
        g, q2 = p * c - 1, np.exp(2 * delta)
        return [
            [-c * c, -g - c * p, 0],
            [
                (q2 / p**2 - 1) * g - (p + q2 / p) * c,
                -p * p - 3 * c * c - 2 * q2,
                -2 * q2 * (g / p + c),
            ],
            [c * c / p - c * g / p**2, -2 * c + g / p + c, -2 * q2],
        ]

    def reached(t: float, y: np.ndarray) -> float:
        p, c, delta = y
        return (p * c - 1) ** 2 + (c * c + np.exp(2 * delta)) ** 2 / 2 - level

    reached.terminal = True
    start = [np.sqrt(alpha), 0.0, np.log(alpha) / 2]
    options = {"events": reached, "jac": jacobian, "rtol": 1e-11, "atol": 1e-14}
    found = solve_ivp(rates, (0, 1e6), start, "Radau", **options)
    return float(found.t_events[0][0]), float(found.y_events[0][0][0] ** 2)


@pytest.mark.slow
class TestRazinCohen:
    """2 × 2 completion at depth 2, where σ_2 falls to e^{-2543} and its sign decides everything."""

    @pytest.fixture(scope="class")
    @staticmethod
    def trajectory():
        seen = np.array([[0.0, 1.0], [1.0, 1.0]])
        loss = losses.Completion(np.array([[0.0, 1.0], [1.0, 0.0]]), seen)
        problem = Problem(loss, initialization.identity([2, 2, 2], 1e-6), 1e5)
        return followed(problem, times=LOG_TIMES, method="kvaerno5", stop_at_loss=1e-4)

    def test_is_followed_to_the_end(self, trajectory) -> None:
        time, w_11 = log_cholesky(1e-6, 1e-4)
        assert time == pytest.approx(59070.74, abs=0.01)
        assert trajectory.times[-1] == pytest.approx(time, rel=1e-5)
        assert trajectory.end_to_end[-1, 0, 0] == pytest.approx(w_11, rel=1e-8)
        assert trajectory.end_to_end[-1, 0, 0] == pytest.approx(70.6965, abs=5e-5)
        assert trajectory.loss[-1] == pytest.approx(1e-4, rel=1e-9)
        assert trajectory.statistics.accepted < 3000

    def test_keeps_the_sign_and_size_of_the_smallest_singular_value(self, trajectory) -> None:
        assert (trajectory.det_sign == 1).all()
        assert trajectory.log_singular_values[-1, 1] == pytest.approx(-2543, abs=1)
        assert trajectory.log_singular_values[-1, 0] == pytest.approx(
            np.log(trajectory.singular_values[-1, 0]), abs=1e-9
        )


def test_the_sign_of_the_determinant_is_kept_where_layers_lose_it() -> None:
    rng = np.random.default_rng(1)
    U, V = orthogonal(3, rng), orthogonal(3, rng)
    layers = initialization.from_svd([3, 3, 3], U, np.array([1.0, 0.5, 0.2]), V.T)
    problem = Problem(losses.Squared(U @ np.diag([-1, 2, 3]) @ V.T), layers, 300.0)
    kept, lost = followed(problem), followed(problem, "layers")
    assert lost.loss[-1] < 1e-6  # through a determinant of the other sign
    assert kept.loss[-1] == pytest.approx(0.5, abs=1e-6)
    assert np.ptp(kept.det_sign) == 0
    # from the time when it is small, log σ falls at 2 |G| = 2
    assert kept.log_singular_values[-1, 2] == pytest.approx(-600, abs=3)


class TestSpectrum:
    def test_of_graded_matrices_far_beyond_double_range(self) -> None:
        rng = np.random.default_rng(2)
        T = np.triu(rng.standard_normal((4, 4)), 1) + np.diag([3.0, 2.5, -900.0, -2000.0])
        found = np.asarray(log_singular_values(T))
        np.testing.assert_allclose(found.sum(), np.diag(T).sum(), rtol=1e-14)
        K = np.triu(T, 1) + np.eye(4)
        leading = np.linalg.svd(np.exp(np.diag(T)[:2])[:, None] * K[:2], compute_uv=False)
        np.testing.assert_allclose(found[:2], np.log(leading), rtol=1e-13)
        # the third is what its row leaves orthogonal to the leading two
        onto = np.linalg.qr(K[:2].T)[0]
        rest = K[2] - onto @ (onto.T @ K[2])
        assert found[2] == pytest.approx(-900 + np.log(np.linalg.norm(rest)), abs=1e-11)

    @given(st.sampled_from([1, 2, 5]), st.integers(0, 2**32 - 1))
    @settings(max_examples=10, deadline=None)
    def test_of_any_triangular_matrix(self, size, seed) -> None:
        T = np.triu(np.random.default_rng(seed).standard_normal((size, size)))
        R = np.exp(np.diag(T))[:, None] * (np.triu(T, 1) + np.eye(size))
        wanted = np.log(np.linalg.svd(R, compute_uv=False))
        np.testing.assert_allclose(log_singular_values(T), wanted, rtol=0, atol=1e-11)

    def test_of_a_start_goes_past_rounding_of_the_product(self) -> None:
        rng = np.random.default_rng(3)
        U, V = orthogonal(4, rng), orthogonal(3, rng)
        sigma = np.array([1.0, 1e-9, 1e-20])
        layers = initialization.from_svd([3, 5, 5, 4], U[:, :3], sigma, V.T)
        found_U, log_sigma, found_V = singular_value_decomposition(layers)
        # the smallest is 10^-6.7 of the largest in a layer
        np.testing.assert_allclose(log_sigma, np.log(sigma), rtol=0, atol=1e-8)
        np.testing.assert_allclose(np.sum(found_U * U[:, :3], axis=0) ** 2, 1, rtol=1e-12)
        signs = np.sum(found_U * U[:, :3], axis=0) * np.sum(found_V * V, axis=0)
        np.testing.assert_allclose(signs, 1, rtol=1e-12)

    def test_of_an_unbalanced_start_of_low_rank(self) -> None:
        rng = np.random.default_rng(4)
        layers = (rng.standard_normal((2, 5)), rng.standard_normal((4, 2)))
        U, log_sigma, V = singular_value_decomposition(layers)
        assert log_sigma.shape == (2,)
        np.testing.assert_allclose((U * np.exp(log_sigma)) @ V.T, layers[1] @ layers[0], atol=1e-14)

    def test_past_the_rank_is_zero(self) -> None:
        problem = problems.balanced((5, 2, 5))
        flow = SpectralFlow.of(problem)
        log_sigma, sign = flow.exact_spectrum(flow.initial_state(problem))
        assert np.isneginf(log_sigma[2:]).all()
        assert np.isfinite(log_sigma[:2]).all()
        assert sign == 0


class TestRefusals:
    def test_of_depth_1(self) -> None:
        with pytest.raises(ValueError, match="at least 2 layers"):
            followed(Problem(losses.Squared(np.eye(2)), [np.eye(2)], 1.0))

    def test_of_a_zero_start(self) -> None:
        layers = [np.zeros((2, 2)), np.eye(2)]
        with pytest.raises(ValueError, match="not 0 at the start"):
            followed(Problem(losses.Squared(np.eye(2)), layers, 1.0))

    def test_of_depth_1_in_a_file(self, tmp_path) -> None:
        path = tmp_path / "one.toml"
        path.write_text(
            'title = "t"\n[network]\nwidths = [2, 2]\n[loss]\nkind = "squared"\n'
            'target = { identity = 1.0 }\n[init]\nkind = "identity"\nscale = 0.1\n'
            '[flow]\nhorizon = 1.0\nspaces = ["spectral"]\n'
        )
        from flowsim.experiment.plan.reading import read

        with pytest.raises(ScenarioError, match="with one layer singular values may pass"):
            read(path)


def test_atol_holds_for_frames_and_logarithms() -> None:
    problem = problems.aligned(2).problem
    loose, tight = (followed(problem, rtol=1e-9, atol=atol) for atol in (1e-3, 1e-10))
    assert loose.statistics.accepted < tight.statistics.accepted


@pytest.mark.slow
def test_stiff_methods_take_long_steps_at_rest() -> None:
    """Nothing in the frames keeps moving once W has arrived."""
    rng = np.random.default_rng(5)
    loss = losses.Completion(rng.standard_normal((2, 2)), np.ones((2, 2)))
    problem = Problem(loss, initialization.balanced([2, 2, 2], 0.01, rng), 1e5)
    # stop_at_loss as above, so that the same compiled program serves
    choices = {"method": "kvaerno5", "rtol": 1e-7, "stop_at_loss": -1.0, "max_steps": 2000}
    found = followed(problem, times=LOG_TIMES, **choices)
    assert found.loss[-1] < 1e-25
    assert found.statistics.accepted < 1000
