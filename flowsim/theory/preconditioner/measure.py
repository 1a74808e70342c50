"""The preconditioner P_W along a flow: its eigenvalues, and how it rotates the gradient."""

from __future__ import annotations

import numpy as np

from flowsim.problem import network
from flowsim.theory.preconditioner.formulas import gradient, preconditioning
from flowsim.theory.preconditioner.spec import EIGENVALUES
from flowsim.theory.setting import Arrays, Setting

OF_THE_GRADIENT = ("gradient_share", "movement_share", "alignment")
EPS = float(np.finfo(np.float64).eps)


def measure(setting: Setting) -> Arrays:
    """Return the spectrum of P_W over time, and how P_W rotates the gradient.

    Fractions and alignment are nan where the error of W exceeds the remaining gradient, as
    near the limit of a converged run.
    """
    problem, flow = setting.problem, setting.reference
    rank = network.rank_bound(problem.layers)

    def evaluate(i: int) -> dict[str, np.ndarray | float]:
        W, sigma = flow.end_to_end_series[i], flow.singular_values[i]
        # W is stored in float64: even an exact flow is known only to rounding
        W_error = EPS * float(np.linalg.norm(sigma)) + np.nan_to_num(flow.error_estimate[i])
        G, error = gradient(problem.loss, W, W_error)
        found = preconditioning(G, W, sigma, problem.depth, rank, EIGENVALUES)
        values = {name: np.asarray(value) for name, value in found._asdict().items()}
        if error >= 1:
            values |= {name: np.full_like(values[name], np.nan) for name in OF_THE_GRADIENT}
        return {**values, "error": float(error)}

    return setting.at_saved_times(flow, evaluate)
