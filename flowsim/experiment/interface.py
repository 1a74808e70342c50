"""The run of a scenario or a problem, as it is called from Python."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowsim.dynamics.rules import GivenRule
from flowsim.experiment import provenance
from flowsim.experiment import run as experiment
from flowsim.experiment.figure_selection import Selection, save_selected
from flowsim.experiment.plan.footprint import refuse_if_impossible
from flowsim.experiment.plan.posing import pose
from flowsim.experiment.plan.reading import check, read
from flowsim.experiment.repetition import Earlier
from flowsim.problem import arguments
from flowsim.problem.problem import Problem
from flowsim.results import archive
from flowsim.results.run import Run
from flowsim.scenario import catalog
from flowsim.scenario.reading import located
from flowsim.scenario.spec.claim import Claim
from flowsim.scenario.spec.scenario import Scenario
from flowsim.solvers.monitor import SILENT, Monitor

if TYPE_CHECKING:
    pass


def run(
    scenario: Scenario | Problem | str | Path,
    overrides: Mapping[str, Any] | None = None,
    *,
    spaces: Sequence[str] | None = None,
    step_sizes: Sequence[float] | Mapping[str, Any] | None = None,
    rule: GivenRule | None = None,
    measures: Sequence[str] | None = None,
    claims: Sequence[Claim | Mapping[str, Any]] | None = None,
    figures: str | Sequence[str] | None = None,
    directory: str | Path | None = None,
    force: bool = False,
    progress: Callable[[str, float], None] | None = None,
) -> Run:
    """Simulate a scenario, or a problem from Python, and check its claims.

    A scenario describes one experiment: a network, a loss, an initialization, a final time and,
    optionally, step sizes of gradient descent. The run contains the loss, W and its singular values
    along each flow and along gradient descent, their distances, and the diagnostics asked for.

    >>> run = flowsim.run("two-modes.toml", {"flow.rtol": 1e-10, "init.scale": 1e-3})
    >>> run["layers.loss"]                 # ℓ(W(t)), shape (time,)
    >>> run["descent.end_to_end"]          # shape (step_size, sample, d_N, d_0)
    >>> run["depth-2/layers.loss"]         # of the variant `depth-2`
    >>> run.summary["outcome"], run.summary["claims"]
    >>> list(run.paths())                  # of all variables

    A problem runs as a scenario does: with the loss and the layers that it has, and defaults for
    all else.

    >>> problem = flowsim.Problem(lambda W: jnp.sum(jnp.log(jnp.cosh(W - Phi))), layers, 10.0)
    >>> run = flowsim.run(problem, step_sizes=[0.1, 0.01], measures=["sharpness"])
    >>> flowsim.plot(run, "sharpness")

    A flow that cannot be finished and a step size that diverges are no errors: the run contains
    what was reached, and `run.summary` gives the reason and advice. After divergence values are
    nan or inf. Arrays are float64 and read-only; `run.variable("layers.loss").attributes` describes
    them.

    Parameters
    ----------
    scenario
        The name of a scenario in the catalog (`flowsim list`), the path of a scenario file, a
        `Scenario` (see `read`), or a `Problem`.
    overrides
        Values that replace those of the file, or the defaults of a problem, by dotted key. A
        `Scenario` takes none.
    rule
        The update rule of gradient descent, as `descend` takes it. Of a scenario it is the name of
        one, short for the override `"descent.rule"`.
    spaces, step_sizes, measures, claims
        Short for the overrides `"flow.spaces"`, `"descent.step_sizes"`, `"output.measures"` and
        `"claims"`.
    figures
        The figures to draw into `directory`: `"all"`, `"none"` or names; by default the leading
        figure.
    directory
        Folder for the run and its figures; it must be new or empty. By default nothing is written.
        Of a problem, a loss that no file can hold is described in words and hashed: such a run can
        be read and drawn, but not be simulated again from the folder alone.
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
        If a `Scenario` is given together with `overrides`, or if there is no such figure.

    """
    arguments.optional(arguments.path)("directory", directory)
    arguments.truth("force", force)
    arguments.optional(arguments.function)("progress", progress)
    selection = Selection.of(figures)
    replaced = _overrides(overrides, spaces, step_sizes, measures, claims)
    name, chosen, place = _named(scenario, replaced, rule)
    file = Path(scenario) if isinstance(scenario, str | Path) and not replaced else None
    earlier = Earlier.of(chosen, file, None if directory is None else Path(directory))

    monitor = Monitor(progress) if progress else SILENT

    def simulate() -> Run:
        run = experiment.run(chosen, name, monitor=monitor)
        run = provenance.asked(run, "flowsim.run", replaced)
        return run if earlier is None else earlier.compared(run)

    with place:
        refuse_if_impossible(chosen)
        if directory is None:
            return simulate()
        with archive.reserve(directory, force=force) as reserved:
            run = selection.completed(simulate(), monitor)
            save = partial(save_selected, selection=selection, whole=run)
            try:
                archive.fill(reserved, run, save if selection.which else None)
            except archive.ArchiveError as error:
                error.run = run  # what took long to compute is not lost with the disk
                raise
        return archive.read(directory)


def _overrides(
    overrides: Mapping[str, Any] | None,
    spaces: Sequence[str] | None,
    step_sizes: Sequence[float] | Mapping[str, Any] | None,
    measures: Sequence[str] | None,
    claims: Sequence[Claim | Mapping[str, Any]] | None,
) -> Mapping[str, Any]:
    """Return all overrides by their keys, those with names of their own last."""
    named = {
        "flow.spaces": spaces,
        "descent.step_sizes": step_sizes,
        "output.measures": measures,
        "claims": claims and [_as_data(claim) for claim in claims],
    }
    given = {key: value for key, value in named.items() if value is not None}
    if not given:
        return {} if overrides is None else overrides
    return {**(overrides or {}), **given}


def _as_data(claim: Claim | Mapping[str, Any]) -> Mapping[str, Any]:
    return claim.model_dump(exclude_none=True) if isinstance(claim, Claim) else claim


def _named(
    scenario: Scenario | Problem | str | Path,
    overrides: Mapping[str, Any],
    rule: GivenRule | None,
) -> tuple[str, Scenario, AbstractContextManager[None]]:
    """Return the name, the scenario, and a context that adds file and line to later mistakes."""
    kinds, required = (str, os.PathLike, Scenario, Problem), "a name, a path, a Scenario or Problem"
    arguments.instance_of(kinds, required=required)("scenario", scenario)
    if isinstance(scenario, Problem):
        return "problem", pose(scenario, overrides, rule), nullcontext()
    if rule is not None:
        name = arguments.instance_of(str, required="the name of a rule, unless a Problem is run")
        overrides = {**overrides, "descent.rule": name("rule", rule)}
    if isinstance(scenario, Scenario):
        if overrides:
            raise ValueError("A Scenario takes no overrides; pass them to flowsim.read instead.")
        check(scenario)
        return "scenario", scenario, nullcontext()
    path = catalog.resolve(scenario)
    return path.stem, read(path, overrides), located(path, overrides)
