"""Simulate how deep linear networks W = W_N ⋯ W_1 learn.

Gradient flow of the layers, the end-to-end flow of W and gradient descent start from the same
initialization, and are compared with each other and with theory.

>>> import flowsim
>>> run = flowsim.run("saddle-to-saddle")
>>> run["layers.loss"]
>>> flowsim.plot(run, "loss")

`flowsim list` in a shell lists the named scenarios. Names are imported when they are first used.

Importing flowsim makes float64 JAX's default in the whole process: small singular values and
order-η distances between descent and flow are lost in float32.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flowsim.dynamics import rules
    from flowsim.experiment import figures
    from flowsim.experiment.inspection import measure, open, plot
    from flowsim.experiment.interface import run
    from flowsim.experiment.plan.reading import read
    from flowsim.experiment.registration import register
    from flowsim.problem import gradient_noise as noise
    from flowsim.problem import initialization as inits
    from flowsim.problem import losses
    from flowsim.problem.losses.custom import loss
    from flowsim.problem.problem import Problem
    from flowsim.results.archive import ArchiveError, load
    from flowsim.results.comparison import compare
    from flowsim.scenario.build.problem import build_problem
    from flowsim.scenario.catalog import CatalogError
    from flowsim.scenario.overrides import variants
    from flowsim.scenario.spec.errors import ScenarioError
    from flowsim.scenario.spec.scenario import Scenario
    from flowsim.scenario.toml.writing import dumps
    from flowsim.solvers import methods
    from flowsim.solvers.descend import descend
    from flowsim.solvers.iterate import iterations
    from flowsim.solvers.solve import solve

    __version__: str

__all__ = [
    "ArchiveError",
    "CatalogError",
    "Problem",
    "Scenario",
    "ScenarioError",
    "__version__",
    "build_problem",
    "compare",
    "descend",
    "dumps",
    "figures",
    "inits",
    "iterations",
    "load",
    "loss",
    "losses",
    "measure",
    "methods",
    "noise",
    "open",
    "plot",
    "read",
    "register",
    "rules",
    "run",
    "solve",
    "variants",
]

# also for arrays of the user's, made before anything of flowsim is used
if "jax" in sys.modules:
    sys.modules["jax"].config.update("jax_enable_x64", True)
else:
    os.environ["JAX_ENABLE_X64"] = "1"  # JAX reads it when it is imported

_HOMES = {
    "ArchiveError": "flowsim.results.archive",
    "CatalogError": "flowsim.scenario.catalog",
    "Problem": "flowsim.problem.problem",
    "Scenario": "flowsim.scenario.spec.scenario",
    "ScenarioError": "flowsim.scenario.spec.errors",
    "build_problem": "flowsim.scenario.build.problem",
    "compare": "flowsim.results.comparison",
    "descend": "flowsim.solvers.descend",
    "dumps": "flowsim.scenario.toml.writing",
    "iterations": "flowsim.solvers.iterate",
    "load": "flowsim.results.archive",
    "loss": "flowsim.problem.losses.custom",
    "measure": "flowsim.experiment.inspection",
    "open": "flowsim.experiment.inspection",
    "plot": "flowsim.experiment.inspection",
    "read": "flowsim.experiment.plan.reading",
    "register": "flowsim.experiment.registration",
    "run": "flowsim.experiment.interface",
    "solve": "flowsim.solvers.solve",
    "variants": "flowsim.scenario.overrides",
}
"""Modules of the public functions and classes."""

_MODULES = {
    "figures": "flowsim.experiment.figures",
    "inits": "flowsim.problem.initialization",
    "losses": "flowsim.problem.losses",
    "methods": "flowsim.solvers.methods",
    "noise": "flowsim.problem.gradient_noise",
    "rules": "flowsim.dynamics.rules",
}
"""Public modules."""


def __getattr__(name: str) -> Any:
    """Return a public name, imported at its first use (PEP 562)."""
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("flowsim")
        except PackageNotFoundError:
            return "unknown (not installed)"
    from flowsim.process.environment import quiet

    with quiet:  # libraries warn while they are imported, and warnings may be errors
        if name in _HOMES:
            return getattr(import_module(_HOMES[name]), name)
        if name in _MODULES:
            return import_module(_MODULES[name])
    raise AttributeError(f"module 'flowsim' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
