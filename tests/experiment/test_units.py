"""Results scale with the units of the target: no absolute constant meets the data."""

from __future__ import annotations

import numpy as np
import pytest

import flowsim
from flowsim.experiment.plan.reading import from_toml

# With two layers, Φ → cΦ takes W to cW, layers to √c of them, and times and step sizes to 1/c.
POWERS = {
    "layers": {"singular_values": 1, "loss": 2, "imbalance": 1, "effective_rank": 0},
    "descent": {"singular_values": 1, "loss": 2},
    "plane": {"u": 1, "v": 1, "loss": 2, "lowest_loss": 2, "minimum": 1},
    "sharpness": {"largest": 1, "smallest": 1, "descent_sharpness": 1},
    "convergence": {"minimum": 2, "excess_loss": 2, "rate": 1, "distance_to_minimum": 1},
    "speed": {"iterations": 0, "flow_time": -1},
    "tracking_bound": {"bound": 0.5, "distance": 0.5},
    "oscillation": {"period": 0, "amplitude": 1, "critical": -1, "turning": -1},
    "explicit_loss": {"asymmetry": 0, "loop_integral": 3},
    "preconditioner": {"eigenvalues": 1},
    "drift_budget": {"measured": 1, "accumulated": 1},
    "singular_value_law": {"velocity": 2, "law": 2},
}


def run_in_units(c: float) -> flowsim.Run:
    measures = [name for name in POWERS if name not in ("layers", "descent", "plane")]
    return flowsim.run(
        from_toml(f"""
title = "Units"
[network]
widths = [2, 2, 2]
[loss]
kind = "squared"
target = [[{2.0 * c}, 0.0], [0.0, {0.7 * c}]]
[init]
kind = "gaussian"
scale = {0.1 * c}
[flow]
horizon = {5 / c}
samples = 20
[descent]
step_sizes = [{0.1 / c}, {0.6 / c}]
[output]
plane = true
measures = {measures}
""")
    )


@pytest.mark.slow
@pytest.mark.parametrize("exponent", [-40, 40])
def test_results_scale_with_the_units_of_the_target(exponent: int) -> None:
    c = 4.0**exponent  # √c is a power of 2, so that the units themselves round nothing
    one, other = run_in_units(1.0), run_in_units(c)
    for group, powers in POWERS.items():
        for name, power in powers.items():
            expected = one[f"{group}.{name}"]
            size = np.nanmax(np.abs(expected[np.isfinite(expected)]), initial=0.0)
            np.testing.assert_allclose(
                other[f"{group}.{name}"] / c**power,
                expected,
                rtol=1e-6,
                atol=1e-6 * size,
                err_msg=f"{group}.{name}",
            )
