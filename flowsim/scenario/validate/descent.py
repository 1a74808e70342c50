"""Rules of `[descent]`, its update rule and its noise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from flowsim.dynamics.registry import RULES as UPDATE_RULES
from flowsim.scenario.build.shapes import sample_count
from flowsim.scenario.spec.data import Regression, kinds_with
from flowsim.scenario.spec.errors import Mistake, alternatives, mistake_at
from flowsim.scenario.spec.table import FROM_PYTHON

if TYPE_CHECKING:
    from flowsim.scenario.spec.scenario import Scenario


def descent_ends(scenario: Scenario) -> Iterator[Mistake]:
    """Require a number of iterations to the final time that can be counted."""
    if scenario.descent is None or scenario.descent.relative_to is not None:
        return
    smallest = min(scenario.descent.sizes)
    # beyond 2^53 float64 no longer represents every integer
    if scenario.flow.horizon / smallest > 2**53:
        text = f"holds {smallest}, of which more than 2^53 make the horizon; write larger ones"
        yield mistake_at("descent.step_sizes", text)


def rule_is_described(scenario: Scenario) -> Iterator[Mistake]:
    """Require the description of a rule from Python, and of no other rule."""
    descent = scenario.descent
    if descent is None or (descent.rule == FROM_PYTHON) == (descent.python is not None):
        return
    if descent.python is not None:
        text = f'is not used by rule = "{descent.rule}"; remove it'
        yield mistake_at("descent.python", text)
    else:
        text = f'is "python", which flowsim.run writes; write {alternatives(UPDATE_RULES)}'
        yield mistake_at("descent.rule", text)


def momentum_fits(scenario: Scenario) -> Iterator[Mistake]:
    """Require momentum of Nesterov's method, and of no other but gradient descent."""
    descent = scenario.descent
    if descent is None or (descent.rule == FROM_PYTHON and descent.python is None):
        return
    if descent.rule == "nesterov":
        if descent.momentum == 0:
            text = 'is 0, at which "nesterov" is gradient descent; write momentum = 0.9 or '
            yield mistake_at("descent.momentum", text + '"increasing", or rule = "gradient"')
    elif descent.momentum and "momentum" not in descent.traits.parameters:
        text = f'is not used by rule = "{descent.rule}", only by "gradient" and '
        yield mistake_at("descent.momentum", text + '"nesterov"; remove it')
    elif descent.momentum == "increasing":
        text = 'is "increasing", which "nesterov" alone can be; write rule = "nesterov", '
        yield mistake_at("descent.momentum", text + "or momentum = 0.9")


def rho_fits(scenario: Scenario) -> Iterator[Mistake]:
    """Require the rule that has the radius ρ where it is given."""
    descent = scenario.descent
    if descent is None or descent.rho is None or "rho" in descent.traits.parameters:
        return
    text = f'is not used by rule = "{descent.rule}"; remove it, or write rule = "sam"'
    yield mistake_at("descent.rho", text)


def batch_fits(scenario: Scenario) -> Iterator[Mistake]:
    """Require samples to draw from, no fewer than a batch has."""
    descent, loss = scenario.descent, scenario.loss
    if descent is None or descent.batch is None:
        return
    if not loss.has("sampled"):
        users = alternatives(f'"{name}"' for name in kinds_with("sampled"))
        text = f'is not used by loss.kind = "{loss.kind}", which has no samples, only by {users}; '
        yield mistake_at("descent.batch", text + "remove it")
        return
    if loss.has("on_data") and scenario.data is None:
        return
    count = sample_count(scenario)
    if descent.batch > count:
        there = f"there are {count} {loss.samples_name}"
        yield mistake_at("descent.batch", f"is {descent.batch}, but {there}; write no more")


def label_noise_fits(scenario: Scenario) -> Iterator[Mistake]:
    """Require labels that Gaussian noise can be added to, in a loss that is quadratic in them."""
    descent, loss = scenario.descent, scenario.loss
    if descent is None or descent.label_noise is None:
        return
    if not loss.has("labelled"):
        users = alternatives(f'"{name}"' for name in kinds_with("labelled"))
        text = f'is not used by loss.kind = "{loss.kind}", only by {users}; remove it'
        yield mistake_at("descent.label_noise", text)
    elif isinstance(loss, Regression) and not loss.quadratic:
        text = f"is for p = 2, but loss.p is {loss.p:g}: noise would not leave the gradient's mean "
        yield mistake_at("descent.label_noise", text + "as it is; remove it, or loss.p")


RULES = (
    descent_ends,
    rule_is_described,
    momentum_fits,
    rho_fits,
    batch_fits,
    label_noise_fits,
)
