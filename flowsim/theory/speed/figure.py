"""Iterations until the loss reaches target fractions of its initial excess, by step size or depth.

The best step size differs between depths and algorithms, so that each is compared at its own best
one. A mark is open if that is the smallest or largest step size tried: the sweep was too narrow.
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from flowsim.pictures.kit import curves, layout, reading, style
from flowsim.pictures.kit.words import number
from flowsim.results.run import Run

LABEL = "iterations at the best step size"
OPEN_MARKER: style.LineStyle = {
    "linestyle": "none", "marker": "o", "color": style.INK, "markerfacecolor": "white",
}  # fmt: skip


def why_unavailable(run: Run) -> str | None:
    """Return the reason why the figure is unavailable, or None."""
    return reading.why_missing(run, "speed.best_iterations")


def draw(subject: reading.Subject) -> layout.PanelGrid:
    """Draw the iterations against η; of variants the fewest, one panel per loss."""
    return draw_variants(subject) if subject.run.variants else draw_plain(subject)


def draw_plain(subject: reading.Subject) -> layout.PanelGrid:
    """Draw the iterations to each target loss against the step size, the best ones filled."""
    run = subject.run
    sizes, count = run["speed.step_size"], run["speed.iterations"]
    order, legend = np.argsort(sizes), target_legend(run)
    grid = layout.panel_grid(subject, legend=legend)
    (panel,) = grid.panels
    curves.step_axis(panel, sizes)
    fit_iterations([panel], [count])
    for level, line_style in enumerate(legend.values()):
        values = np.where(np.isfinite(count[order, level]), count[order, level], np.nan)
        panel.plot(sizes[order], values, **{**line_style, "markerfacecolor": "white"})
        # nan and inf, of targets that are not reached, are not drawn
        best = run["speed.best_step_size"][level], run["speed.best_iterations"][level]
        panel.plot(*best, **{**line_style, "linestyle": "none"}, zorder=5)
    panel.set_ylabel("iterations")
    return grid


def draw_variants(subject: reading.Subject) -> layout.PanelGrid:
    """Draw one panel per loss: variants side by side, those of one algorithm joined."""
    parts = subject.parts
    groups = by_loss(parts)
    targets = target_legend(next(iter(parts.values())))
    edge = any(at_edge(part).any() for part in parts.values())
    grid = layout.panel_grid(
        subject,
        panels=len(groups),
        names=list(groups) if len(groups) > 1 else (),
        legend=targets | ({"best step size at the edge of the sweep": OPEN_MARKER} if edge else {}),
    )
    fit_iterations(grid.panels, [part["speed.best_iterations"] for part in parts.values()])
    for panel, group in zip(grid.panels, groups.values(), strict=True):
        draw_group(panel, group, list(targets.values()))
    grid.label("depth N of gradient descent, or algorithm", LABEL)
    return grid


def draw_group(panel: Axes, group: dict[str, Run], line_styles: list[style.LineStyle]) -> None:
    """Draw the variants of one loss, in their order."""
    rules = [rule_of(part) for part in group.values()]
    places = np.arange(len(group))
    best = np.array([part["speed.best_iterations"] for part in group.values()])
    edge = np.array([at_edge(part) for part in group.values()])
    # 0 iterations, of a loss that starts at its target, have no place on a logarithmic axis
    best = np.where(np.isfinite(best), np.maximum(best, 1), np.nan)
    for level, line_style in enumerate(line_styles):
        for name in dict.fromkeys(rules):
            mine = np.array([each == name for each in rules])
            panel.plot(places[mine], best[mine, level], **{**line_style, "marker": None})
        for place in places:
            face = {"markerfacecolor": "white"} if edge[place, level] else {}
            panel.plot(place, best[place, level], **{**line_style, "linestyle": "none", **face})
    panel.set_xlim(-0.5, len(group) - 0.5)
    panel.set_xticks(places, labels=tick_labels(group))
    panel.tick_params(axis="x", length=0, labelsize=6.0)
    for gap in np.flatnonzero(np.array(rules[1:]) != np.array(rules[:-1])):
        panel.axvline(gap + 0.5, **style.FAINT)


def fit_iterations(panels: list[Axes] | tuple[Axes, ...], counts: list[np.ndarray]) -> None:
    """Fit a logarithmic axis of iterations, with whole numbers as ticks."""
    known = np.maximum(curves.finite_values(counts), 1)
    for panel in panels:
        panel.set_yscale("log")
        panel.set_ylim(float(known.min()) / 1.35, float(known.max()) * 1.5)
        panel.yaxis.set_major_locator(LogLocator(numticks=7))
        panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value, 4)))
        panel.yaxis.set_minor_locator(NullLocator())


def target_legend(run: Run) -> dict[str, style.LineStyle]:
    """Return the line style of each target loss, by its name."""
    levels = run["speed.level"]
    return dict(zip(map(target_name, levels), style.curve_styles(len(levels)), strict=True))


def by_loss(parts: dict[str, Run]) -> dict[str, dict[str, Run]]:
    """Return the variants grouped by the label of their loss."""
    groups: dict[str, dict[str, Run]] = {}
    for name, part in parts.items():
        groups.setdefault(part.scenario.loss.label, {})[name] = part
    return groups


def rule_of(run: Run) -> str:
    """Return the name of a run's update rule."""
    descent = run.scenario.descent
    return "gradient" if descent is None else descent.rule


def other_rule(run: Run) -> str:
    """Return the label of the update rule, as in "AdaGrad", or "" if it is gradient descent."""
    descent = run.scenario.descent
    return "" if descent is None or descent.rule == "gradient" else descent.traits.label


def tick_labels(group: dict[str, Run]) -> list[str]:
    """Return depths or algorithms where these are distinct, else the names of the variants."""
    short = [other_rule(p) or f"{p.scenario.network.depth}" for p in group.values()]
    return short if len(set(short)) == len(short) else list(group)


def at_edge(run: Run) -> np.ndarray:
    """Return a boolean per target loss: whether its best step size is at the edge of the sweep."""
    sizes, best = run["speed.step_size"], run["speed.best_step_size"]
    return np.asarray((best == sizes.min()) | (best == sizes.max()))


def target_name(level: float) -> str:
    """Return the name of a target loss."""
    return f"to {number(100 * level)} % of the excess loss"


def lowest_target(group: dict[str, Run]) -> int:
    """Return the lowest target loss that every variant reaches, else that any one reaches."""
    best = np.array([part["speed.best_iterations"] for part in group.values()])
    for known in (np.isfinite(best).all(axis=0), np.isfinite(best).any(axis=0)):
        if known.any():
            return int(np.flatnonzero(known)[-1])
    return 0


def headline(run: Run) -> str:
    """Return the fewest iterations to the lowest target loss, and their step size."""
    level = lowest_target({run.name: run})
    best, size = run["speed.best_iterations"][level], run["speed.best_step_size"][level]
    edge = ", the edge of the sweep" if at_edge(run)[level] else ""
    goal = target_name(run["speed.level"][level])
    return f"{number(best, 4)} iterations {goal}, at η = {number(size)}{edge}"


def over_variants(parts: dict[str, Run]) -> str:
    """Return for each loss the fastest depth of gradient descent, and the other algorithms."""
    level, groups = lowest_target(parts), by_loss(parts)
    some = next(iter(parts.values()))
    goal = f"To {number(100 * some['speed.level'][level])} % of the excess loss"
    if len(groups) == 1:
        return f"{goal} {describe_fastest(parts, level)}"
    phrases = (f"{n.split(', ')[-1]}, {describe_fastest(g, level)}" for n, g in groups.items())
    return f"{goal}: {'; '.join(phrases)}"


def describe_fastest(group: dict[str, Run], level: int) -> str:
    """Return the fastest variant of gradient descent relative to the first, then the others."""
    best = {key: float(part["speed.best_iterations"][level]) for key, part in group.items()}
    names = {
        key: other_rule(part) or f"depth {part.scenario.network.depth}"
        for key, part in group.items()
    }
    if len(set(names.values())) < len(names):
        names = {key: key for key in group}
    own = [key for key, part in group.items() if rule_of(part) == "gradient"] or list(group)
    first, winner = own[0], min(own, key=best.__getitem__)
    others = [f"{names[key]} {number(best[key], 4)}" for key in group if key not in own]
    if winner == first or not np.isfinite(best[winner]):
        counts = [f"{number(best[first], 4)} iterations"]
        finding = f"{names[first]} is fastest" if len(own) > 1 else names[first]
    else:
        counts = [f"{number(best[winner], 4)} against {number(best[first], 4)} iterations"]
        ratio = number(best[first] / best[winner])
        finding = f"{names[winner]} is {ratio} times as fast as {names[first]}"
    return f"{finding} ({'; '.join(counts + [', '.join(others)] * bool(others))})"
