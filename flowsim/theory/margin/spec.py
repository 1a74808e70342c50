"""Declaration of the margin of a classifier."""

from __future__ import annotations

from flowsim.scenario.spec.scenario import Scenario
from flowsim.solvers.variables import TIME, specs
from flowsim.theory.measure import Measure


def _needs_classes(scenario: Scenario) -> str | None:
    if scenario.loss.has("classifies"):
        return None
    return (
        f'a loss of kind "{scenario.loss.kind}" has no classes; leave it out, or write loss.kind = '
        '"logistic" or "cross_entropy"'
    )


def _floats(scenario: Scenario) -> int:
    """Return the entries of the matrix of all sample margins, and of its scaled copies.

    Each sample has one margin per other class.
    """
    from flowsim.scenario.build.shapes import used_samples

    rows, columns = scenario.network.shape
    samples = used_samples(scenario.data) if scenario.data else 0
    return 5 * samples * max(1, rows - 1) * rows * columns


MARGIN = Measure(
    "margin",
    question="Does the direction of a classifier converge to the maximum margin?",
    needs="matrices",
    variables=(
        TIME,
        *specs(
            "time",
            norm="norm ‖W‖_F",
            margin="margin: smallest sample margin of W/‖W‖_F",
            angle="angle to the maximum-margin classifier, in radians",
        ),
        *specs(
            "",
            largest_margin="maximum margin over all classifiers",
            error="error of the maximum margin",
        ),
    ),
    why_unavailable=_needs_classes,
    floats=_floats,
)
