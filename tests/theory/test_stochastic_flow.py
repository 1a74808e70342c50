"""Noisy descent and its equations against closed forms: Ornstein-Uhlenbeck, geometric Brownian."""

from __future__ import annotations

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowsim.experiment.plan.reading import from_toml
from flowsim.experiment.run import run
from flowsim.problem import initialization, losses, network
from flowsim.problem.gradient_noise import Batches, LabelNoise, Noise, Stream
from flowsim.scenario.build.problem import build_problem, noise_keys, noise_stream
from flowsim.solvers.descend import descend
from flowsim.solvers.monitor import Monitor
from flowsim.theory.modified_flows.objective import layer_velocities
from flowsim.theory.sgd_noise.measure import (
    distance_of_means,
    mean_distance,
    mean_estimate,
    standard_deviation,
)
from flowsim.theory.sgd_noise.stochastic_flow import PIECES, StochasticFlows, bridged, midpoint

RNG = np.random.default_rng(6)
ETA, STEPS, RUNS = 0.2, 8, 4000
T = ETA * STEPS
FIVE = 5.0
"""Standard errors by which a mean may be off: once in 1.7 million."""


def flows_of(loss: losses.Loss, of: Noise, runs: int = RUNS, eta: float = ETA, decay: float = 0.0):
    keys, bridges = (jax.random.split(jax.random.key(seed), runs) for seed in (1, 2))
    numbers = jnp.asarray(decay), jnp.asarray(eta)
    return StochasticFlows(loss, of, *numbers, keys, bridges)


def ended(flows: StochasticFlows, *layers: np.ndarray, steps: int = STEPS):
    """Return the layers of descent, and those of the four solutions, of every run."""
    start = flows.start(tuple(map(jnp.asarray, layers)))
    runs = flows.advance(start, jnp.asarray([steps]), jnp.asarray(steps)).runs
    return [np.asarray(W) for W in runs.descent], [np.asarray(W) for W in runs.solutions]


@pytest.fixture(scope="module")
def ornstein_uhlenbeck():
    """One layer with ½‖W - Φ‖² and noise 0.5 on Φ: independent entries."""
    loss = losses.Squared(jnp.asarray([[1.0, -2.0]]))
    found = ended(flows_of(loss, LabelNoise(loss, jnp.asarray(0.5))), np.array([[3.0, 1.0]]))
    descent, solutions = found[0][0], found[1][0]
    Phi = np.array([1.0, -2.0])
    return descent[:, 0] - Phi, solutions[:, :, 0] - Phi


def moments(rate: float) -> tuple[np.ndarray, float]:
    """Return mean and variance of dw = -rate w dt + √η s dB at t = kη, from w = (2, 3)."""
    variance = ETA * 0.5**2 * -np.expm1(-2 * rate * T) / (2 * rate)
    return np.exp(-rate * T) * np.array([2.0, 3.0]), variance


def of_descent() -> tuple[np.ndarray, float]:
    """Return those of w ← (1 - η)w + ηsζ after k steps."""
    a = 1 - ETA
    return a**STEPS * np.array([2.0, 3.0]), (ETA * 0.5) ** 2 * (1 - a ** (2 * STEPS)) / (1 - a**2)


RATES = {1: 1.0, 2: 1 + ETA / 2}
"""The gradient of φ + (η/4)‖∇φ‖² is (1 + η/2)w."""


def solver_error(rate: float) -> float:
    """Return how far 8 midpoint steps of length η/8 for each of descent are from e^{-rate t}."""
    x = rate * ETA / (2 * PIECES)
    return abs((1 - x + x**2 / 2) ** (2 * PIECES * STEPS) - np.exp(-rate * T))


@pytest.mark.parametrize("which", [0, 1, 2])
def test_one_layer_has_the_mean_and_the_variance_of_its_closed_form(ornstein_uhlenbeck, which):
    w = ornstein_uhlenbeck[0] if which == 0 else ornstein_uhlenbeck[1][:, which - 1]
    wanted, variance = of_descent() if which == 0 else moments(RATES[which])
    off = solver_error(RATES[which]) if which else 0.0
    assert off < 1e-4
    error = FIVE * np.sqrt(variance / RUNS)
    np.testing.assert_allclose(np.mean(w, axis=0), wanted, rtol=0, atol=error + 3 * off)
    relative = FIVE * np.sqrt(2 / RUNS) + 0.01 * ETA  # pieces spread the noise by O(h²)
    np.testing.assert_allclose(np.var(w, axis=0), variance, rtol=relative)


@pytest.mark.parametrize("equation", [1, 2])
def test_runs_driven_alike_show_how_far_the_means_are_apart(ornstein_uhlenbeck, equation):
    """The difference of the means is known far better than either mean."""
    descent, solutions = ornstein_uhlenbeck
    differences = np.asarray(descent - solutions[:, equation - 1])
    wanted = np.linalg.norm(of_descent()[0] - moments(RATES[equation])[0])
    found = distance_of_means(
        differences, np.asarray(solutions[:, equation + 1] - solutions[:, equation - 1])
    )
    assert found.value == pytest.approx(wanted, abs=FIVE * found.error)
    assert found.error < 0.02 * wanted if equation == 1 else found.error < 0.3 * wanted


def test_without_noise_the_solutions_are_midpoint_steps_of_the_drifts():
    loss = losses.Squared(jnp.asarray([[1.0]]))
    flows = flows_of(loss, LabelNoise(loss, jnp.asarray(0.0)), runs=2)
    _, (w,) = ended(flows, np.array([[3.0]]))
    for i, (rate, pieces) in enumerate([(1.0, 4), (1.1, 4), (1.0, 2), (1.1, 2)]):
        x = rate * ETA / (2 * pieces)
        wanted = 1 + 2 * (1 - x + x**2 / 2) ** (2 * pieces * STEPS)
        np.testing.assert_allclose(w[:, i, 0, 0], wanted, rtol=1e-13)


X = np.array([[0.4, 0.8, 1.1, 1.5]])
CURVATURE, BATCH = X[0] ** 2, 2


def squares(eta: float, steps: int) -> np.ndarray:
    """Return E w² of descent and of both equations for ℓ = ½ mean (x_i w)², in batches of 2.

    w ← (1 - ηh)w, h the mean over a batch; dw = -rate w dt + √η σ w dB, σ² the variance of h.
    """
    h, t = CURVATURE.mean(), eta * steps
    variance = (4 - BATCH) / (BATCH * 3) * CURVATURE.var()
    rates = np.array([h, h + eta * h**2 / 2])
    equations = np.exp((-2 * rates + eta * variance) * t)
    return np.array([((1 - eta * h) ** 2 + eta**2 * variance) ** steps, *equations])


def test_batches_have_the_second_moment_of_products_and_of_geometric_brownian_motion():
    loss = losses.PowerRegression(jnp.asarray(X), jnp.zeros((1, 4)), 2.0)
    (w,), (solutions,) = ended(flows_of(loss, Batches(loss, BATCH)), np.array([[1.0]]))
    every = [w, solutions[:, 0], solutions[:, 1]]
    check = [w, solutions[:, 2], solutions[:, 3]]
    for values, others, wanted in zip(every, check, squares(ETA, STEPS), strict=True):
        found, other = mean_estimate(values.ravel() ** 2), mean_estimate(others.ravel() ** 2)
        off = abs(found.value - other.value)
        assert found.value == pytest.approx(wanted, abs=FIVE * found.error + off)


def test_exact_moments_differ_in_orders_one_and_two():
    """At t = 1 the closed forms of E w² are apart by η and by η²."""
    sizes = np.array([0.04, 0.02, 0.01])
    found = np.array([squares(eta, round(1 / eta)) for eta in sizes])
    for equation in (1, 2):
        gaps = np.abs(found[:, 0] - found[:, equation])
        slopes = np.diff(np.log(gaps)) / np.diff(np.log(sizes))
        np.testing.assert_allclose(slopes, equation, atol=3 * sizes[0])


WIDTHS = (3, 2, 2)
LAYERS = initialization.gaussian(WIDTHS, 0.7, RNG)
DEEP = losses.Squared(jnp.asarray(RNG.standard_normal((2, 3))))


def test_the_drift_of_the_second_equation_is_that_of_the_modified_flow():
    flows = flows_of(DEEP, LabelNoise(DEEP, jnp.asarray(0.5)), runs=1)
    layers = tuple(map(jnp.asarray, LAYERS))
    drift = jax.jit(lambda second: flows.drift(second, layers))
    for second, name in ((0.0, "flow"), (1.0, "modified")):
        wanted = layer_velocities(name, DEEP, layers, ETA)
        for found, each in zip(drift(jnp.asarray(second)), wanted, strict=True):
            np.testing.assert_allclose(found, each, rtol=0, atol=1e-13)


def test_weight_decay_is_part_of_the_drift_and_of_descent():
    """At φ = 0 descent shrinks by 1 - ηλ, the second equation by e^{-(λ + ηλ²/2)η}."""
    zero = losses.LeastSquares(jnp.zeros((1, 1)), jnp.zeros((1, 1)), jnp.zeros(()))
    flows = flows_of(zero, LabelNoise(zero, jnp.asarray(0.5)), runs=1, decay=0.3)
    (w,), (solutions,) = ended(flows, np.array([[1.0]]), steps=1)
    assert w[0, 0, 0] == pytest.approx(1 - 0.3 * ETA, rel=1e-14)
    rates = np.array([0.3, 0.3 + ETA * 0.3**2 / 2])
    np.testing.assert_allclose(solutions[0, :2, 0, 0], np.exp(-rates * ETA), rtol=1e-6)


@pytest.mark.parametrize("batches", [False, True])
def test_the_trace_is_that_of_the_covariance_over_the_layers(batches):
    loss: losses.Loss = DEEP
    of: Noise = LabelNoise(DEEP, jnp.asarray(0.5))
    if batches:
        loss = losses.CrossEntropy(jnp.asarray(RNG.standard_normal((3, 6))), jnp.arange(6) % 2)
        of = Batches(loss, 2)
    layers = tuple(map(jnp.asarray, LAYERS))
    flows = flows_of(loss, of, runs=1)
    J = jax.jit(jax.jacobian(lambda V: network.end_to_end(V).ravel()))(layers)
    J = np.concatenate([np.asarray(part).reshape(6, -1) for part in J], axis=1)
    covariance = np.asarray(eqx.filter_jit(of.covariance)(network.end_to_end(layers)))
    wanted = np.trace(J.T @ covariance @ J)
    assert float(eqx.filter_jit(flows.trace)(layers)) == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("widths", [(2, 2, 2), (3, 2, 4), (3, 2, 4, 2)])
def test_noise_on_labels_changes_the_imbalance_in_the_mean_by_the_formula(widths):
    """η²(g_{j+1}ᵀg_{j+1} - g_jg_jᵀ) + η²s²(‖L_{j+1}‖² R_{j+1}R_{j+1}ᵀ - ‖R_j‖² L_jᵀL_j).

    The change is quadratic in ζ, whose mean the points ±√n e_a have exactly.
    """
    layers, s = initialization.gaussian(widths, 0.7, RNG), 0.5
    loss = losses.Squared(jnp.asarray(RNG.standard_normal((widths[-1], widths[0]))))
    of = LabelNoise(loss, jnp.asarray(s))
    unit = np.sqrt(of.dimension) * np.eye(of.dimension)

    def changed(zeta):
        g = network.layer_gradients(layers, lambda W: of.gradient(W, zeta))
        return network.imbalances(tuple(W - ETA * d for W, d in zip(layers, g, strict=True)))

    after = jax.jit(jax.vmap(changed))(jnp.asarray(np.concatenate([unit, -unit])))
    g = network.layer_gradients(tuple(map(jnp.asarray, layers)), loss.gradient)
    L = [*network.suffix_products(layers)[1:], np.eye(widths[-1])]
    R = [np.eye(widths[0]), *network.prefix_products(layers)[:-1]]
    pairs = zip(after, network.imbalances(layers), network.imbalances(g), strict=True)
    for j, (each, before, of_flow) in enumerate(pairs):
        noisy = np.sum(L[j + 1] ** 2) * R[j + 1] @ R[j + 1].T - np.sum(R[j] ** 2) * L[j].T @ L[j]
        wanted = before + ETA**2 * (of_flow + s**2 * noisy)
        np.testing.assert_allclose(np.mean(each, axis=0), wanted, rtol=0, atol=1e-13)
        assert np.abs(noisy).max() > 0.1


def test_pieces_of_a_step_are_independent_and_add_up_to_it():
    """Covariances of R draws have the standard error √(1/R), √(2/R) on the diagonal."""
    draws = 20_000
    keys = jax.random.split(jax.random.key(4), draws)
    zeta = jnp.asarray(RNG.standard_normal((draws, 1)))
    pieces = np.asarray(jax.vmap(lambda key, z: bridged(key, z, PIECES))(keys, zeta))[:, :, 0]
    np.testing.assert_allclose(pieces.sum(axis=1) / 2, zeta[:, 0], rtol=0, atol=1e-14)
    allowed = FIVE * np.sqrt((1 + np.eye(PIECES)) / draws)
    assert (np.abs(pieces.T @ pieces / draws - np.eye(PIECES)) < allowed).all()


def test_midpoint_steps_are_of_order_two():
    off = []
    for h in (0.1, 0.05):
        (w,) = midpoint(lambda layers: (-(layers[0] ** 2),), (jnp.ones((1, 1)),), jnp.asarray(h))
        off.append(abs(float(w[0, 0]) - 1 / (1 + h)))
    assert np.log2(off[0] / off[1]) == pytest.approx(3, abs=0.2)  # in one step


def test_solutions_follow_euler_and_maruyama_in_many_small_steps_of_the_same_path():
    """The paths' own order is 1/2: a 64th of a step is off by √(1/16) of what a quarter is.

    Beside the spread of the paths, √η, a solution is off by √η √(η/n).
    """
    eta, fine, runs = 0.2, 64, 40
    flows = flows_of(DEEP, LabelNoise(DEEP, jnp.asarray(1.0)), runs=1, eta=eta)
    z = RNG.standard_normal((runs, fine, 2, 3))
    A, B = (np.repeat(W[None], runs, axis=0) for W in LAYERS)
    for k in range(fine):
        G = (B @ A - np.asarray(DEEP.Phi)) * eta / fine - eta / np.sqrt(fine) * z[:, k]
        A, B = A - B.transpose(0, 2, 1) @ G, B - G @ A.transpose(0, 2, 1)
    exact = np.concatenate([A.reshape(runs, -1), B.reshape(runs, -1)], axis=1)
    pieces = z.reshape(runs, PIECES, fine // PIECES, 6).sum(axis=2) / np.sqrt(fine / PIECES)
    start = tuple(jnp.stack([jnp.asarray(W)] * 4) for W in LAYERS)
    found = jax.jit(jax.vmap(lambda each: flows.solved(start, each)))(jnp.asarray(pieces))
    solved = np.concatenate([np.asarray(W).reshape(runs, 4, -1) for W in found], axis=2)
    off = mean_distance(solved[:, 0] - exact, solved[:, 2] - solved[:, 0])
    halving = np.linalg.norm(solved[:, 2] - solved[:, 0], axis=1).mean()
    assert off.value < 1.2 * halving
    assert off.value < np.sqrt(eta / PIECES) * standard_deviation(exact).value


TEXT = """
title = "Noise"
seed = 4
[network]
widths = [2, 2, 2]
[loss]
kind = "squared"
target = { spectrum = [2.0, 1.0] }
[init]
kind = "aligned"
scale = 0.5
[flow]
horizon = 0.8
samples = 5
spaces = ["layers"]
[descent]
step_sizes = [0.1, 0.05, 1.6]
label_noise = 0.5
[output]
measures = ["sgd_noise"]
noise_runs = 10
"""


@pytest.mark.slow
def test_the_measure_holds_statistics_of_runs_the_first_of_which_is_descent():
    scenario = from_toml(TEXT)
    found = run(scenario, "noise")
    assert int(found["sgd_noise.runs"]) == 10
    np.testing.assert_array_equal(found["sgd_noise.time"], found["descent.time"])
    stream, keys = noise_stream(scenario), noise_keys(scenario, "noise", 10)
    problem, times = build_problem(scenario), np.linspace(0, 0.8, 5)
    every = [descend(problem, [0.1, 0.05], times, noise=Stream(stream.noise, k)) for k in keys]
    np.testing.assert_array_equal(every[0].loss, found["descent.loss"][:2])
    losses_of = np.array([each.loss for each in every])
    W = np.array([each.end_to_end for each in every])
    for name, wanted in {
        "descent_loss": losses_of.mean(axis=0),
        "descent_loss_deviation": losses_of.std(axis=0, ddof=1),
        "descent_loss_error": losses_of.std(axis=0, ddof=1) / np.sqrt(10),
        "descent_end_to_end": W.mean(axis=0),
        "descent_spread": np.sqrt(W.var(axis=0, ddof=1).sum(axis=(-2, -1))),
    }.items():
        np.testing.assert_allclose(found[f"sgd_noise.{name}"][:2], wanted, rtol=0, atol=1e-12)
    apart_there = W.mean(axis=0) - found["sgd_noise.first_end_to_end"][:2]
    gap = np.linalg.norm(apart_there, axis=(-2, -1))
    np.testing.assert_allclose(found["sgd_noise.weak_first"][:2], gap, rtol=0, atol=1e-12)


def test_statistics_of_a_step_size_at_which_a_run_diverges_are_nan():
    text = TEXT.replace("[0.1, 0.05, 1.6]", "[0.1, 4.0]").replace("horizon = 0.8", "horizon = 40.0")
    found = run(from_toml(text), "noise")
    lost = found["sgd_noise.descent_loss"][1]
    assert np.isfinite(lost[0])
    assert np.isnan(lost[-1])
    assert np.isfinite(found["sgd_noise.weak_second"][0]).all()


def test_an_interrupt_leaves_what_was_reached():
    told: list[float] = []

    def progress(label: str, fraction: float) -> None:
        if label == "sgd noise" and fraction > 0:
            told.append(fraction)

    found = run(from_toml(TEXT), "noise", monitor=Monitor(progress, lambda: len(told) > 1))
    known = np.isfinite(found["sgd_noise.descent_loss"][0])
    assert known[0] and not known[-1]
    assert np.isnan(found["sgd_noise.descent_loss"][1]).all()


@pytest.mark.slow
def test_another_solver_finds_the_same_mean():
    """diffrax's own, on Brownian motion of its own, in steps so short that its bias is nothing.

    Two scalar layers with noise s on Φ: dw = -∇φ dt - √η s (w_2, w_1) dB.
    """
    loss, s = losses.Squared(jnp.asarray([[1.0]])), 0.8
    runs, fine = 2000, 16
    _, solutions = ended(
        flows_of(loss, LabelNoise(loss, jnp.asarray(s)), runs=runs),
        np.array([[0.3]]),
        np.array([[1.2]]),
    )
    ours = (solutions[0] * solutions[1])[:, 0, 0, 0]  # the first equation's
    end = float(ETA * STEPS)

    def w(key):
        path = diffrax.VirtualBrownianTree(0.0, end, tol=ETA / fine / 4, shape=(), key=key)
        drift = diffrax.ODETerm(lambda t, w, args: -(w[0] * w[1] - 1) * w[::-1])  # noqa: ARG005
        noise = diffrax.ControlTerm(lambda t, w, args: -jnp.sqrt(ETA) * s * w[::-1], path)  # noqa: ARG005
        found = diffrax.diffeqsolve(
            diffrax.MultiTerm(drift, noise), diffrax.Euler(), 0.0, end, ETA / fine,
            jnp.array([0.3, 1.2]),
        )  # fmt: skip
        return jnp.prod(found.ys[-1])

    theirs = np.asarray(jax.jit(jax.vmap(w))(jax.random.split(jax.random.key(3), runs)))
    error = np.sqrt((ours.var() + theirs.var()) / runs)
    # Euler's own bias is of order h = η/16 of a change of order 1
    assert abs(ours.mean() - theirs.mean()) < FIVE * error + ETA / fine
    assert ours.std() == pytest.approx(theirs.std(), rel=0.1)
    assert error < 0.03
