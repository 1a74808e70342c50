"""The convergence theorems applied to one initialization: their bounds, and failing hypotheses.

The theorems are those of `flowsim.theory.convergence.formulas`: the rate of the balanced flow, and
ACGH, Theorem 1, on descent.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from flowsim.problem import network
from flowsim.problem.errors import NotApplicable
from flowsim.problem.losses import Loss
from flowsim.problem.problem import Problem
from flowsim.theory.convergence import formulas as convergence

NAN = float("nan")


class Hypothesis(NamedTuple):
    """A condition of a theorem: its name, what is required, the actual value, whether it holds.

    `holds` is None where it is undefined because another hypothesis fails.
    """

    name: str
    required: str
    actual: str
    holds: bool | None


OF_FLOW = ("white squared loss", "deficiency margin", "hidden widths", "balance")
OF_DESCENT = (
    "white squared loss",
    "deficiency margin",
    "hidden widths",
    "approximate balance",
    "plain descent",
    "step size",
)
"""The names of the hypotheses of each theorem."""


@dataclass(frozen=True)
class Certificate:
    """The constants of the theorems for one initialization; nan where they are not defined.

    Attributes
    ----------
    hypotheses
        The hypotheses of both theorems, each once.
    margin
        The deficiency margin c; nan for a loss that is not ½h‖W - Φ‖² up to a constant.
    h
        The curvature h of the loss.
    rate
        The rate r in the bound e^{-rt} for the flow; nan unless its hypotheses hold.
    imbalance, admitted_imbalance
        max_j ‖W_{j+1}ᵀW_{j+1} - W_jW_jᵀ‖_F at initialization, and its largest value allowed by the
        theorem on gradient descent.
    largest_step_size
        The largest η allowed by the theorem on gradient descent.

    """

    hypotheses: tuple[Hypothesis, ...]
    margin: float
    h: float
    rate: float
    imbalance: float
    admitted_imbalance: float
    largest_step_size: float
    depth: int

    def iterations(self, step_sizes: np.ndarray, fraction: float) -> np.ndarray:
        """Return the proved bound on the iterations until ℓ - ℓ* is a fraction of its first value.

        It is nan where nothing is proved: at step sizes above `largest_step_size`, or where another
        hypothesis fails.
        """
        count = convergence.iterations(step_sizes, self.margin, self.depth, fraction, self.h)
        others = [name for name in OF_DESCENT if name != "step size"]
        proved = np.asarray(step_sizes) <= self.largest_step_size
        return np.where(proved & (not self.failing(others)), count, np.nan)

    def failing(self, names: Sequence[str]) -> list[Hypothesis]:
        """Return those of the named hypotheses that fail or are undefined."""
        return [each for each in self.hypotheses if each.name in names and not each.holds]


def certificate(
    problem: Problem, step_sizes: Sequence[float] = (), *, plain: bool = True
) -> Certificate:
    """Return the certificate of a problem without weight decay, and of descent at step sizes.

    `plain` is true for gradient descent without momentum or noise in double precision. The
    hypothesis on the step size holds if it does for the smallest of the step sizes.
    """
    layers, N, shape = problem.layers, problem.depth, problem.initial.shape
    imbalance = float(np.max(network.imbalance(layers))) if N > 1 else 0.0
    c = h = size = NAN
    with suppress(NotApplicable):
        Phi, h = problem.loss.isotropic()
        size = float(np.linalg.norm(Phi))
        c = convergence.deficiency_margin(np.asarray(problem.initial), Phi)
    delta = convergence.admitted_imbalance(c, size, N)
    eta = convergence.largest_step_size(c, size, N, h)
    hypotheses = (
        Hypothesis(
            "white squared loss",
            "½h‖W − Φ‖² up to a constant",
            _kind(problem.loss) if np.isnan(h) else f"h = {h:.4g}",
            not np.isnan(h),
        ),
        Hypothesis(
            "deficiency margin",
            "σ_min(Φ) − ‖W(0) − Φ‖_F > 0",
            f"{c:.4g}",
            None if np.isnan(c) else c > 0,
        ),
        _of_widths(problem.widths),
        *_of_balance(imbalance, delta, network.is_balanced(layers)),
        *(_of_descent(min(step_sizes), eta, plain) if len(step_sizes) else ()),
    )
    holds = all(each.holds for each in hypotheses if each.name in OF_FLOW)
    rate = convergence.flow_rate(c, N, shape, h) if holds else NAN
    return Certificate(hypotheses, c, h, rate, imbalance, delta, eta, N)


def _of_balance(imbalance: float, delta: float, balanced: bool) -> tuple[Hypothesis, Hypothesis]:
    measured = f"imbalance {imbalance:.4g}"
    admitted = None if np.isnan(delta) else imbalance <= delta
    return (
        Hypothesis("balance", "layers balanced to rounding", measured, balanced),
        Hypothesis(
            "approximate balance", "imbalance of at most " + _limit("δ", delta), measured, admitted
        ),
    )


def _of_descent(smallest: float, eta: float, plain: bool) -> tuple[Hypothesis, Hypothesis]:
    return (
        Hypothesis(
            "plain descent",
            "gradient descent without momentum, in double precision",
            "satisfied" if plain else "another update rule, momentum, noise or single precision",
            plain,
        ),
        Hypothesis(
            "step size",
            "at most " + _limit("η", eta),
            f"{smallest:.4g}, the smallest",
            None if np.isnan(eta) else smallest <= eta,
        ),
    )


def _kind(loss: Loss) -> str:
    white = ", on data that are not white" if loss.factored() else ""
    return f"the loss {loss.label}{white}"


def _limit(name: str, value: float) -> str:
    return f"a {name} that the margin gives" if np.isnan(value) else f"{name} = {value:.4g}"


def _of_widths(widths: Sequence[int]) -> Hypothesis:
    required, narrowest = min(widths[0], widths[-1]), min(widths)
    return Hypothesis(
        "hidden widths",
        f"at least min(d_0, d_N) = {required}",
        f"the narrowest is {narrowest}" if len(widths) > 2 else "none",
        narrowest >= required,
    )
