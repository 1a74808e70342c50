"""Descent's distance from the layer flow and its bound: exact solutions, and what it promises."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.linalg import expm

from flowsim.experiment.plan.reading import from_toml
from flowsim.experiment.run import run
from flowsim.problem import losses, network
from flowsim.problem.problem import Problem
from flowsim.solvers.curvature import hessian_product
from flowsim.solvers.monitor import Monitor
from flowsim.solvers.solve import solve
from flowsim.theory.tracking_bound.measure import (
    amplification,
    bound,
    derivatives,
    grown,
    norm,
    shortly_after,
)

RNG = np.random.default_rng(6)


def drawn(*widths, seed=0):
    rng = np.random.default_rng(seed)
    return tuple(0.6 * rng.standard_normal((b, a)) for a, b in pairwise(widths))


def anisotropic(outputs, inputs, seed=1):
    """½‖(W - Φ)R‖²/m with curvatures from 0.2 to 2."""
    rng = np.random.default_rng(seed)
    Q = np.linalg.qr(rng.standard_normal((inputs, inputs)))[0]
    R = Q * np.sqrt(np.linspace(0.2, 2.0, inputs))
    Phi = rng.standard_normal((outputs, inputs))
    return losses.LeastSquares(R=R, T=Phi @ R, floor=np.zeros(())), R @ R.T, Phi


@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_derivatives_are_those_of_the_flow(decay):
    """θ̈ = ∇²φ∇φ, by the Hessian's own product; θ⃛ is θ̈'s derivative along a trajectory."""
    layers, loss = drawn(4, 5, 3), losses.Squared(RNG.standard_normal((3, 4)))
    found = derivatives(loss, layers, decay)
    g = network.layer_gradients(layers, loss.gradient)
    slope = tuple(s + decay * W for s, W in zip(g, layers, strict=True))
    for first, second, wanted, turned in zip(
        found.first,
        found.second,
        slope,
        hessian_product(loss, layers, slope, decay),
        strict=True,
    ):
        np.testing.assert_allclose(first, -np.asarray(wanted), rtol=1e-12)
        np.testing.assert_allclose(second, turned, rtol=1e-11, atol=1e-12)
    h = 1e-4
    further, ahead, behind, before = (
        derivatives(loss, [W + d * V for W, V in zip(layers, found.first, strict=True)], decay)
        for d in (2 * h, h, -h, -2 * h)
    )
    for j, third in enumerate(found.third):
        near = (np.asarray(ahead.second[j]) - np.asarray(behind.second[j])) / (2 * h)
        far = (np.asarray(further.second[j]) - np.asarray(before.second[j])) / (4 * h)
        # Richardson's rest is of order h⁴, below the rounding of some 100 ε / h
        np.testing.assert_allclose(third, (4 * near - far) / 3, rtol=0, atol=1e-8)


def test_derivatives_of_one_layer_are_powers_of_the_hessian():
    loss, H, Phi = anisotropic(3, 5)
    (W,) = drawn(5, 3)
    found = derivatives(loss, (W,))
    for k, moving in enumerate(found, start=1):
        wanted = (W - Phi) @ np.linalg.matrix_power(-H, k)
        np.testing.assert_allclose(moving[0], wanted, rtol=0, atol=1e-13)


def test_taylors_formula_lacks_half_of_what_it_says():
    """On a quadratic the rest is δ³/6 θ⃛ to within its next term, δλ_max/4 of it."""
    loss, H, Phi = anisotropic(3, 5)
    (W,) = drawn(5, 3)
    delay = 0.05
    moved, lacking = shortly_after((W,), derivatives(loss, (W,)), delay)
    exact = Phi + (W - Phi) @ expm(-H * delay)
    assert norm([exact - moved[0]]) == pytest.approx(lacking / 2, rel=0.25 * 2.0 * delay)


def test_the_bound_is_exact_for_constants():
    """Ḃ = mB + d: B = d (e^{mt} - 1)/m from above and from below."""
    time = np.linspace(0, 3, 31)
    later = np.linspace(0, 4, 13).reshape(1, 13)
    found = bound(time, np.full(31, 0.7), np.full(31, -0.4), later)
    wanted = 0.7 * np.expm1(0.4 * later) / 0.4
    for values in (found.above, found.below):
        np.testing.assert_allclose(values, wanted, rtol=1e-13)
    grows = amplification(time, np.full(31, -0.4))
    np.testing.assert_allclose(grows, np.exp(0.4 * time), rtol=1e-13)
    flat = bound(time, np.full(31, 0.7), np.full(31, 5.0), time)
    np.testing.assert_allclose(flat.above, 0.7 * time, rtol=1e-13)
    assert grown(2.0, 0.7, 0.4, 1.5) == pytest.approx(2 * np.exp(0.6) + 0.7 * np.expm1(0.6) / 0.4)


def test_the_integral_lies_between_its_two_sums():
    """Density and m both e^{-t}: exp ∫_s^t m = exp(e^{-s} - e^{-t}), so B = e^{1 - e^{-t}} - 1."""
    time = np.linspace(0, 4, 41)
    found = bound(time, np.exp(-time), -np.exp(-time), time)
    wanted = np.expm1(1 - np.exp(-time))
    assert (found.below <= wanted).all()
    assert (wanted <= found.above).all()
    half = np.linspace(0, 4, 81)
    finer = bound(half, np.exp(-half), -np.exp(-half), half)
    width = found.above[-1] - found.below[-1]
    assert (finer.above[-1] - finer.below[-1]) / width == pytest.approx(0.5, abs=0.05)


def test_an_integral_too_large_for_a_float_is_infinite():
    time = np.linspace(0, 10, 3)
    found = bound(time, np.ones(3), np.full(3, -1e3), time)
    assert found.above[-1] == np.inf


BASE = """
title = "Tracked"
seed = 5
[network]
widths = WIDTHS
[loss]
kind = "squared"
target = [[2.0, 0.0, 0.5], [0.0, 1.0, -0.5]]
[init]
kind = "xavier"
[flow]
horizon = 2.0
samples = 41
rtol = 1e-12
spaces = ["layers"]
[descent]
step_sizes = [0.02, 0.01, 0.005]
[output]
measures = ["tracking_bound"]
layers = true
"""


def tracked(widths, old="", new=""):
    return run(from_toml(BASE.replace("WIDTHS", widths).replace(old, new)), "tracked")


def test_one_layer_descends_as_powers_where_the_flow_is_an_exponential():
    """½‖W - Φ‖²: ‖(1-η)^k - e^{-kη}‖ ‖W(0) - Φ‖; λ_min = 1 amplifies nothing."""
    found = tracked("[3, 2]")
    start = found["layers.layer_1"][0]
    apart = np.linalg.norm(start - [[2.0, 0.0, 0.5], [0.0, 1.0, -0.5]])
    eta, t = found["tracking_bound.step_size"][:, None], found["tracking_bound.iterate_time"]
    wanted = np.abs((1 - eta) ** np.rint(t / eta) - np.exp(-t)) * apart
    error = found["tracking_bound.distance_error"]
    assert (np.abs(found["tracking_bound.distance"] - wanted) <= error + 1e-12).all()
    assert (error <= (eta / 2) ** 3 / 3 * apart + 1e-12).all()
    assert (error[1:] < 1e-12).all(), "these step sizes divide the saved times"
    time = found["tracking_bound.time"]
    np.testing.assert_allclose(
        found["tracking_bound.density"], 0.5 * np.exp(-time) * apart, atol=1e-9
    )
    np.testing.assert_allclose(found["tracking_bound.smallest"], 1.0, rtol=1e-12)
    exact = eta * 0.5 * apart * -np.expm1(-t)
    limit, off = found["tracking_bound.bound"], found["tracking_bound.bound_error"]
    assert (exact <= limit * (1 + 1e-9)).all()
    assert (limit - off <= exact * (1 + 1e-9)).all()
    assert (found["tracking_bound.ratio"][:, 1:] > 1).all()


def test_the_distance_of_two_layers_is_that_of_descent_written_out():
    found = tracked("[3, 4, 2]")
    target = np.array([[2.0, 0.0, 0.5], [0.0, 1.0, -0.5]])
    A, B = found["layers.layer_1"][0], found["layers.layer_2"][0]
    for k in range(1, 401):
        G = B @ A - target
        A, B = A - 0.005 * B.T @ G, B - 0.005 * G @ A.T
        if k % 100 == 0:
            i = k // 10
            flow = [found[f"layers.layer_{j}"][i] for j in (1, 2)]
            wanted = np.hypot(np.linalg.norm(A - flow[0]), np.linalg.norm(B - flow[1]))
            assert found["tracking_bound.distance"][2, i] == pytest.approx(wanted, abs=1e-12)


@pytest.mark.slow
def test_descent_is_of_order_one_and_below_the_bound_through_negative_curvature():
    found = tracked("[3, 4, 4, 2]")
    assert found["tracking_bound.smallest"].min() < -0.1
    assert found["tracking_bound.amplification"][-1] > 1.1
    worst = found["tracking_bound.distance"].max(axis=1)
    np.testing.assert_allclose(worst[:-1] / worst[1:], 2, atol=0.1)  # 1 + O(η)
    assert np.nanmin(found["tracking_bound.ratio"]) > 1


def test_iterates_between_saved_times_are_compared_with_the_flow_at_their_own():
    """η = 0.03 and 0.007 do not divide the saved times: up to η/2 from them."""
    found = tracked("[3, 4, 2]", "[0.02, 0.01, 0.005]", "[0.03, 0.007]")
    problem = Problem(
        losses.Squared(np.array([[2.0, 0.0, 0.5], [0.0, 1.0, -0.5]])),
        [found[f"layers.layer_{j}"][0] for j in (1, 2)],
        2.1,
    )
    t = found["tracking_bound.iterate_time"]
    for k, eta in enumerate((0.03, 0.007)):
        flow = solve(problem, "layers", times=t[k], rtol=1e-12, keep_layers=True)
        layers, wanted = list(problem.layers), []
        for step in range(round(t[k, -1] / eta) + 1):
            for i in np.flatnonzero(np.rint(t[k] / eta) == step):
                wanted.append(norm([W - h[i] for W, h in zip(layers, flow.layers, strict=True)]))
            g = network.layer_gradients(tuple(layers), problem.loss.gradient)
            layers = [W - eta * s for W, s in zip(layers, g, strict=True)]
        off = np.abs(found["tracking_bound.distance"][k] - wanted)
        error = found["tracking_bound.distance_error"][k]
        assert (off <= error + 1e-11).all()
        assert (error[1:] < 0.01 * found["tracking_bound.distance"][k, 1:]).all()


def test_weight_decay_is_part_of_the_gradient():
    found = tracked("[3, 4, 2]", "samples = 41", "samples = 41\nweight_decay = 0.2")
    worst = found["tracking_bound.distance"].max(axis=1)
    np.testing.assert_allclose(worst[:-1] / worst[1:], 2, atol=0.1)
    assert np.nanmin(found["tracking_bound.ratio"]) > 1


def test_divergence_leaves_nan_and_an_interrupt_what_was_reached():
    text = BASE.replace("WIDTHS", "[3, 4, 2]").replace("horizon = 2.0", "horizon = 20.0")
    found = run(from_toml(text.replace("[0.02, 0.01, 0.005]", "[0.02, 2.0]")), "tracked")
    lost = ~np.isfinite(found["descent.loss"])
    assert lost[1, -1]
    np.testing.assert_array_equal(np.isnan(found["tracking_bound.distance"]), lost)
    told: list[float] = []

    def progress(label: str, fraction: float) -> None:
        if label == "tracking bound" and fraction > 0:
            told.append(fraction)

    stopped = run(from_toml(text), "tracked", monitor=Monitor(progress, lambda: len(told) > 4))
    assert np.isfinite(stopped["tracking_bound.density"][:5]).all()
    assert np.isnan(stopped["tracking_bound.density"][5:]).all()
    assert np.isnan(stopped["tracking_bound.bound"][:, 6:]).all()
