"""How many samples and labels a loss has, of which descent may draw batches and add noise to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowsim.scenario.spec.forms import Count, Fraction
from flowsim.scenario.build.shapes import DATA_LOSSES, used

if TYPE_CHECKING:
    from flowsim.scenario.spec.scenario import Scenario
    from flowsim.scenario.spec.data import Data

SAMPLED = (*DATA_LOSSES, "sensing", "completion")
"""Kinds of losses that are sums or means over samples."""

LABELLED = ("squared", "completion", "sensing", "regression")
"""Kinds of losses with labels that Gaussian noise can be added to, the last at p = 2."""


def samples(scenario: Scenario) -> int:
    """Return the number of training samples, measurements or observed entries."""
    loss = scenario.loss
    if loss.kind == "sensing":
        return loss.measurements or 0
    if loss.kind == "completion":
        return _observed(scenario)
    assert scenario.data is not None
    return trained(scenario.data)


def trained(data: Data) -> int:
    """Return how many samples are used and not held out."""
    count = used(data)
    return count - (min(round(data.held_out * count), count - 1) if data.held_out else 0)


def draws(scenario: Scenario) -> int:
    """Return how many numbers a step of descent draws."""
    descent, (rows, columns) = scenario.descent, scenario.network.shape
    if descent is None or not descent.noisy:
        return 0
    each = rows if scenario.loss.kind == "regression" else 1
    if descent.batch is not None:
        return samples(scenario) * (1 if descent.label_noise is None else 1 + each)
    return samples(scenario) if scenario.loss.kind == "sensing" else rows * columns


def _observed(scenario: Scenario) -> int:
    spec, (rows, columns) = scenario.loss.observed, scenario.network.shape
    if isinstance(spec, Count):
        return spec.count
    if isinstance(spec, Fraction):
        return max(1, round(spec.fraction * rows * columns))
    return 0 if spec is None else int(sum(map(sum, spec)))
