"""Descent with noise: the recursion that it says, one stream of draws, and what is refused."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scenario_texts import REGRESSION, SQUARED, spoilt, told

from flowsim.experiment.plan.reading import from_toml
from flowsim.experiment.run import run
from flowsim.problem import initialization, losses
from flowsim.problem.gradient_noise import Batches, LabelNoise, Stream
from flowsim.problem.problem import Problem
from flowsim.scenario.build.problem import build_problem, gradient_noise, noise_keys, noise_stream
from flowsim.scenario.build.shapes import draws_per_step
from flowsim.solvers.descend import descend
from flowsim.solvers.invariants import of_descent

RNG = np.random.default_rng(5)
PHI, START = RNG.standard_normal((2, 3)), RNG.standard_normal((2, 3))
ETA, STEPS, S = 0.1, 20, 0.4
TIMES = np.linspace(0.0, ETA * STEPS, STEPS + 1)


def label_noise(loss: losses.Loss) -> Stream:
    return Stream(LabelNoise(loss, jnp.asarray(S)), jax.random.key(7))


def drawn(stream: Stream, k: int) -> np.ndarray:
    return np.asarray(stream.noise.draw(jax.random.fold_in(stream.key, k)))


@pytest.mark.parametrize("momentum", [0.0, 0.6])
def test_every_step_goes_by_labels_of_its_own(momentum):
    """V ← μV - η(W - Φ - sζ_k + λW), W ← W + V."""
    loss, decay = losses.Squared(PHI), 0.3
    stream, problem = label_noise(loss), Problem(loss, [START], 2.0, weight_decay=decay)
    found = descend(problem, [ETA], TIMES, momentum=momentum, noise=stream).end_to_end[0]
    W, V = START, np.zeros_like(START)
    for k in range(STEPS):
        V = momentum * V - ETA * (W - PHI - S * drawn(stream, k).reshape(2, 3) + decay * W)
        W = W + V
        np.testing.assert_allclose(found[k + 1], W, rtol=0, atol=1e-13)


def test_every_step_goes_by_a_batch_of_its_own():
    """θ_{k+1} = θ_k - η (1/n) Σ_batch of two layers, the batch being the n largest of ζ_k."""
    X, Y = RNG.standard_normal((3, 7)), RNG.standard_normal((2, 7))
    layers = initialization.gaussian([3, 2, 2], 0.7, RNG)
    loss = losses.PowerRegression(jnp.asarray(X), jnp.asarray(Y), 2.0)
    stream = Stream(Batches(loss, 3), jax.random.key(7))
    problem = Problem(losses.LeastSquares.from_data(X, Y), layers, 2.0)
    found = descend(problem, [ETA], TIMES, noise=stream).end_to_end[0]
    A, B = layers
    for k in range(STEPS):
        chosen = np.argsort(-drawn(stream, k))[:3]
        G = (B @ A @ X[:, chosen] - Y[:, chosen]) @ X[:, chosen].T / 3
        A, B = A - ETA * B.T @ G, B - ETA * G @ A.T
        np.testing.assert_allclose(found[k + 1], B @ A, rtol=0, atol=1e-13)


def test_all_step_sizes_see_the_same_draws_and_none_another():
    loss = losses.Squared(PHI)
    problem, stream = Problem(loss, [START], 2.0), label_noise(loss)
    both = descend(problem, [ETA, ETA / 2], TIMES, noise=stream)
    alone = descend(problem, [ETA / 2], TIMES, noise=stream)
    np.testing.assert_array_equal(both.end_to_end[1], alone.end_to_end[0])
    one_step = [descend(problem, [eta], np.array([0.0, eta]), noise=stream) for eta in (0.1, 0.2)]
    moves = [np.asarray(each.end_to_end[0, 1] - START) for each in one_step]
    np.testing.assert_allclose(2 * moves[0], moves[1], rtol=1e-13)


def test_single_precision_draws_too():
    loss = losses.Squared(jnp.asarray(PHI))
    problem, stream = Problem(loss, [START], 2.0), label_noise(loss)
    single = descend(problem, [ETA], TIMES, noise=stream, precision="float32")
    assert single.outcome == ("completed",)
    assert np.isfinite(single.loss).all()
    assert single.noisy


SMALL = """title = "Small"
[network]
widths = [2, 2]
[loss]
kind = "squared"
target = { spectrum = [2, 1] }
[init]
kind = "balanced"
scale = 0.1
[flow]
horizon = 1.0
samples = 5
spaces = ["layers"]
[descent]
step_sizes = [0.25, 0.125]
"""
NOISY = SMALL + "label_noise = 0.5\n"
ON_DATA = f"{REGRESSION}\n[descent]\nstep_sizes = [0.1]\n"


def test_a_scenario_draws_by_its_seed_and_leaves_other_draws_as_they_were():
    quiet, one = run(from_toml(SMALL), "a"), run(from_toml(NOISY), "a")
    again = run(from_toml(NOISY), "a")
    np.testing.assert_array_equal(one["descent.loss"], again["descent.loss"])
    np.testing.assert_array_equal(one["layers.loss"], quiet["layers.loss"])
    assert (one["descent.loss"][:, 1:] != quiet["descent.loss"][:, 1:]).all()
    other = from_toml(NOISY, overrides={"seed": 9})
    first = [noise_stream(each) for each in (other, from_toml(NOISY))]
    assert np.abs(drawn(first[0], 0) - drawn(first[1], 0)).min() > 0


def test_the_sign_of_a_determinant_that_noise_may_change_is_not_watched():
    loss = losses.Squared(PHI[:, :2])
    problem = Problem(loss, initialization.balanced([2, 2, 2], 0.5, RNG), 2.0)
    quiet, noisy = (descend(problem, [ETA], TIMES, noise=n) for n in (None, label_noise(loss)))
    assert [len(each) for each in of_descent(quiet, problem)] == [1]
    assert of_descent(noisy, problem) == [[]]


def test_more_runs_leave_the_first_as_it_is_and_the_first_is_that_of_descent():
    scenario = from_toml(NOISY)
    few, many = (noise_keys(scenario, "noise", count) for count in (2, 5))
    as_numbers = [np.asarray(jax.random.key_data(keys)) for keys in (few, many)]
    np.testing.assert_array_equal(as_numbers[0], as_numbers[1][:2])
    stream = noise_stream(scenario)
    np.testing.assert_array_equal(jax.random.key_data(stream.key), as_numbers[1][0])


def test_noise_on_compressed_labels_is_that_on_the_labels():
    scenario = from_toml(ON_DATA + "label_noise = 0.5\n")
    loss, data = build_problem(scenario).loss, scenario.data
    assert isinstance(loss, losses.LeastSquares) and data is not None
    X, Y = np.asarray(data.inputs), np.asarray(data.targets)
    whole = LabelNoise(
        losses.PowerRegression(jnp.asarray(X), jnp.asarray(Y), 2.0), jnp.asarray(0.5)
    )
    W = jnp.zeros(scenario.network.shape)
    np.testing.assert_allclose(
        gradient_noise(scenario).covariance(W), whole.covariance(W), rtol=0, atol=1e-13
    )
    assert gradient_noise(scenario).dimension <= draws_per_step(scenario)


TARGET = "target = { spectrum = [3, 2, 1] }"
OF_COMPLETION = spoilt(
    TARGET, f"{TARGET}\nobserved = {{ count = 5 }}", spoilt('"squared"', '"completion"')
)
REFUSED = [
    (SQUARED, "batch = 2", 'descent.batch: is not used by loss.kind = "squared", which has no'),
    (OF_COMPLETION, "batch = 6", "descent.batch: is 6, but there are 5 observed entries; write no"),
    (ON_DATA, "batch = 0", "descent.batch: is 0"),
    (ON_DATA, "batch = 999", "descent.batch: is 999, but there are"),
    (SQUARED, "label_noise = 0.0", "descent.label_noise: is 0.0"),
    (
        ON_DATA.replace('kind = "regression"', 'kind = "regression"\np = 4'),
        "label_noise = 0.1",
        "descent.label_noise: is for p = 2, but loss.p is 4",
    ),
    (
        SQUARED + "[output]\nnoise_runs = 10\n",
        "label_noise = 0.1",
        'output.noise_runs: is not used without measures = ["sgd_noise"]',
    ),
]


@pytest.mark.parametrize(("text", "wrong", "reason"), REFUSED, ids=lambda value: str(value)[:40])
def test_noise_that_a_loss_has_not_is_refused(text, wrong, reason):
    (mistake,) = told(text.replace("[descent]", f"[descent]\n{wrong}"))
    assert reason in mistake


@pytest.mark.parametrize(
    ("line", "measure", "reason"),
    [
        ("label_noise = 0.1", "drift_budget", "it requires the full gradient"),
        ("label_noise = 0.1\nmomentum = 0.5", "momentum_flow", "it requires the full"),
        ("", "sgd_noise", "descent has no noise; write descent.batch or descent.label_noise"),
        ("label_noise = 0.1\nmomentum = 0.5", "sgd_noise", "it does not support momentum"),
    ],
)
def test_measures_that_do_not_fit_are_refused(line, measure, reason):
    text = SQUARED.replace("[descent]", f"[descent]\n{line}")
    (mistake,) = told(text + f'[output]\nmeasures = ["{measure}"]\n')
    assert f"output.measures: names {measure}, but {reason}" in mistake
