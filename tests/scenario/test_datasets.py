"""Samples: standardized without regard to their units."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from flowsim.experiment.plan.reading import from_toml
from flowsim.scenario.build.problem import held_out, standardization_notes, training
from flowsim.scenario.spec.scenario import Scenario

ROW = np.array([1.0, -2.0, 3.0, -1.0, 0.5])


def scenario_of(row: np.ndarray, **keys: object) -> Scenario:
    more = "\n".join(f"{key} = {value}" for key, value in keys.items())
    values = [float(value) for value in row]
    return from_toml(f"""
title = "One row"
[network]
widths = [1, 1]
[loss]
kind = "regression"
[data]
inputs = [{values}]
targets = [{list(range(len(values)))}]
standardize = true
{more}
[init]
kind = "xavier"
[flow]
horizon = 1.0
""")


def standardized(row: np.ndarray) -> np.ndarray:
    return training(scenario_of(row))[1].X[0]


@pytest.mark.parametrize("unit", [1e-300, 1e-160, 1e-13, 1e10, 1e160, 1e307])
def test_units_do_not_matter(unit: float) -> None:
    # the entries in other units are rounded, and so are mean and deviation: a few eps each
    np.testing.assert_allclose(standardized(unit * ROW), standardized(ROW), rtol=8 * 2.3e-16)


def test_powers_of_two_as_units_change_no_bit() -> None:
    np.testing.assert_array_equal(standardized(2.0**500 * ROW), standardized(ROW))


def test_times_in_nanoseconds_are_resolved() -> None:
    # one second apart, since 1970: the differences are exact multiples of the spacing 256
    times = 1.7e18 + 256 * 3906250 * np.arange(5.0)
    expected = (np.arange(5) - 2) / np.sqrt(2)
    np.testing.assert_allclose(standardized(times), expected, atol=1e-15)
    assert not list(standardization_notes(scenario_of(times)))


def test_row_that_varies_by_rounding_alone_is_zero_and_noted() -> None:
    row = 0.1 + np.array([0.0, 1.0, -1.0, 2.0, 0.0]) * np.spacing(0.1)
    np.testing.assert_array_equal(standardized(row), 0)
    (note,) = standardization_notes(scenario_of(row))
    assert "data.inputs: row 1 varies by rounding errors alone" in note


def test_constant_row_is_zero_without_a_note() -> None:
    np.testing.assert_array_equal(standardized(np.full(5, 0.3)), 0)
    assert not list(standardization_notes(scenario_of(np.full(5, 0.3))))


def test_statistics_are_those_of_the_training_samples_alone() -> None:
    scenario = scenario_of(ROW, held_out=0.4)
    train, test = training(scenario)[1].X[0], held_out(scenario)
    assert train.size == 3
    assert train.mean() == pytest.approx(0, abs=1e-15)
    assert train.std() == pytest.approx(1, rel=1e-15)
    # loss 1/(2m) ‖w x - y‖² = ½‖w R - T‖²: R² is the mean of x² over the two held-out samples
    drawn = [
        row for row in combinations(ROW, 3) if np.allclose(np.sort(scaled(row)), np.sort(train))
    ]
    (chosen,) = drawn
    others = (np.setdiff1d(ROW, chosen) - np.mean(chosen)) / np.std(chosen)
    assert np.sum(np.square(test.R)) == pytest.approx(np.mean(others**2))


def scaled(row: tuple[float, ...]) -> np.ndarray:
    return (np.array(row) - np.mean(row)) / np.std(row)
