"""What "auto" chooses from measured stiffness, and what it says of it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import problems
import pytest

from flowsim.solvers import methods
from flowsim.solvers.methods import METHODS, initial_choice, next_choice
from flowsim.solvers.methods.method import MANY_STEPS, StiffnessInfo
from flowsim.solvers.solve import solve


def situation(
    stiffness: float, *, steps_ahead: float = 1e9, rtol: float = 1e-8, entries: int = 1000
) -> StiffnessInfo:
    return StiffnessInfo(
        t=2.0, step=0.5, radius=2 * stiffness, ahead=0.5 * steps_ahead, entries=entries, rtol=rtol
    )


@pytest.mark.parametrize(
    ("method", "stiffness", "wanted"),
    [
        ("tsit5", 3.0, "rock4"),
        ("dopri8", 5.0, "rock4"),
        ("tsit5", 1.0, None),
        ("rock4", 18.0, None),
        ("rock4", 50.0, "implicit"),
        ("rock4", 0.5, "tsit5"),
        ("rodas5p", 50.0, None),
        ("rodas5p", 2.0, "rock4"),
    ],
)
def test_the_family_follows_the_stiffness(method, stiffness, wanted) -> None:
    choice = next_choice(METHODS[method], situation(stiffness))
    if wanted is None:
        assert choice is None
    else:
        assert choice is not None and choice.since == 2.0
        assert wanted in (choice.method.name, choice.method.family)


def test_a_new_method_is_worth_compiling_only_for_many_steps() -> None:
    assert next_choice(METHODS["tsit5"], situation(3.0, steps_ahead=MANY_STEPS - 1)) is None
    assert next_choice(METHODS["tsit5"], situation(3.0, steps_ahead=MANY_STEPS + 1)) is not None
    assert next_choice(METHODS["rock4"], situation(50.0, steps_ahead=MANY_STEPS - 1)) is None


def test_no_two_methods_hand_over_to_each_other_at_the_same_stiffness() -> None:
    for stiffness in (0.1, 0.9, 1.1, 2.3, 2.5, 3.0, 18.0, 20.0, 1e6):
        now = situation(stiffness)
        for method in METHODS.values():
            choice = next_choice(method, now)
            if choice is not None:
                again = next_choice(choice.method, now)
                assert again is None or again.method.family != method.family


@pytest.mark.parametrize(
    ("entries", "rtol", "wanted"),
    [(12, 1e-8, "kvaerno5"), (1000, 1e-8, "rodas5p"), (1000, 1e-6, "rodas4")],
)
def test_only_small_states_form_a_jacobian(entries, rtol, wanted) -> None:
    choice = next_choice(METHODS["rock4"], situation(1e4, entries=entries, rtol=rtol))
    assert choice is not None and choice.method.name == wanted


@pytest.mark.parametrize(("rtol", "wanted"), [(1e-4, "rkc2"), (1e-8, "rock4")])
def test_loose_tolerances_take_the_stabilized_method_of_lower_order(rtol, wanted) -> None:
    for method, stiffness in (("tsit5", 3.0), ("rodas5p", 1.5)):
        choice = next_choice(METHODS[method], situation(stiffness, rtol=rtol))
        assert choice is not None and choice.method.name == wanted


def test_rock4_reaches_less_far_at_tight_tolerances() -> None:
    """The rounding of its last stages grows as (h·ρ)⁴."""
    assert next_choice(METHODS["rock4"], situation(150.0, rtol=1e-4)) is None
    assert next_choice(METHODS["rock4"], situation(150.0, rtol=1e-5)) is not None


def test_tight_tolerances_return_to_the_higher_order() -> None:
    choice = next_choice(METHODS["rock4"], situation(0.5, rtol=1e-11))
    assert choice is not None and choice.method.name == "dopri8"


def test_every_choice_says_why() -> None:
    assert initial_choice(METHODS["tsit5"], asked_for=True, rtol=1e-8).why == "asked for"
    assert "1e-08" in initial_choice(METHODS["tsit5"], asked_for=False, rtol=1e-8).why
    choice = next_choice(METHODS["tsit5"], situation(3.0))
    assert choice is not None
    assert choice.why == ("stability limits the step: step times spectral radius is 3, at most 3.5")


def test_methods_that_never_suit_for_long_are_changed_less_and_less_often(monkeypatch) -> None:
    """At a condition number of 1e18 thousands of changes were made, and listed."""

    def other(method, info):
        name = {"tsit5": "dopri5", "dopri5": "tsit5"}[method.name]
        return methods.Choice(METHODS[name], info.t, f"not {method.name}")

    monkeypatch.setattr(methods, "next_choice", other)
    monkeypatch.setattr("flowsim.solvers.integrate.DECISION_STEPS", 10)
    monkeypatch.setattr("flowsim.solvers.integrate.TRIAL_STEPS", 10)
    case = problems.aligned(2)
    found = solve(case.problem, times=np.linspace(0, 6, 2001), estimate_error=False)
    steps = found.statistics.accepted
    assert steps >= 2000
    changes = len(found.choices) - 1
    # the first doubled wait follows the first change past the free ones
    assert changes - methods.FREE_CHANGES <= 1 + np.log2(steps / 10) < changes
    waits = np.array([b.since - a.since for a, b in pairwise(found.choices[-4:])])
    assert waits[1:] / waits[:-1] == pytest.approx(2, rel=0.05)
    first, last = "tsit5, then dopri5 from t = ", found.choices[-1].method.name
    assert found.method.startswith(first)
    assert f"then {changes - 5} more, then" in found.method
    assert found.method.rsplit(", then ")[-1].startswith(last)
    assert found.method.count(", then ") == 6
