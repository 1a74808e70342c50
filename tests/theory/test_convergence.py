"""Certificates of convergence, against scalars with known solutions, scaling and known minima."""

from __future__ import annotations

from itertools import pairwise

import jax.numpy as jnp
import numpy as np
import pytest

from flowsim.dynamics.preconditioner import kernel
from flowsim.problem import losses
from flowsim.problem.problem import Problem
from flowsim.solvers.descend import descend
from flowsim.solvers.solve import solve
from flowsim.theory.convergence import formulas as convergence
from flowsim.theory.convergence.certificate import certificate
from flowsim.theory.global_minimum import global_minimum

RNG = np.random.default_rng(7)
EPS = float(np.finfo(float).eps)


def balanced(W: np.ndarray, depth: int) -> list[np.ndarray]:
    """Return balanced layers of the least widths with the product W, which has full rank."""
    U, sigma, Vt = np.linalg.svd(W, full_matrices=False)
    root = np.diag(sigma ** (1 / depth))
    return [root @ Vt, *([root] * (depth - 2)), U @ root] if depth > 1 else [W]


def drawn(*widths: int) -> list[np.ndarray]:
    return [RNG.standard_normal((b, a)) for a, b in pairwise(widths)]


def at_once(loss: losses.Loss, minimizer: np.ndarray | None, layers) -> convergence.Along:
    return convergence.along(loss, minimizer, [W[None] for W in layers])


def operator(layers) -> np.ndarray:
    """Return Σ_j R_jᵀR_j ⊗ L_jL_jᵀ, each L_j and R_j multiplied out by itself."""
    d_N, d_0 = len(layers[-1]), layers[0].shape[1]
    total = np.zeros((d_N * d_0, d_N * d_0))
    for j in range(len(layers)):
        R, L = np.eye(d_0), np.eye(len(layers[j]))
        for layer in layers[:j]:
            R = layer @ R
        for layer in layers[j + 1 :]:
            L = layer @ L
        total += np.kron(R.T @ R, L @ L.T)
    return total


def test_the_margin_is_what_is_left_to_low_rank() -> None:
    """Claim 1: no matrix as near to Φ as W has a singular value below c, and one has just c."""
    Phi = np.diag([2.0, 1.0])
    W = np.array([[2.0, 0.3], [0.1, 0.9]])
    c = convergence.deficiency_margin(W, Phi)
    assert c == pytest.approx(1 - np.sqrt(0.09 + 0.01 + 0.01), abs=4 * EPS)
    for _ in range(200):
        E = RNG.standard_normal((2, 2))
        other = Phi + E * np.linalg.norm(W - Phi) / np.linalg.norm(E)
        assert np.linalg.svd(other, compute_uv=False)[-1] >= c - 4 * EPS
    worst = Phi - np.diag([0.0, np.linalg.norm(W - Phi)])
    assert np.linalg.svd(worst, compute_uv=False)[-1] == pytest.approx(c, abs=4 * EPS)
    assert convergence.deficiency_margin(-Phi, Phi) < 0


@pytest.mark.parametrize("depth", [1, 2, 3, 5])
@pytest.mark.parametrize("s", [0.1, 3.0])
def test_the_constants_scale_as_times_and_imbalances_do(depth: int, s: float) -> None:
    c, size, h = 0.6, 1.7, 2.5
    time = s ** (-2 * (depth - 1) / depth)
    for value, wanted in (
        (convergence.largest_step_size, time),
        (lambda c, _, N: convergence.flow_rate(c, N, (2, 2)), 1 / time),
        (convergence.admitted_imbalance, s ** (2 / depth)),
    ):
        ratio = value(s * c, s * size, depth) / value(c, size, depth)
        assert ratio == pytest.approx(wanted, rel=1e-12)
    eta = convergence.largest_step_size(c, size, depth, h)
    assert eta == pytest.approx(convergence.largest_step_size(c, size, depth) / h, rel=1e-12)
    counts = [convergence.iterations(1e-9 / k, c, depth, 1e-3, k) for k in (1.0, h)]
    assert abs(counts[0] - counts[1]) <= 1 + 8 * EPS * counts[0]


def test_without_a_margin_nothing_is_promised() -> None:
    for margin in (0.0, -1.0, np.nan):
        assert np.isnan(convergence.flow_rate(margin, 2, (2, 2)))
        assert np.isnan(convergence.admitted_imbalance(margin, 1.0, 2))
        assert np.isnan(convergence.largest_step_size(margin, 1.0, 2))
        assert np.isnan(convergence.iterations(np.array([0.1]), margin, 2, 1e-3)).all()


@pytest.mark.parametrize("shape", [(3, 3), (2, 4), (4, 2), (1, 5)])
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_smallest_eigenvalue_is_that_of_the_kernel_and_of_the_layers(shape, depth) -> None:
    W = RNG.standard_normal(shape)
    sigma = np.linalg.svd(W, compute_uv=False)
    rows, columns = (np.pad(sigma, (0, n - sigma.size)) for n in shape)
    wanted = np.min(kernel(jnp.asarray(rows), jnp.asarray(columns), depth))
    found = convergence.smallest_eigenvalue(sigma, shape, depth)
    assert found == pytest.approx(float(wanted), rel=1e-12)
    layers = balanced(W, depth)
    loss = losses.Squared(np.zeros(shape))
    assert at_once(loss, None, layers).smallest == pytest.approx(float(wanted), rel=1e-10)


@pytest.mark.parametrize("widths", [(3, 3, 3), (2, 4, 3), (3, 5, 5, 2), (2, 2)])
def test_off_balance_it_is_a_bound_and_the_decrease_is_exact(widths) -> None:
    layers, Phi = drawn(*widths), RNG.standard_normal((widths[-1], widths[0]))
    loss = losses.Squared(Phi)
    found, P = at_once(loss, Phi, layers), operator(layers)
    values = np.linalg.eigvalsh(P)
    assert found.smallest[0] <= values[0] + len(P) * EPS * values[-1]
    W = layers[0]
    for layer in layers[1:]:
        W = layer @ W
    g = (W - Phi).ravel(order="F")
    assert found.decrease[0] == pytest.approx(g @ P @ g, rel=1e-12)
    assert found.excess[0] == pytest.approx(0.5 * g @ g, rel=1e-12)
    assert found.distance[0] == found.slope[0] == pytest.approx(np.sqrt(g @ g), rel=1e-12)


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_the_factor_n_is_attained_in_one_dimension_and_wrong_for_a_row(depth: int) -> None:
    """ṡ = N s^{2-2/N}(φ - s): rate 2N c^{2-2/N} at t = 0; w ⊥ w - φ moves at ‖w‖^{2-2/N}."""
    s, phi = np.array([[0.8]]), np.array([[1.0]])
    at = at_once(losses.Squared(phi), phi, balanced(s, depth))
    promised = convergence.flow_rate(convergence.deficiency_margin(s, phi), depth, (1, 1))
    assert at.decrease[0] / at.excess[0] == pytest.approx(promised, rel=1e-12)
    w, Phi = 0.96 * np.array([[0.96, 0.28]]), np.array([[1.0, 0.0]])
    c = convergence.deficiency_margin(w, Phi)
    at = at_once(losses.Squared(Phi), Phi, balanced(w, depth))
    rate = at.decrease[0] / at.excess[0]
    assert rate == pytest.approx(2 * 0.96 ** (2 - 2 / depth), rel=1e-12)
    assert rate >= convergence.flow_rate(c, depth, (1, 2))
    if depth > 1:
        assert rate < depth * convergence.flow_rate(c, depth, (1, 2))


@pytest.mark.parametrize("shape", [(3, 3), (2, 3)])
@pytest.mark.parametrize("depth", [2, 3])
def test_the_flow_keeps_below_its_bounds(shape, depth) -> None:
    """From random starts with a margin: the bound at t = 0, and the running one at every time."""
    Phi = np.linalg.svd(RNG.standard_normal(shape), full_matrices=False)
    Phi = Phi[0] @ Phi[2]
    E = RNG.standard_normal(shape)
    layers = balanced(Phi + 0.5 * E / np.linalg.norm(E), depth)
    problem = Problem(losses.Squared(Phi), layers, 2.0)
    promised = certificate(problem)
    assert promised.margin == pytest.approx(0.5, abs=1e-12)
    assert promised.failing([each.name for each in promised.hypotheses]) == []
    times = np.linspace(0, 2.0, 101)
    flow = solve(problem, "layers", times=times, rtol=1e-11, keep_layers=True)
    found = convergence.along(problem.loss, Phi, flow.layers)
    excess = found.excess * (1 - 1e-8)  # ten times what rtol leaves of it
    assert (excess <= found.excess[0] * np.exp(-promised.rate * times)).all()
    exponent = convergence.running_exponent(times, found.smallest)
    assert (excess <= found.excess[0] * np.exp(-2 * exponent)).all()
    assert (found.decrease / found.excess >= 2 * found.smallest * (1 - 1e-12)).all()


def test_the_running_exponent_is_below_the_integral() -> None:
    time = np.linspace(0, 1, 11)
    for smallest, integral in ((time**2, time**3 / 3), (np.exp(-time), 1 - np.exp(-time))):
        found = convergence.running_exponent(time, smallest)
        assert (found <= integral + 4 * EPS).all()
        assert integral[-1] - found[-1] <= 0.1 * abs(smallest[-1] - smallest[0])


def test_descent_needs_no_more_iterations_than_its_theorem_allows() -> None:
    problem = Problem(losses.Squared(np.array([[1.0]])), balanced(np.array([[0.9]]), 2), 1.0)
    eta = certificate(problem).largest_step_size
    promised = certificate(problem, [eta])
    count = promised.iterations(np.array([eta, 2 * eta]), 0.5)
    assert np.isnan(count[1])
    found = descend(problem, [eta], eta * np.array([0.0, count[0]]))
    assert found.loss[0, 1] <= 0.5 * found.loss[0, 0]


def failed(problem: Problem, *step_sizes: float, plain: bool = True) -> set[str]:
    found = certificate(problem, step_sizes, plain=plain)
    return {each.name for each in found.hypotheses if each.holds is False}


def test_each_hypothesis_fails_where_it_should() -> None:
    Phi = np.eye(2)
    good = Problem(losses.Squared(Phi), balanced(0.9 * Phi, 2), 1.0)
    assert failed(good, 1e-7) == set()
    assert failed(good, 0.1) == {"step size"}
    assert failed(good, 1e-7, plain=False) == {"plain descent"}
    for layers, wanted in (
        (balanced(-0.1 * Phi, 2), {"deficiency margin"}),
        ([np.ones((1, 2)), np.ones((2, 1))], {"deficiency margin", "hidden widths"}),
        ([0.9 * Phi, Phi], {"balance", "approximate balance"}),
        ([np.sqrt(0.9) * 1.00001 * Phi, np.sqrt(0.9) * Phi], {"balance"}),
    ):
        assert failed(Problem(losses.Squared(Phi), layers, 1.0), 1e-7) == wanted
    seen = losses.Completion(Phi, np.array([[1.0, 1.0], [1.0, 0.0]]))
    other = certificate(Problem(seen, balanced(0.9 * Phi, 2), 1.0))
    assert np.isnan([other.margin, other.rate, other.largest_step_size]).all()
    assert other.hypotheses[0].actual == "the loss Completion"


def test_white_data_are_the_squared_loss_in_a_time_of_its_own() -> None:
    X = np.sqrt(4 * 3.0) * np.linalg.qr(RNG.standard_normal((4, 2)))[0].T  # XXᵀ/4 = 3I
    Phi = np.array([[1.0, 0.2], [-0.3, 1.0]])
    layers = balanced(0.95 * Phi, 2)
    one = certificate(Problem(losses.Squared(Phi), layers, 1.0))
    data = certificate(Problem(losses.LeastSquares.from_data(X, Phi @ X), layers, 1.0))
    assert data.rate == pytest.approx(3 * one.rate, rel=1e-12)
    assert data.largest_step_size == pytest.approx(one.largest_step_size / 3, rel=1e-12)


X, Y = RNG.standard_normal((3, 20)), RNG.standard_normal((2, 20))
CLASSES = RNG.integers(0, 3, 20)
QUADRATICS = {
    "squared": losses.Squared(RNG.standard_normal((2, 3))),
    "completion": losses.Completion(
        RNG.standard_normal((2, 3)), np.array([[1, 0, 1], [0, 1, 1.0]])
    ),
    "sensing": losses.Sensing(RNG.standard_normal((2, 3)), RNG.standard_normal((4, 2, 3))),
    "regression": losses.LeastSquares.from_data(X, Y),
    "few samples": losses.LeastSquares.from_data(X[:, :2], Y[:, :2]),
}


@pytest.mark.parametrize("name", QUADRATICS)
def test_quadratic_losses_have_their_minimum_and_their_constant(name: str) -> None:
    loss = QUADRATICS[name]
    found, mu = global_minimum(loss, (2, 3), 2), loss.polyak_lojasiewicz()
    assert found.free
    assert np.abs(loss.gradient(found.W)).max() <= 1e-13
    assert found.only == (name in ("squared", "regression"))
    H = np.array([np.ravel(loss.gradient(found.W + E)) for E in np.eye(6).reshape(6, 2, 3)])
    positive = np.linalg.eigvalsh((H + H.T) / 2)
    assert mu == pytest.approx(positive[positive > 1e-12][0], rel=1e-10)
    for _ in range(20):
        W = found.W + RNG.standard_normal((2, 3))
        G, excess = np.asarray(loss.gradient(W)), float(loss.value(W)) - found.value
        assert 0.5 * np.sum(G**2) >= mu * excess * (1 - 1e-12)
        at = convergence.along(loss, found.W, [W[None]])
        assert at.excess[0] == pytest.approx(excess, rel=1e-10)


@pytest.mark.parametrize("name", ["squared", "regression"])
def test_a_bound_on_the_rank_has_the_minimum_that_search_finds(name: str) -> None:
    from scipy.optimize import minimize

    loss = QUADRATICS[name]
    found = global_minimum(loss, (2, 3), 1)
    assert np.linalg.matrix_rank(found.W) == 1
    assert not found.free
    assert float(loss.value(found.W)) == pytest.approx(found.value, rel=1e-12)
    of = lambda x: float(loss.value(np.outer(x[:2], x[2:])))  # noqa: E731
    best = min(minimize(of, RNG.standard_normal(5)).fun for _ in range(6))
    assert found.value == pytest.approx(best, rel=1e-8)


CONVEX = {
    "logistic": (losses.Logistic(X, np.sign(RNG.standard_normal((1, 20)))), (1, 3)),
    "cross-entropy": (losses.CrossEntropy(X, CLASSES), (3, 3)),
    "quartic": (losses.PowerRegression(X, Y, 4.0), (2, 3)),
    "p = 1.5": (losses.PowerRegression(X, Y, 1.5), (2, 3)),
}


@pytest.mark.parametrize("name", CONVEX)
def test_convex_losses_have_a_minimum_that_no_point_is_below(name: str) -> None:
    from scipy.optimize import minimize

    loss, shape = CONVEX[name]
    found = global_minimum(loss, shape, min(shape))
    assert 0 <= found.error <= 1e-12
    assert found.only == (name != "cross-entropy")
    of = lambda x: float(loss.value(x.reshape(shape)))  # noqa: E731
    other = minimize(of, RNG.standard_normal(shape).ravel(), method="BFGS", options={"gtol": 1e-7})
    assert found.value <= other.fun + found.error + 4 * EPS * other.fun
    assert found.value == pytest.approx(other.fun, abs=1e-8)


def test_the_newton_decrement_is_what_is_left_of_a_quadratic() -> None:
    """ℓ_2 regression as PowerRegression has the minimum that linear algebra finds."""
    power = global_minimum(losses.PowerRegression(X, Y, 2.0), (2, 3), 2)
    linear = global_minimum(losses.LeastSquares.from_data(X, Y), (2, 3), 2)
    assert power.value == pytest.approx(linear.value, rel=1e-14, abs=2 * power.error)
    np.testing.assert_allclose(power.W, linear.W, atol=1e-9)


def test_separable_classes_have_no_minimizer() -> None:
    labels = np.sign(X[:1])
    for loss, shape in (
        (losses.Logistic(X, labels), (1, 3)),
        (losses.CrossEntropy(X, (labels[0] > 0).astype(int)), (2, 3)),
    ):
        found = global_minimum(loss, shape, 1)
        assert (found.value, found.W) == (0.0, None)
        assert "separated" in found.how


def test_what_is_not_computed_says_why() -> None:
    full = RNG.standard_normal((3, 3))
    for loss, shape, rank, why in (
        (losses.Completion(full, np.eye(3)), (3, 3), 1, "a bound on the rank"),
        (losses.PowerRegression(X, Y, 1.5), (2, 3), 1, "a bound on the rank"),
        (losses.Differentiable(lambda W: jnp.sum(W**2)), (2, 3), 2, "known to be convex"),
        (losses.Linear(full), (3, 3), 3, "a linear loss, which has none"),
        (losses.CrossEntropy(np.ones((400, 3)), np.arange(3)), (3, 400), 3, "1000 entries"),
        (losses.CrossEntropy(X, CLASSES), (3, 3), 1, "a bound on the rank"),
    ):
        found = global_minimum(loss, shape, rank)
        assert np.isnan(found.value)
        assert why in found.how
