"""Arguments from Python in any form of real numbers, and in none."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowsim import inits
from flowsim.problem import losses
from flowsim.problem.losses import value_and_gradient
from flowsim.problem.problem import Problem


@pytest.mark.parametrize(
    "given",
    [[[1.0, 0], [0, 1]], np.eye(2, dtype=">f8"), np.eye(2, dtype=int), np.eye(2, dtype=np.float32)],
    ids=["lists", "other byte order", "integers", "single precision"],
)
def test_targets_in_any_form_of_real_numbers(given: object) -> None:
    with jax.numpy_dtype_promotion("standard"):  # as outside these tests
        loss = Problem(losses.Squared(given), [np.zeros((2, 2))], horizon=1.0).loss
        # ½‖I‖² = 1, and ∇ℓ(0) = -I
        value, gradient = value_and_gradient(loss, np.zeros((2, 2)))
    assert value == 1.0
    np.testing.assert_array_equal(gradient, -np.eye(2))


@pytest.mark.parametrize(
    ("given", "holds"),
    [(1j * np.eye(2), "complex128"), ([["1"]], "<U1"), ([[1.0], [1.0, 2.0]], "unequal lengths")],
)
def test_targets_of_anything_else_are_refused(given: object, holds: str) -> None:
    with pytest.raises(ValueError, match=f"Squared: Phi must be an array .*{holds}"):
        losses.Squared(given)


class Frame:
    """What a data frame has: it is turned into an array by NumPy."""

    def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
        return np.eye(2)


def test_data_frames_are_arrays() -> None:
    np.testing.assert_array_equal(losses.Squared(Frame()).Phi, np.eye(2))


WRONG = [
    None, True, "1", "a", b"x", np.nan, np.inf, -1.5, 1j, 10**400, [], [1], {}, object(), len,
    np.array([1.0, np.nan]), np.array([["a"]]), np.zeros((0, 0)), np.zeros((2, 2, 2)),
]  # fmt: skip
"""Values of many kinds, most of which any argument must refuse."""

I = np.eye(2)  # noqa: E741
X = np.array([[1.0, 2.0, 3.0], [0.0, 1.0, 1.0]])
RNG = np.random.default_rng(0)
WIDTHS, DRAWN = {"widths": [2, 3, 2]}, {"widths": [2, 3, 2], "rng": RNG}

CALLS = {
    "Problem": (
        Problem,
        {"loss": losses.Squared(I), "layers": [I], "horizon": 1.0},
        ("W_1", "layer"),
    ),
    "weight decay": (partial(Problem, losses.Squared(I), [I], 1.0), {"weight_decay": 0.0}, ()),
    "Linear": (losses.Linear, {"Phi": I}, ()),
    "Squared": (losses.Squared, {"Phi": I}, ()),
    "Completion": (losses.Completion, {"Phi": I, "observed": I}, ()),
    "Sensing": (losses.Sensing, {"Phi": I, "A": np.ones((3, 2, 2))}, ()),
    "LeastSquares": (losses.LeastSquares, {"R": I, "T": I, "floor": 0.0}, ()),
    "from_data": (losses.LeastSquares.from_data, {"X": X, "Y": X}, ()),
    "PowerRegression": (losses.PowerRegression, {"X": X, "Y": X, "p": 3.0}, ()),
    "CrossEntropy": (losses.CrossEntropy, {"X": X, "classes": np.array([0, 1, 0])}, ()),
    "Logistic": (losses.Logistic, {"X": X, "y": np.array([[1.0, -1.0, 1.0]])}, ()),
    "Differentiable": (losses.Differentiable, {"function": len}, ()),
    "balanced": (inits.balanced, {**DRAWN, "scale": 0.1}, ()),
    "gaussian": (inits.gaussian, {**DRAWN, "scale": 0.1}, ()),
    "orthogonal": (inits.orthogonal, {**DRAWN, "scale": 0.1}, ()),
    "xavier": (inits.xavier, DRAWN, ()),
    "identity": (inits.identity, {**WIDTHS, "scale": 0.1}, ()),
    "aligned": (inits.aligned, {**WIDTHS, "scale": 0.1, "Phi": I}, ()),
    "lambda_balanced": (
        inits.lambda_balanced,
        {**DRAWN, "widths": [2, 2, 2], "scale": 0.1, "imbalance": 0.1},
        (),
    ),
}  # fmt: skip
"""Public functions with arguments that they accept, and other names under which one is refused."""

MATRICES = {"Phi", "observed", "R", "T", "X", "Y", "y"}


def fits(name: str, value: object) -> bool:
    """Return whether a value of `WRONG` is of the kind that an argument has."""
    if value is len:
        return name in ("loss", "function")
    if name == "floor":
        return isinstance(value, bool | float)
    axes = 2 if name in MATRICES else 3 if name in ("A", "layers") else None
    is_array = isinstance(value, np.ndarray) and value.dtype.kind == "f"
    negative = name == "imbalance" and isinstance(value, float) and value == -1.5
    return negative or (is_array and value.ndim == axes)


@pytest.mark.parametrize("call", CALLS)
def test_arguments_of_another_kind_are_refused_by_name(call: str) -> None:
    function, arguments, others = CALLS[call]
    function(**arguments)
    for name in arguments:
        for value in WRONG:
            if not fits(name, value):
                with pytest.raises(ValueError, match="|".join([name, *others])) as error:
                    function(**{**arguments, name: value})
                assert str(error.value).endswith("."), error


def test_layers_from_the_output_back_are_refused_with_advice() -> None:
    with pytest.raises(ValueError, match="In reverse order the layers fit: give W_1 first"):
        Problem(losses.Squared(np.zeros((1, 3))), [np.ones((1, 2)), np.ones((2, 3))], 1.0)


@pytest.mark.parametrize(
    "loss",
    [
        lambda W: np.sum(np.linalg.svd(W)[1]),
        lambda W: float(W[0, 0]) ** 2,
        lambda W: W[0, 0] ** 2 if W[0, 0] > 0 else 0.0,
    ],
)
def test_losses_written_with_numpy_are_refused_with_advice(loss) -> None:
    with pytest.raises(ValueError, match=r"write it with jax\.numpy alone"):
        Problem(loss, [np.eye(2)], 1.0)


def test_arrays_of_jax_in_single_precision_are_refused() -> None:
    with pytest.raises(ValueError, match=r"Squared: Phi must be an array of float64, .* float32"):
        losses.Squared(jnp.eye(2, dtype=jnp.float32))


def test_labels_and_classes_of_other_values_are_refused() -> None:
    with pytest.raises(ValueError, match="Logistic: y must be labels 1 and -1"):
        losses.Logistic(X, np.array([[0.0, 1.0, 1.0]]))
    with pytest.raises(ValueError, match="CrossEntropy: classes must be integers from 0"):
        losses.CrossEntropy(X, np.array([0, -1, 0]))
    with pytest.raises(ValueError, match="as many samples each, but have X 3, Y 2"):
        losses.PowerRegression(X, np.ones((2, 2)), 2.0)
