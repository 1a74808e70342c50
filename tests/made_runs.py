"""Small runs made up of known numbers, for tests that simulate nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from flowsim.experiment.plan.reading import from_toml
from flowsim.results.run import Run, Variable
from flowsim.scenario.overrides import variants
from flowsim.scenario.spec.scenario import Scenario

TOML = """
title = "A made-up σ run"
[network]
widths = [2, 3, 2]
[loss]
kind = "squared"
target = [[1.0, 0.0], [0.0, 2.0]]
[init]
kind = "balanced"
scale = 0.01
[flow]
horizon = 1.0
samples = 5
spaces = ["layers"]
"""
CLAIM = """
[[claims]]
quantity = "layers.loss"
reduce = "last"
below = 1.0
"""
VARIANTS = """
[[variant]]
name = "slow"
set = { "init.scale" = 0.001 }
[[variant]]
name = "fast"
set = { "init.scale" = 0.1 }
"""


def groups(samples: int = 5, factor: float = 1.0) -> dict[str, dict[str, Variable]]:
    """Return groups with all that is awkward: nan, inf, strings, integers, no pairs, σ."""
    time = np.linspace(0.0, 1.0, samples)
    loss = Variable(("time",), factor * (2.0 - time), {"long_name": "loss ½‖W − Φ‖²"})
    return {
        "layers": {
            "time": Variable(("time",), time, {"long_name": "time"}),
            "loss": loss,
            "singular_values": Variable(("time", "mode"), np.outer(time, [2.0, 1.0]), {}),
            "imbalance": Variable(("time", "pair"), np.zeros((samples, 0)), {}),
        },
        "descent": {
            "step_size": Variable(("step_size",), np.array([0.4, 0.1]), {}),
            "iteration": Variable(("step_size", "sample"), np.array([[0, 3], [0, 10]]), {}),
            "time": Variable(("step_size", "sample"), np.array([[0.0, 1.2], [0.0, 1.0]]), {}),
            "loss": Variable(
                ("step_size", "sample"), np.array([[2.0, np.inf], [np.nan, 1 / 3]]), {}
            ),
            "outcome": Variable(("step_size",), np.array(["diverged", "completed"]), {}),
        },
    }


def summary(scenario: Scenario, exit_code: int = 0) -> dict[str, Any]:
    return {
        "scenario": scenario.title,
        "outcome": {"layers": "completed", "descent": {"0.4": "diverged", "0.1": "completed"}},
        "final_loss": {"layers": np.float64(0.1), "descent": {"0.4": np.inf, "0.1": 1 / 3}},
        "error_estimate": {"layers": 1e-9},
        "claims": [{"claim": "last of layers.loss is below 1", "value": 0.1, "holds": True}],
        "notes": [],
        "steps": {"layers": {"accepted": np.int64(7), "rejected": 0}},
        "seconds": {"layers": 0.25, "total": 1.0},
        "exit_code": exit_code,
    }


def run_of(scenario: Scenario, name: str = "made", exit_code: int = 0) -> Run:
    """Return a made-up run of `scenario`, with its variants."""
    members = {key: run_of(inner, key) for key, inner in variants(scenario).items()}
    told = summary(scenario, exit_code)
    if members:
        for key in ("outcome", "final_loss", "error_estimate"):
            told[key] = {variant: run.summary[key] for variant, run in members.items()}
    factor = {"slow": 2.0}.get(name, 1.0)
    return Run(name, scenario, {} if members else groups(factor=factor), told, members)


def plain() -> Run:
    return run_of(from_toml(TOML + CLAIM))


def with_variants() -> Run:
    return run_of(from_toml(TOML + VARIANTS))


def touch_figures(run: Run, folder: Path) -> None:
    """Draw nothing, but leave files where figures would lie."""
    (folder / "loss.png").write_bytes(b"a picture of " + run.name.encode())
