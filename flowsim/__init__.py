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
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from flowsim.experiment import figures
    from flowsim.experiment.plan.reading import read
    from flowsim.problem import initialization as inits
    from flowsim.problem import losses
    from flowsim.problem.problem import Problem
    from flowsim.results.archive import load
    from flowsim.results.run import Run
    from flowsim.scenario.spec.scenario import Scenario
    from flowsim.solvers import methods
    from flowsim.solvers.descend import descend
    from flowsim.solvers.iterate import iterations
    from flowsim.solvers.solve import solve

    __version__: str

__all__ = [
    "Problem",
    "Scenario",
    "__version__",
    "descend",
    "figures",
    "inits",
    "iterations",
    "load",
    "losses",
    "methods",
    "plot",
    "read",
    "run",
    "solve",
]

# also for arrays of the user's, made before anything of flowsim is used
if "jax" in sys.modules:
    sys.modules["jax"].config.update("jax_enable_x64", True)
else:
    os.environ["JAX_ENABLE_X64"] = "1"  # JAX reads it when it is imported

_HOMES = {
    "Problem": "flowsim.problem.problem",
    "Scenario": "flowsim.scenario.spec.scenario",
    "descend": "flowsim.solvers.descend",
    "iterations": "flowsim.solvers.iterate",
    "load": "flowsim.results.archive",
    "read": "flowsim.experiment.plan.reading",
    "solve": "flowsim.solvers.solve",
}
"""Modules of the public functions and classes."""

_MODULES = {
    "figures": "flowsim.experiment.figures",
    "inits": "flowsim.problem.initialization",
    "losses": "flowsim.problem.losses",
    "methods": "flowsim.solvers.methods",
}
"""Public modules."""


def run(
    scenario: Scenario | str | Path,
    overrides: Mapping[str, Any] | None = None,
    *,
    directory: str | Path | None = None,
    force: bool = False,
    progress: Callable[[str, float], None] | None = None,
) -> Run:
    """Simulate a scenario and check its claims.

    A scenario describes one experiment: a network, a loss, an initialization, a final time and,
    optionally, step sizes of gradient descent. The run contains the loss, W and its singular values
    along each flow and along gradient descent, their distances, and the diagnostics asked for.

    >>> run = flowsim.run("two-modes.toml", {"flow.rtol": 1e-10, "init.scale": 1e-3})
    >>> run["layers.loss"]                 # ℓ(W(t)), shape (time,)
    >>> run["descent.end_to_end"]          # shape (step_size, sample, d_N, d_0)
    >>> run["depth-2/layers.loss"]         # of the variant `depth-2`
    >>> run.summary["outcome"], run.summary["claims"]
    >>> list(run.paths())                  # of all variables

    A flow that cannot be finished and a step size that diverges are no errors: the run contains
    what was reached, and `run.summary` gives the reason and advice. After divergence values are
    nan or inf. Arrays are float64 and read-only; `run.variable("layers.loss").attributes` describes
    them.

    Parameters
    ----------
    scenario
        The name of a scenario in the catalog (`flowsim list`), the path of a scenario file, or a
        `Scenario` (see `read`).
    overrides
        Values that replace those of the file, by dotted key. A `Scenario` takes none.
    directory
        Folder for the run and its figures; it must be new or empty. By default nothing is written.
    force
        Whether to replace an existing run in `directory`.
    progress
        Called with the name of a task and the fraction of it that is done.

    Returns
    -------
    Run
        Variables by `"group.variable"`, and `summary`, a mapping with the content of
        `summary.json`. If it was written, `run.directory` is where.

    Raises
    ------
    ScenarioError
        If the scenario has mistakes, with all of them, or needs too much memory or time.
    CatalogError
        If there is no such scenario or file.
    ArchiveError
        If the run cannot be written to `directory`, raised before the simulation where possible. If
        it is raised afterwards, as by a full disk, its attribute `run` is the run.
    ValueError
        If a `Scenario` is given together with `overrides`.

    """
    from flowsim.experiment.plan.footprint import refuse_if_impossible
    from flowsim.problem import arguments

    arguments.optional(arguments.path)("directory", directory)
    arguments.truth("force", force)
    arguments.optional(arguments.function)("progress", progress)
    name, chosen, located = _named(scenario, overrides)
    from flowsim.experiment import provenance
    from flowsim.experiment import run as experiment
    from flowsim.experiment.repetition import Earlier
    from flowsim.solvers.monitor import SILENT, Monitor

    file = Path(scenario) if isinstance(scenario, str | Path) and not overrides else None
    earlier = Earlier.of(chosen, file, None if directory is None else Path(directory))

    def simulate() -> Run:
        run = experiment.run(chosen, name, monitor=Monitor(progress) if progress else SILENT)
        run = provenance.asked(run, "flowsim.run", overrides or {})
        return run if earlier is None else earlier.compared(run)

    with located:
        refuse_if_impossible(chosen)
        if directory is None:
            return simulate()
        from flowsim.experiment import figures
        from flowsim.results import archive

        with archive.reserve(directory, force=force) as place:
            run = simulate()
            try:
                archive.fill(place, run, figures.save_available)
            except archive.ArchiveError as error:
                error.run = run  # what took long to compute is not lost with the disk
                raise
        return archive.read(directory)


def _named(
    scenario: Scenario | str | Path, overrides: Mapping[str, Any] | None
) -> tuple[str, Scenario, AbstractContextManager[None]]:
    """Return the name, the scenario, and a context that adds file and line to later mistakes."""
    from flowsim.experiment.plan.reading import check, read
    from flowsim.problem.arguments import instance_of
    from flowsim.scenario.reading import located
    from flowsim.scenario.spec.scenario import Scenario

    kinds, required = (str, os.PathLike, Scenario), "a name, a path or a Scenario"
    instance_of(kinds, required=required)("scenario", scenario)
    if isinstance(scenario, Scenario):
        if overrides:
            raise ValueError("A Scenario takes no overrides; pass them to flowsim.read instead.")
        check(scenario)
        return "scenario", scenario, nullcontext()
    from flowsim.scenario import catalog

    path, replaced = catalog.resolve(scenario), {} if overrides is None else overrides
    return path.stem, read(path, replaced), located(path, replaced)


def plot(run: Run | str | Path, name: str | None = None) -> Figure:
    """Return a Matplotlib figure of a run; nothing is simulated.

    >>> flowsim.plot(run)                                # the leading figure
    >>> flowsim.plot("runs/two-modes-1f2e3d4c", "loss")  # of a run on disk
    >>> flowsim.figures.available(run)                   # the names of all figures of a run

    The headline states the finding. `figure.savefig("loss.pdf")` saves the figure; your own
    Matplotlib settings are neither used nor changed.

    Parameters
    ----------
    run
        A `Run`, or the directory of one.
    name
        The figure; by default the one that the scenario names in `[output] figure`, else the first
        available one.

    Raises
    ------
    ValueError
        If there is no such figure, or it is unavailable for the run, with the reason.
    ArchiveError
        If the directory contains no intact run.

    """
    from flowsim.experiment import figures
    from flowsim.problem import arguments
    from flowsim.results import archive
    from flowsim.results.run import Run

    kinds, required = (str, os.PathLike, Run), "a Run or the directory of one"
    arguments.instance_of(kinds, required=required)("run", run)
    arguments.optional(arguments.instance_of(str, required="a name"))("name", name)
    drawn = run if isinstance(run, Run) else archive.read(run)
    return figures.draw(drawn, figures.lead(drawn) if name is None else name)


def __getattr__(name: str) -> Any:
    """Return a public name, imported at its first use (PEP 562)."""
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("flowsim")
        except PackageNotFoundError:
            return "unknown (not installed)"
    from flowsim.problem.environment import quiet

    with quiet:  # libraries warn while they are imported, and warnings may be errors
        if name in _HOMES:
            return getattr(import_module(_HOMES[name]), name)
        if name in _MODULES:
            return import_module(_MODULES[name])
    raise AttributeError(f"module 'flowsim' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
