"""The preconditioner P_W over time: its eigenvalues K beside the singular values, and as maps.

With variants, the shares of movement and gradient within the leading singular vectors of each.
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator

from flowsim.pictures.kit import curves, page, reading, style
from flowsim.pictures.kit.words import listed, number
from flowsim.pictures.singular_values import TOP_MODES, draw_modes, modes_of, name_modes
from flowsim.results.run import Run

MAPS, MAP_TALL, MAP_WIDE, MAP_GAP = 4, 1.2, 1.2, 0.27
ROOM = MAP_TALL + page.NAME_LINE + page.AXIS_LINE
FEW_MODES = 3
"""Shares are drawn of so many leading blocks."""

DIAGONAL: style.Pen = {"color": "#666666", "linewidth": 1.9}
OTHERS: style.Pen = {"color": "#a8a8a8", "linewidth": 0.5, "zorder": 1.5}
CHOSEN: style.Pen = {"color": style.INK, "linewidth": 0.7, "linestyle": (0, (1, 2))}
NOTHING = "#e6e6e6"
DASHED = (0, (3, 1.5))


def why_unavailable(run: Run) -> str | None:
    """Return the reason why the figure is unavailable, or None."""
    return reading.why_missing(run, "preconditioner.eigenvalues") or reading.why_no_flow(
        run, "singular_values"
    )


def draw(run: Run) -> Figure:
    """Draw σ_r(t) and K_rc(t) side by side, and K at four times; of variants their shares."""
    return draw_variants(run) if run.variants else draw_plain(run)


def draw_plain(run: Run) -> Figure:
    """Draw one run."""
    keys = {
        reading.FLOWS[reading.spaces(run, "singular_values")[0]]: {"color": "#666666"},
        "Kᵣᵣ = N σᵣ²⁻²ᐟᴺ": DIAGONAL,
        "K between two modes, or a mode and none": OTHERS,
        "times of the maps": CHOSEN,
    }
    sheet = page.open_page(
        run, headline(run), panels=2, keys=keys, gap=page.OWN_AXIS + 0.25, under=ROOM
    )
    colours = style.colours(modes_of(run))
    spectrum, eigenvalues = sheet.panels
    curves.time_axis(sheet.panels, reading.flow_times(run), reading.logarithmic([run]))
    flows = reading.spaces(run, "singular_values")
    curves.plain_axis([spectrum], [run[f"{space}.singular_values"] for space in flows])
    draw_modes(spectrum, run, colours)
    name_modes(spectrum, run, colours)
    draw_eigenvalues(eigenvalues, run, colours)
    spectrum.set(xlabel="time t", ylabel="singular values of W")
    eigenvalues.set(xlabel="time t", ylabel=r"eigenvalues $K_{rc}$ of $P_W$")
    draw_maps(sheet, run, chosen(run))
    return sheet.figure


def draw_eigenvalues(panel: Axes, run: Run, colours: list[str]) -> None:
    """Draw K_rr in the colours of the modes, and K_rc thin and grey."""
    time, K = run["preconditioner.time"], run["preconditioner.eigenvalues"]
    K = K[:, :TOP_MODES, :TOP_MODES]
    curves.log_axis([panel], [K])
    for r in range(K.shape[1]):
        for c in range(K.shape[2]):
            on_diagonal = r == c and r < len(colours)
            pen = {**DIAGONAL, "color": colours[r]} if on_diagonal else OTHERS
            curves.plot(panel, time, K[:, r, c], pen)
    for i in chosen(run):
        if panel.get_xscale() == "linear" or time[i] > 0:
            panel.axvline(time[i], **CHOSEN)


def chosen(run: Run) -> list[int]:
    """Return the indices of up to four times: the ends, and thirds of the way of all √K_rr."""
    root = np.sqrt(run["preconditioner.effective_step"])
    known = np.flatnonzero(np.isfinite(root).all(axis=1))
    moved = np.abs(np.diff(root[known], axis=0)).sum(axis=1)
    path = np.concatenate([[0.0], np.cumsum(moved)])
    if not path[-1] > 0:
        return [int(known[0])]
    wanted = path[-1] * np.linspace(0, 1, MAPS)
    nearest = {int(known[np.searchsorted(path, level)]) for level in wanted[:-1]}
    return sorted(nearest | {int(known[-1])})


def draw_maps(sheet: page.Page, run: Run, indices: list[int]) -> None:
    """Draw K at these times as maps of one logarithmic colour scale; zeros are grey."""
    time, K = run["preconditioner.time"], run["preconditioner.eigenvalues"][indices]
    low, high = curves.log_limits(curves.finite([K])) or (0.5 * np.nanmax(K), 2 * np.nanmax(K))
    norm = LogNorm(low, high) if high > 0 else LogNorm(0.5, 2)
    palette = ListedColormap(style.shades(np.linspace(0, 1, 256)))
    places = sheet.row(len(indices), MAP_TALL, MAP_WIDE, MAP_GAP)
    for panel, i, values in zip(places, indices, K, strict=True):
        panel.set_facecolor(NOTHING)
        edges = [np.arange(size + 1) + 0.5 for size in values.shape]
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
    scale = sheet.beside(places[-1])
    sheet.figure.colorbar(ScalarMappable(norm, palette), cax=scale)
    scale.yaxis.set_major_locator(LogLocator(numticks=5))
    scale.grid(visible=False)


def draw_variants(run: Run) -> Figure:
    """Draw of each variant the shares of movement and of gradient in its leading blocks."""
    parts = reading.fitted(run, why_unavailable)
    modes = min(FEW_MODES, max(p["preconditioner.movement_share"].shape[1] for p in parts.values()))
    colours = style.colours(modes)
    keys: dict[str, style.Pen] = {
        "of the movement": {"color": "#666666"},
        "of the gradient": {"color": "#666666", "linestyle": DASHED},
    }
    keys |= {f"first {k + 1}" if k else "first mode": {"color": c} for k, c in enumerate(colours)}
    sheet = page.open_page(
        run, over_variants(parts), panels=len(parts), names=list(parts), drawn=parts, keys=keys
    )
    times = [[part["preconditioner.time"]] for part in parts.values()]
    curves.time_axes(sheet.panels, times, reading.logarithmic(parts.values()))
    curves.plain_axis(sheet.panels, [np.array([0.0, 1.0])])
    for panel, part in zip(sheet.panels, parts.values(), strict=True):
        for name, dashes in (("movement_share", "-"), ("gradient_share", DASHED)):
            shares = part[f"preconditioner.{name}"].T[:modes]
            for colour, share in zip(colours, shares, strict=False):
                pen = {"color": colour, "linestyle": dashes}
                curves.plot(panel, part["preconditioner.time"], share, pen)
    sheet.label("time t", "share in the leading modes")
    return sheet.figure


def lead(run: Run) -> tuple[float, float, float, int]:
    """Return when the movement leads most: t, its share, the gradient's, and of how many modes."""
    moved, slope = (run[f"preconditioner.{name}_share"] for name in ("movement", "gradient"))
    if not np.isfinite(moved - slope).any():
        return np.nan, np.nan, np.nan, 0
    i, k = np.unravel_index(np.nanargmax(moved - slope), moved.shape)
    return float(run["preconditioner.time"][i]), float(moved[i, k]), float(slope[i, k]), int(k) + 1


def share(value: float) -> str:
    """Write a share in per cent."""
    return f"{number(100 * value, 2)} %"


def headline(run: Run) -> str:
    """Say where the movement crowds, and how the condition number goes."""
    time, moved, slope, k = lead(run)
    condition = (
        f"the condition number of P {reading.course(run['preconditioner.condition_number'])}"
    )
    if not k:
        return condition[0].upper() + condition[1:]
    if moved - slope < 0.005:
        return f"Movement and gradient lie in the same directions; {condition}"
    which = "the first mode holds" if k == 1 else f"the first {k} modes hold"
    return (
        f"At t = {number(time)} {which} {share(moved)} of the movement and {share(slope)} of the "
        f"gradient; {condition}"
    )


def over_variants(parts: dict[str, Run]) -> str:
    """Say how far the movement leads in each variant."""
    said = []
    for name, part in parts.items():
        _, moved, slope, k = lead(part)
        if k:
            said.append(f"{name} {share(moved)} against {share(slope)}")
    told = listed(said, most=4) or "not known"
    return f"Share in leading modes, of movement against gradient, where they differ most: {told}"
