"""Claims: which entries are picked, how they are reduced, and when a claim holds."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest

from flowsim.experiment.claims import check
from flowsim.results.run import Run, Variable
from flowsim.scenario.spec.claim import Claim

TIMES = np.array([0.0, 1.0, 2.0, 4.0])


def made_run(**groups: dict[str, Variable]) -> Run:
    return Run("made", SimpleNamespace(title="made"), groups, {})


def one_space() -> dict[str, Variable]:
    sigma = np.array([[1.0, 0.1], [2.0, 0.2], [3.0, 0.3], [2.5, 0.4]])
    return {
        "time": Variable(("time",), TIMES),
        "loss": Variable(("time",), np.array([4.0, 3.0, 1.0, 0.5])),
        "singular_values": Variable(("time", "mode"), sigma),
    }


def of_descent() -> dict[str, Variable]:
    loss = np.array([[4.0, 2.0, 1.0, 0.5], [4.0, 9.0, np.inf, np.inf]])
    return {
        "step_size": Variable(("step_size",), np.array([0.1, 0.8])),
        "loss": Variable(("step_size", "sample"), loss),
        "gap": Variable(("step_size", "sample"), np.array([[0, 1, 2, np.nan]] * 2)),
    }


def judged(**claim: object) -> tuple[float | None, bool]:
    run = made_run(layers=one_space(), descent=of_descent())
    scenario = SimpleNamespace(claims=[Claim.model_validate(claim)])
    (result,) = check(scenario, run)
    return result["value"], result["holds"]


@pytest.mark.parametrize(
    ("reduce", "value"),
    [("max", 4.0), ("min", 0.5), ("last", 0.5), ("first", 4.0), ("mean", 2.125)],
)
def test_reduces_over_time(reduce: str, value: float) -> None:
    assert judged(quantity="layers.loss", reduce=reduce, below=5.0) == (value, True)


@pytest.mark.parametrize(
    ("comparison", "holds"),
    [
        ({"below": 0.6}, True),
        ({"below": 0.5}, False),
        ({"above": 0.4}, True),
        ({"above": 0.5}, False),
        ({"equals": 0.52, "within": 0.03}, True),
        ({"equals": 0.52, "within": 0.01}, False),
    ],
)
def test_compares_strictly(comparison: dict[str, float], holds: bool) -> None:
    assert judged(quantity="layers.loss", reduce="last", **comparison) == (0.5, holds)


def test_picks_a_mode_and_the_nearest_time() -> None:
    at = {"mode": 1, "time": 2.2}
    assert judged(quantity="layers.singular_values", at=at, below=1) == (0.3, True)


def test_picks_a_step_size() -> None:
    at = {"step_size": 0.8}
    value, holds = judged(quantity="descent.loss", at=at, reduce="last", above=1e100)
    assert math.isinf(value) and holds


def test_last_must_hold_for_every_entry_left() -> None:
    value, holds = judged(quantity="descent.loss", reduce="last", below=1.0)
    assert math.isinf(value) and not holds
    assert judged(quantity="layers.singular_values", reduce="last", above=0.3) == (0.4, True)


def test_nan_is_left_out_of_max_but_never_holds_as_a_last_value() -> None:
    assert judged(quantity="descent.gap", reduce="max", below=3.0) == (2.0, True)
    assert judged(quantity="descent.gap", reduce="last", below=3.0)[1] is False


def test_compares_with_another_quantity_reduced_alike() -> None:
    claim = {"quantity": "layers.singular_values", "at": None, "reduce": "max"}
    assert judged(**claim, below_quantity="layers.loss") == (3.0, True)
    assert judged(**claim, above_quantity="layers.loss") == (3.0, False)


def test_a_missing_variable_makes_the_claim_fail() -> None:
    assert judged(quantity="end_to_end.loss", below=1.0) == (None, False)


def test_variants_are_reached_by_their_name() -> None:
    inner = made_run(layers=one_space())
    whole = Run("whole", inner.scenario, {}, {}, {"depth-2": inner})
    claim = Claim.model_validate({"quantity": "depth-2/layers.loss", "reduce": "min", "below": 1.0})
    (result,) = check(SimpleNamespace(claims=[claim]), whole)
    assert result == {
        "claim": "min of depth-2/layers.loss is below 1",
        "value": 0.5,
        "error": None,
        "text": "0.5",
        "holds": True,
    }


def test_a_trend_holds_at_every_step_of_every_entry() -> None:
    assert judged(quantity="layers.loss", trend="decreasing") == (-0.5, True)
    assert judged(quantity="layers.loss", trend="increasing") == (2.0, False)
    assert judged(quantity="layers.loss", trend="increasing", within=2.0) == (2.0, True)
    sigma = {"quantity": "layers.singular_values", "trend": "increasing"}
    assert judged(**sigma) == (0.5, False)
    value, holds = judged(**sigma, at={"mode": 1})
    assert value == pytest.approx(-0.1) and holds


def test_a_trend_of_what_is_not_known_does_not_hold() -> None:
    value, holds = judged(quantity="descent.gap", trend="increasing")
    assert math.isnan(value) and not holds


@pytest.mark.parametrize("power", [1.0, 2.0, 0.5])
def test_an_order_is_the_slope_over_step_sizes(power: float) -> None:
    sizes = np.array([0.4, 0.1, 0.05, 3.0])
    gap = np.outer(sizes**power, [0.2, 1.0, 0.5])
    gap[3] = np.nan
    group = {
        "step_size": Variable(("step_size",), sizes),
        "gap": Variable(("step_size", "sample"), gap),
    }
    claim = Claim.model_validate({"quantity": "descent.gap", "order": power, "within": 1e-9})
    (result,) = check(SimpleNamespace(claims=[claim]), made_run(descent=group))
    assert result["holds"] and result["value"] == pytest.approx(power, abs=1e-12)
    other = claim.model_copy(update={"order": power + 0.1})
    (result,) = check(SimpleNamespace(claims=[other]), made_run(descent=group))
    assert not result["holds"]
    assert result["claim"] == (
        f"max of descent.gap is of order {power + 0.1:g} in the step size within 1e-09"
    )


def test_an_order_needs_two_numbers() -> None:
    value, holds = judged(quantity="descent.loss", reduce="last", order=1.0, within=0.1)
    assert math.isnan(value) and not holds


def test_a_single_number_is_its_own_reduction() -> None:
    run = made_run(measured={"margin": Variable((), np.array(0.25))})
    for reduce in ("max", "last", "mean"):
        claim = Claim.model_validate(
            {"quantity": "measured.margin", "reduce": reduce, "equals": 0.25, "within": 1e-12}
        )
        (result,) = check(SimpleNamespace(claims=[claim]), run)
        assert result["holds"] and result["value"] == 0.25


def test_a_number_close_to_another_is_told_apart() -> None:
    claim = Claim.model_validate({"quantity": "layers.loss", "below": 1.0000001})
    (result,) = check(SimpleNamespace(claims=[claim]), made_run(layers=one_space()))
    assert result["claim"] == "max of layers.loss is below 1.0000001"


def shown(variables: dict[str, Variable], **claim: object) -> str:
    scenario = SimpleNamespace(claims=[Claim.model_validate(claim)])
    (result,) = check(scenario, made_run(layers=variables))
    return result["text"]


@pytest.mark.parametrize(
    ("value", "comparison", "text"),
    [
        (216.8087, {"below": 216.809}, "216.8"),
        (216.7991, {"below": 216.8}, "216.799"),
        (216.801, {"below": 216.8}, "217"),
        (0.1 + 1e-12, {"above": 0.1}, "0.100000000001"),
        (0.5, {"below": 0.5}, "0.5"),
        (1.0004, {"equals": 1.0, "within": 5e-4}, "1"),
        (1.00051, {"equals": 1.0, "within": 5e-4}, "1.001"),
        (np.inf, {"above": 1.0}, "∞"),
        (-np.inf, {"below": 1.0}, "−∞"),
        (np.nan, {"below": 1.0}, "–"),
    ],
)
def test_value_has_as_many_digits_as_tell_it_from_its_bound(
    value: float, comparison: dict[str, float], text: str
) -> None:
    loss = {"loss": Variable(("time",), np.array([value]))}
    assert shown(loss, quantity="layers.loss", reduce="last", **comparison) == text


def test_value_has_the_error_estimate_of_its_time() -> None:
    variables = one_space() | {
        "error_estimate": Variable(("time",), np.array([0.0, 1e-9, 2e-7, 3e-5]))
    }
    at = {"time": 2.0, "mode": 0}
    sigma = {"quantity": "layers.singular_values", "above": 2.0}
    assert shown(variables, **sigma, at=at) == "3, error estimate 2e-07"
    # the largest of mode 0 is that at the third time
    assert shown(variables, **sigma, at={"mode": 0}, reduce="max") == "3, error estimate 2e-07"
    assert shown(variables, **sigma, at={"mode": 0}, reduce="last") == "2.5, error estimate 3e-05"
    assert shown(variables, **sigma, at={"mode": 0}, reduce="mean") == "2.12"
