"""Descent with noise against the stochastic differential equations that describe it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowsim.scenario.build.samples import draws
from flowsim.theory.measure import Measure, not_gradient_descent

if TYPE_CHECKING:
    from flowsim.scenario.spec.scenario import Scenario

SOURCES = ("descent", "first", "second")
"""What has a mean and a spread: descent, and the equations that describe it to order 1 and 2."""

EQUATIONS = SOURCES[1:]

ERRORS = ("weak", "weak_loss", "strong")

RUNS = 400
"""How many draws of the noise means are taken over."""

COPIES = 5 * 12
"""Layers of descent, of two solutions and two that check them; each is copied as it is moved."""


def runs(scenario: Scenario) -> int:
    """Return over how many draws of the noise means are taken."""
    return scenario.output.noise_runs or RUNS


def _without_noise(scenario: Scenario) -> str:
    """Say why there is no noise to average over, or nothing."""
    descent = scenario.descent
    if descent is not None and not descent.noisy:
        return "descent has no noise; write descent.batch or descent.label_noise, or leave it out"
    return not_gradient_descent(scenario)


def _averaging(scenario: Scenario) -> int:
    """Return the layers and draws of all runs, and the columns of the covariance of one."""
    network, each = scenario.network, draws(scenario)
    rows, columns = network.shape
    return runs(scenario) * (COPIES * network.weights + 12 * each) + each * (
        rows * columns + network.weights
    )


_GRID = ("step_size", "sample")

SGD_NOISE = Measure(
    says="mean and spread of noisy descent beside those of the equations that describe it",
    variables={
        "runs": (),
        "step_size": ("step_size",),
        **dict.fromkeys(
            (
                "time",
                "trace",
                "trace_error",
                *(
                    f"{source}_{name}{error}"
                    for source in SOURCES
                    for name in ("loss", "spread")
                    for error in ("", "_error")
                ),
                *(f"{source}_loss_deviation" for source in SOURCES),
                *(
                    f"{name}_{equation}{error}"
                    for name in ERRORS
                    for equation in EQUATIONS
                    for error in ("", "_error")
                ),
            ),
            _GRID,
        ),
        **{f"{source}_end_to_end": (*_GRID, "output", "input") for source in SOURCES},
    },
    unfit=_without_noise,
    numbers=_averaging,
)
