"""Loss over time, of the flows and of descent at every step size, or of every variant."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from flowsim.pictures.kit import curves, page, reading, scales, style
from flowsim.pictures.kit.words import listed, number
from flowsim.results.run import Run

LABEL = r"loss $\ell(W)$"


def why_unavailable(run: Run) -> str | None:
    """Return the reason why the figure is unavailable, or None."""
    return reading.why_no_flow(run, "loss")


def draw(run: Run) -> Figure:
    """Draw ℓ(t); with variants one curve each, else flows, closed form and descent."""
    return draw_variants(run) if run.variants else draw_plain(run)


def draw_plain(run: Run) -> Figure:
    """Draw every flow and every step size; where descent diverges, a mark on the upper edge."""
    sizes = reading.all_step_sizes([run])
    descends = reading.descends(run, "loss")
    keys = curves.flow_keys(run, "loss") | (curves.step_keys([run]) if descends else {})
    scale = scales.many([run]) if descends else None
    sheet = page.open_page(run, headline(run), keys=keys, steps=scale)
    flows = reading.spaces(run, "loss")
    times = [run[f"{s}.time"] for s in flows]
    losses = [run[f"{s}.loss"] for s in flows]
    curves.time_axis(sheet.panels, times, reading.logarithmic([run]))
    if descends:
        losses += curves.settled(run, run["descent.loss"], ceiling(losses))
    top = curves.log_axis(sheet.panels, losses)
    curves.draw_flows(sheet.panels[0], run, "loss")
    if descends:
        curves.draw_descent(sheet.panels[0], run, run["descent.loss"], sizes, top)
    sheet.label("time t", LABEL)
    return sheet.figure


def draw_variants(run: Run) -> Figure:
    """Draw the first flow of every variant in a colour and with marks of its own."""
    parts = reading.fitted(run, why_unavailable)
    firsts = {name: reading.spaces(part, "loss")[0] for name, part in parts.items()}
    pens = style.curve_pens(len(parts))
    keys = dict(zip(parts, pens, strict=True))
    few = len(parts) <= style.FEW
    exact = [p for p in parts.values() if few and reading.drawable(p, "exact.loss")]
    if exact:
        keys["closed form"] = style.EXACT
    sheet = page.open_page(run, over_variants(parts), keys=keys, drawn=parts)
    panel = sheet.panels[0]
    times = [part[f"{firsts[name]}.time"] for name, part in parts.items()]
    losses = [part[f"{firsts[name]}.loss"] for name, part in parts.items()]
    curves.time_axis([panel], times, reading.logarithmic(parts.values()))
    curves.log_axis([panel], losses)
    for k, (time, loss) in enumerate(zip(times, losses, strict=True)):
        curves.plot(panel, time, loss, pens[k], shift=k)
    for part in exact:
        curves.plot(panel, part["exact.time"], part["exact.loss"], style.EXACT)
    sheet.label("time t", LABEL)
    return sheet.figure


def ceiling(losses: list[np.ndarray]) -> float:
    """Return the largest loss worth showing: above the flows' by twice their range."""
    known = curves.finite(losses)
    high, low = float(known.max()), float(known.min())
    return high + 2 * max(high - low, abs(high))


def headline(run: Run) -> str:
    """Say how far the loss falls and which step sizes diverge."""
    first = reading.spaces(run, "loss")[0]
    flow = f"The loss {reading.course(run[f'{first}.loss'])} along the flow"
    fate = descent_fate(run)
    return f"{flow}; {fate}" if fate else flow


def descent_fate(run: Run) -> str:
    """Say which step sizes diverge."""
    sizes, lost = reading.step_sizes(run), reading.diverged(run)
    if not len(sizes):
        return ""
    if not lost.any():
        return "no step size diverges" if len(sizes) > 1 else "descent does not diverge"
    gone = np.sort(sizes[lost])
    if lost.all():
        return "every step size diverges"
    if len(gone) > 2 and gone[0] > sizes[~lost].max():
        return f"descent diverges from η = {number(gone[0])} upward"
    return f"descent diverges at η = {listed((number(eta) for eta in gone), most=4)}"


def over_variants(parts: dict[str, Run]) -> str:
    """Say which variant ends lowest, or first where they end at the same loss."""
    finals, times = {}, {}
    for name, part in parts.items():
        first = reading.spaces(part, "loss")[0]
        finals[name] = reading.ends(part[f"{first}.loss"])[1]
        times[name] = reading.ends(part[f"{first}.time"])[1]
    low, high = min(finals.values()), max(finals.values())
    if high - low > 0.01 * abs(high):
        ends = (f"{name} {number(loss)}" for name, loss in finals.items())
        if len(finals) <= 4:
            return f"Final loss along the flow: {listed(ends)}"
        best, worst = min(finals, key=finals.__getitem__), max(finals, key=finals.__getitem__)
        return (
            f"The final loss is lowest for {best} ({number(low)}) "
            f"and highest for {worst} ({number(high)})"
        )
    if max(times.values()) > 1.01 * min(times.values()):
        order = sorted(times, key=times.__getitem__)
        when = (f"{name} at t = {number(times[name])}" for name in order)
        return f"The flow ends at loss {number(low)}: {listed(when, most=4)}"
    return f"Every variant shown ends at the same loss, {number(low)}"
