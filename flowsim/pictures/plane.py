"""The path of the end-to-end matrix in a plane, over contours of the loss.

Flows are lines; each step size of descent has its colour, its iterates as dots, and an arrowhead
where it leaves the frame.
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from flowsim.pictures import loss
from flowsim.pictures.kit import (
    contours,
    curves,
    layout,
    reading,
    scales,
    style,
    trajectories,
)
from flowsim.pictures.kit.trajectories import flow_paths, largest_distance, path_length
from flowsim.pictures.kit.words import join_words, number, percent
from flowsim.results.run import Run
from flowsim.scenario.spec.python import PythonLoss

SCALE_ROOM = 0.66
WIDE = layout.MIDDLE - layout.LEFT - SCALE_ROOM
TALLEST, LOWEST = 2.5, 1.5
"""Bounds on the height of a single panel in inches."""
PATH: style.LineStyle = {"color": "black", "linewidth": 1.8, "zorder": 3}
DASHES = ((0, (3, 1.2)), (0, (1, 1)), (0, (5, 1, 1, 1)))
SINGLE_DESCENT: style.LineStyle = {
    "marker": "o", "color": style.OKABE_ITO[0], "markersize": 2.9, "markeredgewidth": 0,
    "linewidth": 0.8,
}  # fmt: skip
START: style.LineStyle = {
    "marker": "o", "color": "black", "markerfacecolor": "white", "markersize": 5,
    "linestyle": "none", "zorder": 6,
}  # fmt: skip
END: style.LineStyle = {
    "marker": "*", "color": "black", "markerfacecolor": "#F0E442", "markersize": 8,
    "linestyle": "none", "zorder": 6,
}  # fmt: skip


def why_unavailable(run: Run) -> str | None:
    """Return the reason why the figure is unavailable, or None."""
    if "plane" not in run.groups:
        return why_no_plane(run)
    missing = reading.why_missing(run, "plane.u", "plane.v", "plane.loss")
    if missing or any(reading.has_numbers(run, f"plane.{space}") for space in reading.FLOWS):
        return missing
    return "no flow of the run lies in the plane"


def why_no_plane(run: Run) -> str | None:
    """Return the reason why no plane can be computed of a run without one, or None."""
    if reason := reading.why_no_flow(run, "end_to_end"):
        return reason
    times, *shape = run.variable(f"{reading.flows_with(run, 'end_to_end')[0]}.end_to_end").shape
    if run.scenario.loss.has("on_layers"):
        return "its loss depends on the layers themselves, and is no function of W"
    if shape == [1, 1]:
        return "W is a single number, whose path lies in no plane"
    if times < 2 and not run.scenario.output.plane_entries:
        return 'W is saved at a single time; set output.end_to_end = "all" and simulate again'
    if isinstance(run.scenario.loss, PythonLoss) and run.scenario.loss.problem is None:
        return "its loss was given in Python, and is not in the folder; set output.plane = true"
    return None


def has_descent(run: Run) -> bool:
    """Whether a run has gradient descent in the plane."""
    return reading.has_numbers(run, "plane.descent")


def draw(subject: reading.Subject) -> layout.PanelGrid:
    """Draw contours of the loss, the paths of the flows, and descent coloured by η."""
    run, parts = subject.run, subject.parts
    descending = list(filter(has_descent, parts.values()))
    scale = scales.step_size_scale(descending)
    grid = layout.panel_grid(
        subject,
        legend=legend(parts),
        steps=scale,
        right=layout.RIGHT if run.variants else SCALE_ROOM,
        gap=layout.OWN_AXIS,
        width=None if run.variants else layout.MIDDLE,
        tall=None if run.variants else panel_height(run, WIDE),
    )
    for panel, part in zip(grid.panels, parts.values(), strict=True):
        filled = contours.draw(panel, part)
        fit_frame(panel, part)
        if part in descending:
            shades = step_size_colours(scale, descending)
            trajectories.TrajectoryArtists(
                panel, trajectories.trajectories(part, panel, shades, part["plane.descent"])
            )
        contours.draw_minimum(panel, part)
        draw_paths(panel, part)
        if filled is not None and not run.variants:
            contours.draw_colour_scale(grid.add_scale_axes(), grid.figure, filled, part)
    return grid


def legend(parts: dict[str, Run]) -> dict[str, style.LineStyle]:
    """Return the legend of paths, their ends, the minimum, and descent at a single step size."""
    first, others = reading.legend_names([list(flow_paths(part)) for part in parts.values()])
    lines = {first: PATH} | {name: path_style(k) for k, name in enumerate(others, start=1)}
    marks = {"initialization": START, "final point of the flow": END} | contours.minimum_legend(
        list(parts.values())
    )
    descending = list(filter(has_descent, parts.values()))
    steps = curves.step_size_legend(descending)
    alone = dict.fromkeys(steps, SINGLE_DESCENT) if len(steps) == 1 else {}
    away = (
        {"leaves the frame": trajectories.EXIT_MARKER} if any(map(leaves_frame, descending)) else {}
    )
    return lines | marks | alone | away


def leaves_frame(run: Run) -> bool:
    """Whether descent ends outside the frame, or diverges, at any step size."""
    last, u, v = run["plane.descent"][:, -1], run["plane.u"], run["plane.v"]
    with np.errstate(invalid="ignore"):
        inside = (last >= [u.min(), v.min()]) & (last <= [u.max(), v.max()])
    return not inside.all()


def path_style(rank: int) -> style.LineStyle:
    """Return the line style of a flow's path: bold for the reference, dashed for the others."""
    dashes = {"linewidth": 1.0, "linestyle": DASHES[(rank - 1) % len(DASHES)]}
    return {**PATH, **dashes} if rank else PATH


def draw_paths(panel: Axes, run: Run) -> None:
    """Draw the flows' paths; mark initialization and final point of the reference flow."""
    found = flow_paths(run)
    for k, path in enumerate(found.values()):
        panel.plot(path[:, 0], path[:, 1], **path_style(k))
    draw_start(panel, run)
    panel.plot(*path_ends(run)[1], **END)


def draw_start(panel: Axes, run: Run) -> None:
    """Mark the initialization of the reference flow."""
    panel.plot(*path_ends(run)[0], **START)


def path_ends(run: Run) -> np.ndarray:
    """Return the first and the last point of the reference flow, shape (end, axis)."""
    first = next(iter(flow_paths(run).values()))
    return np.asarray(first[np.isfinite(first).all(axis=1)][[0, -1]])


def panel_height(run: Run, wide: float) -> float:
    """Return the height in inches that fits the frame to a panel of width `wide`, within bounds."""
    # in whole pixels of 0.005 in, as all lengths of the layout
    return float(np.clip(round(wide * aspect_ratio(run) / 0.005) * 0.005, LOWEST, TALLEST))


def aspect_ratio(run: Run) -> float:
    """Return the height of the frame over its width."""
    return float(np.ptp(run["plane.v"]) / np.ptp(run["plane.u"]))


def fit_frame(panel: Axes, run: Run) -> None:
    """Fit the axes to the plane and label them; entries of W have one scale on both axes."""
    u, v = run["plane.u"], run["plane.v"]
    panel.set(xlim=(u.min(), u.max()), ylim=(v.min(), v.max()))
    if run.scenario.output.plane_entries:
        # entries of W have one scale, so that distances in the picture are proportional
        layout.set_aspect(panel, aspect_ratio(run))
    for axis, name in ((panel.xaxis, "u"), (panel.yaxis, "v")):
        variable = run.variable(f"plane.{name}")
        axis.set_label_text(str(variable.attributes.get("long_name", name)))
        curves.round_ticks(axis, 6 if layout.panel_size(panel)[0] > 1.6 else 4)
    panel.grid(visible=False)


def step_size_colours(scale: scales.StepScale | None, runs: list[Run]) -> dict[float, str]:
    """Return the colour of each step size."""
    if scale is None:
        return dict.fromkeys(reading.all_step_sizes(runs).tolist(), style.OKABE_ITO[0])
    return dict(zip(scale.sizes.tolist(), scale.colours(), strict=True))


def headline(run: Run) -> str:
    """Return how far completed descent deviates from the flow's path, within the plane."""
    path = next(iter(flow_paths(run).values()))
    total = path_length(path)
    if not has_descent(run) or not total:
        return describe_path(run)
    lost, sizes = reading.diverged(run), reading.step_sizes(run)
    known = np.isfinite(run["plane.descent"]).any(axis=(1, 2))
    # step sizes that completed, ascending
    done = [int(k) for k in np.argsort(sizes) if known[k] and not lost[k]]
    if not done:
        return "Gradient descent diverges at every step size"
    low, high = (
        percent(largest_distance(path, run["plane.descent"][k]) / total)
        for k in (done[0], done[-1])
    )
    sentence = "In this plane gradient descent deviates from the flow's path by up to "
    sentence += f"{low} of its length at η = {number(float(sizes[done[0]]))}"
    if len(done) > 1:
        sentence += f", {high} at η = {number(float(sizes[done[-1]]))}"
    divergence = loss.describe_divergence(run)
    return sentence + (f"; {divergence}" if lost.any() else "")


def describe_path(run: Run) -> str:
    """Return how the loss changes along the path, for runs without descent."""
    if not reading.flows_with(run, "loss"):
        return "The path of the end-to-end matrix over the loss"
    change = reading.describe_change(reading.first_flow(run, "loss"))
    return f"Along the path of the flow the loss {change}"


def over_variants(parts: dict[str, Run]) -> str:
    """Return the length of each variant's path in the plane."""
    lengths = (
        (name, path_length(next(iter(flow_paths(part).values())))) for name, part in parts.items()
    )
    sentence = join_words((f"{name} {number(total)}" for name, total in lengths), most=5)
    return f"Length of the flow's path in the plane: {sentence}"
