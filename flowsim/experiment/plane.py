"""The group `/plane` of a run: the paths in a plane of end-to-end matrices and the loss over it.

It is computed where a scenario asks for it, by `[output] plane` or a claim, and where the figure
`plane` is drawn of a run that lacks it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from flowsim.experiment import loss_plane
from flowsim.experiment.plan.variables import VARIABLES
from flowsim.experiment.repetition import checksums, differing
from flowsim.problem.losses import Loss
from flowsim.process.environment import computing, threads_for
from flowsim.results.run import Group, Run, Variable, group, with_attribute
from flowsim.scenario.build.problem import training
from flowsim.solvers.monitor import SILENT, Monitor
from flowsim.solvers.storage import Series, in_batches

if TYPE_CHECKING:
    from flowsim.scenario.spec.claim import Claim
    from flowsim.scenario.spec.scenario import Scenario


def asked_for(scenario: Scenario, claims: Iterable[Claim], variant: str) -> bool:
    """Return whether a scenario asks for the plane, or a claim on it, which is `variant`, does."""
    group = f"{variant}/plane" if variant else "plane"
    claimed = {path.rpartition(".")[0] for claim in claims for path in claim.quantities}
    return bool(scenario.output.plane) or group in claimed


@computing()
def completed(run: Run, monitor: Monitor = SILENT) -> Run:
    """Return a run with the plane of each of its parts, computed from W where it is not stored.

    Raises
    ------
    ValueError
        If the loss is not that of the run, because other versions of libraries draw other random
        numbers.

    """
    variants = {name: completed(part, monitor.named(name)) for name, part in run.variants.items()}
    run = replace(run, variants=variants)
    if run.variants or "plane" in run.groups:
        return run
    monitor.named("plane").report(0.0)
    loss, _ = training(run.scenario)
    drawn = checksums(run.scenario, loss)
    if other := differing(drawn, run.summary.get("drawn", {})):
        raise ValueError(
            f"The loss of {run.name!r} cannot be computed: random draws differ from those of the "
            f"run ({', '.join(other)}), because versions of libraries do; simulate again"
        )
    with threads_for(run.scenario.network.widths):
        plane = plane_group(run.scenario, loss, run.groups)
    return replace(run, groups={**run.groups, "plane": plane}) if plane else run


def plane_group(scenario: Scenario, loss: Loss, groups: Mapping[str, Group]) -> Group:
    """Return the paths of flows and descent in a plane, and the loss over it.

    The plane is that of two entries of W where the scenario names them, else that of the principal
    directions of the layer flow, or of the first flow without one. Empty where there is no plane,
    and for a loss that depends on the layers themselves.
    """
    path, entries = _reference(scenario, groups), scenario.output.plane_entries
    if path is None or loss.on_layers:
        return {}
    chosen = (
        loss_plane.entries_plane(path, entries) if entries else loss_plane.principal_plane(path)
    )
    if chosen is None:
        return {}
    flows = {space: groups[space] for space in scenario.flow.spaces if space in groups}
    coordinates = {
        space: in_batches(chosen.coordinates, _matrices(flow)) for space, flow in flows.items()
    }
    times = {f"{space}_time": _saved_times(flow) for space, flow in flows.items()}
    iterates, fan = {}, []
    if "descent" in groups:
        descent = groups["descent"]
        points = in_batches(chosen.coordinates, _matrices(descent))
        iterates = {"step_size": descent["step_size"].values, "descent": points}
        # only step sizes that do not diverge extend the frame
        outcomes = zip(points, descent["outcome"].values, strict=True)
        fan = [path for path, outcome in outcomes if outcome == "completed"]
    least = loss_plane.LEAST_OF_ENTRIES if entries else loss_plane.LEAST
    paths = list(coordinates.values())
    size = max(float(np.linalg.norm(path[k])) for k in (0, -1)) or 1.0
    u, v = loss_plane.grid(paths, loss, path.shape[1], fan=fan, least=least, size=size)
    values = chosen.loss(loss, u, v)
    bottom = loss_plane.lowest(chosen, loss, u, v, values)
    arrays = {**coordinates, **times, **iterates, "u": u, "v": v, "loss": values}
    arrays |= {"lowest_loss": np.array(bottom.loss), "minimum": bottom.ends}
    axes = dict(zip(("u", "v"), chosen.labels, strict=True))
    return with_attribute("long_name", axes, group(VARIABLES["plane"], arrays))


def _reference(scenario: Scenario, groups: Mapping[str, Group]) -> Series | None:
    """Return W along the layer flow, or along the first flow without one; None without a flow."""
    flows = [space for space in scenario.flow.spaces if space in groups]
    if not flows:
        return None
    return _matrices(groups["layers" if "layers" in flows else flows[0]])


def _matrices(flow: Group) -> Series:
    """Return the W that are stored of a flow or of descent."""
    held = flow["end_to_end"].held
    return held if isinstance(held, Series) else Series.of(held)


def _saved_times(flow: Group) -> np.ndarray:
    """Return the times at which W is stored."""
    saved: Variable = flow.get("saved_time", flow["time"])
    return saved.values
