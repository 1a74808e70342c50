"""Declaration of the statistics of noisy descent and of its stochastic modified equations."""

from __future__ import annotations

from flowsim.scenario.build.shapes import draws_per_step
from flowsim.scenario.spec.scenario import Scenario
from flowsim.solvers.variables import ITERATE_TIME, STEP_SIZE, VariableSpec, specs
from flowsim.theory.measure import Measure, needs_gradient_descent

SOURCES = {
    "descent": "descent",
    "first": "the order-1 SDE",
    "second": "the order-2 SDE",
}
"""The processes whose mean and standard deviation are stored: descent and its SDEs."""

EQUATIONS = {name: words for name, words in SOURCES.items() if name != "descent"}

OF_SOURCE = {
    "loss": "mean loss of {}",
    "loss_error": "standard error of the mean loss of {}",
    "loss_deviation": "standard deviation of the loss of {}",
    "spread": "standard deviation √E‖W − E W‖²_F of W of {}",
    "spread_error": "standard error of the standard deviation of W of {}",
}
ERRORS = {
    "weak": "weak error ‖E W_k − E W(kη)‖_F of descent and {}",
    "weak_loss": "weak error |E ℓ(W_k) − E ℓ(W(kη))| of the loss of descent and {}",
    "strong": "strong error E‖θ_k − θ(kη)‖ of descent and {}, driven by the same draws",
}

RUNS = 400
"""Default number of independent draws of the noise."""

COPIES = 5 * 12
"""Copies of the layers: descent, two solutions and two check solutions, with work arrays."""


def runs(scenario: Scenario) -> int:
    """Return the number of independent draws of the noise."""
    return scenario.output.noise_runs or RUNS


def _needs_noise(scenario: Scenario) -> str | None:
    """Return why there is no noise to average over, or None."""
    descent = scenario.descent
    if descent is not None and not descent.noisy:
        return "descent has no noise; write descent.batch or descent.label_noise, or leave it out"
    return needs_gradient_descent(scenario)


def _floats(scenario: Scenario) -> int:
    """Return the layers and draws of all runs, and the columns of the covariance of one."""
    network, each = scenario.network, draws_per_step(scenario)
    rows, columns = network.shape
    return runs(scenario) * (COPIES * network.weights + 12 * each) + each * (
        rows * columns + network.weights
    )


SGD_NOISE = Measure(
    "sgd_noise",
    question="How noisy is descent, and which stochastic equation describes the noise?",
    on_layers=True,
    variables=(
        VariableSpec("runs", (), "number of independent draws of the noise"),
        STEP_SIZE,
        ITERATE_TIME,
        *specs(
            "step_size sample",
            **{
                f"{source}_{name}": text.format(words)
                for source, words in SOURCES.items()
                for name, text in OF_SOURCE.items()
            },
        ),
        *specs(
            "step_size sample output input",
            **{f"{source}_end_to_end": f"mean W of {words}" for source, words in SOURCES.items()},
        ),
        *specs(
            "step_size sample",
            trace="mean of tr Σ over the runs of descent, Σ the covariance of the gradient",
            trace_error="standard error of the mean of tr Σ",
            **{
                f"{name}_{equation}": text.format(words)
                for equation, words in EQUATIONS.items()
                for name, text in ERRORS.items()
            },
            **{
                f"{name}_{equation}_error": "standard error, and the change when the solver's "
                "steps are halved"
                for equation in EQUATIONS
                for name in ERRORS
            },
        ),
    ),
    why_unavailable=_needs_noise,
    floats=_floats,
)
