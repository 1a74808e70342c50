"""Gradient descent: exactly K steps of exactly η, each step size on its own, towards the flow."""

from __future__ import annotations

import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest

from flowsim.problem import initialization, network
from flowsim.problem.losses import Differentiable, Squared
from flowsim.problem.problem import Problem
from flowsim.solvers import chunks
from flowsim.solvers.descend import descend
from flowsim.solvers.descent_trajectory import DescentTrajectory
from flowsim.solvers.iterate import iterations
from flowsim.solvers.monitor import Monitor
from flowsim.solvers.solve import solve

TIMES = np.linspace(0.0, 3.0, 13)
PHI = np.array([[2.0, 0.3, -0.4], [0.1, 1.0, 0.5]])


def problem(weight_decay: float = 0.0) -> Problem:
    layers = initialization.gaussian([3, 4, 2], 0.5, np.random.default_rng(3))
    return Problem(Squared(PHI), layers, 3.0, weight_decay)


def by_hand(eta: float, steps: int, mu: float = 0.0, decay: float = 0.0) -> list[np.ndarray]:
    """Return the layers after `steps` steps, by a loop over two matrices."""
    W1, W2 = (np.array(W) for W in problem().layers)
    V1, V2 = np.zeros_like(W1), np.zeros_like(W2)
    for _ in range(steps):
        G = W2 @ W1 - PHI
        g1, g2 = W2.T @ G + decay * W1, G @ W1.T + decay * W2
        V1, V2 = mu * V1 - eta * g1, mu * V2 - eta * g2
        W1, W2 = W1 + V1, W2 + V2
    return [W1, W2]


def descended(*step_sizes: float, **options: object) -> DescentTrajectory:
    decay = float(options.pop("weight_decay", 0.0))
    return descend(problem(decay), step_sizes, TIMES, **options)


@pytest.mark.parametrize("eta", [0.25, 0.1, 0.013])
@pytest.mark.parametrize(("mu", "decay"), [(0.0, 0.0), (0.6, 0.0), (0.0, 0.3), (0.6, 0.3)])
def test_takes_exactly_k_steps_of_exactly_eta(eta: float, mu: float, decay: float) -> None:
    found = descended(eta, momentum=mu, weight_decay=decay)
    for sample in (0, 1, 7, 12):
        steps = round(TIMES[sample] / eta)
        assert found.iteration[0, sample] == steps
        W1, W2 = by_hand(eta, steps, mu, decay)
        np.testing.assert_allclose(found.end_to_end[0, sample], W2 @ W1, atol=1e-13)
        imbalance = np.linalg.norm(W2.T @ W2 - W1 @ W1.T)
        np.testing.assert_allclose(found.imbalance[0, sample, 0], imbalance, atol=1e-12)


def test_counts_iterations_to_the_nearest_and_a_little_past_the_horizon() -> None:
    count = iterations(np.array([0.0, 1.0, 2.0, 3.0]), [0.4, 2.1, 10.0])
    assert count.tolist() == [[0, 2, 5, 8], [0, 0, 1, 1], [0, 0, 0, 0]]
    assert iterations(np.array([0.0, 6.0]), [10.0]).tolist() == [[0, 1]]


def test_repeated_iterations_repeat_the_iterate() -> None:
    found = descended(0.9)
    assert (np.diff(found.iteration[0]) == 0).any()
    for sample in np.flatnonzero(np.diff(found.iteration[0]) == 0):
        np.testing.assert_array_equal(found.end_to_end[0, sample], found.end_to_end[0, sample + 1])


def test_on_a_quadratic_it_is_a_power_of_a_matrix() -> None:
    A = np.diag([1.0, 0.01])
    start = np.array([[-0.35], [-0.2]])
    quadratic = Problem(Differentiable(lambda W: (W.T @ (A @ W))[0, 0]), [start], 40.0)
    found = descend(quadratic, [0.5, 0.8], np.array([0.0, 20.0, 40.0]))
    for k, eta in enumerate((0.5, 0.8)):
        for sample, steps in enumerate(found.iteration[k]):
            exact = np.linalg.matrix_power(np.eye(2) - 2 * eta * A, int(steps)) @ start
            np.testing.assert_allclose(found.end_to_end[k, sample], exact, atol=1e-15)


def test_one_step_changes_the_imbalance_by_a_known_amount() -> None:
    """D ← D + η²(g_{j+1}ᵀg_{j+1} - g_jg_jᵀ), exactly."""
    layers, eta = [np.asarray(W) for W in problem().layers], 0.2
    g1, g2 = network.layer_gradients(tuple(layers), lambda W: W - PHI)
    after = by_hand(eta, 1)
    before = layers[1].T @ layers[1] - layers[0] @ layers[0].T
    expected = before + eta**2 * (g2.T @ g2 - g1 @ g1.T)
    np.testing.assert_allclose(after[1].T @ after[1] - after[0] @ after[0].T, expected, atol=1e-14)
    found = descend(problem(), [eta], np.array([0.0, eta]))
    np.testing.assert_allclose(found.imbalance[0, 1, 0], np.linalg.norm(expected), atol=1e-14)


def test_converges_to_the_flow_with_order_one() -> None:
    etas = 0.02 / 2.0 ** np.arange(5)
    times = np.linspace(0.0, 3.0, 7)  # multiples of every η
    iterates = iterations(times, list(etas)) * etas[:, None]
    flow = solve(problem(), times=times, between=np.setdiff1d(iterates, times), rtol=1e-12)
    found = descend(problem(), list(etas), times, reference=flow.matrices())
    gaps = found.vs_flow.max(axis=1)
    orders = np.log2(gaps[:-1] / gaps[1:])
    assert abs(orders[-1] - 1.0) <= 0.05
    slope = np.polyfit(np.log(etas), np.log(gaps), 1)[0]
    assert abs(slope - 1.0) <= 0.05


def test_a_diverging_step_size_is_frozen_and_touches_no_other() -> None:
    times = np.linspace(0.0, 30.0, 31)
    alone = descend(problem(), [0.1, 0.02], times)
    together = descend(problem(), [0.1, 1.4, 0.02], times)
    assert together.outcome == ("completed", "diverged", "completed")
    np.testing.assert_array_equal(together.end_to_end[[0, 2]], alone.end_to_end)
    lost = np.isinf(together.loss[1])
    assert lost.any() and not lost[0]
    assert np.isnan(together.end_to_end[1, lost]).all()
    assert np.isfinite(together.end_to_end[1, ~lost]).all()
    assert (np.diff(lost.astype(int)) >= 0).all()  # for ever after


def test_beyond_two_over_the_sharpness_it_need_not_diverge() -> None:
    """N = 2, Φ = I: balanced sharpness 2, so η = 1.02 oscillates for ever without diverging."""
    layers = [np.diag([0.9, 0.8]), np.diag([0.9, 0.8])]
    found = descend(
        Problem(Squared(np.eye(2)), layers, 400.0), [1.02], np.array([0.0, 380.0, 400.0])
    )
    assert found.outcome == ("completed",)
    assert 1e-3 < found.loss[0, -1] < 1.0


def test_single_precision_exposes_rounding() -> None:
    double, single = descended(0.1), descended(0.1, precision="float32")
    gap = np.abs(double.end_to_end - single.end_to_end).max()
    assert 1e-9 < gap < 1e-5
    assert single.end_to_end.dtype == np.float64


def test_w_is_kept_where_it_is_asked_for() -> None:
    keep = np.zeros(TIMES.size, dtype=bool)
    keep[[3, 12]] = True
    found, every = descended(0.1, keep=keep), descended(0.1)
    assert found.kept.tolist() == [3, 12]
    np.testing.assert_array_equal(found.end_to_end, every.end_to_end[:, [3, 12]])
    np.testing.assert_array_equal(found.singular_values, every.singular_values)


def test_an_interrupt_keeps_what_was_reached() -> None:
    asked = iter([False, False, True])
    found = descended(0.1, monitor=Monitor(stop_requested=lambda: next(asked)))
    assert found.outcome == ("interrupted",)
    assert np.isfinite(found.loss[0, :3]).all() and np.isnan(found.loss[0, -1])


def test_the_distance_is_measured_where_the_flow_is_known() -> None:
    flow = {0.0: np.asarray(problem().initial), 1.0: np.zeros((2, 3))}
    found = descended(0.1, reference=flow)
    assert found.vs_flow[0, 0] == 0
    sample = int(np.flatnonzero(found.times[0] == 1.0)[0])
    np.testing.assert_allclose(
        found.vs_flow[0, sample], np.linalg.norm(found.end_to_end[0, sample])
    )
    assert np.isnan(found.vs_flow[0, -1])


def test_any_differentiable_loss_is_descended() -> None:
    smooth = Problem(lambda W: jnp.sum(jnp.cosh(W - PHI)), problem().layers, 3.0)
    found = descend(smooth, [0.01], TIMES)
    assert (np.diff(found.loss[0]) < 0).all()


def test_a_loss_below_zero_is_no_divergence() -> None:
    """From ℓ(W_0) < 0 = ℓ(0) a large first step rises above 0 and comes back."""
    valley = Problem(lambda W: jnp.sum((W - 1) ** 2) - 9.0, [np.full((3, 3), 0.5)], 10.0)
    found = descend(valley, [0.9], np.array([0.0, 0.9, 9.0]))
    assert found.outcome == ("completed",)
    np.testing.assert_allclose(found.loss[0], 9 * (0.25 * 0.8 ** (2 * found.iteration[0]) - 1))


def test_where_the_pieces_end_changes_no_bit(monkeypatch) -> None:
    whole = descended(0.1, 0.013, momentum=0.6)
    monkeypatch.setattr(chunks, "CHUNK_SECONDS", 1e-9)
    monkeypatch.setattr(chunks, "FIRST_CHUNK", 1)
    pieces = descended(0.1, 0.013, momentum=0.6)
    np.testing.assert_array_equal(pieces.end_to_end, whole.end_to_end)
    np.testing.assert_array_equal(pieces.loss, whole.loss)


def test_large_square_networks_do_not_deadlock() -> None:
    """LU of a batch of 100 × 100 matrices in one compiled program hangs on few cores."""
    code = (
        "import numpy as np\n"
        "from flowsim import Problem, inits, losses\n"
        "from flowsim.solvers.descend import descend\n"
        "rng = np.random.default_rng(0)\n"
        "layers = inits.balanced([100] * 5, 1.0, rng)\n"
        "problem = Problem(losses.Squared(np.eye(100)), layers, 1.0)\n"
        "found = descend(problem, [0.01, 0.02, 0.03], np.array([0.0, 0.1]))\n"
        "assert found.outcome == ('completed',) * 3\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
