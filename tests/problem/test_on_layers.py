"""Functions of the layers that are added to a loss, against problems that are the same without."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import flowsim
from flowsim.dynamics.registry import RULES
from flowsim.problem import initialization, losses
from flowsim.problem.errors import NotApplicable
from flowsim.problem.gradient_noise import Batches, Stream
from flowsim.problem.problem import Problem
from flowsim.solvers import invariants
from flowsim.solvers.descend import descend
from flowsim.solvers.solve import solve
from flowsim.solvers.verdict import Verdict
from flowsim.theory.sharpness.measure import extremes

DECAY = 0.3
PHI = np.diag([2.0, 1.0])
START = initialization.gaussian((2, 2, 2), 0.5, np.random.default_rng(0))
TIMES = np.linspace(0.0, 4.0, 9)


def decay(layers: Any) -> Any:
    return DECAY / 2 * sum(jnp.sum(W**2) for W in layers)


def pair(horizon: float = 4.0, loss: Any = None) -> tuple[Problem, Problem]:
    """Return the same problem with weight decay as a function of the layers, and built in."""
    loss = losses.Squared(PHI) if loss is None else loss
    return (
        Problem(loss, START, horizon, on_layers=decay),
        Problem(loss, START, horizon, weight_decay=DECAY),
    )


def test_flow_with_weight_decay_as_a_function_of_the_layers() -> None:
    own, built_in = (solve(problem, rtol=1e-9, keep_layers=True) for problem in pair())
    for found, required in zip(own.layers, built_in.layers, strict=True):
        np.testing.assert_allclose(found, required, atol=1e-12)
    # the loss holds the function, but not weight decay
    np.testing.assert_allclose(own.loss, built_in.loss + DECAY / 2 * built_in.squared_norm)
    np.testing.assert_array_equal(own.distance_to_target, built_in.distance_to_target)
    assert 0 < own.loss_error.max() < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES)
def test_descent_by_every_rule(rule: Any) -> None:
    options = {"rule": rule} | ({"momentum": 0.5} if rule == "nesterov" else {})
    own, built_in = (descend(problem, [0.05, 0.2], TIMES, **options) for problem in pair())
    np.testing.assert_allclose(own.end_to_end, built_in.end_to_end, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(own.loss, built_in.loss + DECAY / 2 * built_in.squared_norm)


@pytest.mark.slow
def test_descent_on_batches_and_in_single_precision() -> None:
    rng = np.random.default_rng(1)
    X, Y = rng.standard_normal((2, 12)), rng.standard_normal((2, 12))
    problems = pair(loss=losses.PowerRegression(X, Y, 2.0))
    for precision, rounding in (("float64", 1e-12), ("float32", 1e-4)):
        own, built_in = (
            descend(
                problem,
                [0.1],
                TIMES,
                noise=Stream(Batches(problem.loss, 4), jax.random.key(0)),
                precision=precision,
            ).end_to_end
            for problem in problems
        )
        np.testing.assert_allclose(own, built_in, atol=rounding)


def test_sharpness_and_verdict() -> None:
    own, built_in = pair(60.0)
    found = extremes(own.loss, START)
    required = extremes(built_in.loss, START, DECAY)
    np.testing.assert_allclose(found[:2], required[:2], rtol=1e-12)
    for problem in (own, built_in):
        flow = solve(problem)
        assert flow.verdict is Verdict.CONVERGED
        ends = descend(problem, [0.1], np.array([0.0, 60.0])).endings
        assert ends[0].verdict is Verdict.CONVERGED


def test_a_saddle_with_a_function_of_the_layers() -> None:
    # at 0 the Hessian is -Φ across the layers, plus λ: negative for λ < φ
    problem = Problem(losses.Squared(PHI), [np.zeros((2, 2))] * 2, 5.0, on_layers=decay)
    assert solve(problem).verdict is Verdict.SADDLE


def tied(layers: Any) -> Any:
    return 50.0 * jnp.sum((layers[0] - layers[1].T) ** 2)


def test_nothing_is_conserved_and_no_alarm_is_raised() -> None:
    # f shrinks W_1 alone, so that layers that are balanced at first lose their balance
    start = initialization.balanced((2, 2, 2), 0.5, np.random.default_rng(1))
    shrink = Problem(losses.Squared(PHI), start, 4.0, on_layers=lambda W: jnp.sum(W[0] ** 2) / 4)
    flow = solve(shrink)
    assert np.ptp(flow.imbalance) > 0.1
    assert [watched.name for watched in invariants.of_flow(flow)] == ["loss"]
    assert flow.verdict not in (Verdict.INVARIANT_BROKEN, Verdict.DECIDED_BY_ROUNDING)
    assert "the loss depends on the layers" in repr(flow)


def test_rank_may_grow_with_a_function_of_the_layers() -> None:
    # W_1 = W_2 = diag(1, 0) keep rank 1 for any ℓ alone; with f each entry w of both layers obeys
    # ẇ = -w³ - (w - 1) and ends where w³ + w = 1
    start = [np.diag([1.0, 0.0])] * 2
    pull = Problem(
        losses.Squared(np.zeros((2, 2))),
        start,
        30.0,
        on_layers=lambda layers: sum(jnp.sum((W - np.eye(2)) ** 2) / 2 for W in layers),
    )
    flow = solve(pull)
    w = np.real(np.roots([1, 0, 1, -1])[-1])
    np.testing.assert_allclose(flow.end_to_end[-1], w**2 * np.eye(2), atol=1e-6)
    assert flow.verdict is Verdict.CONVERGED
    assert flow.largest_error < 1e-5


def test_tied_weights_are_a_matrix_with_its_transpose() -> None:
    # W_2 = W_1ᵀ for all time, by symmetry of Φ: then W = W_1ᵀW_1, whose minimum is Φ
    a = np.array([[0.6, 0.1], [0.2, 0.5]])
    flow = solve(
        Problem(losses.Squared(PHI), [a, a.T], 30.0, on_layers=tied), keep_layers=True, rtol=1e-9
    )
    first, second = (history[-1] for history in flow.layers)
    np.testing.assert_allclose(first, second.T, atol=1e-7)
    np.testing.assert_allclose(first.T @ first, PHI, atol=1e-6)
    # from other layers the penalty ties them: at a minimum W = Φ both terms are 0
    other = solve(
        Problem(losses.Squared(PHI), [a, a.T + 0.1], 30.0, on_layers=tied), keep_layers=True
    )
    first, second = (history[-1] for history in other.layers)
    np.testing.assert_allclose(first, second.T, atol=1e-6)


@pytest.mark.slow
def test_a_bias_as_a_bordered_layer_is_an_intercept() -> None:
    """W_1 and W_2 have a border of biases, which the function of the layers reads.

    f = 1/2m Σ‖A_2(A_1 x + b_1) + b_2 - y‖² with W_1 = [A_1 b_1] and W_2 = [A_2 b_2] is the linear
    regression of y with an intercept.
    """
    rng = np.random.default_rng(2)
    X, Y = rng.standard_normal((3, 20)), rng.standard_normal((2, 20)) + 1.5

    def regression(layers: Any) -> Any:
        first, second = layers
        hidden = first[:4, :3] @ X + first[:4, 3:]
        return jnp.sum((second[:, :4] @ hidden + second[:, 4:] - Y) ** 2) / 40

    start = initialization.gaussian((4, 5, 2), 0.3, rng)
    flow = solve(
        Problem(lambda W: 0.0 * jnp.sum(W), start, 300.0, on_layers=regression),
        keep_layers=True,
        times=np.linspace(0.0, 300.0, 31),
    )
    first, second = (history[-1] for history in flow.layers)
    exact = np.linalg.lstsq(np.vstack([X, np.ones(20)]).T, Y.T, rcond=None)[0].T
    product = second[:, :4] @ first[:4, :]
    product[:, 3] += second[:, 4]
    np.testing.assert_allclose(product, exact, atol=1e-5)
    residual = exact @ np.vstack([X, np.ones(20)]) - Y
    assert flow.loss[-1] == pytest.approx(np.sum(residual**2) / 40, abs=1e-9)
    # the row below the border is read by nothing, and stays
    np.testing.assert_array_equal(first[4], start[0][4])
    assert flow.verdict is Verdict.CONVERGED


@pytest.mark.parametrize("space", ["end_to_end", "spectral", "modes"])
def test_flows_of_the_product_refuse_with_the_reason(space: str) -> None:
    with pytest.raises(ValueError, match=f"{space}: the loss must depend on W alone, but decay"):
        solve(pair()[0], space)


def test_the_loss_is_no_function_of_the_product() -> None:
    loss = pair()[0].loss
    for evaluate in (loss.value, loss.gradient):
        with pytest.raises(NotApplicable, match="but decay depends on the layers themselves"):
            evaluate(PHI)
    assert loss.label == "Squared + decay"


def test_each_problem_has_the_function_of_its_time() -> None:
    weights, settings = np.ones((2, 2)), {"scale": 1.0}

    def weighted(layers: Any) -> Any:
        return settings["scale"] * jnp.sum(weights * layers[0])

    first = Problem(losses.Squared(PHI), START, 1.0, on_layers=weighted)
    before = float(first.loss.evaluate(START))
    weights[:], settings["scale"] = 3.0, 2.0
    second = Problem(losses.Squared(PHI), START, 1.0, on_layers=weighted)
    assert float(first.loss.evaluate(START)) == before
    rise = float(second.loss.evaluate(START)) - before
    assert rise == pytest.approx((2 * 3 - 1) * np.sum(START[0]), rel=1e-12)
    settings["scale"] = 1.0
    weights[:] = 1.0
    again = Problem(losses.Squared(PHI + 1), START, 1.0, on_layers=weighted)
    assert jax.tree.structure(again.loss) == jax.tree.structure(first.loss)
    # the same loss in another problem, as continued descent has
    np.testing.assert_array_equal(Problem(first.loss, START, 1.0).loss.evaluate(START), before)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (3.0, "on_layers must be a function of the layers, but is 3.0"),
        (lambda layers: layers[0], "from a tuple of layers, of shapes .*to a single number"),
        (lambda layers: float(jnp.sum(layers[0])), "if on values of the layers"),
        (lambda layers: jnp.sum(layers[5]), "from a tuple of layers, of shapes"),
        (lambda layers: jnp.sum(jnp.sqrt(0 * layers[0])), "The gradient of on_layers at the start"),
        (lambda layers: jnp.sum(layers[0]) / 0, "on_layers at the start must be finite"),
    ],
)
def test_wrong_functions_of_the_layers_are_refused(function: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Problem(losses.Squared(PHI), START, 1.0, on_layers=function)


@pytest.mark.slow
def test_a_run_of_a_problem_with_a_function_of_the_layers() -> None:
    own, built_in = pair()
    options = {"step_sizes": [0.2], "measures": ["sharpness", "tracking_bound"]}
    found = flowsim.run(own, **options)
    required = flowsim.run(built_in, spaces=["layers"], **options)
    for path in ("sharpness.largest", "tracking_bound.distance", "descent.end_to_end"):
        np.testing.assert_allclose(found[path], required[path], rtol=1e-9, atol=1e-10)
    assert "plane" not in flowsim.figures.available(found)
    with pytest.raises(ValueError, match="is no function of W"):
        flowsim.plot(found, "plane")
    with pytest.raises(ValueError, match="preconditioner, which needs a loss of W alone"):
        flowsim.run(own, measures=["preconditioner"])
    with pytest.raises(ValueError, match="end_to_end: the loss must depend on W alone"):
        flowsim.run(own, spaces=["layers", "end_to_end"])


def test_a_flow_stops_where_the_sum_reaches_a_loss() -> None:
    own = pair()[0]
    start = float(own.loss.evaluate(START))
    flow = solve(own, stop_at_loss=0.7 * start)
    assert flow.verdict is Verdict.STOPPED_AT_CRITERION
    assert flow.loss[-1] == pytest.approx(0.7 * start, rel=1e-12)
    assert float(own.loss.through_product.value(flow.end_to_end[-1])) < 0.7 * start


@pytest.mark.slow
def test_stochastic_equations_with_a_function_of_the_layers() -> None:
    rng = np.random.default_rng(1)
    X, Y = rng.standard_normal((2, 12)), rng.standard_normal((2, 12))
    on_data = flowsim.loss(lambda p, y: jnp.sum((p - y) ** 2) / 2, inputs=X, labels=Y)
    own, built_in = pair(1.0, on_data)[0], pair(1.0, losses.PowerRegression(X, Y, 2.0))[1]
    found, required = (
        flowsim.run(
            problem,
            {"descent.batch": 4},
            spaces=["layers"],
            step_sizes=[0.1],
            measures=["sgd_noise"],
        )
        for problem in (own, built_in)
    )
    for name in ("descent_end_to_end", "second_end_to_end", "trace", "strong_second"):
        path = f"sgd_noise.{name}"
        np.testing.assert_allclose(found[path], required[path], rtol=1e-9, atol=1e-12)
