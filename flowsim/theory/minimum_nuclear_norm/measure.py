"""The matrix of least nuclear norm that meets the measurements, to hold the flow's end against."""

from __future__ import annotations

import numpy as np

from flowsim.problem import spectra
from flowsim.results.run import Group, named
from flowsim.theory.minimum_nuclear_norm.formulas import minimum_nuclear_norm
from flowsim.theory.norms import measure as norms
from flowsim.theory.setting import Setting


def measure(setting: Setting) -> Group:
    """Return the matrix, bounds on the least nuclear norm, and what is measured of flows."""
    problem = setting.problem
    found = minimum_nuclear_norm(problem.loss, setting.monitor)
    sigma = spectra.singular_values(found.W)
    away = spectra.distance(found.W, np.asarray(problem.loss.target))
    numbers = {
        **norms.of(norms.logarithms(sigma), problem.depth),
        "lower_bound": (found.lower_bound, "bᵀy/‖A*(y)‖, which no nuclear norm can be below"),
        "residual": (found.residual, "‖A(W) − b‖, what rounding leaves of the measurements"),
        "distance_to_target": (away, "distance to the target ‖W − Φ‖_F"),
    }
    return {
        **{name: named((), np.asarray(value), says) for name, (value, says) in numbers.items()},
        "singular_values": named(("mode",), sigma, "singular values of W"),
        "end_to_end": named(("output", "input"), found.W, "W of least nuclear norm"),
    }
