"""See how deep linear networks learn: gradient flow, its end-to-end reduction, gradient descent.

>>> import flowsim
>>> run = flowsim.run("saddle-to-saddle")
>>> run["layers.loss"]
>>> flowsim.plot(run, "loss")
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from flowsim.experiment import figures
    from flowsim.problem import initialization as inits
    from flowsim.problem import losses
    from flowsim.problem.problem import Problem
    from flowsim.results.archive import load
    from flowsim.results.run import Run
    from flowsim.scenario import Scenario
    from flowsim.solvers import methods
    from flowsim.solvers.descend import descend
    from flowsim.solvers.solve import solve

    __version__: str

__all__ = [
    "Problem",
    "Scenario",
    "__version__",
    "descend",
    "figures",
    "inits",
    "load",
    "losses",
    "methods",
    "plot",
    "run",
    "solve",
]

_HOMES = {
    "Problem": "flowsim.problem.problem",
    "Scenario": "flowsim.scenario",
    "descend": "flowsim.solvers.descend",
    "load": "flowsim.results.archive",
    "solve": "flowsim.solvers.solve",
}
"""The modules of the public functions and classes."""

_MODULES = {
    "figures": "flowsim.experiment.figures",
    "inits": "flowsim.problem.initialization",
    "losses": "flowsim.problem.losses",
    "methods": "flowsim.solvers.methods",
}
"""The public modules."""


def run(
    scenario: Scenario | str | Path,
    overrides: Mapping[str, Any] | None = None,
    *,
    directory: str | Path | None = None,
    force: bool = False,
    progress: Callable[[str, float], None] | None = None,
) -> Run:
    """Simulate a scenario: every dynamics and step size from the same start, compared.

    Parameters
    ----------
    scenario
        A `Scenario`, the name of one in the catalog, or the path of a scenario file.
    overrides
        Values to replace by dotted key, as in `{"flow.rtol": 1e-6}`; of named scenarios and
        files only.
    directory
        Where to write the run and its figures; by default nothing is written.
    force
        Whether to replace a run that lies in `directory`.
    progress
        Is called with what is being done and the fraction of it that is done.

    Raises
    ------
    ScenarioError
        If the scenario has mistakes or needs more memory than there is, all of them said.
    CatalogError
        If there is no such scenario or file.
    ArchiveError
        If the run cannot be written to `directory`, said before anything is simulated where
        that is known then.

    """
    from flowsim.experiment.plan.footprint import refuse_if_impossible

    name, chosen = _named(scenario, overrides)
    refuse_if_impossible(chosen)
    from flowsim.experiment import run as experiment
    from flowsim.solvers.monitor import SILENT, Monitor

    def simulate() -> Run:
        return experiment.run(chosen, name, monitor=Monitor(progress) if progress else SILENT)

    if directory is None:
        return simulate()
    from flowsim.experiment import figures
    from flowsim.results import archive

    with archive.reserve(directory, force=force) as place:
        archive.fill(place, simulate(), figures.save)
    return archive.read(directory)


def _named(
    scenario: Scenario | str | Path, overrides: Mapping[str, Any] | None
) -> tuple[str, Scenario]:
    """Return a scenario together with its name."""
    from flowsim.experiment.plan.reading import check, read

    if not isinstance(scenario, str | Path):
        if overrides:
            raise ValueError("A Scenario takes no overrides; read it with them instead.")
        check(scenario)
        return "scenario", scenario
    from flowsim.scenario import catalog

    path = catalog.resolve(scenario)
    return path.stem, read(path, dict(overrides or {}))


def plot(run: Run | str | Path, name: str | None = None) -> Figure:
    """Draw a figure of a run.

    Parameters
    ----------
    run
        A `Run`, or the directory of one.
    name
        Which figure (`flowsim.experiment.figures.available(run)` names them all); by default
        the one that stands for the run.

    Raises
    ------
    ValueError
        If there is no such figure or it does not fit the run.
    ArchiveError
        If no intact run lies in the directory.

    """
    from flowsim.experiment import figures
    from flowsim.results import archive

    drawn = archive.read(run) if isinstance(run, str | Path) else run
    return figures.draw(drawn, figures.lead(drawn) if name is None else name)


def __getattr__(name: str) -> Any:
    """Import what is asked for only then (PEP 562)."""
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("flowsim")
        except PackageNotFoundError:
            return "unknown (not installed)"
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name in _MODULES:
        return import_module(_MODULES[name])
    raise AttributeError(f"module 'flowsim' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
