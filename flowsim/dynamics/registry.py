"""The formulations of the gradient flow and the update rules of descent, each declared once.

Both registries are data: importing them takes neither NumPy nor JAX, and a flow's class is imported
when the flow is built. Names in files, labels in pictures and predictions of memory derive from it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Literal, TypeAlias

from flowsim.problem.errors import NotApplicable

if TYPE_CHECKING:
    from flowsim.dynamics.flow import Flow
    from flowsim.problem.problem import Problem

FlowName: TypeAlias = Literal["layers", "end_to_end", "spectral", "modes"]
RuleName: TypeAlias = Literal[
    "gradient",
    "nesterov",
    "midpoint",
    "heun",
    "rk4",
    "adagrad",
    "adadelta",
    "sam",
    "normalized",
]

Momentum: TypeAlias = float | Literal["increasing"]
"""μ, 0 ≤ μ < 1; or μ_k = (k - 1)/(k + 2) in the step from W_k."""

Size: TypeAlias = Callable[[Sequence[int]], int]
"""A count of float64 numbers as a function of the widths (d_0, …, d_N)."""


def _nothing(widths: Sequence[int]) -> int:  # noqa: ARG001
    return 0


@dataclass(frozen=True)
class Formulation:
    """A set of coordinates in which the gradient flow is solved.

    Attributes
    ----------
    label
        Its name in pictures and messages.
    flow
        Its class, in `flowsim.dynamics`.
    state_size
        How many numbers its state has at most.
    checked_in
        The formulation of the second solve, which estimates the error (`Flow.second_solve`).
    workspace
        How many numbers reading W or the velocity off a state needs beside the solver's stages.
    extra_variables
        The variables that this flow yields beside those of every flow, with their dimensions.
    requires
        The condition on the problem beyond those of every flow; "" where there is no other.
    on_layers
        Whether its state is the layers, so that the loss may depend on these themselves.

    """

    label: str
    flow: str
    state_size: Size
    checked_in: FlowName
    workspace: Size = _nothing
    extra_variables: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    requires: str = ""
    on_layers: bool = False

    def build(self, problem: Problem) -> Flow:
        """Return the flow of a problem.

        Raises
        ------
        NotApplicable
            With the condition that fails, if the problem has none.

        """
        if problem.loss.on_layers and not self.on_layers:
            name = self.flow.partition(":")[0]
            raise NotApplicable(f'{name}: {problem.loss.why_not_of_matrix}; take "layers".')
        flow: Flow = resolve_name(f"flowsim.dynamics.{self.flow}").of(problem)
        return flow


_LOG_SINGULAR_VALUES = {"log_singular_values": ("time", "mode")}

FLOWS: dict[str, Formulation] = {
    "layers": Formulation(
        label="layer flow",
        flow="layers:LayerFlow",
        state_size=lambda d: sum(above * below for below, above in pairwise(d)),
        checked_in="layers",
        on_layers=True,
        extra_variables={"imbalance": ("time", "pair"), "squared_norm": ("time",)},
    ),
    "end_to_end": Formulation(
        label="end-to-end flow",
        flow="end_to_end:EndToEndFlow",
        state_size=lambda d: d[-1] * d[0],
        checked_in="layers",
        # singular bases of both sides, several of them at once
        workspace=lambda d: 8 * (d[-1] ** 2 + d[0] ** 2),
    ),
    "spectral": Formulation(
        label="spectral flow",
        flow="spectral:SpectralFlow",
        # Q, P and the r × r factor R
        state_size=lambda d: min(d) * (d[-1] + d[0] + min(d)),
        checked_in="spectral",
        extra_variables=_LOG_SINGULAR_VALUES,
        requires="at least 2 layers and W(0) ≠ 0",
    ),
    "modes": Formulation(
        label="mode flow",
        flow="modes:ModeFlow",
        state_size=lambda d: min(d[-1], d[0]),
        checked_in="modes",
        # W itself, wherever the loss is evaluated
        workspace=lambda d: 8 * d[-1] * d[0],
        extra_variables=_LOG_SINGULAR_VALUES,
        requires="a quadratic loss and balanced layers that share its singular vectors",
    ),
}
"""Every formulation by its name, the reference first."""


RHO = 0.05
"""The radius ρ of SAM where none is given (Foret et al. 2021)."""


@dataclass(frozen=True)
class UpdateRule:
    """What is known of an update rule without running it.

    Attributes
    ----------
    label
        Its name in pictures.
    parameters
        The keys of its parameters beside η: `momentum` for μ, `rho` for ρ.
    follows_flow
        Whether iterate k approximates the gradient flow at time kη. It does not where η is no
        time, as in rules that rescale the gradient.
    of_optax
        Whether optax brings it.
    copies
        How many copies of all layers descent holds at each step size, measured.

    """

    label: str
    parameters: tuple[str, ...] = ()
    follows_flow: bool = True
    of_optax: bool = False
    copies: int = 11


RULES: Mapping[str, UpdateRule] = {
    "gradient": UpdateRule("gradient descent", parameters=("momentum",)),
    "nesterov": UpdateRule("Nesterov's method", parameters=("momentum",)),
    "midpoint": UpdateRule("midpoint method"),
    "heun": UpdateRule("Heun's method"),
    "rk4": UpdateRule("Runge–Kutta 4", copies=20),
    "adagrad": UpdateRule("AdaGrad", follows_flow=False, of_optax=True),
    "adadelta": UpdateRule("AdaDelta", follows_flow=False, of_optax=True, copies=20),
    "sam": UpdateRule("SAM", parameters=("rho",)),
    "normalized": UpdateRule("normalized gradient descent", follows_flow=False),
}
"""Every update rule by its name in files; `update_rules.named` makes them."""
