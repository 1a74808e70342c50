"""Thresholds in the step size: exact ones of one layer and of scalar networks, and their parts."""

from __future__ import annotations

import figure_runs as made
import numpy as np
import pytest
from scipy.optimize import brentq

from flowsim.experiment import figures
from flowsim.experiment.plan.reading import from_toml
from flowsim.experiment.run import run
from flowsim.problem import initialization, losses, network
from flowsim.problem.problem import Problem
from flowsim.results.power_law import power_law
from flowsim.scenario.spec.errors import ScenarioError
from flowsim.solvers.behaviour import Behaviour
from flowsim.solvers.iterate import initial_iterates, iterate, make_descent
from flowsim.solvers.long_run import alternating_part, long_term_behaviour, period
from flowsim.solvers.monitor import SILENT, Monitor
from flowsim.solvers.solve import solve
from flowsim.theory.long_run.regimes import regime_code, threshold_passed
from flowsim.theory.sharpness.measure import extremes
from flowsim.theory.step_size_thresholds import scanning
from flowsim.theory.step_size_thresholds.scanning import Course, Following, Scan
from flowsim.theory.step_size_thresholds.searching import bracket, inside

# Long-term behaviour of iterates


def tails(step, x, early=1000, late=2000, count=64):
    """Return two tails of the iterates of a map of the line, as one mode."""
    path = [x]
    for _ in range(late):
        path.append(step(path[-1]))
    found = np.array(path)[:, None]
    return found[early - count + 1 : early + 1], found[late - count + 1 : late + 1]


def cubic(a):
    """Return one weight of a balanced scalar network of depth 2, a = ηφ, in units of φ^{1/2}."""
    return lambda x: x * (1 + a - a * x**2)


@pytest.mark.parametrize(
    ("a", "kind", "cycle"),
    [
        (0.5, Behaviour.CONVERGES, 0),
        (0.99, Behaviour.CONVERGES, 0),
        (1.0, Behaviour.UNDECIDED, 0),  # fades as k^{-1/2}
        (1.1, Behaviour.PERSISTENT, 2),
        (1.23, Behaviour.PERSISTENT, 2),  # until √5 - 1 = 1.236
        (1.25, Behaviour.PERSISTENT, 4),
        (1.9, Behaviour.IRREGULAR, 0),
    ],
)
def test_the_cubic_map_doubles_its_period_and_becomes_chaotic(a, kind, cycle):
    found = long_term_behaviour(*tails(cubic(a), 0.3))
    assert (found.kind, found.period) == (kind, cycle)


@pytest.mark.parametrize(
    ("factor", "kind"),
    [
        (-0.5, Behaviour.CONVERGES),
        (-0.9, Behaviour.CONVERGES),
        (-0.99, Behaviour.DECAYING),
        (-0.999, Behaviour.DECAYING),
        (-0.9999, Behaviour.UNDECIDED),
        (-1.0, Behaviour.PERSISTENT),
        (-1.0001, Behaviour.GROWING),
        (-1.02, Behaviour.GROWING),
        (0.9999, Behaviour.DRIFTS),
    ],
)
def test_a_linear_map_is_classified_by_how_fast_its_oscillation_decays_or_grows(factor, kind):
    """x ↦ 1 + factor (x - 1), as gradient descent is near a minimum: factor = 1 - ηλ."""
    early, late = tails(lambda x: 1 + factor * (x - 1), 1.1)
    assert long_term_behaviour(early, late).kind is kind


K = np.arange(64)


@pytest.mark.parametrize("early", [0.6 + 0.9**K, tails(cubic(1.9), 0.3)[0][:, 0]])
@pytest.mark.parametrize("left", [0.0, 1e-5, 0.1, 0.5])
def test_a_cycle_after_irregular_dynamics_is_no_decaying_oscillation(early, left):
    """It is smaller than before, whether it is exact or still being approached.

    Early the dynamics are irregular, or the end of a burst of it that was as regular.
    """
    before, after = (
        (0.5 + size * (-1.0) ** K)[:, None] for size in (early, 0.1 * (1 + left * 0.97**K))
    )
    assert np.ptp(after) < np.ptp(before) / 2
    found = long_term_behaviour(before, after)
    assert found.kind == Behaviour.UNDECIDED
    assert np.isnan(threshold_passed("convergence_lost", [found.kind])).all()


def test_an_oscillation_is_seen_on_top_of_a_drift_and_beside_stationary_modes():
    k = np.arange(4000)
    modes = np.stack([1 + 1e-4 * k, np.full(k.size, 2.0)], axis=1)
    swinging = modes + np.array([0.1, 0.0]) * (-1.0) ** k[:, None]
    for path, kind, movers in (
        (modes, Behaviour.DRIFTS, (0,)),
        (swinging, Behaviour.PERSISTENT, (0,)),
    ):
        found = long_term_behaviour(path[1937:2001], path[3936:])
        assert (found.kind, found.modes) == (kind, movers)
    np.testing.assert_allclose(
        alternating_part(swinging)[:, 0], 0.1 * (-1.0) ** k[1:-1], atol=1e-12
    )


@pytest.mark.parametrize("cycle", [1, 2, 3, 5, 30])
def test_the_period_is_the_least_one(cycle):
    values = np.random.default_rng(0).standard_normal((cycle, 2))
    assert period(np.tile(values, (60 // cycle, 1))) == cycle


def test_what_no_iterate_returns_to_has_no_period():
    assert period(np.random.default_rng(0).standard_normal((60, 2))) == 0
    assert period(np.arange(60.0)[:, None]) == 0


def test_behaviours_decide_which_thresholds_are_passed():
    kinds = [
        Behaviour.CONVERGES,
        Behaviour.DRIFTS,
        Behaviour.DECAYING,
        Behaviour.UNDECIDED,
        Behaviour.GROWING,
        Behaviour.PERSISTENT,
        Behaviour.IRREGULAR,
        Behaviour.DIVERGES,
    ]
    nan = np.nan
    for name, wanted in {
        "convergence_lost": [0, 0, 0, nan, 1, 1, 1, 1],
        "oscillation": [0, 0, 0, nan, nan, 1, 1, 0],
        "divergence": [0, 0, 0, nan, nan, 0, 0, 1],
    }.items():
        np.testing.assert_array_equal(threshold_passed(name, kinds), wanted)
    told = [regime_code(kind, 0.2, 0.1) for kind in kinds]
    np.testing.assert_array_equal(told, [1, 1, 1, nan, nan, 2, 3, 4])
    assert regime_code(Behaviour.CONVERGES, 0.05, 0.1) == 0
    assert np.isnan(regime_code(Behaviour.CONVERGES, nan, 0.1))


# The order


def test_a_power_law_with_a_bend_is_found_exactly():
    eta = np.geomspace(1e-3, 0.5, 30)
    law = power_law(eta, 3 * eta**1.5 * np.exp(-0.7 * eta))
    assert law.order == pytest.approx(1.5, abs=1e-12)
    assert law.bend == pytest.approx(-0.7, abs=1e-10)
    assert law.factor == pytest.approx(3, rel=1e-11)
    assert law.high - law.low < 1e-10
    assert (law.smallest, law.largest, law.count) == (eta[0], eta[-1], 30)
    np.testing.assert_allclose(law(eta), 3 * eta**1.5 * np.exp(-0.7 * eta))


def test_the_interval_holds_the_order_in_at_least_95_of_100_noisy_samples():
    """Chance covers 95 %, and widening can only add: of 400, at least 361 in 999 of 1000 tries."""
    rng, eta = np.random.default_rng(5), np.geomspace(1e-3, 0.1, 20)
    noisy = [power_law(eta, eta * np.exp(0.05 * rng.standard_normal(20))) for _ in range(400)]
    assert sum(law.low <= 1 <= law.high for law in noisy) >= 361


@pytest.mark.parametrize("order", [1, 2, 3])
def test_it_finds_the_order_of_runge_kutta_methods(order):
    """Of ẋ = -x to t = 2, whose methods of order p have R(z) = Σ_{i ≤ p} z^i / i!."""
    eta, worst = np.geomspace(0.002, 0.1, 40), []
    for h in eta:
        k = np.arange(int(2 / h) + 1)
        R = sum((-h) ** i / np.prod(np.arange(1.0, i + 1)) for i in range(order + 1))
        worst.append(np.abs(R**k - np.exp(-k * h)).max())
    law = power_law(eta, np.array(worst))
    assert law.low <= order <= law.high
    assert law.high - law.low < 0.02


def test_too_few_step_sizes_have_no_order():
    assert np.isnan(power_law(np.array([0.1, 0.2]), np.array([1.0, 2.0])).order)
    assert power_law(np.full(9, 0.1), np.ones(9)).count == 0


# Brackets


def test_a_threshold_is_the_smallest_step_size_found_and_what_is_unknown_lies_between():
    eta, nan = np.arange(1.0, 8.0), np.nan
    assert bracket(eta, np.array([0, 0, nan, 1, 0, 1, 1])) == (2.0, 4.0)
    assert bracket(eta, np.array([nan, nan, 1, 1, 1, 1, 1])) == (0.0, 3.0)
    assert np.isnan(bracket(eta, np.array([0, 0, nan, nan, 0, 0, 0]))).all()
    found = bracket(eta, np.array([0, 1, 1, 1, 1, 1, 1]))
    np.testing.assert_array_equal(inside(found, 3), [1.25, 1.5, 1.75])
    assert found.narrow(0.5)
    assert not found.narrow(0.49)
    assert bracket(eta, np.zeros(7)).narrow(1e-9)


# Distance from the flow


SIZES = np.array([0.013, 0.05, 0.3])
DECAY = 0.1


def two_layers():
    rng = np.random.default_rng(3)
    layers = tuple(0.7 * rng.standard_normal(shape) for shape in ((4, 3), (2, 4)))
    return Problem(losses.Squared(rng.standard_normal((2, 3))), layers, 2.0, DECAY)


@pytest.fixture(scope="module")
def flow():
    """Return the flow at 161 times, at random ones, and at those of iterates."""
    iterates = [eta * np.arange(int(2 / eta) + 1) for eta in SIZES]
    random = np.random.default_rng(0).uniform(0, 2, 60)
    times = np.unique(np.concatenate([np.linspace(0, 2, 161), random, *iterates]))
    return solve(two_layers(), times=times, rtol=1e-12, keep_layers=True, estimate_error=False)


def course_through(flow, count):
    """Return the course that knows the flow at so many equally spaced times alone."""
    rows = np.searchsorted(flow.times, np.linspace(0, 2, 161)[:: 160 // (count - 1)])
    layers = [W[rows] for W in flow.layers]
    return Course.of(two_layers().loss, flow.times[rows], layers, DECAY)


def unseen(sample, iterates):
    """Look at nothing on the way."""


def test_the_course_of_a_flow_is_right_between_saved_times_to_its_error(flow):
    course = course_through(flow, 161)
    for t, W in zip(flow.times, flow.end_to_end, strict=True):
        i = min(int(np.searchsorted(course.times, t, side="right")) - 1, 159)
        found = sum(c * (t - course.times[i]) ** (5 - p) for p, c in enumerate(course.pieces[:, i]))
        assert np.linalg.norm(found - W) <= course.error
    assert course.size == pytest.approx(np.linalg.norm(flow.end_to_end, axis=(1, 2)).max())
    np.testing.assert_array_equal(course.end, flow.end_to_end[-1])


def test_the_course_is_of_order_6(flow):
    errors = [course_through(flow, count).error for count in (81, 161)]
    assert np.log2(errors[0] / errors[1]) == pytest.approx(6, abs=0.5)


def test_every_iterate_is_compared_with_the_flow(flow):
    problem, course = two_layers(), course_through(flow, 161)
    descent = make_descent(
        problem, SIZES.tolist(), accumulator=Following(times=course.times, pieces=course.pieces)
    )
    count = np.full((3, 1), 200)
    found = iterate(descent, initial_iterates(descent, problem), count, unseen).accumulated
    for k, eta in enumerate(SIZES):
        layers, worst = problem.layers, 0.0
        for row in np.searchsorted(flow.times, eta * np.arange(int(2 / eta) + 1)):
            product = network.end_to_end(layers)
            worst = max(worst, float(np.linalg.norm(product - flow.end_to_end[row])))
            g = network.layer_gradients(layers, problem.loss.gradient)
            layers = tuple(A - eta * (s + DECAY * A) for A, s in zip(layers, g, strict=True))
        assert float(found.distance[k]) == pytest.approx(worst, abs=course.error + 1e-11)
        assert float(found.loss[k]) == pytest.approx(float(problem.loss.value(product)), rel=1e-9)


def test_scans_join_by_what_the_longer_walk_found():
    def scan(eta, distance, steps):
        kinds = np.full(len(eta), None, dtype=object)
        return Scan(np.array(eta), np.array(distance), np.array(distance), kinds, np.array(steps))

    both = scan([1.0, 3.0], [0.1, 0.3], [9, 9]).joined(scan([2.0, 3.0], [0.2, 0.4], [5, 20]))
    np.testing.assert_array_equal(both.eta, [1, 2, 3])
    np.testing.assert_array_equal(both.distance, [0.1, 0.2, 0.4])
    np.testing.assert_array_equal(both.rows(np.array([3.0, 2.5, 1.0])), [2, -1, 0])


# The measure

TEXT = """
title = "Thresholds"
[network]
widths = WIDTHS
[loss]
LOSS
[init]
INIT
[flow]
horizon = HORIZON
samples = 121
rtol = 1e-11
spaces = ["layers"]
[descent]
step_sizes = SIZES
[output]
measures = ["step_size_thresholds"]
track_within = [0.1, 0.003]
"""
GROUP = "step_size_thresholds"


def filled(**parts):
    text = TEXT
    for name, value in parts.items():
        text = text.replace(name, value)
    return text


SCALAR = {
    "WIDTHS": "[1, 1, 1]",
    "LOSS": "kind = 'squared'\ntarget = [[2.0]]",
    "INIT": "kind = 'identity'\nscale = 0.3",
    "HORIZON": "12.0",
}
"""A balanced network of two numbers on φ = 2."""


def measured(**parts):
    found = run(from_toml(filled(**parts)), "thresholds")
    return {name: v.values for name, v in found.groups[GROUP].items()}, found


ROOT = 12**0.5


@pytest.fixture(scope="module")
def one_layer():
    """Linear regression: gradient descent is (I - ηH)^k with H = XXᵀ/m of eigenvalues 3 and 1."""
    data = f"""kind = "regression"
[data]
inputs = [[{ROOT}, 0, 0, 0], [0, 0, 2, 0]]
targets = [[6.0, 0, 2, 0]]"""
    return measured(
        WIDTHS="[2, 1]",
        LOSS=data,
        INIT="kind = 'explicit'\nlayers = [[[0.1, -0.2]]]",
        HORIZON="3.0",
        SIZES="[0.01, 0.1, 0.4, 0.7]",
    )


def inside_of(found, name, true):
    """Say whether a threshold is in its bracket, and the bracket a thousandth of it."""
    high, error = float(found[name]), float(found[f"{name}_error"])
    return (
        high - error <= true * (1 + 1e-12) and true <= high * (1 + 1e-12) and error <= 2e-3 * high
    )


@pytest.mark.slow
def test_one_layer_loses_convergence_and_diverges_at_2_over_its_sharpness(one_layer):
    found, run_found = one_layer
    for name in ("critical_start", "critical_end", "critical_flow"):
        assert found[name] == pytest.approx(2 / 3, rel=1e-12)
    assert inside_of(found, "convergence_lost", 2 / 3)
    assert inside_of(found, "divergence", 2 / 3)
    assert np.isnan(found["oscillation"])  # a quadratic has no cycle but at 2/3 itself
    assert any("oscillating" in note for note in run_found.summary["notes"])
    np.testing.assert_array_equal(found["fate"], [0, 0, 1, 4])


def test_the_distance_of_one_layer_and_its_thresholds_are_those_of_the_closed_form(one_layer):
    found, _ = one_layer
    start, target = np.array([0.1, -0.2]), np.array([6 / ROOT, 1.0])
    lam = np.array([3.0, 1.0])

    def distance(eta):
        k = np.arange(int(np.floor(3.0 / eta * (1 + 1e-12))) + 1)[:, None]
        off = (start - target) * ((1 - eta * lam) ** k - np.exp(-k * eta * lam))
        return np.linalg.norm(off, axis=1).max()

    error = float(found["distance_error"])
    for eta, value in zip(found["scanned"], found["scanned_distance"], strict=True):
        if eta < 2 / 3:
            assert value == pytest.approx(distance(eta), abs=error)
    for allowed, low, wide in zip(
        found["allowed"], found["tracking"], found["tracking_error"], strict=True
    ):
        assert wide <= 1e-3 * (low + wide)
        exact = brentq(lambda eta, d=allowed: distance(eta) - d, 0.9 * low, 1.1 * low, rtol=1e-14)
        slope = (distance(low * 1.001) - distance(low)) / (0.001 * low)
        assert low - error / slope <= exact <= low + wide + error / slope
    assert found["order_low"] <= 1 <= found["order_high"]
    assert found["order_high"] - found["order_low"] < 0.02


@pytest.fixture(scope="module")
def scalars():
    """Descent is w ↦ w - ηw(w² - φ)."""
    return measured(**SCALAR, SIZES="[0.01, 0.45, 0.55, 0.63, 0.95, 1.05, 3.0]")[0]


@pytest.mark.slow
def test_a_scalar_network_of_depth_2_loses_convergence_at_1_over_phi_and_diverges_at_2(scalars):
    """x ↦ x(1 + a - ax²), a = ηφ, doubles its period at a = 1 and √5 - 1, and escapes from 2 on."""
    found = scalars
    for name in ("convergence_lost", "oscillation"):
        assert inside_of(found, name, 0.5)
    assert inside_of(found, "divergence", 1.0)
    assert found["critical_end"] == pytest.approx(0.5, rel=1e-6)
    np.testing.assert_array_equal(found["fate"], [0, 1, 2, 2, 3, 4, 4])
    np.testing.assert_array_equal(found["period"], [1, 1, 2, 4, *3 * [np.nan]])
    np.testing.assert_array_equal(np.isinf(found["distance"]), [False] * 5 + [True] * 2)
    assert found["order_low"] <= 1 <= found["order_high"]


def test_thresholds_are_the_smallest_step_sizes_found_though_windows_of_stability_follow():
    """At depth 3 the weight may fall to the saddle at 0 and stay: there descent is smooth again."""
    problem = Problem(
        losses.Squared(np.array([[1.0]])), initialization.identity((1, 1, 1, 1), 0.3), 6.0
    )
    flow = solve(problem, times=np.linspace(0, 6, 31), keep_layers=True, estimate_error=False)
    scanner = scanning.Scanner.of(problem, Course.of(problem.loss, flow.times, flow.layers), SILENT)
    edge = 2 / 3
    found = scanner.scan(edge * np.array([0.5, 0.9, 1.1, 1.7, 2.0, 3.0]), 4096)
    kinds = [
        Behaviour.CONVERGES,
        Behaviour.CONVERGES,
        Behaviour.PERSISTENT,
        Behaviour.IRREGULAR,
        Behaviour.DRIFTS,
        Behaviour.DIVERGES,
    ]
    assert found.kinds() == kinds
    assert found.behaviours[2].period == 2
    lost = bracket(found.eta, np.array(threshold_passed("convergence_lost", found.kinds())))
    assert lost == pytest.approx((0.9 * edge, 1.1 * edge))


@pytest.mark.slow
def test_the_regime_of_a_step_size_does_not_depend_on_which_are_scanned_beside_it(scalars):
    found = scalars
    places = np.searchsorted(found["scanned"], found["step_size"])
    np.testing.assert_array_equal(found["scanned"][places], found["step_size"])
    for name in ("fate", "distance", "final_loss", "period"):
        np.testing.assert_array_equal(found[f"scanned_{name}"][places], found[name])


def test_an_interrupt_leaves_what_was_reached():
    text = filled(**SCALAR, SIZES="[0.01, 0.8]")
    walked: list[int] = []
    told = scanning.Scanner.scan

    def scan(self, sizes, least):
        walked.append(len(sizes))
        return told(self, sizes, least)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scanning.Scanner, "scan", scan)
        stopped = run(
            from_toml(text), "stopped", monitor=Monitor(stop_requested=lambda: len(walked) > 0)
        )
    group = stopped.groups[GROUP]
    assert len(walked) == 1
    assert group["scanned"].values.size == 0
    for name in ("divergence", "order", "tracking", "fate"):
        assert np.isnan(group[name].values).all()
    assert np.isfinite(group["critical_flow"].values)


@pytest.mark.parametrize("widths", [(1, 1, 1), (3, 4, 2), (3, 2, 4, 3), (2, 3, 3, 3, 2)])
def test_no_minimum_is_flatter_than_a_balanced_one(widths):
    """λ_max ≥ Σ_j ‖L_jᵀu‖²‖R_jv‖² ≥ N σ_1^{2-2/N} at every minimum of loss 0."""
    for seed in range(5):
        rng = np.random.default_rng(seed)
        layers = tuple(
            rng.standard_normal(shape) for shape in zip(widths[1:], widths, strict=False)
        )
        Phi = np.asarray(network.end_to_end(layers))
        U, sigma, Vt = np.linalg.svd(Phi)
        above = [*map(np.asarray, network.suffix_products(layers)[1:]), np.eye(widths[-1])]
        below = [np.eye(widths[0]), *map(np.asarray, network.prefix_products(layers)[:-1])]
        middle = sum(
            np.sum((L.T @ U[:, 0]) ** 2) * np.sum((R @ Vt[0]) ** 2)
            for L, R in zip(above, below, strict=True)
        )
        N = len(layers)
        least = N * sigma[0] ** (2 - 2 / N)
        found = extremes(losses.Squared(Phi), layers)
        assert least * (1 - 1e-12) <= middle <= found.largest + found.error
        U, sigma, Vt = np.linalg.svd(Phi, full_matrices=False)
        r = min(widths)
        balanced = initialization.from_svd(widths, U[:, :r], sigma[:r], Vt[:r])
        assert extremes(losses.Squared(Phi), balanced).largest == pytest.approx(least, rel=1e-10)


def strip_of(axes):
    """Return from where to where each colour goes."""
    return [(p.get_x(), p.get_x() + p.get_width(), p.get_hatch()) for p in axes.patches]


def test_the_strip_changes_colour_half_way_between_step_sizes_of_different_regimes():
    run = made.plain(sizes=[0.01, 0.3])
    left, right, strip = figures.draw(run, GROUP).axes
    eta, fate = run[f"{GROUP}.scanned"], run[f"{GROUP}.scanned_fate"]
    borders = [(eta[k] + eta[k + 1]) / 2 for k in np.flatnonzero(np.diff(fate))]
    found = strip_of(strip)
    np.testing.assert_allclose([low for low, _, _ in found], [0, *borders])
    np.testing.assert_allclose([high for _, high, _ in found[:-1]], borders)
    assert len({hatch for _, _, hatch in found[1:4]}) == 3
    assert strip.get_xlabel() == right.get_xlabel() == left.get_xlabel() == "step size η"
    (above,) = strip.child_axes
    assert above.get_xlabel() == "η in units of 2/λ at the flow's end"
    strip.figure.draw_without_rendering()
    np.testing.assert_allclose(above.get_xlim(), 3 * np.array(strip.get_xlim()))
    dotted = np.concatenate(
        [line.get_xdata() for line in right.lines if line.get_marker() != "None"]
    )
    assert set(dotted) <= set(eta)
    fit = next(line for line in left.lines if len(line.get_xdata()) == 50)
    np.testing.assert_allclose(fit.get_ydata(), 0.9 * fit.get_xdata() * np.exp(fit.get_xdata() / 2))
    said = " ".join(text.get_text() for text in figures.draw(run, GROUP).texts)
    assert "Descent tracks the flow within 10 % up to η = 0.0333, converges up to 0.3333" in said
    assert "oscillates from there and diverges from 0.6667; 2/λ at the flow's end is 0.3333" in said
    assert "order 1.00 ± 0.02" in left.get_title(loc="left")


def test_undecided_step_sizes_have_no_colour_and_variants_a_panel_each():
    run = made.plain(sizes=[0.01])
    fate = run[f"{GROUP}.scanned_fate"].copy()
    fate[60:65] = np.nan
    blank = made.replaced(run, f"{GROUP}.scanned_fate", fate)
    eta = run[f"{GROUP}.scanned"]
    inside_gap = [
        low < eta[62] < high for low, high, _ in strip_of(figures.draw(blank, GROUP).axes[2])
    ]
    assert not any(inside_gap)
    several = figures.draw(made.with_variants(a=run, b=blank), GROUP)
    assert len(several.axes) == 2
    assert several.axes[0].get_xlim()[1] == pytest.approx(1.15 * 2)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (('measures = ["step_size_thresholds"]', ""), "output.track_within: is not used without"),
        (("[0.1, 0.003]", "[0.1, 0.0]"), "output.track_within: holds 0.0; write fractions above 0"),
        (("[0.1, 0.003]", "[0.1, 0.1]"), "output.track_within: names 0.1 twice"),
        (("[descent]", "[descent]\nmomentum = 0.5"), "it does not support momentum"),
        (('["layers"]', '["end_to_end"]'), "step_size_thresholds, which needs the layer flow"),
        (
            (
                "[0.1, 0.003]",
                '[0.1, 0.003]\n[[claims]]\nquantity = "step_size_thresholds.tracking"\n'
                "at = { level = 0.01 }\nbelow = 1",
            ),
            "at.level: is 0.01, but the levels are 0.1 or 0.003",
        ),
    ],
)
def test_what_cannot_be_measured_is_refused(change, complaint):
    text = filled(**SCALAR, SIZES="[0.01, 0.8]")
    with pytest.raises(ScenarioError, match=complaint.replace("(", r"\(")):
        from_toml(text.replace(*change))
