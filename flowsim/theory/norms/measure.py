"""Schatten norms and quasi-norms of W, and its effective rank, along the flow."""

from __future__ import annotations

import numpy as np

from flowsim.theory.norms.formulas import all_norms, logarithms
from flowsim.theory.setting import Arrays, Setting


def measure(setting: Setting) -> Arrays:
    """Return every norm of W over time."""
    flow = setting.reference
    # flows over modes integrate log σ itself, which is more accurate than the log of a tiny σ
    log_sigma: np.ndarray | None = flow.log_singular_values
    if log_sigma is None:
        log_sigma = logarithms(flow.singular_values)
    return {"time": flow.times, **all_norms(log_sigma, setting.problem.depth)}
