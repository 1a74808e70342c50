"""Every measure is one name: in the scenario, in the run, in the figures and in the docs."""

from __future__ import annotations

import pytest

from flowsim.experiment.figures import FIGURES
from flowsim.solvers.storage import BATCH_BYTES
from flowsim.theory.convergence.spec import PIECE, SOLVED
from flowsim.theory.global_minimum import LARGEST
from flowsim.theory.registry import MEASURES
from flowsim.theory.setting import function


@pytest.mark.parametrize("name", MEASURES)
def test_each_has_a_module_and_a_figure(name: str) -> None:
    assert callable(function(name))
    assert name in FIGURES


def test_sizes_that_predictions_go_by_are_those_of_the_code() -> None:
    assert SOLVED == LARGEST
    assert 8 * PIECE == BATCH_BYTES
