"""Every measure is one name: in the scenario, in the run, in the figures and in the docs."""

from __future__ import annotations

from importlib import import_module
from typing import get_args

import pytest

from flowsim.figures import FIGURES
from flowsim.scenario.measuring import MEASURES, MeasureName
from flowsim.scenario.measuring.convergence import PIECE, SOLVED
from flowsim.series import PIECE_BYTES
from flowsim.theory.minimum import LARGEST


def test_names_are_those_that_scenario_files_accept() -> None:
    assert get_args(MeasureName) == tuple(MEASURES)


@pytest.mark.parametrize("name", MEASURES)
def test_each_has_a_module_and_a_figure(name: str) -> None:
    assert callable(import_module(f"flowsim.measuring.{name}").measure)
    assert name in FIGURES


def test_sizes_that_predictions_go_by_are_those_of_the_code() -> None:
    assert SOLVED == LARGEST
    assert 8 * PIECE == PIECE_BYTES
