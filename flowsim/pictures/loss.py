"""Loss over time, of the flows and of descent at every step size, or of every variant."""

from __future__ import annotations

import numpy as np

from flowsim.pictures.kit import curves, layout, reading, scales, style
from flowsim.pictures.kit.words import join_words, number
from flowsim.results.run import Run

LABEL = r"loss $\ell(W)$"

HEADING = {
    "converged": ", to its minimum",
    "plateau": ", on a plateau",
    "saddle": ", at a saddle",
    "slow": ", by a power of time",
    "no_finite_minimizer": ", without a minimum",
    "decided_by_rounding": ", in part decided by rounding",
}
"""What the headline says beside the change of the loss, by the verdict on the flow."""


def why_unavailable(run: Run) -> str | None:
    """Return the reason why the figure is unavailable, or None."""
    return reading.why_no_flow(run, "loss")


def draw(subject: reading.Subject) -> layout.PanelGrid:
    """Draw ℓ(t): flows, closed form and descent; of variants one curve each."""
    return draw_variants(subject) if subject.run.variants else draw_plain(subject)


def draw_plain(subject: reading.Subject) -> layout.PanelGrid:
    """Draw every flow and every step size; a mark on the upper edge where descent diverges."""
    run = subject.run
    sizes = reading.all_step_sizes([run])
    has_descent = reading.has_descent(run, "loss")
    grid = layout.panel_grid(
        subject,
        legend=curves.flow_legend(run, "loss")
        | (curves.step_size_legend([run]) if has_descent else {}),
        steps=scales.scale_if_many([run]) if has_descent else None,
    )
    flows = reading.flows_with(run, "loss")
    losses = [run[f"{space}.loss"] for space in flows]
    times = [run[f"{space}.time"] for space in flows]
    curves.fit_time_axis(grid.panels, times, reading.has_log_times([run]))
    if has_descent:
        losses += curves.values_in_view(run, run["descent.loss"], highest_shown(losses))
    top = curves.log_axis(grid.panels, losses)
    curves.draw_flows(grid.panels[0], run, "loss")
    if has_descent:
        curves.draw_descent(grid.panels[0], run, run["descent.loss"], sizes, top)
    grid.label("time t", LABEL)
    return grid


def draw_variants(subject: reading.Subject) -> layout.PanelGrid:
    """Draw the reference flow of every variant in its own colour and with its own markers."""
    run, parts = subject.run, subject.parts
    line_styles = curves.variant_legend(run, parts, style.FLOW)
    # dashes over more curves than a legend distinguishes could not be assigned to one
    exact = [part for part in parts.values() if len(parts) <= style.FEW and has_closed_form(part)]
    grid = layout.panel_grid(
        subject, panels=1, legend=line_styles | curves.closed_form_legend(exact, "loss")
    )
    panel = grid.panels[0]
    times, losses = zip(*(reading.first_curve(p, "loss") for p in parts.values()), strict=True)
    curves.fit_time_axis([panel], times, reading.has_log_times(parts.values()))
    curves.log_axis([panel], losses)
    curves.draw_parts(panel, times, losses, line_styles)
    for part in exact:
        curves.plot(panel, part["exact.time"], part["exact.loss"], style.EXACT)
    grid.label("time t", LABEL)
    return grid


def has_closed_form(run: Run) -> bool:
    """Whether the loss is known in closed form."""
    return reading.has_numbers(run, "exact.loss")


def highest_shown(losses: list[np.ndarray]) -> float:
    """Return the largest loss worth showing: above that of the flows by twice their range."""
    known = curves.finite_values(losses)
    high, low = float(known.max()), float(known.min())
    return high + 2 * max(high - low, abs(high))


def headline(run: Run) -> str:
    """Return how the loss changes along the flow and where it is heading; what diverges."""
    change = reading.describe_change(reading.first_flow(run, "loss"))
    space = next(iter(reading.flows_with(run, "loss")), "")
    verdict = (run.summary.get("verdict") or {}).get(space) or {}
    flow = f"The loss {change} along the flow{HEADING.get(verdict.get('name', ''), '')}"
    divergence = describe_divergence(run)
    return f"{flow}; {divergence}" if divergence else flow


def describe_divergence(run: Run) -> str:
    """Return which step sizes diverge, or an empty text without descent."""
    sizes, lost = reading.step_sizes(run), reading.diverged(run)
    if not len(sizes):
        return ""
    if not lost.any():
        return "no step size diverges" if len(sizes) > 1 else "gradient descent does not diverge"
    gone = np.sort(sizes[lost])
    if lost.all():
        return "every step size diverges"
    if len(gone) > 2 and gone[0] > sizes[~lost].max():
        return f"gradient descent diverges from η = {number(gone[0])} upward"
    which = join_words((number(eta) for eta in gone), most=4)
    return f"gradient descent diverges at η = {which}"


def over_variants(parts: dict[str, Run]) -> str:
    """Return the final losses of variants, or if they are equal, when each is reached."""
    finals = {name: reading.final_value(part, "loss") for name, part in parts.items()}
    times = {n: reading.final(reading.first_curve(p, "loss")[0]) for n, p in parts.items()}
    low, high = min(finals.values()), max(finals.values())
    if high - low > 0.01 * abs(high):
        ends = (f"{name} {number(loss)}" for name, loss in finals.items())
        if len(finals) <= 4:
            return f"Final loss along the flow: {join_words(ends)}"
        return f"The final loss is {reading.describe_extremes(finals)}"
    if max(times.values()) > 1.01 * min(times.values()):
        order = sorted(times, key=times.__getitem__)
        when = (f"{name} at t = {number(times[name])}" for name in order)
        return f"The flow ends at loss {number(low)}: {join_words(when, most=4)}"
    return f"Every variant shown ends at the same loss, {number(low)}"
