"""Arguments from Python in any form of real numbers, and in none."""

from __future__ import annotations

import jax
import numpy as np
import pytest

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
