"""Modes of gradient descent, one panel per step size: they converge, oscillate or diverge."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from matplotlib.axes import Axes

from flowsim.pictures.kit import curves, layout, legends, reading, style
from flowsim.pictures.kit.words import (
    distinct_numbers,
    join_words,
    number,
    truncate,
    with_subscripts,
)
from flowsim.results.run import Run
from flowsim.solvers.behaviour import Behaviour, LongTermBehaviour
from flowsim.theory.long_run.modes import (
    Modes,
    behaviour,
    can_project,
    mode_names,
    panel_titles,
    projected_modes,
    sorted_modes,
)

MOST_PANELS = 8
MOST_COLOURS = 6
VISIBLE = 0.01
FAR = 5.0
"""A descent that stays finite is shown up to this many times the flow's largest mode."""
BEHIND: style.LineStyle = {**style.FLOW, "color": "#c8c8c8"}
DOTS: style.LineStyle = {"linewidth": 0.25, "markersize": 1.7, "markeredgewidth": 0.0}
FOLLOWED, SORTED = r"mode strength $u_r^\top W v_r$", "sorted singular values"
VERBS = {
    Behaviour.CONVERGES: ("converges", "converge"),
    Behaviour.UNMOVED_WHERE_RECORDED: (
        "may converge, being unmoved every few iterates,",
        "may converge",
    ),
    Behaviour.MOVES_BETWEEN_MODES: ("still moves between its modes", "still move between modes"),
    Behaviour.DRIFTS: ("still moves", "still move"),
    Behaviour.DECAYING: ("has a decaying oscillation", "have a decaying oscillation"),
    Behaviour.IRREGULAR: ("oscillates irregularly", "oscillate irregularly"),
    Behaviour.PERSISTENT: ("keeps oscillating", "keep oscillating"),
    Behaviour.DIVERGES: ("diverges", "diverge"),
    Behaviour.INCOMPLETE: ("was not recorded to the end", "were not recorded to the end"),
    Behaviour.UNDECIDED: ("has too few iterates to tell", "have too few iterates to tell"),
}
"""The verb for one run of gradient descent and for several, by their behaviour."""


@dataclass(frozen=True, eq=False)
class Descent:
    """One step size of one run: what its panel shows."""

    run: str
    size: float
    lost: bool
    time: np.ndarray
    values: np.ndarray
    modes: Modes
    behaviour: LongTermBehaviour


def why_unavailable(run: Run) -> str | None:
    """Return the reason why the figure is unavailable, or None."""
    return reading.why_missing(run, "descent.singular_values", "descent.time")


def draw(subject: reading.Subject) -> layout.PanelGrid:
    """Draw the iterates' modes as dots, the flow's as a broad line; one panel per step size."""
    run, parts = subject.run, subject.parts
    every = descents(parts)
    shown = drawn_descents(every)
    line_styles = mode_styles(shown)
    grid = layout.panel_grid(
        replace(subject, parts={d.run: parts[d.run] for d in shown}),
        panels=len(shown),
        names=titles(shown, every, bool(run.variants)),
        legend=legend(line_styles, shown),
    )
    curves.time_axes(grid.panels, [parts[d.run] for d in shown])
    top = curves.plain_axis(grid.panels, visible(shown))
    for panel, descent in zip(grid.panels, shown, strict=True):
        draw_flow(panel, descent.modes)
        draw_iterates(panel, descent, line_styles, top)
    grid.label("time t", FOLLOWED if shown[0].modes.projected else SORTED)
    return grid


def descents(parts: dict[str, Run]) -> list[Descent]:
    """Return every step size of every run, ascending; modes are followed in all runs or in none."""
    modes_of = projected_modes if all(map(can_project, parts.values())) else sorted_modes
    every = []
    for name, part in parts.items():
        found, sizes, lost = modes_of(part), reading.step_sizes(part), reading.diverged(part)
        for k in np.argsort(sizes):
            eta, gone, end = float(sizes[k]), bool(lost[k]), behaviour(found, k, bool(lost[k]))
            every.append(Descent(name, eta, gone, found.time[k], found.descent[k], found, end))
    return every


def drawn_descents(every: list[Descent]) -> list[Descent]:
    """Return all, or as many as there are panels, from the first to the last."""
    picked = np.linspace(0, len(every) - 1, min(len(every), MOST_PANELS)).round().astype(int)
    return [every[k] for k in picked]


def titles(shown: list[Descent], every: list[Descent], variants: bool) -> list[str]:
    """Return the title of each panel: step size and behaviour, the longest form that fits."""
    # titles are fitted before the figure exists, to the width that its panels will have
    room = int(layout.column_width(len(shown)) / legends.CHARACTER)
    runs = {d.run for d in shown}
    sizes = {run: step_size_texts([d for d in every if d.run == run]) for run in runs}
    phrases = []
    for d in shown:
        name = f"{truncate(d.run, room // 2)}, " if variants else ""
        eta = f"η = {sizes[d.run][d.size]}"
        forms = [f"{name}{eta}: {end}" for end in panel_titles(d.behaviour, d.modes.projected)]
        phrases.append(next((form for form in forms if len(form) <= room), f"{name}{eta}"))
    return phrases


def step_size_texts(every: list[Descent]) -> dict[float, str]:
    """Return each step size as it is written, to four digits or as many as make them differ."""
    sizes = sorted({d.size for d in every})
    texts = [number(size, 4) for size in sizes]
    texts = texts if len(set(texts)) == len(texts) else distinct_numbers(sizes)
    return dict(zip(sizes, texts, strict=True))


def bounded_values(shown: list[Descent]) -> list[np.ndarray]:
    """Return the modes of the flows and of the descents that do not diverge."""
    flows = [d.modes.flow for d in shown]
    reach = FAR * np.abs(curves.finite_values(flows)).max(initial=0.0) or np.inf
    # a finite descent may still pass far outside, for instance in a catapult
    kept = [d.values for d in shown if not d.lost]
    with np.errstate(invalid="ignore"):
        return flows + [np.where(np.abs(values) <= reach, values, np.nan) for values in kept]


def visible(shown: list[Descent]) -> list[np.ndarray]:
    """Return what sets the value axis: what is bounded, or else where the descents start."""
    values = bounded_values(shown)
    return values if curves.finite_values(values).size else [d.values[:1] for d in shown]


def mode_styles(shown: list[Descent]) -> list[style.LineStyle]:
    """Return a line style for each of the first modes, up to the last visible at this scale."""
    values = visible(shown)
    size = np.abs(curves.finite_values(values)).max(initial=0.0)
    with np.errstate(invalid="ignore"):
        seen = [np.flatnonzero((np.abs(v) > VISIBLE * size).any(axis=0)) for v in values]
    count = max((int(found[-1]) + 1 for found in seen if found.size), default=1)
    return style.curve_styles(min(count, MOST_COLOURS))


def legend(line_styles: list[style.LineStyle], shown: list[Descent]) -> dict[str, style.LineStyle]:
    """Return the legend: the modes of descent, and the flow."""
    followed = shown[0].modes.projected
    modes_of_descent = {
        f"mode {r}" if followed else with_subscripts("σ", r): {**line_style, "linestyle": "none"}
        for r, line_style in enumerate(line_styles, start=1)
    }
    return modes_of_descent | ({"flow": BEHIND} if shown[0].modes.flow.size else {})


def draw_flow(panel: Axes, found: Modes) -> None:
    """Draw the flow's modes behind the iterates."""
    for column in found.flow.T:
        curves.plot(panel, found.flow_time, column, BEHIND)


def draw_iterates(
    panel: Axes, descent: Descent, line_styles: list[style.LineStyle], top: float
) -> None:
    """Draw every saved iterate as dots on a thin line; mark where a diverging mode leaves."""
    time, values = descent.time, descent.values
    drawn = time > 0 if panel.get_xscale() == "log" else np.full(len(time), True)
    for r in range(values.shape[1]):
        line_style = {**line_styles[r], **DOTS} if r < len(line_styles) else style.FAINT
        panel.plot(time[drawn], values[drawn, r], **line_style)
        if descent.lost and r < len(line_styles):
            curves.mark_exit(
                panel, time, values[:, r], top, True, line_styles[r]["color"], size=3.5
            )


def headline(run: Run) -> str:
    """Return which step sizes converge, oscillate (and in which modes) and diverge."""
    every = descents({run.name: run})
    sizes = step_size_texts(every)
    phrases = []
    for kind, (verb, _) in VERBS.items():
        alike = [d for d in every if d.behaviour.kind is kind]
        if alike:
            phrases.append(f"{verb} {describe_step_sizes(alike, every, sizes)}")
    subject = "Descent" if every[0].modes.projected else "The spectrum of descent"
    return f"{subject} {'; '.join(phrases)}{describe_omitted(every)}"


def describe_step_sizes(alike: list[Descent], every: list[Descent], sizes: dict[float, str]) -> str:
    """Name step sizes, each with the modes that move; many neighbours by the last or first."""
    moving = [mode_names(d.behaviour.modes, d.modes.projected) for d in alike]
    if len(alike) > 3 and len(set(moving)) == 1:
        of = f" ({moving[0]})" if moving[0] else ""
        if alike == every[: len(alike)]:
            return f"at the {len(alike)} step sizes up to {sizes[alike[-1].size]}{of}"
        if alike == every[-len(alike) :]:
            return f"at the {len(alike)} step sizes from {sizes[alike[0].size]}{of}"
    each = len(alike) > 1 and len(set(moving)) == 1 and moving[0]
    who = [
        sizes[d.size] + (f" ({m})" if m and not each else "")
        for d, m in zip(alike, moving, strict=True)
    ]
    return f"at η = {join_words(who, most=4)}{f' ({each} each)' if each else ''}"


def over_variants(parts: dict[str, Run]) -> str:
    """Return the number of runs of descent with each behaviour, over all variants."""
    if len(parts) == 1:
        return headline(*parts.values())
    every = descents(parts)
    kinds = [d.behaviour.kind for d in every]
    counted = [(kinds.count(kind), verbs) for kind, verbs in VERBS.items() if kind in kinds]
    counts = [f"{count} {verbs[count > 1]}" for count, verbs in counted]
    return f"Of {len(every)} descents, {join_words(counts)}{describe_omitted(every)}"


def describe_omitted(every: list[Descent]) -> str:
    """Return the number of drawn step sizes if some are omitted."""
    return f" ({MOST_PANELS} of {len(every)} drawn)" if len(every) > MOST_PANELS else ""
