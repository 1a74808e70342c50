"""The minimum-nuclear-norm solution of completion and sensing, with a bound on its error.

min ‖W‖_* subject to ⟨A_i, W⟩ = b_i is the convex surrogate of the least rank (Recht, Fazel &
Parrilo 2010, arXiv:0706.4138), and the conjectured limit of gradient flow at depth 2 from small
initialization (Gunasekar et al. 2017, arXiv:1705.09280). As a semidefinite program it reads

    min ½(tr X + tr Y)  subject to  Z = [[X, W], [Wᵀ, Y]] ⪰ 0,  ⟨A_i, W⟩ = b_i,

which SCS solves (O'Donoghue et al. 2016). Its dual is max bᵀy subject to ‖Σ_i y_i A_i‖ ≤ 1 in the
spectral norm, so that every such y bounds the minimum from below.
"""

from __future__ import annotations

import signal
from contextlib import redirect_stdout
from io import StringIO
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from flowsim.problem import spectra
from flowsim.problem.losses import Loss, Measurements
from flowsim.solvers.monitor import SILENT, Monitor
from flowsim.theory.norms.measure import all_norms, logarithms
from flowsim.theory.setting import Arrays, Setting

if TYPE_CHECKING:
    from scipy.sparse import csr_array

ACCURACY = 1e-8
"""Absolute and relative residuals at which SCS stops, for data scaled to size 1."""

SLICE, MOST_SLICES = 201, 250
"""Iterations of SCS between checks for a stop request, and the largest number of such slices.

SCS checks for signals every 25 iterations, the first included. The last iteration of a slice is one
of these, so that no signal is lost.
"""

SOLVED, SIGNALLED = 1, -5
"""Status codes of SCS: solved accurately, and stopped by a SIGINT."""


class Solution(NamedTuple):
    """A matrix that satisfies the measurements, with bounds on the minimum nuclear norm.

    Attributes
    ----------
    W
        The matrix.
    nuclear_norm
        ‖W‖_*, an upper bound on the minimum.
    lower_bound
        bᵀy of a dual feasible y, a lower bound on the minimum.
    residual
        ‖A(W) - b‖: rounding.

    """

    W: np.ndarray
    nuclear_norm: float
    lower_bound: float
    residual: float

    @property
    def gap(self) -> float:
        """Duality gap ‖W‖_* - bᵀy ≥ 0, an upper bound on ‖W‖_* minus the minimum."""
        return self.nuclear_norm - self.lower_bound


def minimum_nuclear_norm(loss: Loss, monitor: Monitor = SILENT) -> Solution:
    """Return argmin ‖W‖_* over all W of loss 0, for a loss of completion or sensing.

    Both bounds hold however accurate the solution of the program is: the projection of W meets the
    measurements, and y divided by ‖Σ_i y_i A_i‖ is dual feasible. After a stop request the result
    follows from the current iterate.

    Raises
    ------
    TypeError
        If the loss is neither Completion nor Sensing.

    """
    if not isinstance(loss, Measurements):
        raise TypeError(
            "The minimum nuclear norm is sought among the matrices that meet the measurements of "
            f"Completion or Sensing, but the loss is {type(loss).__name__}."
        )
    A, Phi = loss.matrix(), np.asarray(loss.Phi)
    b, shape = A @ np.ravel(Phi), Phi.shape
    # the residuals at which SCS stops are absolute too: data of size 1 give them a meaning
    scale = float(np.linalg.norm(b)) / max(shape)
    if scale == 0:
        return Solution(np.zeros(shape), 0.0, 0.0, 0.0)
    W, y = _solved(A, b / scale, shape, monitor)
    W = loss.projected(scale * W)
    spectral = float(np.linalg.norm((A.T @ y).reshape(shape), 2))
    monitor.report(1.0)
    return Solution(
        W,
        nuclear_norm=float(np.linalg.norm(W, "nuc")),
        lower_bound=float(b @ y) / spectral if spectral > 0 else 0.0,
        residual=float(np.linalg.norm(A @ W.ravel() - b)),
    )


def _solved(
    A: csr_array, b: np.ndarray, shape: tuple[int, ...], monitor: Monitor
) -> tuple[np.ndarray, np.ndarray]:
    """Return W and y from the last iterate of SCS on the semidefinite program."""
    import scs

    data, cone, W_in_Z = _program(A, b, shape)
    solver = scs.SCS(
        data,
        cone,
        eps_abs=ACCURACY,
        eps_rel=ACCURACY,
        max_iters=SLICE,
        linear_solver="qdldl",
        verbose=False,
    )
    x, y = np.zeros(len(data["c"])), np.zeros(len(data["b"]))
    state: dict[str, np.ndarray] = {"x": x, "y": y, "s": data["b"]}
    for _ in range(MOST_SLICES):
        with redirect_stdout(StringIO()):  # SCS prints a message after a signal
            result = solver.solve(**state)
        status = result["info"]["status_val"]
        if status == SIGNALLED:  # SCS replaces Python's handler, which has to receive the signal
            signal.raise_signal(signal.SIGINT)
        else:
            state = {name: result[name] for name in state}
        if status == SOLVED or monitor.stop_requested():
            break
    return state["x"][W_in_Z].reshape(shape) / np.sqrt(2), -state["y"][: len(b)]


def _program(
    A: csr_array, b: np.ndarray, shape: tuple[int, ...]
) -> tuple[dict[str, Any], dict[str, Any], np.ndarray]:
    """Return the program in the form of SCS, and the indices of the entries of W in its unknown.

    The unknown z is the lower triangle of Z, column by column, with off-diagonal entries multiplied
    by √2, so that inner products of z and of Z agree. SCS minimizes c·z subject to Az + s = b, with
    s = 0 for the equalities and s = z in the cone.
    """
    from scipy.sparse import coo_array, eye_array, vstack

    rows, columns = shape
    order = rows + columns
    place = np.full((order, order), -1)
    column, row = np.triu_indices(order)
    place[row, column] = np.arange(len(row))
    size, W_in_Z = len(row), place[rows:, :rows].T.ravel()

    c = np.zeros(size)
    c[place.diagonal()] = 0.5
    entries = A.tocoo()
    equalities = coo_array(
        (entries.data / np.sqrt(2), (entries.coords[0], W_in_Z[entries.coords[1]])), (len(b), size)
    )
    constraints = vstack([equalities, -eye_array(size)], format="csc")
    data = {"A": constraints, "b": np.concatenate([b, np.zeros(size)]), "c": c}
    return data, {"z": len(b), "s": [order]}, W_in_Z


def measure(setting: Setting) -> Arrays:
    """Return the matrix, its norms, and a lower bound on the minimum nuclear norm."""
    problem = setting.problem
    found = minimum_nuclear_norm(problem.loss, setting.monitor)
    sigma = spectra.singular_values(found.W)
    return {
        **all_norms(logarithms(sigma), problem.depth),
        "lower_bound": found.lower_bound,
        "residual": found.residual,
        "distance_to_target": float(spectra.distance(found.W, np.asarray(problem.loss.target))),
        "singular_values": sigma,
        "end_to_end": found.W,
    }
