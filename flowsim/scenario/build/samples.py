"""How many samples and labels a loss has, of which descent may draw batches and add noise to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowsim.scenario.build.shapes import used_samples

if TYPE_CHECKING:
    from flowsim.scenario.spec.data import Data
    from flowsim.scenario.spec.scenario import Scenario


def sample_count(scenario: Scenario) -> int:
    """Return the number of training samples, measurements or observed entries."""
    data = scenario.data
    return scenario.loss.sample_count(
        scenario.network.shape, 0 if data is None else training_count(data)
    )


def training_count(data: Data) -> int:
    """Return how many samples are used and not held out."""
    count = used_samples(data)
    return count - (min(round(data.held_out * count), count - 1) if data.held_out else 0)


def draws_per_step(scenario: Scenario) -> int:
    """Return how many numbers a step of descent draws."""
    descent, loss, shape = scenario.descent, scenario.loss, scenario.network.shape
    if descent is None or not descent.noisy:
        return 0
    if descent.batch is None:
        return loss.label_count(shape)
    each = 0 if descent.label_noise is None else loss.labels_per_sample(shape)
    return sample_count(scenario) * (1 + each)
