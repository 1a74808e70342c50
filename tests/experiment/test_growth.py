"""Every measure and every figure of a flow that leaves the range of float64."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

import flowsim
from flowsim.experiment.plan.reading import from_toml

MEASURES = [
    "norms", "sharpness", "tangent_kernel", "convergence", "preconditioner", "singular_value_law",
    "descriptions", "oscillation", "explicit_loss", "drift_budget", "tracking_bound",
    "step_size_thresholds",
]  # fmt: skip
INFINITE = {"descent.loss", "oscillation.highest_loss"}
"""Variables that are inf where descent diverges, as documented."""

TEXT = """
title = "A linear loss grows without bound"
[network]
widths = [2, 2, 2]
[loss]
kind = "linear"
target = [[1.0, 0.0], [0.0, 0.5]]
[init]
kind = "balanced"
scale = 0.1
[flow]
horizon = 400.0
samples = 8
[descent]
step_sizes = [0.1, 0.5]
[output]
measures = {measures}
"""


@pytest.mark.slow
def test_measures_and_figures_of_unbounded_growth_are_finite_or_nan(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run = flowsim.run(from_toml(TEXT.format(measures=MEASURES)))
        drawn = {path.stem for path in flowsim.figures.save(run, tmp_path)}
    for group, variables in run.groups.items():
        for name, variable in variables.items():
            if variable.values.dtype.kind == "f" and f"{group}.{name}" not in INFINITE:
                assert not np.isinf(variable.values).any(), f"{group}.{name}"
    assert np.isfinite(run["layers.end_to_end"]).all()
    without_figure = {"convergence", "oscillation"}  # no minimum, and no step size that lasts
    assert set(MEASURES) - without_figure <= drawn
