"""What is done with results from Python: they are measured, drawn and opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowsim.experiment.assembled import Assembled, Solved, as_run
from flowsim.experiment.figures import draw, lead
from flowsim.problem import arguments
from flowsim.results import archive
from flowsim.results.run import Group, Run
from flowsim.solvers.descent_trajectory import DescentTrajectory
from flowsim.solvers.trajectory import Trajectory
from flowsim.theory.registry import MEASURES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def measure(
    name: str,
    trajectory: Trajectory,
    *,
    descent: DescentTrajectory | None = None,
    **options: Any,
) -> Group:
    """Return the variables of a diagnostic of a trajectory, by their names.

    >>> flow = flowsim.solve(problem)
    >>> flowsim.measure("sharpness", flow)["largest"]                 # λ_max, shape (time,)
    >>> descent = flowsim.descend(problem, [0.1, 0.01], flow.times)
    >>> flowsim.measure("tracking_bound", flow, descent=descent)

    Where the diagnostic needs layers, or W at times at which it was not kept, the flow is solved
    again. `numpy.asarray` of a variable is its array; `dims` and `long_name` describe it.

    Parameters
    ----------
    name
        The diagnostic, as in `output.measures` (`flowsim schema` lists them).
    trajectory
        A solution of the flow.
    descent
        Gradient descent on the same problem, for diagnostics of descent.
    options
        Options of diagnostics in `[output]`, such as `noise_runs=1000`.

    Raises
    ------
    ValueError
        If there is no such diagnostic, it is not defined for the problem, with the reason, or
        descent is of another problem.

    """
    arguments.one_of("name", name, names=MEASURES)
    arguments.instance_of(Trajectory, required="a Trajectory, as flowsim.solve returns")(
        "trajectory", trajectory
    )
    of_descent = arguments.instance_of(
        DescentTrajectory, required="a DescentTrajectory, as flowsim.descend returns"
    )
    arguments.optional(of_descent)("descent", descent)
    solved: list[Solved] = [trajectory, *([] if descent is None else [descent])]
    return Assembled.of(solved).measure(name, options)


def plot(
    run: Run | str | Path | Solved | Sequence[Solved] | Mapping[str, Any],
    name: str | None = None,
    *,
    ax: Axes | None = None,
) -> Figure:
    """Return a Matplotlib figure of results; nothing is simulated.

    >>> flowsim.plot(run)                                # the leading figure
    >>> flowsim.plot("runs/two-modes-1f2e3d4c", "loss")  # of a run on disk
    >>> flowsim.plot([flow, descent], "loss")            # of trajectories of one problem
    >>> flowsim.plot({"N = 2": two, "N = 3": three})     # compared
    >>> flowsim.figures.available(run)                   # the names of all figures of a run

    The headline states the finding. `figure.savefig("loss.pdf")` saves the figure. Your Matplotlib
    settings are neither used nor changed.

    Parameters
    ----------
    run
        A `Run` or the directory of one; a trajectory of a flow, or a list of flows and descent of
        one problem; or a mapping from names to any of these, which are then compared.
    name
        The figure; by default the one that the scenario names in `[output] figure`, else the first
        available one.
    ax
        Axes of your own, into which a figure of one panel is drawn with its legend, without its
        headline.

    Raises
    ------
    ValueError
        If there is no such figure, it is unavailable for the run, with the reason, or it has
        several panels and `ax` is given.
    ArchiveError
        If the directory contains no intact run.

    """
    arguments.optional(arguments.instance_of(str, required="a name"))("name", name)
    drawn = as_run(run)
    return draw(drawn, lead(drawn) if name is None else name, ax=ax)


def open(directory: str | Path | Run) -> Run:
    """Return the `Run` in a directory, as `run` returned it; all its files are verified.

    A `Run` is returned as it is. `flowsim.load` returns the same as an xarray `DataTree`.

    Raises
    ------
    ArchiveError
        If there is no complete run, or a file differs from what was written.

    """
    return directory if isinstance(directory, Run) else archive.read(directory)
