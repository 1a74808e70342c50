"""The preconditioner P_W over time: its eigenvalues K beside the singular values, and as maps.

K_rc weights the gradient along u_r v_cᵀ: depth amplifies dominant singular directions. With
variants, the fractions of Ẇ and of the gradient in the leading modes of each.
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.ticker import LogLocator, MaxNLocator

from flowsim.pictures.kit import curves, layout, reading, style
from flowsim.pictures.kit.words import join_words, number, percent
from flowsim.pictures.singular_values import TOP_MODES, coloured_modes, draw_modes, name_modes
from flowsim.results.run import Run

MAPS, MAP_TALL, MAP_WIDE, MAP_GAP = 4, 1.2, 1.2, 0.27
ROOM = MAP_TALL + layout.NAME_LINE + layout.AXIS_LINE
FEW_MODES = 3
"""Fractions are drawn for this many leading blocks."""

DIAGONAL: style.LineStyle = {"color": "#666666", "linewidth": 1.9}
OTHERS: style.LineStyle = {"color": "#a8a8a8", "linewidth": 0.5, "zorder": 1.5}
MAP_TIME: style.LineStyle = {"color": style.INK, "linewidth": 0.7, "linestyle": (0, (1, 2))}
ZERO = "#e6e6e6"
DASHED = (0, (3, 1.5))


def why_unavailable(run: Run) -> str | None:
    """Return the reason why the figure is unavailable, or None."""
    return reading.why_missing(run, "preconditioner.eigenvalues") or reading.why_no_flow(
        run, "singular_values"
    )


def draw(subject: reading.Subject) -> layout.PanelGrid:
    """Draw σ_r(t) beside K_rc(t), and K at four times; of variants the fractions."""
    return draw_variants(subject) if subject.run.variants else draw_plain(subject)


def draw_plain(subject: reading.Subject) -> layout.PanelGrid:
    """Draw one run."""
    run = subject.run
    legend = {
        reading.FLOWS[reading.flows_with(run, "singular_values")[0]]: {"color": "#666666"},
        "Kᵣᵣ = N σᵣ²⁻²ᐟᴺ": DIAGONAL,
        "K of two different modes, or of one and a null vector": OTHERS,
        "times of the maps": MAP_TIME,
    }
    grid = layout.panel_grid(
        subject, panels=2, legend=legend, gap=layout.OWN_AXIS + 0.25, under=ROOM
    )
    colours = style.colours(coloured_modes(run))
    spectrum, eigenvalues = grid.panels
    curves.fit_time_axis(grid.panels, reading.flow_times(run), reading.has_log_times([run]))
    flows = reading.flows_with(run, "singular_values")
    curves.plain_axis([spectrum], [run[f"{space}.singular_values"] for space in flows])
    draw_modes(spectrum, run, colours)
    name_modes(spectrum, run, colours)
    draw_eigenvalues(eigenvalues, run, colours)
    spectrum.set(xlabel="time t", ylabel="singular values of W")
    eigenvalues.set(xlabel="time t", ylabel=r"eigenvalues $K_{rc}$ of $P_W$")
    draw_maps(grid, run, map_times(run))
    return grid


def draw_eigenvalues(panel: Axes, run: Run, colours: list[str]) -> None:
    """Draw K_rr in the colours of the modes, and K_rc thin and grey."""
    time, K = run["preconditioner.time"], run["preconditioner.eigenvalues"]
    K = K[:, :TOP_MODES, :TOP_MODES]
    curves.log_axis([panel], [K])
    for r in range(K.shape[1]):
        for c in range(K.shape[2]):
            on_diagonal = r == c and r < len(colours)
            line_style = {**DIAGONAL, "color": colours[r]} if on_diagonal else OTHERS
            curves.plot(panel, time, K[:, r, c], line_style)
    for i in map_times(run):
        if panel.get_xscale() == "linear" or time[i] > 0:
            panel.axvline(time[i], **MAP_TIME)


def map_times(run: Run) -> list[int]:
    """Return the indices of up to four times, equally spaced in the path length of all √K_rr.

    √K grows like a weight, so that steps of equal length show each phase of learning.
    """
    root = np.sqrt(run["preconditioner.effective_step"])
    known = np.flatnonzero(np.isfinite(root).all(axis=1))
    moved = np.abs(np.diff(root[known], axis=0)).sum(axis=1)
    path = np.concatenate([[0.0], np.cumsum(moved)])
    if not path[-1] > 0:
        return [int(known[0])]
    targets = path[-1] * np.linspace(0, 1, MAPS)
    # a set: where few times are saved, neighbouring targets have the same one
    nearest = {int(known[np.searchsorted(path, level)]) for level in targets[:-1]}
    return sorted(nearest | {int(known[-1])})


def draw_maps(grid: layout.PanelGrid, run: Run, indices: list[int]) -> None:
    """Draw K at these times as maps with one logarithmic colour scale; zeros are grey."""
    time, K = run["preconditioner.time"], run["preconditioner.eigenvalues"][indices]
    low, high = curves.log_limits(curves.finite_values([K])) or (
        0.5 * np.nanmax(K),
        2 * np.nanmax(K),
    )
    norm = LogNorm(low, high) if high > 0 else LogNorm(0.5, 2)
    palette = ListedColormap(style.shades(np.linspace(0, 1, 256)))
    places = grid.add_row(len(indices), MAP_TALL, MAP_WIDE, MAP_GAP)
    for panel, i, values in zip(places, indices, K, strict=True):
        panel.set_facecolor(ZERO)
        edges = [np.arange(size + 1) + 0.5 for size in values.shape]
        # zeros are masked; positive values below the scale take its lowest colour
        shown = np.ma.masked_less_equal(np.maximum(values, np.where(values > 0, low, 0)), 0)
        panel.pcolormesh(
            edges[1],
            edges[0],
            shown,
            cmap=palette,
            norm=norm,
            edgecolors="white",
            linewidth=0.5 if max(values.shape) <= TOP_MODES else 0,
        )
        panel.set(ylim=edges[0][[-1, 0]], xlabel=r"right vector $v_c$")
        panel.set_title(f"K at t = {number(time[i])}", loc="left")
        for axis in (panel.xaxis, panel.yaxis):
            axis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
        panel.grid(visible=False)
    places[0].set_ylabel(r"left vector $u_r$")
    scale = grid.add_scale_axes(places[-1])
    grid.figure.colorbar(ScalarMappable(norm, palette), cax=scale)
    scale.yaxis.set_major_locator(LogLocator(numticks=5))
    scale.grid(visible=False)


def draw_variants(subject: reading.Subject) -> layout.PanelGrid:
    """Draw of each variant the fractions of Ẇ and of the gradient in its leading blocks."""
    parts = subject.parts
    modes = min(FEW_MODES, max(p["preconditioner.movement_share"].shape[1] for p in parts.values()))
    colours = style.colours(modes)
    legend: dict[str, style.LineStyle] = {
        "fraction of Ẇ": {"color": "#666666"},
        "fraction of the gradient": {"color": "#666666", "linestyle": DASHED},
    }
    legend |= {f"first {k + 1}" if k else "first mode": {"color": c} for k, c in enumerate(colours)}
    grid = layout.panel_grid(subject, legend=legend)
    curves.time_axes(grid.panels, parts.values(), lambda part: [part["preconditioner.time"]])
    curves.plain_axis(grid.panels, [np.array([0.0, 1.0])])
    for panel, part in zip(grid.panels, parts.values(), strict=True):
        for name, dashes in (("movement_share", "-"), ("gradient_share", DASHED)):
            fractions = part[f"preconditioner.{name}"].T[:modes]
            for colour, fraction in zip(colours, fractions, strict=False):
                line_style = {"color": colour, "linestyle": dashes}
                curves.plot(panel, part["preconditioner.time"], fraction, line_style)
    grid.label("time t", "fraction in the leading modes")
    return grid


def largest_lead(run: Run) -> tuple[float, float, float, int]:
    """Return when Ẇ leads the gradient most: t, both fractions, and the number of modes."""
    moved, slope = (run[f"preconditioner.{name}_share"] for name in ("movement", "gradient"))
    if not np.isfinite(moved - slope).any():
        return np.nan, np.nan, np.nan, 0
    i, k = np.unravel_index(np.nanargmax(moved - slope), moved.shape)
    return float(run["preconditioner.time"][i]), float(moved[i, k]), float(slope[i, k]), int(k) + 1


def headline(run: Run) -> str:
    """Return where Ẇ is concentrated, and how the condition number of P changes."""
    time, moved, slope, k = largest_lead(run)
    change = reading.describe_change(run["preconditioner.condition_number"])
    condition = f"the condition number of P {change}"
    if not k:
        return condition[0].upper() + condition[1:]
    if moved - slope < 0.005:
        return f"Ẇ and the gradient have the same directions; {condition}"
    which = "the first mode has" if k == 1 else f"the first {k} modes have"
    return (
        f"At t = {number(time)} {which} {percent(moved)} of Ẇ and {percent(slope)} of the "
        f"gradient; {condition}"
    )


def over_variants(parts: dict[str, Run]) -> str:
    """Return how far Ẇ leads the gradient in each variant."""
    phrases = []
    for name, part in parts.items():
        _, moved, slope, k = largest_lead(part)
        if k:
            phrases.append(f"{name} {percent(moved)} vs. {percent(slope)}")
    listing = join_words(phrases, most=4) or "unknown"
    return f"Fraction of Ẇ and of the gradient in leading modes, where they differ most: {listing}"
