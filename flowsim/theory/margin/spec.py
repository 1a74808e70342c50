"""Margins of classifiers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowsim.theory.measure import Measure

if TYPE_CHECKING:
    from flowsim.scenario.spec.scenario import Scenario


def _not_a_classifier(scenario: Scenario) -> str:
    if scenario.loss.classifies:
        return ""
    return (
        f'a loss of kind "{scenario.loss.kind}" has no classes; leave it out, or write loss.kind = '
        '"logistic" or "cross_entropy"'
    )


def _slacks(scenario: Scenario) -> int:
    """Return the entries of the matrix of all slacks, and of what non-negative least squares take.

    There is a slack a sample for each other class.
    """
    from flowsim.scenario.build.shapes import used

    rows, columns = scenario.network.shape
    samples = used(scenario.data) if scenario.data else 0
    return 3 * samples * max(1, rows - 1) * rows * columns


MARGIN = Measure(
    says="the margin of a classifier, beside the largest there is",
    variables={
        **dict.fromkeys(("time", "norm", "margin", "angle"), ("time",)),
        "largest_margin": (),
        "error": (),
    },
    needs="matrices",
    unfit=_not_a_classifier,
    numbers=_slacks,
)
