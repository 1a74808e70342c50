"""Rules of the noise of `[descent]`: there are samples, and labels, and something to average."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from flowsim.scenario.build.files import UnusableFileError
from flowsim.scenario.build.samples import sample_count
from flowsim.scenario.spec.errors import Mistake, alternatives, mistake_at
from flowsim.scenario.spec.loss import Regression, kinds_with

if TYPE_CHECKING:
    from flowsim.scenario.spec.scenario import Scenario


def batch_fits(scenario: Scenario) -> Iterator[Mistake]:
    """Require samples to draw from, no fewer than a batch has."""
    descent, loss = scenario.descent, scenario.loss
    if descent is None or descent.batch is None:
        return
    if not loss.sampled:
        users = alternatives(f'"{name}"' for name in kinds_with("sampled"))
        text = f'is not used by loss.kind = "{loss.kind}", which has no samples, only by {users}; '
        yield mistake_at("descent.batch", text + "remove it")
        return
    if loss.on_data and scenario.data is None:
        return
    try:
        count = sample_count(scenario)
    except (UnusableFileError, ValueError):
        return  # reported by the rules of [data]
    if descent.batch > count:
        there = f"there are {count} {loss.samples_name}"
        yield mistake_at("descent.batch", f"is {descent.batch}, but {there}; write no more")


def labels_fit(scenario: Scenario) -> Iterator[Mistake]:
    """Require labels that Gaussian noise can be added to, in a loss that is quadratic in them."""
    descent, loss = scenario.descent, scenario.loss
    if descent is None or descent.label_noise is None:
        return
    if not loss.labelled:
        users = alternatives(f'"{name}"' for name in kinds_with("labelled"))
        text = f'is not used by loss.kind = "{loss.kind}", only by {users}; remove it'
        yield mistake_at("descent.label_noise", text)
    elif isinstance(loss, Regression) and not loss.quadratic:
        text = f"is for p = 2, but loss.p is {loss.p:g}: noise would not leave the gradient's mean "
        yield mistake_at("descent.label_noise", text + "as it is; remove it, or loss.p")


RULES = (batch_fits, labels_fit)
