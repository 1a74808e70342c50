"""Implicit steps without a Jacobian: preconditioners, Krylov methods, and what they cost."""

from __future__ import annotations

import exact
import jax
import jax.numpy as jnp
import numpy as np
import problems
import pytest
from jax.flatten_util import ravel_pytree
from scipy.integrate import solve_ivp

from flowsim.dynamics.end_to_end import EndToEndFlow
from flowsim.dynamics.gauss_newton import curvature, end_to_end_inverse, layer_inverse
from flowsim.dynamics.layers import LayerFlow
from flowsim.problem import initialization, losses, network
from flowsim.problem.problem import Problem
from flowsim.solvers.methods import METHODS
from flowsim.solvers.methods.krylov import conjugate_gradients, stabilized_biconjugate_gradients
from flowsim.solvers.methods.tolerances import Tolerances
from flowsim.solvers.solve import solve
from flowsim.solvers.stepper import Integrator, Window
from flowsim.solvers.system import ScaledFlow

SHAPES = [(4, 4, 4), (3, 5, 4, 2), (6, 3, 2, 5), (5, 2), (2, 3, 3, 3, 6)]


def dense(function, like) -> np.ndarray:
    """Return the matrix of a linear function of a tuple of matrices."""
    x, restore = ravel_pytree(like)
    columns = jax.jit(jax.vmap(lambda e: ravel_pytree(function(restore(e)))[0]))
    return np.asarray(columns(np.eye(x.size))).T


def gauss_newton(layers, a, c) -> np.ndarray:
    """Return a I + c AᵀA, A the derivative of the end-to-end matrix."""
    x, restore = ravel_pytree(layers)
    A = jax.jacfwd(lambda x: network.end_to_end(restore(x)).ravel())(x)
    return a * np.eye(x.size) + c * np.asarray(A.T @ A)


class TestLayerInverse:
    @pytest.mark.parametrize("c", [1.0, 1e5])
    @pytest.mark.parametrize("widths", SHAPES)
    def test_is_exact_for_balanced_layers(self, widths, c) -> None:
        layers = initialization.balanced(widths, 0.7, np.random.default_rng(0))
        inverse = dense(layer_inverse(layers, 1.5, c), layers)
        product = inverse @ gauss_newton(layers, 1.5, c)
        np.testing.assert_allclose(product, np.eye(len(product)), atol=1e-14 * c**2 + 1e-12)

    def test_is_exact_for_two_layers_however_unbalanced(self) -> None:
        rng = np.random.default_rng(1)
        layers = (rng.standard_normal((3, 4)), rng.standard_normal((2, 3)))
        product = dense(layer_inverse(layers, 1.0, 10.0), layers) @ gauss_newton(layers, 1.0, 10.0)
        np.testing.assert_allclose(product, np.eye(len(product)), atol=1e-12)

    def test_is_symmetric_and_positive_near_balance(self) -> None:
        rng = np.random.default_rng(2)
        balanced = initialization.balanced((4, 4, 4, 4), 0.7, rng)
        layers = tuple(W + 1e-3 * rng.standard_normal(W.shape) for W in balanced)
        inverse = dense(layer_inverse(layers, 1.0, 100.0), layers)
        np.testing.assert_allclose(inverse, inverse.T, atol=1e-13)
        spread = np.linalg.eigvals(inverse @ gauss_newton(layers, 1.0, 100.0)).real
        assert 0.3 < spread.min() <= spread.max() < 3


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("shape", [(3, 3), (4, 2), (2, 4), (4, 4)])
def test_the_end_to_end_inverse_is_exact(shape, depth) -> None:
    rng = np.random.default_rng(3)
    rank = 2
    W = rng.standard_normal((shape[0], rank)) @ rng.standard_normal((rank, shape[1]))
    flow = EndToEndFlow(depth=depth, rank=rank)
    P = dense(lambda G: flow.velocity((W,), losses.Squared(W - G[0]), 0.0), (W,))
    product = dense(lambda X: (end_to_end_inverse(W, 2.0, 5.0, depth, rank)(X[0]),), (W,)) @ (
        2.0 * np.eye(W.size) - 5.0 * P
    )
    np.testing.assert_allclose(product, np.eye(W.size), atol=1e-12)


def test_curvature_is_that_along_the_gradient() -> None:
    W, Phi = np.random.default_rng(4).standard_normal((2, 3, 3))
    assert curvature(losses.Squared(Phi), W) == pytest.approx(1.0)
    assert curvature(losses.Squared(W), W) == 1.0
    assert curvature(losses.Completion(Phi, np.eye(3)), W) == pytest.approx(1.0)
    assert curvature(losses.Differentiable(lambda W: -jnp.sum(W**4)), W) == 0.0
    expected = 3 * np.sum(W**8) / np.sum(W**6)  # G = W³, ∇²ℓ[G] = 3W²G
    assert curvature(losses.Differentiable(lambda W: jnp.sum(W**4) / 4), W) == pytest.approx(
        expected
    )


class TestKrylov:
    @staticmethod
    def system(symmetric: bool):
        rng = np.random.default_rng(5)
        Q = np.linalg.qr(rng.standard_normal((12, 12)))[0]
        B = Q * np.geomspace(1, 1e4, 12) @ Q.T
        if not symmetric:
            B = B + 0.3 * rng.standard_normal((12, 12))
        return B, rng.standard_normal(12)

    @pytest.mark.parametrize(
        ("method", "symmetric"),
        [(conjugate_gradients, True), (stabilized_biconjugate_gradients, False)],
    )
    def test_solves(self, method, symmetric) -> None:
        B, b = self.system(symmetric)
        diagonal = np.diag(B)
        found = method(
            lambda x: (B @ x[0],),
            lambda x: (x[0] / diagonal,),
            lambda x, y: jnp.vdot(x[0], y[0]),
            lambda r, _z: jnp.linalg.norm(r[0]) < 1e-9,
            (jnp.asarray(b),),
            200,
        )
        assert found.ok
        assert 5 < found.iterations < 100
        np.testing.assert_allclose(found.x[0], np.linalg.solve(B, b), atol=1e-8)

    def test_goes_on_without_a_preconditioner_that_is_not_positive(self) -> None:
        B, b = self.system(symmetric=True)
        found = conjugate_gradients(
            lambda x: (B @ x[0],),
            lambda x: (x[0] * np.where(np.arange(12) == 3, -100.0, 1.0),),
            lambda x, y: jnp.vdot(x[0], y[0]),
            lambda r, _z: jnp.linalg.norm(r[0]) < 1e-9,
            (jnp.asarray(b),),
            200,
        )
        assert found.ok
        np.testing.assert_allclose(found.x[0], np.linalg.solve(B, b), atol=1e-8)

    def test_an_indefinite_operator_is_reported(self) -> None:
        found = conjugate_gradients(
            lambda x: (x[0] * np.array([1.0, -2.0]),),
            lambda x: x,
            lambda x, y: jnp.vdot(x[0], y[0]),
            lambda r, _z: jnp.linalg.norm(r[0]) < 1e-9,
            (jnp.array([1.0, 1.0]),),
            200,
        )
        assert not found.ok


def integrator(problem: Problem, flow, method: str, rtol: float) -> Integrator:
    system = ScaledFlow.of(flow, problem, flow.initial_state(problem), Tolerances(rtol))
    return Integrator.of(system, rtol, METHODS[method])


def costs(problem: Problem, method: str, rtol: float) -> tuple[float, int, int]:
    """Return iterations a linear system, the most of one, and steps, up to the horizon."""
    flow = LayerFlow.of(problem)
    compiled = integrator(problem, flow, method, rtol)
    end = np.array([problem.horizon])
    y = compiled.system.scaled(flow.initial_state(problem))
    progress = compiled.begin(np.asarray(0.0), y, end[0])
    window = Window(end, end, np.asarray(1))
    after, _, _ = compiled.advance(progress, window, np.asarray(100_000))
    assert after.t == problem.horizon
    systems = len(compiled.solver.tableau.a) * int(after.accepted)
    spent = after.solver_state
    return int(spent.iterations) / systems, int(spent.most), int(after.accepted)


@pytest.mark.parametrize("method", ["rodas4", "rodas5p"])
def test_iterations_do_not_grow_with_the_stiffness(method) -> None:
    """Up to h·ρ of 1e8, over plateaus that end at t = 1e2, 1e4 and 1e8."""
    spent = []
    for scale in (1e-4, 1e-8, 1e-16):
        case = problems.aligned(4, scale)
        spent.append(costs(case.problem, method, 1e-5))
    mean, most, steps = zip(*spent, strict=True)
    assert max(mean) < 2.5
    assert max(most) <= 12
    assert max(steps) < 800


@pytest.mark.parametrize("method", ["rodas4", "rodas5p"])
@pytest.mark.slow
def test_a_plateau_of_a_hundred_million(method) -> None:
    case = problems.aligned(4, 1e-16)
    times = np.linspace(0, 0.98 * case.horizon, 30)  # exits at thirds and halves of it fall between
    found = solve(case.problem, method=method, rtol=1e-7, times=times, estimate_error=False)
    assert case.horizon > 1e7
    assert found.statistics.accepted + found.statistics.rejected < 2500
    assert case.error(found).max() < 1e-4


def test_layers_far_from_balance_take_as_long_steps() -> None:
    """Where the Gauss-Newton inverse may not be positive, it is done without."""
    rng = np.random.default_rng(1)
    layers = tuple(0.6 * rng.standard_normal((3, 3)) for _ in range(4))
    problem = Problem(losses.Squared(2 * rng.standard_normal((3, 3))), layers, 1e4)
    assert network.balance_defect(layers) > 0.3
    _, _, steps = costs(problem, "rodas5p", 1e-5)
    assert steps < 300


def reference(problem: Problem, gradient, times: np.ndarray) -> np.ndarray:
    """Return W(t) of Ẇ_j = -L_jᵀ G R_jᵀ - λ W_j at depth 3, by SciPy."""

    def velocity(_t, y):
        W_1, W_2, W_3 = y.reshape(3, 3, 3)
        G = gradient(W_3 @ W_2 @ W_1)
        moved = ((W_3 @ W_2).T @ G, W_3.T @ G @ W_1.T, G @ (W_2 @ W_1).T)
        return -np.array(moved).ravel() - problem.weight_decay * y

    start, span = np.array(problem.layers).ravel(), (0.0, times[-1])
    y = solve_ivp(velocity, span, start, "DOP853", times, rtol=1e-11, atol=1e-13).y
    return np.array([W[2] @ W[1] @ W[0] for W in y.T.reshape(-1, 3, 3, 3)])


SEEN = np.array([[1.0, 1, 0], [0, 1, 1], [1, 0, 1]])


@pytest.mark.parametrize("kind", ["unbalanced", "completion", "decay"])
def test_any_start_and_loss_is_solved_to_tolerance(kind) -> None:
    rng, times = np.random.default_rng(6), np.linspace(0, 30, 7)
    Phi = rng.standard_normal((3, 3))
    layers = initialization.balanced((3, 3, 3, 3), 1e-2, rng)
    if kind == "unbalanced":
        layers = tuple(0.5 * rng.standard_normal((3, 3)) for _ in range(3))
    seen = SEEN if kind == "completion" else np.ones((3, 3))
    loss = losses.Completion(Phi, seen)
    problem = Problem(loss, layers, 30.0, weight_decay=0.05 if kind == "decay" else 0.0)
    wanted = reference(problem, lambda W: seen * (W - Phi), times)
    choices = {"method": "rodas5p", "rtol": 1e-7, "times": times, "estimate_error": False}
    found = solve(problem, **choices)
    errors = np.linalg.norm(found.end_to_end - wanted, axis=(1, 2))
    assert errors.max() < 1e-5 * np.linalg.norm(wanted[-1])
    assert found.statistics.accepted < 400


@pytest.mark.parametrize("method", ["rodas4", "rodas5p"])
@pytest.mark.slow
def test_errors_stay_near_the_tolerance_over_a_long_horizon(method) -> None:
    """Razin & Cohen's completion: what the linear systems are off by must not add up.

    The reference solves its systems directly.
    """
    Phi, seen = np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([[0.0, 1.0], [1.0, 1.0]])
    problem = Problem(losses.Completion(Phi, seen), [1e-2 * np.eye(2)] * 3, 10833.8)
    choices = {"times": [0.0, problem.horizon], "estimate_error": False}
    wanted = solve(problem, method="kvaerno5", rtol=1e-9, **choices).end_to_end[-1]
    assert wanted[0, 0] == pytest.approx(70.697, abs=1e-3)
    found = solve(problem, method=method, rtol=1e-7, **choices).end_to_end[-1]
    assert np.linalg.norm(found - wanted) < 1e-6 * np.linalg.norm(wanted)


def test_depth_one() -> None:
    rng = np.random.default_rng(7)
    X, W_0 = np.diag([10.0, 1.0, 0.1]), rng.standard_normal((2, 3))
    Y = rng.standard_normal((2, 3))
    loss = losses.Differentiable(lambda W: jnp.sum((W @ X - Y) ** 2) / 6)
    times = np.linspace(0, 100, 5)
    found = solve(
        Problem(loss, (W_0,), 100.0), method="rodas5p", rtol=1e-8, times=times, estimate_error=False
    )
    np.testing.assert_allclose(found.end_to_end, exact.linear(times, W_0, X, Y), atol=1e-5)


def test_dense_output_has_third_order() -> None:
    problem = problems.balanced((3, 3, 3))
    flow = LayerFlow.of(problem)
    compiled = integrator(problem, flow, "rodas5p", 1e-12)
    terms, solver, _ = compiled._prepared()
    y = compiled.system.scaled(flow.initial_state(problem))
    gaps = []
    for h in (0.05, 0.025):
        t = (jnp.asarray(0.0), jnp.asarray(h))
        state = solver.init(terms, *t, y, None)
        dense_output = solver.step(terms, *t, y, None, state, False)[2]
        middle = solver.interpolation_cls(t0=t[0], t1=t[1], **dense_output).evaluate(h / 2)
        exactly = compiled.single_step(np.asarray(0.0), y, np.asarray(h / 2))
        gaps.append(max(float(np.abs(a - b).max()) for a, b in zip(middle, exactly, strict=True)))
    assert np.log2(gaps[0] / gaps[1]) == pytest.approx(4, abs=0.3)


def test_a_step_past_the_growth_is_refused() -> None:
    """Where γhλ₊ > 1 the matrix is indefinite: the error estimate is infinite, not wrong."""
    case = problems.aligned(3, 1e-2)
    flow = LayerFlow.of(case.problem)
    compiled = integrator(case.problem, flow, "rodas5p", 1e-6)
    terms, solver, _ = compiled._prepared()
    y = compiled.system.scaled(flow.initial_state(case.problem))
    t = (jnp.asarray(0.0), jnp.asarray(100 * case.horizon))
    error = solver.step(terms, *t, y, None, solver.init(terms, *t, y, None), False)[1]
    assert all(np.isinf(e).all() for e in error)
