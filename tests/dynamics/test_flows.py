"""Layer and end-to-end flow: against each other, exact solutions, and what they conserve."""

from __future__ import annotations

import exact
import jax.numpy as jnp
import numpy as np
import problems
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowsim.dynamics.end_to_end import EndToEndFlow
from flowsim.dynamics.layers import LayerFlow
from flowsim.problem import initialization, losses, network
from flowsim.problem.problem import Problem
from flowsim.solvers.solve import solve

TIGHT = 1e-10
SPACES = ("layers", "end_to_end")
WIDTHS = [(4, 3), (4, 6, 3), (5, 2, 4), (4, 5, 6, 3), (4, 2, 5, 3), (4, 3, 2, 5, 4, 3)]
"""Depths 1, 2, 3 and 5; the third and the last two are narrower inside than at their ends."""


def followed(problem: Problem, space: str, times=None, **choices):
    times = np.linspace(0, problem.horizon, 9) if times is None else times
    options = {"rtol": TIGHT, "estimate_error": False} | choices
    return solve(problem, space, times=times, **options)


def distance(W: np.ndarray, other: np.ndarray) -> float:
    """Return the largest Frobenius distance over time, relative to the largest matrix."""
    apart = np.linalg.norm(W - other, axis=(1, 2)).max()
    return float(apart / np.linalg.norm(other, axis=(1, 2)).max())


class TestAgreement:
    """From a balanced start the two flows are one: the end-to-end flow is a theorem."""

    @pytest.mark.parametrize(("scale", "horizon"), [(0.5, 3.0), (0.01, 10.0)])
    @pytest.mark.parametrize("widths", WIDTHS, ids=str)
    def test_of_balanced_flows(self, widths, scale, horizon) -> None:
        problem = problems.balanced(widths, scale=scale, horizon=horizon)
        layers, end_to_end = (followed(problem, space) for space in SPACES)
        assert distance(end_to_end.end_to_end, layers.end_to_end) < 1e-8
        np.testing.assert_allclose(end_to_end.loss, layers.loss, rtol=0, atol=1e-8 * layers.loss[0])

    @given(
        st.sampled_from(WIDTHS),
        st.sampled_from(["squared", "completion", "sensing", "regression", "cross-entropy"]),
        st.sampled_from([0.0, 0.3]),
        st.integers(0, 2**32 - 1),
    )
    @settings(max_examples=25, deadline=None)
    def test_of_velocities_for_every_loss(self, widths, kind, decay, seed) -> None:
        rng = np.random.default_rng(seed)
        shape = (widths[-1], widths[0])
        X, Phi = rng.standard_normal((widths[0], 6)), rng.standard_normal(shape)
        loss = {
            "squared": lambda: losses.Squared(Phi),
            "completion": lambda: losses.Completion(Phi, (Phi > 0).astype(float)),
            "sensing": lambda: losses.Sensing(Phi, rng.standard_normal((8, *shape))),
            "regression": lambda: losses.PowerRegression(X, Phi @ X, 4.0),
            "cross-entropy": lambda: losses.CrossEntropy(X, rng.integers(0, widths[-1], 6)),
        }[kind]()
        problem = Problem(loss, initialization.balanced(widths, 0.7, rng), 1.0, decay)
        moved = LayerFlow.of(problem).velocity(problem.layers, loss, decay)
        after, before = (
            network.suffix_products(problem.layers),
            [
                np.eye(widths[0]),
                *network.prefix_products(problem.layers[:-1]),
            ],
        )
        after = [*after[1:], np.eye(widths[-1])]
        product = sum(A @ dW @ B for A, dW, B in zip(after, moved, before, strict=True))
        (direct,) = EndToEndFlow.of(problem).velocity((problem.initial,), loss, decay)
        size = max(1.0, np.abs(np.asarray(direct)).max())
        np.testing.assert_allclose(product, direct, rtol=0, atol=1e-12 * size)

    @pytest.mark.parametrize("widths", [(4, 5, 6, 3), (5, 2, 4)], ids=str)
    def test_with_weight_decay(self, widths) -> None:
        plain = problems.balanced(widths)
        problem = Problem(plain.loss, plain.layers, plain.horizon, 0.2)
        layers, end_to_end = (followed(problem, space) for space in SPACES)
        assert distance(end_to_end.end_to_end, layers.end_to_end) < 1e-8
        assert distance(layers.end_to_end, followed(plain, "layers").end_to_end) > 0.01

    def test_of_any_differentiable_loss(self) -> None:
        """One that is neither convex nor quadratic, and a start with a zero singular value."""
        centre = np.random.default_rng(1).standard_normal((3, 4))
        loss = lambda W: jnp.sum(jnp.log1p((W - centre) ** 2)) + 0.1 * jnp.sum(jnp.sin(3 * W))  # noqa: E731
        layers = problems.balanced((4, 5, 6, 3)).layers
        problem = Problem(loss, layers, 2.0)
        one, other = (followed(problem, space) for space in SPACES)
        assert distance(other.end_to_end, one.end_to_end) < 1e-8
        assert one.loss[-1] < 0.7 * one.loss[0]

    def test_fails_in_proportion_to_the_imbalance(self) -> None:
        """The layers W_2 A, A⁻¹ W_1 of one product, away from balance by A = I + step · S."""
        balanced = problems.balanced((4, 5, 6, 3), horizon=2.0)
        W_1, W_2, W_3 = balanced.layers
        S = np.random.default_rng(2).standard_normal((5, 5))
        imbalances, gaps = [], []
        for step in (1e-5, 1e-4, 1e-3):
            A = np.eye(5) + step * (S + S.T)
            layers = (np.linalg.solve(A, W_1), W_2 @ A, W_3)
            imbalances.append(float(network.imbalance(layers).max()))
            one, other = (followed(Problem(balanced.loss, layers, 2.0), space) for space in SPACES)
            np.testing.assert_allclose(one.end_to_end[0], other.end_to_end[0])
            gaps.append(np.linalg.norm(one.end_to_end - other.end_to_end, axis=(1, 2)).max())
        slopes = np.diff(np.log(gaps)) / np.diff(np.log(imbalances))
        np.testing.assert_allclose(slopes, 1, atol=0.05)  # the next order is of the imbalance
        assert 0.1 < gaps[0] / imbalances[0] < 2

    def test_fails_by_the_square_of_a_multiple_of_the_identity(self) -> None:
        """W_2W_2ᵀ = √(WWᵀ + λ²/4) + λ/2, W_1ᵀW_1 = √(WᵀW + λ²/4) - λ/2: the first order cancels."""
        Phi = problems.aligned(2).problem.loss.Phi
        steps, gaps = np.array([1e-3, 1e-2]), []
        for step in steps:
            layers = initialization.lambda_balanced((3, 3, 3), 0.5, step, np.random.default_rng(2))
            problem = Problem(losses.Squared(Phi), layers, 2.0)
            one, other = (followed(problem, space) for space in SPACES)
            gaps.append(distance(other.end_to_end, one.end_to_end))
        assert np.diff(np.log(gaps)) / np.diff(np.log(steps)) == pytest.approx(2, abs=0.05)


class TestExact:
    @pytest.mark.parametrize("space", SPACES)
    @pytest.mark.parametrize("scale", [1e-2, 1e-5])
    @pytest.mark.parametrize("depth", [1, 2, 3, 4])
    def test_aligned_modes(self, depth, scale, space) -> None:
        case = problems.aligned(depth, scale)
        times = np.linspace(0, case.horizon, 25)
        trajectory = followed(case.problem, space, times)
        # an error of rtol per step grows on the plateau by the growth of the mode itself,
        # relative to the mode: 1e-10 times some tens of steps, times a margin
        assert case.error(trajectory).max() < 1e-7 * case.size

    @pytest.mark.parametrize("imbalance", [0.0, 0.5, -0.5])
    def test_unaligned_at_depth_2(self, imbalance) -> None:
        rng = np.random.default_rng(3)
        layers = initialization.lambda_balanced((3, 3, 3), 0.1, imbalance, rng)
        Phi = rng.standard_normal((3, 3))
        times = np.linspace(0, 5, 11)
        trajectory = followed(Problem(losses.Squared(Phi), layers, 5.0), "layers", times)
        wanted = exact.unaligned(times, *layers, Phi)
        assert distance(trajectory.end_to_end, wanted) < 1e-8
        if imbalance:  # the end-to-end flow solves another problem
            other = followed(Problem(losses.Squared(Phi), layers, 5.0), "end_to_end", times)
            assert distance(other.end_to_end, wanted) > 1e-3

    @pytest.mark.parametrize("widths", [(4, 6, 3), (5, 2, 4)], ids=str)
    @pytest.mark.parametrize("space", SPACES)
    def test_unaligned_rectangular_and_narrow(self, widths, space) -> None:
        problem = problems.balanced(widths)
        times = np.linspace(0, 3, 9)
        wanted = exact.unaligned(times, *problem.layers, problem.loss.Phi)
        assert distance(followed(problem, space, times).end_to_end, wanted) < 1e-8

    def test_depth_1_is_a_linear_equation(self) -> None:
        rng = np.random.default_rng(4)
        X, Y, W_0 = (rng.standard_normal(s) for s in [(4, 20), (3, 20), (3, 4)])
        problem = Problem(losses.LeastSquares.from_data(X, Y), [W_0], 4.0)
        times = np.linspace(0, 4, 9)
        wanted = exact.linear(times, W_0, X, Y)
        assert distance(followed(problem, "layers", times).end_to_end, wanted) < 1e-8

    def test_one_output(self) -> None:
        """An anisotropic loss, for which w turns while it grows."""
        rng = np.random.default_rng(5)
        X, Y = rng.standard_normal((3, 12)), rng.standard_normal((1, 12))
        loss = losses.LeastSquares.from_data(X, Y)
        problem = Problem(loss, initialization.balanced((3, 4, 2, 1), 0.2, rng), 3.0)
        times = np.linspace(0, 3, 7)
        gradient = lambda w: ((w[None, :] @ X - Y) @ X.T / 12)[0]  # noqa: E731
        wanted = exact.one_output(times, problem.initial, gradient, 3)
        assert distance(followed(problem, "end_to_end", times).end_to_end, wanted) < 1e-8


class TestInvariants:
    @pytest.fixture
    def unbalanced(self) -> Problem:
        rng = np.random.default_rng(6)
        layers = initialization.gaussian((4, 5, 6, 3), 0.5, rng)
        return Problem(losses.Squared(rng.standard_normal((3, 4))), layers, 3.0)

    def test_imbalance_never_changes(self, unbalanced) -> None:
        trajectory = followed(unbalanced, "layers")
        assert trajectory.imbalance.shape == (9, 2)
        assert trajectory.imbalance[0].min() > 0.1
        np.testing.assert_allclose(
            trajectory.imbalance, trajectory.imbalance[[0] * 9], rtol=0, atol=1e-8
        )

    def test_imbalance_decays_with_weight_decay(self, unbalanced) -> None:
        decaying = Problem(unbalanced.loss, unbalanced.layers, 3.0, weight_decay=0.4)
        trajectory = followed(decaying, "layers")
        wanted = np.exp(-0.8 * trajectory.times)[:, None] * trajectory.imbalance[:1]
        np.testing.assert_allclose(trajectory.imbalance, wanted, rtol=0, atol=1e-8)

    @pytest.mark.parametrize("space", SPACES)
    def test_loss_never_rises(self, unbalanced, space) -> None:
        trajectory = followed(unbalanced, space, np.linspace(0, 30, 301))
        # at a minimum, errors of the tolerance raise a quadratic loss by its square
        assert np.diff(trajectory.loss).max() < 1e-8 * trajectory.loss[0]
        assert trajectory.loss[-1] < 1e-3 * trajectory.loss[0]

    @pytest.mark.parametrize("space", SPACES)
    @pytest.mark.parametrize("depth", [2, 3])
    def test_the_determinant_keeps_its_sign(self, depth, space) -> None:
        """Towards a target of the other sign: the flow must stop at a singular matrix."""
        case = problems.aligned(depth, 0.5)
        problem = case.problem
        flipped = case.U @ np.diag([3.0, 2.0, -1.0]) @ case.Vt
        start = np.linalg.slogdet(problem.initial)[0]
        assert np.linalg.slogdet(flipped)[0] == -start
        trajectory = followed(Problem(losses.Squared(flipped), problem.layers, 3.0), space)
        assert np.all(np.linalg.slogdet(trajectory.end_to_end)[0] == start)
        assert trajectory.loss[-1] > 0.5  # what crossing zero would have saved

    def test_depth_1_does_cross(self) -> None:
        case = problems.aligned(1, 0.5)
        flipped = case.U @ np.diag([3.0, 2.0, -1.0]) @ case.Vt
        trajectory = followed(Problem(losses.Squared(flipped), case.problem.layers, 9.0), "layers")
        signs = np.linalg.slogdet(trajectory.end_to_end)[0]
        assert signs[0] == -signs[-1]

    @pytest.mark.parametrize("space", SPACES)
    def test_rank_never_exceeds_the_narrowest_layer(self, space) -> None:
        """Unbounded, roundoff in σ_3 would have grown to order 1 by t = 20."""
        trajectory = followed(problems.balanced((5, 2, 4), horizon=20.0), space)
        assert trajectory.singular_values[:, 2:].max() < 1e-10
        assert trajectory.singular_values[-1, 1] > 0.5

    def test_rank_of_a_balanced_start_is_kept(self) -> None:
        """A start of rank 1 in a network that could hold rank 3 ends at rank 1."""
        case = problems.aligned(3)
        layers = initialization.from_svd([3] * 4, case.U[:, :1], np.array([0.1]), case.Vt[:1])
        problem = Problem(losses.Squared(case.problem.loss.Phi), layers, 30.0)
        trajectory = followed(problem, "end_to_end")
        assert trajectory.singular_values[:, 1:].max() < 1e-10
        np.testing.assert_allclose(trajectory.singular_values[-1, 0], 3, rtol=1e-8)


def test_a_start_at_an_equilibrium_stays() -> None:
    problem = problems.aligned(3).problem
    there = initialization.from_svd(
        [3] * 4, *(np.linalg.svd(problem.loss.Phi)[i] for i in range(3))
    )
    trajectory = followed(Problem(problem.loss, there, 5.0), "layers")
    # steps as long as the tolerance allows amplify rounding up to the tolerance
    assert np.abs(trajectory.end_to_end - problem.loss.Phi).max() < 100 * TIGHT
