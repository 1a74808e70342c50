"""Declaration of convergence and its bounds."""

from __future__ import annotations

from itertools import pairwise

from flowsim.scenario.spec.scenario import Scenario
from flowsim.solvers.variables import STEP_SIZE, TIME, YES_NO, VariableSpec, specs
from flowsim.theory.measure import Measure

SHARE = 1e-3
"""Iterations are counted until ℓ − ℓ* is this fraction of its value at initialization."""

SOLVED = 1000
"""Most entries of W for a convex solve, as in `flowsim.theory.global_minimum`."""

PIECE = 1 << 19
"""Numbers in a piece of a series, as in `flowsim.solvers.storage`."""


def _needs_no_weight_decay(scenario: Scenario) -> str | None:
    """Return that weight decay, under which the loss may rise, is not supported, or None."""
    if not scenario.flow.weight_decay:
        return None
    return "no bound on it supports flow.weight_decay; leave one of them out"


def _floats(scenario: Scenario) -> int:
    """Return pieces of the layers and of their products, and a Hessian with its factors."""
    network, (rows, columns) = scenario.network, scenario.network.shape
    widest = max(a * b for a, b in pairwise(network.widths))
    times = min(scenario.flow.samples, max(1, PIECE // widest))
    return 4 * times * (network.weights + rows * columns) + minimum_floats(scenario)


def minimum_floats(scenario: Scenario) -> int:
    """Return a Hessian with its factors where the global minimum takes a convex solve."""
    rows, columns = scenario.network.shape
    entries = rows * columns
    return 4 * entries**2 if entries <= SOLVED and scenario.data else 0


CONVERGENCE = Measure(
    "convergence",
    question="How fast does the loss fall, compared with the rates that theorems prove?",
    needs="layers",
    variables=(
        TIME,
        *specs(
            "time",
            loss="loss ℓ(W)",
            excess_loss="excess loss ℓ(W) − ℓ*",
            error="estimated error of ℓ(W) − ℓ*",
            bound="bound (ℓ(0) − ℓ*) e^{−rt} on ℓ − ℓ* from the deficiency margin",
            bound_ratio="ℓ − ℓ*, less its estimated error, over its bound",
            running_bound="bound (ℓ(0) − ℓ*) exp(−2μ ∫λ ds) on ℓ − ℓ*",
            running_ratio="ℓ − ℓ*, less its estimated error, over its running bound",
            decrease="rate of decrease −dℓ/dt = Σ_j ‖∂φ/∂W_j‖²",
            rate="convergence rate −d log(ℓ − ℓ*)/dt",
            smallest_eigenvalue="smallest eigenvalue λ of P_W; a lower bound for unbalanced layers",
            distance_to_minimum="distance ‖W − W*‖_F to the unique minimizer",
        ),
        *specs(
            "",
            minimum="global minimum ℓ* over matrices of the rank that the widths allow",
            minimum_error="estimated error of ℓ*",
            polyak_lojasiewicz="Polyak–Łojasiewicz constant μ in ½‖∇ℓ‖² ≥ μ(ℓ − ℓ*)",
            deficiency_margin="deficiency margin c = σ_min(Φ) − ‖W(0) − Φ‖_F",
            rate_bound="rate r of the bound",
            largest_imbalance="largest imbalance at initialization",
            admitted_imbalance="largest imbalance δ that the theorem allows",
            largest_step_size="largest step size η that the theorem allows",
            fewest_iterations="iteration count of the theorem at its largest step size, to "
            f"{SHARE:g} of ℓ(0) − ℓ*",
        ),
        STEP_SIZE,
        *specs(
            "step_size",
            iterations_bound=f"iteration count of the theorem to {SHARE:g} of ℓ(0) − ℓ*",
            iterations_above="last recorded iteration before that with more than "
            f"{SHARE:g} of ℓ(0) − ℓ*",
            iterations_measured=f"first recorded iteration with at most {SHARE:g} of ℓ(0) − ℓ*",
        ),
        VariableSpec("hypothesis", ("hypothesis",), "hypothesis of a theorem", text=True),
        VariableSpec("wanted", ("hypothesis",), "what the theorem requires", text=True),
        VariableSpec("found", ("hypothesis",), "actual value", text=True),
        VariableSpec(
            "holds", ("hypothesis",), "whether the hypothesis holds; nan: undefined", YES_NO
        ),
    ),
    why_unavailable=_needs_no_weight_decay,
    floats=_floats,
)
