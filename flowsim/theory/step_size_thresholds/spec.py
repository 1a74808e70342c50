"""Declaration of the step sizes at which descent leaves the flow, oscillates and diverges."""

from __future__ import annotations

from flowsim.scenario.spec.scenario import Scenario
from flowsim.solvers.variables import STEP_SIZE, VariableSpec, specs
from flowsim.theory.long_run.regimes import Regime
from flowsim.theory.measure import (
    Measure,
    gradient_seconds,
    iterate_copies,
    needs_plain_descent,
)
from flowsim.theory.sharpness.spec import LANCZOS, seconds_at_saved_times

TRACK_WITHIN = (0.1, 0.01)
"""Default distances within which descent tracks the flow, as fractions of its largest ‖W‖_F."""

BLOCK = 64
"""Step sizes that are iterated at once."""

ITERATIONS, MORE_ITERATIONS = 1 << 12, 1 << 15
"""Smallest numbers of iterations of the scan and of its refinement.

Near a threshold oscillations grow or decay slowly, so that the refinement requires longer runs.
"""

SCANS, REFINEMENTS = 5, 8
"""Usual numbers of blocks that are scanned, and that refine the brackets."""

COEFFICIENTS, DERIVATIVES, TAILS = 6, 9, 128
"""As in `flowsim.theory.step_size_thresholds.scanning`: numbers kept of each step size or time."""

THRESHOLDS = {
    "convergence_lost": "does not converge",
    "oscillation": "does not stop oscillating",
    "divergence": "diverges",
}
"""The behaviour of descent that begins at each threshold."""

REGIMES = {regime.code: regime.name.lower() for regime in Regime}
"""Long-term behaviour by the number that stores it; nan: undecided."""

OF_STEPS = (
    VariableSpec("fate", (), "long-term behaviour of descent; nan: undecided", REGIMES),
    VariableSpec(
        "distance",
        (),
        "largest distance max_k ‖W_k − W(kη)‖_F to the flow; inf where descent diverges before "
        "the final time",
    ),
    VariableSpec(
        "final_loss", (), "loss of the last iterate by the final time; inf where descent diverged"
    ),
    VariableSpec("period", (), "period in iterations, 1 where descent converges; nan: none found"),
)


def levels(scenario: Scenario) -> tuple[float, ...]:
    """Return the fractions of the flow's largest ‖W‖_F within which descent tracks it."""
    return scenario.output.track_within or TRACK_WITHIN


def _floats(scenario: Scenario) -> int:
    """Return a block of descents with their tails, the interpolated flow, and Lanczos' vectors."""
    network, samples = scenario.network, scenario.flow.samples
    rows, columns = network.shape
    walked = BLOCK * (iterate_copies(scenario) * network.weights + TAILS * (network.modes + 1))
    course = (COEFFICIENTS + DERIVATIVES) * samples + COEFFICIENTS * BLOCK
    return walked + course * rows * columns + LANCZOS * network.weights


def _seconds(scenario: Scenario) -> float:
    """Return the time of the sharpness along the flow and of all long runs.

    Iterations to the final time at the smallest step sizes are unknown before the run, as those
    are relative to 2/λ_max.
    """
    iterations = BLOCK * (SCANS * ITERATIONS + REFINEMENTS * MORE_ITERATIONS)
    return seconds_at_saved_times(scenario) + iterations * gradient_seconds(scenario)


STEP_SIZE_THRESHOLDS = Measure(
    "step_size_thresholds",
    question="At which step sizes does descent track the flow, oscillate and diverge?",
    on_layers=True,
    needs="layers",
    variables=(
        *specs(
            "level",
            level="allowed distance as a fraction of the flow's largest ‖W‖_F",
            allowed="allowed distance δ",
            tracking="largest step size that tracks the flow within δ",
            tracking_error="width of the bracket above it",
        ),
        *specs(
            "",
            critical_start="2/λ_max of the Hessian over the layers at initialization",
            critical_end="2/λ_max at the final point of the flow",
            critical_flow="smallest 2/λ_max along the flow",
            **{
                name: f"smallest step size η at which descent {what}"
                for name, what in THRESHOLDS.items()
            },
            **{f"{name}_error": "width of the bracket below it" for name in THRESHOLDS},
            order="order p of max_k ‖W_k − W(kη)‖_F = C η^p (1 + bη)",
            order_low="lower end of the 95 % confidence interval of the order",
            order_high="upper end of the 95 % confidence interval of the order",
            order_factor="factor C of the fit",
            order_bend="coefficient b of the fit",
            order_smallest="smallest step size of the fit",
            order_largest="largest step size of the fit",
            order_count="number of step sizes of the fit",
            distance_error="estimated error of all distances",
        ),
        STEP_SIZE,
        *(spec.over("step_size") for spec in OF_STEPS),
        VariableSpec("scanned", ("scanned",), "step sizes η of the scan"),
        *(spec.over("scanned").renamed(f"scanned_{spec.name}") for spec in OF_STEPS),
    ),
    why_unavailable=needs_plain_descent,
    floats=_floats,
    seconds=_seconds,
    levels=levels,
)
