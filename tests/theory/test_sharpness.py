"""The extreme eigenvalues of the Hessian over the layers, against matrices and closed forms."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowsim.problem import initialization, losses, network
from flowsim.problem.problem import Problem
from flowsim.solvers.curvature import hessian_product
from flowsim.solvers.descend import descend
from flowsim.solvers.monitor import SILENT, Monitor
from flowsim.solvers.storage import Series
from flowsim.theory.setting import Setting, measure
from flowsim.theory.sharpness import lanczos
from flowsim.theory.sharpness import measure as sharpness
from flowsim.theory.sharpness.lanczos import largest_eigenvalue
from flowsim.theory.sharpness.measure import along, extremes

RNG = np.random.default_rng(3)
Phi = RNG.standard_normal((3, 4))
SEEN = (RNG.uniform(size=(3, 4)) < 0.6).astype(float)
LOSSES = {
    "squared": losses.Squared(Phi),
    "completion": losses.Completion(Phi, SEEN),
    "quartic": losses.PowerRegression(
        RNG.standard_normal((4, 9)), RNG.standard_normal((3, 9)), 4.0
    ),
    "any": losses.Differentiable(lambda W: jnp.sum(jnp.cosh(W))),
}


def drawn(*widths: int) -> tuple[np.ndarray, ...]:
    return tuple(0.7 * RNG.standard_normal((b, a)) for a, b in pairwise(widths))


def formed(loss: losses.Loss, layers, weight_decay: float = 0.0) -> np.ndarray:
    """Return the Hessian, by differentiating φ itself twice, with no formula for its gradient."""
    flat = jnp.concatenate([W.ravel() for W in layers])
    cuts = np.cumsum([W.size for W in layers])[:-1]

    def phi(x):
        parts = jnp.split(x, cuts)
        shaped = [part.reshape(W.shape) for part, W in zip(parts, layers, strict=True)]
        return loss.value(network.end_to_end(shaped)) + 0.5 * weight_decay * jnp.sum(x**2)

    return np.asarray(jax.hessian(phi)(flat))


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize(
    ("widths", "dense"),
    [((4, 3), 10**6), ((4, 2, 3), 10**6), ((4, 5, 4, 3), 10**6), ((4, 5, 4, 3), 0)],
)
def test_extremes_are_those_of_the_matrix(loss, widths, dense, monkeypatch) -> None:
    monkeypatch.setattr(sharpness, "DENSE", dense)
    layers = drawn(*widths)
    wanted = np.linalg.eigvalsh(formed(loss, layers, 0.3))
    found = extremes(loss, layers, 0.3)
    scale = np.abs(wanted).max()
    assert found.error <= 1e-7 * scale
    assert abs(found.smallest - wanted[0]) <= found.error + 1e-12 * scale
    assert abs(found.largest - wanted[-1]) <= found.error + 1e-12 * scale


def test_products_are_those_of_the_matrix() -> None:
    layers, directions = drawn(4, 2, 3), drawn(4, 2, 3)
    flat = np.concatenate([V.ravel() for V in directions])
    found = hessian_product(LOSSES["quartic"], layers, directions, 0.1)
    wanted = formed(LOSSES["quartic"], layers, 0.1) @ flat
    np.testing.assert_allclose(np.concatenate([np.ravel(V) for V in found]), wanted, rtol=1e-12)


@pytest.mark.parametrize("depth", [1, 2, 3, 5])
@pytest.mark.parametrize("size", [3, 12])
def test_at_a_balanced_minimum_it_follows_from_the_largest_singular_value(depth, size) -> None:
    """λ_max = N σ_1^{2-2/N}, and nothing curves down."""
    U, V = (np.linalg.qr(RNG.standard_normal((size, size)))[0] for _ in range(2))
    sigma = np.linspace(4.0, 0.5, size)
    layers = initialization.from_svd([size] * (depth + 1), U, sigma, V)
    found = extremes(losses.Squared(U * sigma @ V), layers)
    largest = depth * 4.0 ** (2 - 2 / depth)
    assert found.largest == pytest.approx(largest, rel=1e-8)
    assert abs(found.smallest - (1.0 if depth == 1 else 0.0)) <= 1e-8 * largest


def test_descent_is_stable_below_two_over_sharpness_and_not_above() -> None:
    """From a point near a minimum; N = 3, σ = (10, 9.5, 2): 2/64.63 (Ghosh et al. 2025)."""
    target = np.diag([10.0, 9.5, 2.0])
    minimum = tuple(np.cbrt(target) for _ in range(3))
    loss = losses.Squared(target)
    critical = 2 / extremes(loss, minimum).largest
    assert critical == pytest.approx(0.03094, abs=1e-5)
    nearby = [W * (1 + 1e-7) for W in minimum]
    steps = 200
    for share, grows in ((0.98, False), (1.02, True)):
        eta = share * critical
        problem = Problem(loss, nearby, eta * steps)
        found = descend(problem, [eta], np.array([0.0, eta * steps]))
        distance = np.linalg.norm(found.end_to_end[0] - target, axis=(1, 2))
        assert (distance[1] > distance[0]) == grows


def test_a_saddle_curves_down_at_the_rate_of_the_escape() -> None:
    """At W_1 = W_2 = 0 the Hessian of ½‖W_2W_1 - Φ‖² has eigenvalues ±σ(Φ)."""
    layers = tuple(np.zeros((6, 6)) for _ in range(2))
    target = np.diag(np.arange(1.0, 7.0))
    found = extremes(losses.Squared(target), layers)
    np.testing.assert_allclose([found.smallest, found.largest], [-6.0, 6.0], rtol=1e-8)


def test_a_hessian_that_vanishes_or_is_the_identity_has_no_other_end() -> None:
    target = np.ones((9, 9))
    none = extremes(losses.Squared(target), [np.zeros((9, 9))] * 3)
    assert (none.smallest, none.largest) == (0.0, 0.0)
    same = extremes(losses.Squared(target), [np.zeros((9, 9))])
    np.testing.assert_allclose([same.smallest, same.largest], 1.0, rtol=1e-12)
    decaying = extremes(losses.Squared(target), [np.zeros((9, 9))] * 3, weight_decay=0.5)
    np.testing.assert_allclose([decaying.smallest, decaying.largest], 0.5, rtol=1e-12)


@pytest.mark.parametrize("size", [3, 9])
def test_a_hessian_that_is_not_finite_leaves_nan(size) -> None:
    loss = losses.Differentiable(lambda W: jnp.sum(jnp.sqrt(W)))
    history = Series.of(np.stack([np.zeros((size, size)), np.ones((size, size))]))
    flow = SimpleNamespace(times=np.array([0.0, 1.0]), layer_series=(history,))
    problem = SimpleNamespace(loss=loss, weight_decay=0.0)
    setting = Setting(None, problem, {"layers": flow}, None, SILENT)
    found = measure("sharpness", setting)
    for end in ("smallest", "largest"):
        assert np.isnan(found[end].values[0])
        assert found[end].values[1] == pytest.approx(-0.25, rel=1e-10)


def found_at(loss, layers, decay: float = 0.0) -> tuple[float, float]:
    start = np.random.default_rng(0).standard_normal(sum(W.size for W in layers))
    largest, error, _ = largest_eigenvalue(loss, layers, np.asarray(decay), start)
    return float(largest), float(error)


@pytest.mark.slow
@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize("widths", [(4, 3), (4, 5, 4, 3), (4, 9, 9, 3)])
def test_compiled_lanczos_finds_the_largest_eigenvalue_of_the_matrix(loss, widths) -> None:
    layers = drawn(*widths)
    exact = np.linalg.eigvalsh(formed(loss, layers, 0.3))[-1]
    largest, error = found_at(loss, layers, 0.3)
    assert abs(largest - exact) <= error <= 1e-8 * exact


@pytest.mark.parametrize(("factor", "largest"), [(0.0, 0.0), (1.0, 1.0), (-1.0, -1.0)])
def test_compiled_lanczos_ends_where_one_direction_is_invariant(factor, largest) -> None:
    """The Hessian is a multiple of the identity, also a negative one."""
    loss = losses.Differentiable(lambda W: 0.5 * factor * jnp.sum(W**2))
    value, error = found_at(loss, (np.ones((3, 4)),))
    assert value == pytest.approx(largest, abs=1e-13)
    assert error <= 1e-13


def of_descent(loss, widths, step_sizes, times, decay: float = 0.0, **options):
    problem = Problem(loss, drawn(*widths), times[-1], decay)
    return problem, descend(problem, step_sizes, times, **options)


@pytest.mark.slow
def test_sharpness_of_iterates_is_that_of_the_matrix_there() -> None:
    """The iterates of heavy-ball descent with weight decay, iterated here by its definition."""
    loss, eta, momentum, decay = LOSSES["squared"], 0.03, 0.5, 0.1
    problem, descent = of_descent(
        loss, (4, 5, 3), [eta], eta * np.array([0, 1, 4]), decay, momentum=momentum
    )
    exact, layers = [], [jnp.asarray(W) for W in problem.layers]
    velocity = [0 * W for W in layers]
    phi = jax.grad(lambda parts: loss.value(network.end_to_end(parts)))
    for k in range(5):
        if k in (0, 1, 4):
            exact.append(np.linalg.eigvalsh(formed(loss, layers, decay))[-1])
        slopes = [g + decay * W for g, W in zip(phi(tuple(layers)), layers, strict=True)]
        velocity = [momentum * v - eta * g for v, g in zip(velocity, slopes, strict=True)]
        layers = [W + v for W, v in zip(layers, velocity, strict=True)]
    found = along(problem, descent, SILENT)
    np.testing.assert_allclose(found["descent_sharpness"], [exact], rtol=1e-10)
    np.testing.assert_array_equal(found["iterate_time"], descent.times)


def test_sharpness_counts_a_loss_on_the_layers() -> None:
    def quartic(layers) -> jax.Array:
        return 0.1 * sum(jnp.sum(W**4) for W in layers)

    loss, layers, eta = LOSSES["squared"], drawn(4, 2, 3), 0.01
    problem = Problem(loss, layers, eta, on_layers=quartic)
    sizes = np.cumsum([W.size for W in layers])[:-1]

    def phi(x):
        parts = jnp.split(x, sizes)
        shaped = tuple(part.reshape(W.shape) for part, W in zip(parts, layers, strict=True))
        return loss.value(network.end_to_end(shaped)) + quartic(shaped)

    start = jnp.concatenate([jnp.ravel(W) for W in layers])
    after = start - eta * jax.grad(phi)(start)
    exact = [np.linalg.eigvalsh(jax.hessian(phi)(x))[-1] for x in (start, after)]
    descent = descend(problem, [eta], np.array([0.0, eta]))
    np.testing.assert_allclose(along(problem, descent, SILENT)["descent_sharpness"][0], exact)


def test_sharpness_of_iterates_is_nan_past_divergence_and_a_stop() -> None:
    times = np.linspace(0, 40, 5)
    problem, descent = of_descent(LOSSES["squared"], (4, 5, 3), [0.02, 8.0], times)
    assert descent.outcome == ("completed", "diverged")
    found = along(problem, descent, SILENT)["descent_sharpness"]
    np.testing.assert_array_equal(np.isfinite(found), np.isfinite(descent.loss))
    assert np.isfinite(found).sum(axis=1).tolist() == [5, 2]
    told: list[float] = []
    stop = Monitor(lambda _, x: told.append(x), lambda: any(x >= 0.4 for x in told))
    assert np.isfinite(along(problem, descent, stop)["descent_sharpness"][0]).sum() == 2


@pytest.mark.slow
def test_eigenvalues_that_few_directions_do_not_find_are_found_by_arpack(monkeypatch) -> None:
    monkeypatch.setattr(lanczos, "MOST", 3)
    problem, descent = of_descent(LOSSES["squared"], (4, 10, 10, 3), [0.01], np.array([0.0, 0.05]))
    found = along(problem, descent, SILENT)
    exact = np.linalg.eigvalsh(formed(problem.loss, problem.layers))[-1]
    assert found["descent_sharpness"][0, 0] == pytest.approx(exact, rel=1e-8)
    assert found["descent_error"][0, 0] <= 1e-7 * exact
