"""Arguments of solvers of another kind are refused by name, before anything runs."""

from __future__ import annotations

import numpy as np
import pytest

import flowsim
from flowsim import losses

WRONG = [
    None, True, "1", "a", b"x", np.nan, np.inf, -1.5, 1j, 10**400, [], [1], {}, object(), len,
    np.array([1.0, np.nan]), np.array([["a"]]), np.zeros((0, 0)), np.zeros((2, 2, 2)),
]  # fmt: skip
"""Values of many kinds, most of which any argument must refuse."""

PROBLEM = flowsim.Problem(losses.Squared(np.eye(2)), [np.eye(2)], 1.0)
TIMES = np.linspace(0.0, 1.0, 3)

SOLVE = {
    "problem": PROBLEM, "space": "layers", "times": TIMES, "method": "tsit5", "rtol": 1e-6,
    "atol": 1e-6, "max_steps": 100, "stop_at_loss": 0.1, "between": (), "keep": TIMES == 0,
    "keep_layers": False, "estimate_error": False, "monitor": 0,
}  # fmt: skip
DESCEND = {
    "problem": PROBLEM, "step_sizes": [0.1], "times": TIMES, "rule": "gradient",
    "momentum": 0.0, "precision": "float64", "noise": None, "reference": None, "keep": TIMES == 0,
    "monitor": 0,
}  # fmt: skip
ITERATIONS = {"times": TIMES, "step_sizes": [0.1]}

NONE = ("times", "atol", "stop_at_loss", "keep", "noise", "reference")
"""Arguments for which None is the default."""

FITTING = {
    "keep_layers": [True], "estimate_error": [True], "between": [[], [1]], "step_sizes": [[1]],
    "max_steps": [10**400], "stop_at_loss": [-1.5], "reference": [{}],
}  # fmt: skip
"""Values of `WRONG` that an argument may have."""


def fits(name: str, value: object) -> bool:
    """Return whether an argument may have a value."""
    if value is None:
        return name in NONE
    return any(type(value) is type(f) and value == f for f in FITTING.get(name, []))


@pytest.mark.parametrize(
    ("function", "arguments"),
    [(flowsim.solve, SOLVE), (flowsim.descend, DESCEND), (flowsim.iterations, ITERATIONS)],
    ids=["solve", "descend", "iterations"],
)
def test_arguments_of_another_kind_are_refused_by_name(function, arguments) -> None:
    rest = {name: value for name, value in arguments.items() if name != "monitor"}
    for name in arguments:
        if name == "times" and function is flowsim.iterations:
            continue
        for value in WRONG:
            if not fits(name, value):
                with pytest.raises(ValueError, match=name) as error:
                    function(**{**rest, name: value})
                assert str(error.value).endswith("."), error


@pytest.mark.parametrize("times", [None, "a", np.nan, [-1.0], [[0.0]], 1j])
def test_iterations_are_those_at_finite_times(times) -> None:
    with pytest.raises(ValueError, match=r"^times must be "):
        flowsim.iterations(times, [0.1])


def test_the_last_saved_time_takes_the_place_of_the_horizon() -> None:
    # Ẇ = I - W from 2I: W = (1 + e^-t) I also past the horizon 1
    problem = flowsim.Problem(losses.Squared(np.eye(2)), [2 * np.eye(2)], 1.0)
    flow = flowsim.solve(problem, times=[0.0, 1.0, 3.0], rtol=1e-10)
    required = (1 + np.exp(-3.0)) * np.eye(2)
    np.testing.assert_allclose(flow.end_to_end[-1], required, atol=1e-8)
