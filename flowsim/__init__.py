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

    from flowsim.archive import load
    from flowsim.problem import Problem
    from flowsim.results import Run
    from flowsim.scenario import Scenario
    from flowsim.solving import solve

    __version__: str

__all__ = ["Problem", "Scenario", "__version__", "load", "plot", "run", "solve"]

_HOMES = {
    "Problem": "flowsim.problem",
    "Scenario": "flowsim.scenario",
    "load": "flowsim.archive",
    "solve": "flowsim.solving",
}


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
    from flowsim.scenario import refuse_if_impossible

    name, chosen = _named(scenario, overrides)
    refuse_if_impossible(chosen)
    from flowsim import experiment

    def simulate() -> Run:
        return experiment.run(chosen, name, progress=progress or (lambda _label, _fraction: None))

    if directory is None:
        return simulate()
    from flowsim import archive, figures

    with archive.reserve(directory, force=force) as place:
        archive.fill(place, simulate(), figures.save)
    return archive.read(directory)


def _named(
    scenario: Scenario | str | Path, overrides: Mapping[str, Any] | None
) -> tuple[str, Scenario]:
    """Return a scenario together with its name."""
    if not isinstance(scenario, str | Path):
        if overrides:
            raise ValueError("A Scenario takes no overrides; read it with them instead.")
        return "scenario", scenario
    from flowsim import catalog
    from flowsim.scenario import read

    path = catalog.resolve(scenario)
    return path.stem, read(path, dict(overrides or {}))


def plot(run: Run | str | Path, name: str | None = None) -> Figure:
    """Draw a figure of a run.

    Parameters
    ----------
    run
        A `Run`, or the directory of one.
    name
        Which figure (`flowsim.figures.fitting(run)` names those that fit); by default the one
        that stands for the run.

    Raises
    ------
    ValueError
        If there is no such figure or it does not fit the run.
    ArchiveError
        If no intact run lies in the directory.

    """
    from flowsim import archive, figures

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
    raise AttributeError(f"module 'flowsim' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
