"""The matrix of minimum nuclear norm that satisfies the measurements of a problem."""

from __future__ import annotations

import numpy as np

from flowsim.problem import spectra
from flowsim.theory.minimum_nuclear_norm.formulas import minimum_nuclear_norm
from flowsim.theory.norms.formulas import all_norms, logarithms
from flowsim.theory.setting import Arrays, Setting


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
