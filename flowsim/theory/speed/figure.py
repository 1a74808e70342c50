"""Iterations to shares of the excess loss, by step size; or at the best one, by depth."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from flowsim.dynamics.registry import ALGORITHMS
from flowsim.pictures.kit import curves, page, reading, style
from flowsim.pictures.kit.words import number
from flowsim.results.run import Run

LABEL = "iterations at the best step size"


def why_unavailable(run: Run) -> str | None:
    """Return the reason why the figure is unavailable, or None."""
    return reading.why_missing(run, "speed.best_iterations")


def draw(run: Run) -> Figure:
    """Draw the fewest iterations of every variant, a panel a loss; or the iterations against η."""
    return draw_variants(run) if run.variants else draw_plain(run)


def draw_plain(run: Run) -> Figure:
    """Draw the iterations to each level against the step size, the best ones filled."""
    levels, sizes = run["speed.level"], run["speed.step_size"]
    order, pens = np.argsort(sizes), style.curve_pens(len(levels))
    keys = dict(zip(map(level_name, levels), pens, strict=True))
    sheet = page.open_page(run, headline(run), keys=keys)
    (panel,) = sheet.panels
    count = run["speed.iterations"]
    curves.step_axis(panel, sizes)
    fit_iterations([panel], [count])
    for level, pen in enumerate(pens):
        values = np.where(np.isfinite(count[order, level]), count[order, level], np.nan)
        panel.plot(sizes[order], values, **{**pen, "markerfacecolor": "white"})
        best = run["speed.best_step_size"][level], run["speed.best_iterations"][level]
        panel.plot(*best, **{**pen, "linestyle": "none"}, zorder=5)
    panel.set_ylabel("iterations")
    return sheet.figure


def draw_variants(run: Run) -> Figure:
    """Draw one panel a loss: variants side by side, those of one algorithm joined.

    A mark is open where the best step size is the smallest or the largest of those tried.
    """
    parts = reading.fitted(run, why_unavailable)
    groups = by_loss(parts)
    levels = next(iter(parts.values()))["speed.level"]
    pens = style.curve_pens(len(levels))
    keys = dict(zip(map(level_name, levels), pens, strict=True))
    if any(at_edge(part).any() for part in parts.values()):
        keys["best step size at the edge of the sweep"] = {
            "linestyle": "none", "marker": "o", "color": style.INK, "markerfacecolor": "white",
        }  # fmt: skip
    sheet = page.open_page(
        run,
        over_variants(groups),
        panels=len(groups),
        names=list(groups) if len(groups) > 1 else (),
        drawn=parts,
        keys=keys,
    )
    fit_iterations(sheet.panels, [part["speed.best_iterations"] for part in parts.values()])
    for panel, group in zip(sheet.panels, groups.values(), strict=True):
        draw_group(panel, group, pens)
    sheet.label("depth N of gradient descent, or algorithm", LABEL)
    return sheet.figure


def draw_group(panel: Axes, group: dict[str, Run], pens: list[style.Pen]) -> None:
    """Draw the variants of one loss, in their order."""
    who = [algorithm(part) for part in group.values()]
    places = np.arange(len(group))
    best = np.array([part["speed.best_iterations"] for part in group.values()])
    edge = np.array([at_edge(part) for part in group.values()])
    best = np.where(np.isfinite(best), np.maximum(best, 1), np.nan)
    for level, pen in enumerate(pens):
        for name in dict.fromkeys(who):
            mine = np.array([each == name for each in who])
            panel.plot(places[mine], best[mine, level], **{**pen, "marker": None})
        for place in places:
            face = {"markerfacecolor": "white"} if edge[place, level] else {}
            panel.plot(place, best[place, level], **{**pen, "linestyle": "none", **face})
    panel.set_xlim(-0.5, len(group) - 0.5)
    panel.set_xticks(places, labels=labels(group))
    panel.tick_params(axis="x", length=0, labelsize=6.0)
    for gap in np.flatnonzero(np.array(who[1:]) != np.array(who[:-1])):
        panel.axvline(gap + 0.5, **style.FAINT)


def fit_iterations(panels: list[Axes] | tuple[Axes, ...], counts: list[np.ndarray]) -> None:
    """Fit a logarithmic axis of iterations, with whole numbers written out."""
    known = np.maximum(curves.finite(counts), 1)
    for panel in panels:
        panel.set_yscale("log")
        panel.set_ylim(float(known.min()) / 1.35, float(known.max()) * 1.5)
        panel.yaxis.set_major_locator(LogLocator(numticks=7))
        panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value, 4)))
        panel.yaxis.set_minor_locator(NullLocator())


def by_loss(parts: dict[str, Run]) -> dict[str, dict[str, Run]]:
    """Return the variants by what is said of their loss."""
    groups: dict[str, dict[str, Run]] = {}
    for name, part in parts.items():
        groups.setdefault(loss_name(part), {})[name] = part
    return groups


def loss_name(run: Run) -> str:
    """Name a loss: "regression, p = 4"."""
    return run.scenario.loss.label


def algorithm(run: Run) -> str:
    """Return the name of a run's algorithm."""
    descent = run.scenario.descent
    return "gradient" if descent is None else descent.algorithm


def adaptive_rule(run: Run) -> str:
    """Return "AdaGrad" or "AdaDelta", or "" where the update rule is not adaptive."""
    rule = ALGORITHMS[algorithm(run)]
    return rule.label if rule.adaptive else ""


def labels(group: dict[str, Run]) -> list[str]:
    """Name variants by depth or algorithm where that tells them apart, else by their own names."""
    short = [adaptive_rule(p) or f"{p.scenario.network.depth}" for p in group.values()]
    return short if len(set(short)) == len(short) else list(group)


def at_edge(run: Run) -> np.ndarray:
    """Say at which levels the best step size is the smallest or the largest of those tried."""
    sizes, best = run["speed.step_size"], run["speed.best_step_size"]
    return np.asarray((best == sizes.min()) | (best == sizes.max()))


def level_name(level: float) -> str:
    """Name a level in the legend."""
    return f"to {number(100 * level)} % of the excess loss"


def finest(group: dict[str, Run]) -> int:
    """Return the lowest level that every variant reaches, else the lowest that any does."""
    best = np.array([part["speed.best_iterations"] for part in group.values()])
    for known in (np.isfinite(best).all(axis=0), np.isfinite(best).any(axis=0)):
        if known.any():
            return int(np.flatnonzero(known)[-1])
    return 0


def headline(run: Run) -> str:
    """Say the fewest iterations to the lowest level that is reached, and at which step size."""
    level = finest({run.name: run})
    best, size = run["speed.best_iterations"][level], run["speed.best_step_size"][level]
    edge = ", the edge of the sweep" if at_edge(run)[level] else ""
    goal = level_name(run["speed.level"][level])
    return f"{number(best, 4)} iterations {goal}, at η = {number(size)}{edge}"


def over_variants(groups: dict[str, dict[str, Run]]) -> str:
    """Say for each loss which depth of gradient descent is fastest, and what others take."""
    level = finest({f"{k}/{name}": part for k, g in groups.items() for name, part in g.items()})
    some = next(iter(next(iter(groups.values())).values()))
    goal = f"To {number(100 * some['speed.level'][level])} % of the excess loss"
    if len(groups) == 1:
        (only,) = groups.values()
        return f"{goal} {told(only, level)}"
    each = (f"{name.split(', ')[-1]}, {told(group, level)}" for name, group in groups.items())
    return f"{goal}: {'; '.join(each)}"


def told(group: dict[str, Run], level: int) -> str:
    """Say which variant of gradient descent is fastest against the first, and what others take."""
    best = {key: float(part["speed.best_iterations"][level]) for key, part in group.items()}
    spoken = {key: adaptive_rule(p) or label(p) for key, p in group.items()}
    if len(set(spoken.values())) < len(spoken):
        spoken = {key: key for key in group}
    own = [key for key, part in group.items() if algorithm(part) == "gradient"] or list(group)
    first, winner = own[0], min(own, key=best.__getitem__)
    others = [f"{spoken[key]} {number(best[key], 4)}" for key in group if key not in own]
    if winner == first or not np.isfinite(best[winner]):
        counted = [f"{number(best[first], 4)} iterations"]
        said = f"{spoken[first]} is fastest" if len(own) > 1 else spoken[first]
    else:
        counted = [f"{number(best[winner], 4)} against {number(best[first], 4)} iterations"]
        ratio = number(best[first] / best[winner])
        said = f"{spoken[winner]} is {ratio} times as fast as {spoken[first]}"
    return f"{said} ({'; '.join(counted + [', '.join(others)] * bool(others))})"


def label(run: Run) -> str:
    """Name a run of gradient descent by its depth."""
    return f"depth {run.scenario.network.depth}"
