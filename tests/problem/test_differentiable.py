"""Losses given as functions: what they read when the problem is made is what counts."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowsim.problem.losses import Loss, value_and_gradient
from flowsim.problem.problem import Problem
from flowsim.solvers.descend import descend
from flowsim.solvers.solve import solve
from flowsim.theory.sharpness.measure import extremes

GLOBAL = 1.0
W = np.array([[0.5]])
ONE_AS_FLOAT32 = np.ones((1, 1), dtype=np.float32)

Function = Callable[[Any], Any]
Setter = Callable[[float], None]


def half_square(M: Any, t: Any) -> Any:
    return jnp.sum((M - t) ** 2) / 2


def of_global() -> tuple[Function, Setter]:
    def set_to(t: float) -> None:
        globals()["GLOBAL"] = t

    return lambda M: half_square(M, GLOBAL), set_to


def of_nonlocal() -> tuple[Function, Setter]:
    t = 1.0

    def set_to(value: float) -> None:
        nonlocal t
        t = value

    return lambda M: half_square(M, t), set_to


def of_dictionary() -> tuple[Function, Setter]:
    settings = {"t": 1.0}
    return lambda M: half_square(M, settings["t"]), lambda t: settings.update(t=t)


def of_array() -> tuple[Function, Setter]:
    T = np.ones((1, 1))
    return lambda M: half_square(M, T), T.fill


class Holder:
    t = 1.0

    def loss(self, M: Any) -> Any:
        return half_square(M, self.t)

    __call__ = loss


def of_method() -> tuple[Function, Setter]:
    holder = Holder()
    return holder.loss, lambda t: setattr(holder, "t", t)


def of_callable() -> tuple[Function, Setter]:
    holder = Holder()
    return holder, lambda t: setattr(holder, "t", t)


def of_partial() -> tuple[Function, Setter]:
    T = np.ones((1, 1))
    return functools.partial(half_square, t=T), T.fill


def compiled(read: Callable[[], tuple[Function, Setter]]) -> Callable[[], tuple[Function, Setter]]:
    def build() -> tuple[Function, Setter]:
        function, set_to = read()
        return jax.jit(function), set_to

    return build


def in_a_loop() -> tuple[Function, Setter]:
    T = np.ones((1, 1))

    def add(total: Any, row: Any) -> tuple[Any, None]:
        return total + half_square(row[None], T), None

    return lambda M: jax.lax.scan(add, 0.0, M)[0], T.fill


def in_a_branch() -> tuple[Function, Setter]:
    settings = {"t": 1.0}

    def near(M: Any) -> Any:
        return half_square(M, settings["t"])

    return lambda M: jax.lax.cond(True, near, near, M), lambda t: settings.update(t=t)


def in_a_derivative() -> tuple[Function, Setter]:
    settings = {"t": 1.0}

    @jax.custom_jvp
    def loss(M: Any) -> Any:
        return half_square(M, settings["t"])

    loss.defjvp(lambda M, dM: (loss(*M), jnp.sum((M[0] - settings["t"]) * dM[0])))
    return loss, lambda t: settings.update(t=t)


CHANGING = {
    "global": of_global,
    "nonlocal": of_nonlocal,
    "dictionary": of_dictionary,
    "array": of_array,
    "bound method": of_method,
    "attribute": of_callable,
    "partial": of_partial,
    "jit": compiled(of_dictionary),
    "array in jit": compiled(of_array),
    "scan": in_a_loop,
    "cond": in_a_branch,
    "custom derivative": in_a_derivative,
}


@pytest.fixture(params=CHANGING)
def changing(request: pytest.FixtureRequest) -> tuple[Function, Setter]:
    function, set_to = CHANGING[request.param]()
    set_to(1.0)
    return function, set_to


def test_each_problem_has_the_loss_of_its_time(changing: tuple[Function, Setter]) -> None:
    # ℓ = ½(W - t)² at W = ½: ¹⁄₈ and -½ for t = 1, ²⁵⁄₈ and -⁵⁄₂ for t = 3
    function, set_to = changing
    first = Problem(function, [W], 1.0)
    set_to(3.0)
    second = Problem(function, [W], 1.0)
    set_to(7.0)
    for problem, value, slope in ((first, 0.125, -0.5), (second, 3.125, -2.5)):
        np.testing.assert_array_equal(value_and_gradient(problem.loss, W)[0], value)
        np.testing.assert_array_equal(value_and_gradient(problem.loss, W)[1], [[slope]])
        # other programs than the one that the problem was checked with
        np.testing.assert_array_equal(jax.jit(jax.grad(problem.loss.value))(W), [[slope]])


@pytest.mark.parametrize("kind", ["global", "array", "attribute"])
def test_flow_and_descent_go_to_the_minimum_of_their_time(kind: str) -> None:
    function, set_to = CHANGING[kind]()
    for t in (1.0, 3.0):
        set_to(t)
        problem = Problem(function, [W], 20.0)
        # W(T) = t - (t - ½)e⁻ᵀ, and W_k = t - (t - ½)(1 - η)ᵏ
        flow = solve(problem, rtol=1e-8)
        assert flow.end_to_end[-1] == pytest.approx(t - (t - 0.5) * np.exp(-20), abs=1e-7)
        descent = descend(problem, [0.5], np.array([0.0, 20.0]))
        assert descent.end_to_end[0, -1] == pytest.approx(t - (t - 0.5) * 0.5**40, abs=1e-11)


def test_sharpness_is_that_of_the_loss_now() -> None:
    settings = {"h": 1.0}

    def loss(M: Any) -> Any:
        return settings["h"] * jnp.sum(M**2) / 2

    for h in (1.0, 3.0):
        settings["h"] = h
        assert extremes(Problem(loss, [W], 1.0).loss, [W]).largest == pytest.approx(h, rel=1e-14)


def structure(loss: Loss) -> Any:
    return jax.tree.structure(loss)


def test_losses_that_compute_the_same_share_their_programs() -> None:
    def loss_of(T: np.ndarray) -> Loss:
        return Problem(lambda M: jnp.sum(jax.nn.softplus(M - T)), [W], 1.0).loss

    first, second = loss_of(np.array([[1.0]])), loss_of(np.array([[3.0]]))
    assert structure(first) == structure(second)
    assert hash(structure(first)) == hash(structure(second))
    assert value_and_gradient(first, W)[0] == np.logaddexp(0, -0.5)
    assert value_and_gradient(second, W)[0] == np.logaddexp(0, -2.5)


def test_losses_that_differ_in_a_derivative_alone_do_not_share_programs() -> None:
    def loss_with(slope: float) -> Loss:
        @jax.custom_jvp
        def identity(M: Any) -> Any:
            return M

        identity.defjvp(lambda M, dM: (M[0], slope * dM[0]))
        return Problem(lambda M: jnp.sum(identity(M)), [W], 1.0).loss

    first, second = loss_with(1.0), loss_with(2.0)
    assert structure(first) != structure(second)
    assert value_and_gradient(first, W)[1] == 1
    assert value_and_gradient(second, W)[1] == 2


def test_descent_in_single_precision_rounds_the_iterates() -> None:
    # (½ - ⅓)(1 - ¼)⁴ + ⅓ up to four roundings
    T = np.array([[1 / 3]])
    problem = Problem(lambda M: half_square(M, T), [W], 1.0)
    end = descend(problem, [0.25], np.array([0.0, 1.0]), precision="float32").end_to_end[0, -1]
    exact = 1 / 3 + (1 / 6) * 0.75**4
    assert 0 < abs(end.item() - exact) < 4 * np.finfo(np.float32).eps * exact


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda M: np.sum(np.asarray(M) ** 2), "write it with jax.numpy alone"),
        (lambda M: float(jnp.sum(M)), "write it with jax.numpy alone"),
        (lambda M: jnp.sum(M) if M[0, 0] > 0 else jnp.sum(-M), "if on values of W"),
        (lambda M: half_square(M, jnp.asarray(ONE_AS_FLOAT32).astype(float)), "float32.*float64"),
        (lambda M: half_square(M.astype("float16"), 1.0), "float16.*float64"),
        (
            lambda M: jax.lax.scan(
                lambda c, r: (c + half_square(r.astype("float32"), 0), None), jnp.float32(0), M
            )[0].astype(float),
            "float32.*float64",
        ),
        (lambda M: M, "single number"),
        (lambda M: jnp.sum(M @ np.ones((3, 3))), r"shape \(1, 1\)"),
    ],
)
def test_function_that_cannot_be_a_loss_is_refused(loss: Function, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Problem(loss, [W], 1.0)
