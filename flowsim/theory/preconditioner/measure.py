"""The preconditioner P_W along a flow: its eigenvalues, and where it turns the movement."""

from __future__ import annotations

import numpy as np

from flowsim.problem import network
from flowsim.results.run import Group
from flowsim.theory.preconditioner.formulas import gradient, preconditioning
from flowsim.theory.preconditioner.spec import EIGENVALUES
from flowsim.theory.setting import Setting, along

TOLD = {
    "eigenvalues": "eigenvalue K_rc of the preconditioner P_W at u_r v_cᵀ",
    "effective_step": "K_rr = N σ_r^{2-2/N}, what a step of 1 becomes along u_r v_rᵀ",
    "condition_number": "largest over smallest eigenvalue of P_W; inf where one is 0",
    "gradient_share": "share of ‖∇ℓ‖² within the first k = mode + 1 singular vectors",
    "movement_share": "share of ‖P_W∇ℓ‖² within the first k = mode + 1 singular vectors",
    "alignment": "cosine between P_W∇ℓ and ∇ℓ",
    "error": "estimated relative error of ∇ℓ(W), from that of W",
}
OF_THE_GRADIENT = ("gradient_share", "movement_share", "alignment")
EPS = float(np.finfo(np.float64).eps)


def measure(setting: Setting) -> Group:
    """Return the spectrum of P_W at every time, and how it turns the gradient.

    Where the gradient is lost in W's error, as at the end of a run that converged, there is
    nothing to turn: shares and alignment are nan there.
    """
    problem, trajectory = setting.problem, setting.reference
    rank = network.rank_bound(problem.layers)
    spectra, unsure = trajectory.singular_values, trajectory.error_estimate

    def at(i: int) -> list[np.ndarray]:
        W, sigma = trajectory.end_to_end_series[i], spectra[i]
        off = EPS * float(np.linalg.norm(sigma)) + np.nan_to_num(unsure[i])
        G, error = gradient(problem.loss, W, off)
        found = preconditioning(G, W, sigma, problem.depth, rank, EIGENVALUES)
        values = {name: np.asarray(value) for name, value in found._asdict().items()}
        if error >= 1:
            values |= {name: np.full_like(values[name], np.nan) for name in OF_THE_GRADIENT}
        return [*(values[name] for name in TOLD if name != "error"), np.asarray(error)]

    return along("preconditioner", setting, trajectory, TOLD, at)
