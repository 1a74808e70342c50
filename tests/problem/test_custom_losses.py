"""Losses given by functions and what is stated about them, against the losses that they equal."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import flowsim
from flowsim.dynamics.fixed_basis import aligned_basis
from flowsim.problem import losses
from flowsim.problem.gradient_noise import Batches
from flowsim.problem.losses import value_and_gradient
from flowsim.problem.problem import Problem
from flowsim.solvers.descend import descend
from flowsim.solvers.solve import solve
from flowsim.solvers.verdict import Verdict
from flowsim.theory.global_minimum import global_minimum
from flowsim.theory.sharpness.measure import extremes

RNG = np.random.default_rng(0)
X, Y, W = (RNG.standard_normal(shape) for shape in ((3, 7), (2, 7), (2, 3)))
CLASSES = np.array([0, 1, 1, 0, 1, 0, 0])
SIGNS = np.array([1.0, -1.0, 1.0, 1.0, -1.0, -1.0, 1.0])
PHI = np.diag([2.0, 1.0])
START = [0.5 * np.eye(2), np.eye(2)]


def half_square(p: Any, y: Any) -> Any:
    return jnp.sum((p - y) ** 2) / 2


def cross_entropy(p: Any, label: Any) -> Any:
    return jax.nn.logsumexp(p) - p[label]


def softplus(p: Any, y: Any) -> Any:
    return jax.nn.softplus(-y * p[0])


def log_cosh(M: Any) -> Any:
    E = M - PHI
    return jnp.sum(jnp.logaddexp(E, -E) - jnp.log(2.0))


PAIRS = {
    "regression": (half_square, Y, losses.PowerRegression(X, Y, 2.0), W),
    "cross-entropy": (cross_entropy, CLASSES, losses.CrossEntropy(X, CLASSES), W),
    "logistic": (softplus, SIGNS, losses.Logistic(X, SIGNS[None]), W[:1]),
}
"""Functions of a prediction and a label, the labels, the named loss, and a matrix."""


@pytest.fixture(params=PAIRS)
def pair(request: pytest.FixtureRequest) -> tuple[losses.Loss, losses.Loss, np.ndarray]:
    function, labels, named, M = PAIRS[request.param]
    loss = flowsim.loss(function, inputs=X, labels=labels)
    return Problem(loss, [M], 1.0).loss, named, M


def close(found: Any, required: Any) -> None:
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-12, 1e-14), found, required)


def test_a_loss_on_data_is_the_mean_over_the_samples(pair) -> None:
    loss, named, M = pair
    close(value_and_gradient(loss, M), value_and_gradient(named, M))
    some = jnp.array([4, 0, 5])
    close(loss.subset(some).gradient(M), named.subset(some).gradient(M))


@pytest.mark.slow
def test_a_loss_on_data_has_the_noise_of_its_batches(pair) -> None:
    loss, named, M = pair
    for size in (2, 7):
        own, other = Batches(loss, size), Batches(named, size)
        zeta = own.draw(jax.random.key(1))
        close(own.gradient(M, zeta), other.gradient(M, zeta))
        close(own.gaussian(M, zeta), other.gaussian(M, zeta))
        close(own.covariance(M), other.covariance(M))


def test_batches_are_drawn_of_losses_over_samples() -> None:
    loss = flowsim.loss(half_square, inputs=X, labels=Y)
    draws = flowsim.noise.batches(loss, 3, seed=5)
    assert draws.noise.dimension == 7
    np.testing.assert_array_equal(jax.random.key_data(draws.key), [0, 5])
    for wrong, size, message in (
        (loss, 8, "size must be at most the number of samples, 7, but is 8"),
        (loss, 0, "size must be at least 1"),
        (losses.Squared(PHI), 1, "loss must be over samples, but Squared is not"),
        (half_square, 1, "loss must be a loss over samples"),
    ):
        with pytest.raises(ValueError, match=message):
            flowsim.noise.batches(wrong, size)


def test_descent_on_batches_of_a_loss_on_data() -> None:
    start, times = [np.full((2, 3), 0.3), np.eye(2)], np.linspace(0.0, 2.0, 5)
    ends = []
    for loss in (flowsim.loss(half_square, inputs=X, labels=Y), PAIRS["regression"][2]):
        problem = Problem(loss, start, 2.0)
        noise = flowsim.noise.batches(problem.loss, 3)
        ends.append(descend(problem, [0.1], times, noise=noise).end_to_end)
    np.testing.assert_allclose(*ends, rtol=1e-12)


@pytest.mark.slow
def test_flow_and_sharpness_of_a_loss_on_data() -> None:
    start = [np.full((2, 3), 0.3), np.eye(2)]
    problems = [
        Problem(loss, start, 3.0)
        for loss in (
            flowsim.loss(half_square, inputs=X, labels=Y),
            losses.LeastSquares.from_data(X, Y),
        )
    ]
    found, required = (solve(problem, rtol=1e-9).end_to_end for problem in problems)
    np.testing.assert_allclose(found, required, atol=1e-7)
    own, other = (extremes(problem.loss, problem.layers) for problem in problems)
    close(own[:2], other[:2])


def test_single_precision_descent_on_a_loss_on_data() -> None:
    problem = Problem(flowsim.loss(half_square, inputs=X, labels=Y), [W], 1.0)
    double, single = (
        descend(problem, [0.1], np.array([0.0, 1.0]), precision=precision).end_to_end[0, -1]
        for precision in ("float64", "float32")
    )
    # ten steps, each of a few roundings of numbers of size 1
    assert 0 < np.abs(double - single).max() < 1e-5


def test_a_loss_on_data_keeps_copies_and_shares_programs() -> None:
    inputs, labels = X.copy(), Y.copy()
    first = Problem(flowsim.loss(half_square, inputs=inputs, labels=labels), [W], 1.0).loss
    before = float(value_and_gradient(first, W)[0])
    inputs[:], labels[:] = 0.0, 1.0
    assert float(value_and_gradient(first, W)[0]) == before
    second = flowsim.loss(half_square, inputs=inputs, labels=labels, name="another", minimum=1.0)
    second = Problem(second, [W], 1.0).loss
    # ½‖0 - 1‖² over two outputs
    assert float(value_and_gradient(second, W)[0]) == 1.0
    stated = flowsim.loss(half_square, inputs=X, labels=Y, name="third", minimum=0.0)
    assert jax.tree.structure(Problem(stated, [W], 1.0).loss) == jax.tree.structure(second)


def test_names_are_in_cards_and_messages() -> None:
    assert Problem(log_cosh, START, 1.0).loss.label == "log_cosh"
    assert "a function of W" in repr(Problem(lambda M: jnp.sum(M**2), START, 1.0))
    named = Problem(flowsim.loss(log_cosh, name="log cosh"), START, 1.0)
    assert "log cosh" in repr(named)
    with pytest.raises(ValueError, match=r"must be quadratic.* but the loss is log cosh"):
        aligned_basis(named)


@pytest.mark.slow
@pytest.mark.parametrize("statements", [{"target": PHI}, {"minimum": 0.0}, {"convex": True}])
def test_statements_certify_the_minimum(statements: dict[str, Any]) -> None:
    problem = Problem(flowsim.loss(log_cosh, **statements), START, 40.0)
    flow = solve(problem)
    assert flow.verdict is Verdict.CONVERGED
    certificate = flow.ending.details["certificate"]
    assert ("convex loss" if "convex" in statements else "stated minimum") in certificate
    assert flow.notes == ()
    if "convex" not in statements:
        np.testing.assert_array_equal(flow.excess_loss, flow.loss)
        assert "above its minimum" in repr(flow)
    if "target" in statements:
        gaps = np.linalg.norm(flow.end_to_end - PHI, axis=(1, 2))
        np.testing.assert_allclose(flow.distance_to_target, gaps, atol=1e-14)


def test_a_saddle_is_one_where_the_minimum_is_stated() -> None:
    zero = [np.zeros((2, 2))] * 3
    flow = solve(Problem(flowsim.loss(log_cosh, minimum=0.0), zero, 5.0))
    assert flow.verdict is Verdict.SADDLE


def double_well(M: Any) -> Any:
    # minima 0 at W = -1 and 0.1·2 + … near W = 1, with a maximum between
    return jnp.sum((M**2 - 1) ** 2 + 0.1 * (M + 1))


def test_another_minimum_than_the_stated_one_is_local() -> None:
    least = min(double_well(np.array([[w]])) for w in np.linspace(-1.1, -0.9, 2001))
    flow = solve(Problem(flowsim.loss(double_well, minimum=float(least)), [[[0.8]]], 20.0))
    assert flow.verdict is Verdict.CONVERGED
    assert "local minimum" in flow.ending.details["certificate"]
    assert flow.excess_loss[-1] > 0.19
    assert flow.notes == ()


def test_a_run_that_contradicts_a_statement_notes_it_and_does_not_use_it() -> None:
    # from 0.1 over the inflection at 1/√3: a tangent before it cuts the curve after it
    flow = solve(Problem(flowsim.loss(double_well, convex=True), [[[0.1]]], 20.0))
    (note,) = flow.notes
    assert "stated to be convex, but at t = " in note and "below its tangent" in note
    assert "local minimum" in flow.ending.details["certificate"]
    assert note[:40] in repr(flow)
    flow = solve(Problem(flowsim.loss(double_well, minimum=0.5), [[[0.1]]], 20.0))
    (note,) = flow.notes
    assert "stated to have the minimum 0.5, but is 0.19" in note
    assert "local minimum" in flow.ending.details["certificate"]


@pytest.mark.parametrize("statement", [{"convex": True}, {"minimum": 0.5}])
def test_descent_that_contradicts_a_statement_notes_it(statement: dict[str, Any]) -> None:
    problem = Problem(flowsim.loss(double_well, **statement), [[[0.1]]], 20.0)
    descent = descend(problem, [0.01, 0.05], np.linspace(0.0, 20.0, 41))
    assert [note[:20] for note in descent.notes] == ["descent, step 0.01: ", "descent, step 0.05: "]
    assert all("the verdict does not use the statement" in note for note in descent.notes)
    assert all("local minimum" in ending.details["certificate"] for ending in descent.endings)
    true = Problem(flowsim.loss(double_well, minimum=-0.01), [[[0.1]]], 20.0)
    assert descend(true, [0.05], np.array([0.0, 20.0])).notes == ()


WRONG = {
    "minimum above the start": ({"minimum": 1.0}, "minimum must be at most the loss at the start"),
    "target above the start": ({"target": 2 * PHI}, "target must minimize the loss"),
    "target beside the minimum": ({"target": PHI - 0.01}, "target must minimize the loss"),
    "target and minimum": ({"target": PHI, "minimum": -0.1}, "minimum must be the loss at target"),
    "target of another shape": ({"target": np.eye(3)}, "its target has shape"),
}


@pytest.mark.parametrize("statements", WRONG.values(), ids=WRONG)
def test_statements_that_do_not_hold_are_refused(statements: tuple[dict[str, Any], str]) -> None:
    given, message = statements
    with pytest.raises(ValueError, match=message):
        Problem(flowsim.loss(log_cosh, **given), [PHI - 0.1], 1.0)


@pytest.mark.parametrize(
    ("function", "inputs", "labels", "message"),
    [
        (half_square, X, None, "inputs and labels must be given together"),
        (half_square, None, Y, "inputs and labels must be given together"),
        (half_square, X, Y[:, :5], "labels must be an array with a number or a column for each"),
        (half_square, X[:2], Y, "inputs must have a row for each of the 3 columns of W"),
        (lambda p, y: p - y, X, Y, "from a prediction of shape .* to a single number"),
        (lambda p, y: float(p[0] - y[0]), X, Y, "if on values of the prediction"),
    ],
)
def test_wrong_data_are_refused(function: Any, inputs: Any, labels: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Problem(flowsim.loss(function, inputs=inputs, labels=labels), [W], 1.0)


def test_the_minimum_of_a_custom_loss() -> None:
    shape = (2, 2)
    stated = Problem(flowsim.loss(log_cosh, target=PHI), START, 1.0).loss
    found = global_minimum(stated, shape, 2)
    assert (found.value, found.error, found.how) == (0.0, 0.0, "as stated")
    np.testing.assert_array_equal(found.W, PHI)
    assert np.isnan(global_minimum(stated, shape, 1).value)
    # convex, with the minimum -3 at Φ, below 0
    lowered = flowsim.loss(lambda M: log_cosh(M) - 3.0, convex=True)
    found = global_minimum(Problem(lowered, START, 1.0).loss, shape, 2)
    assert found.value == pytest.approx(-3.0, rel=1e-12)
    assert 0 <= found.error < 1e-9
    np.testing.assert_allclose(found.W, PHI, atol=1e-6)
