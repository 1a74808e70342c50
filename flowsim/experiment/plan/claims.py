"""Rules of `[[claims]]`: one comparison per claim, of variables that the run will have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from flowsim.dynamics.registry import FLOWS
from flowsim.experiment.plan.variables import (
    ALONG_TIME,
    HELD_OUT,
    TIMES,
    dimensions,
    groups,
    layer_number,
    why_no_plane,
)
from flowsim.scenario.spec.errors import Mistake, alternatives, mistake_at, printable
from flowsim.scenario.spec.forms import StepSizeRange
from flowsim.scenario.spec.table import InvalidValueError
from flowsim.scenario.validate.keys import nearest
from flowsim.solvers.variables import RENAMED
from flowsim.theory.explicit_loss.spec import LOOPS, POINTS
from flowsim.theory.oscillation.spec import VISITS
from flowsim.theory.preconditioner.spec import EIGENVALUES
from flowsim.theory.registry import MEASURES

if TYPE_CHECKING:
    from flowsim.scenario.spec.claim import Claim
    from flowsim.scenario.spec.descent import Descent
    from flowsim.scenario.spec.scenario import Scenario

COMPARISONS = ("below", "above", "equals", "below_quantity", "above_quantity", "trend", "order")
WITH_TOLERANCE = ("equals", "trend", "order")
"""Comparisons with a tolerance `within`, which is optional for a trend."""

OTHER = "write another variable"
"""What to do where a variable never exists for a loss or a shape."""

RELATIVE = ("relative_step_size", "critical_step_size", "critical_step_size_error")

QUANTITIES = ("quantity", "below_quantity", "above_quantity")

Runs = Mapping[str, "Scenario"]
"""The scenarios that will be run: variants by name, or the scenario itself by the empty name."""


def broken_claim(claim: Claim, runs: Runs) -> list[Mistake]:
    """Return the mistakes in one claim about `runs`, with keys relative to the claim.

    If `runs` is empty because other tables have mistakes, only the claim itself is checked.
    """
    mistakes = list(_wrong_comparison(claim))
    if not runs:
        return mistakes
    for key in QUANTITIES:
        with suppress(InvalidValueError):
            quantity = getattr(claim, key)
            if quantity is not None:
                missing = [mistake_at(key, text) for text in _missing(quantity, runs)]
                mistakes += missing or list(_wrong_picks(claim, quantity, runs))
    return mistakes


def _wrong_comparison(claim: Claim) -> Iterator[Mistake]:
    """Require one comparison, `within` where it is used, and no unused `reduce`."""
    # keys with invalid values are missing in a claim: it is reported for these alone
    if not all(hasattr(claim, key) for key in (*COMPARISONS, "within", "reduce")):
        return
    made = [key for key in COMPARISONS if getattr(claim, key) is not None]
    if not made:
        yield Mistake((), f"has no comparison; write one of {alternatives(COMPARISONS)}")
    for key in made[1:]:
        yield mistake_at(
            key, f"is a second comparison beside {made[0]}; write one claim per comparison"
        )
    if claim.within is None:
        for key in set(made) & {"equals", "order"}:
            yield mistake_at("within", f"is missing, and {key} needs it; write within = 0.001")
    elif not set(made) & set(WITH_TOLERANCE):
        yield mistake_at("within", f"is not used without {alternatives(WITH_TOLERANCE)}; remove it")
    if claim.trend is not None and claim.reduce != "max":
        yield mistake_at(
            "reduce", "is not used by trend, which looks at every saved time; remove it"
        )


def _missing(quantity: str, runs: Runs) -> Iterator[str]:
    """Yield the reasons why a path names no numeric variable that the run will have."""
    variant, _, inner = quantity.rpartition("/")
    group, _, name = inner.partition(".")
    if variant not in runs:
        yield _wrong_variant(variant, inner, runs)
    if group not in groups():
        # groups before variables: a wrong group leaves nothing to look a variable up in
        hint = _hint(group, groups(), after=f".{printable(name)}")
        yield f'"{printable(quantity)}" names no group of a run; {hint}, as in group.variable'
        return
    try:
        dimensions(group, name)
    except KeyError:
        if present := RENAMED.get((group, name)):
            yield f'"{printable(quantity)}" was renamed; write {group}.{present}'
            return
        hint = _hint(name, groups()[group], f"{group}.")
        yield f'"{printable(quantity)}" names no variable of numbers of {group}; {hint}'
        return
    if variant in runs:
        # the variable is known in general, but may not exist for these options
        reason = _why_absent(group, name, runs[variant])
        if reason:
            yield f'"{printable(quantity)}" will not exist: {reason}'


def _wrong_variant(variant: str, inner: str, runs: Runs) -> str:
    if "" in runs:
        return f'names variant "{printable(variant)}", but there are none; write {printable(inner)}'
    if not variant:
        return (
            f"names no variant, and with variants the base is not run; "
            f"write {next(iter(runs))}/{printable(inner)}"
        )
    hint = _hint(variant, runs, after=f"/{printable(inner)}", listing="there are")
    return f'names an unknown variant "{printable(variant)}"; {hint}'


def _hint(
    name: str,
    names: Iterable[str],
    before: str = "",
    after: str = "",
    listing: str = "write one of",
) -> str:
    """Return a question with the nearest name between `before` and `after`, or else all names."""
    near = nearest(name, names)
    return f"did you mean {before}{near}{after}" if near else f"{listing} {alternatives(names)}"


def _why_absent(group: str, name: str, run: Scenario) -> str | None:
    """Return the reason why a run will not have a variable and what to write, or None."""
    missing = [space for space in _spaces_of(group, name) if space not in run.flow.spaces]
    if missing:
        add = f"add {alternatives(missing)} to flow.spaces"
        return f"the flow is not solved in that formulation; {add}"
    if run.descent is None and (group == "descent" or "step_size" in groups()[group].get(name, ())):
        return "there is no descent; write [descent] with step_sizes"
    if run.descent is not None and not run.descent.follows_flow and _in_flow_time(group, name):
        momentum = "with increasing momentum " if run.descent.momentum == "increasing" else ""
        return (
            f'steps of "{run.descent.rule}" {momentum}have no time of the flow; write '
            'another variable, or rule = "gradient"'
        )
    if group in MEASURES and group not in run.output.measures:
        return f'that is not computed; write output.measures = ["{group}"]'
    if group == "plane" and (reason := why_no_plane(run)):
        return reason
    if layer_number(name) is not None:
        return _why_layer_absent(name, run)
    return _why_option_absent(group, name, run)


def _in_flow_time(group: str, name: str) -> bool:
    """Return whether a variable relates gradient descent to times of the flow."""
    return (group, name) == ("descent", "time") or (
        group == "comparison" and name in ("descent_vs_flow", "step_size")
    )


def _why_layer_absent(name: str, run: Scenario) -> str | None:
    if not run.output.layers:
        return "layers are not saved; write output.layers = true"
    if (layer_number(name) or 0) > run.network.depth:
        return f"the network has {run.network.depth} layers; write a lower number"
    return None


def _why_option_absent(group: str, name: str, run: Scenario) -> str | None:
    loss = run.loss
    if name == "distance_to_target" and not loss.has("minimized_by_target"):
        return f'a loss of kind "{loss.kind}" has no target; {OTHER}'
    if (group == "target" or name == "reconstruction_error") and not loss.has("partial_target"):
        return f'a loss of kind "{loss.kind}" does not measure a target in part; {OTHER}'
    if name in ("unobserved_error", "observed") and loss.kind != "completion":
        return f'a loss of kind "{loss.kind}" has no entries that are not observed; {OTHER}'
    if name in RELATIVE and (run.descent is None or run.descent.relative_to is None):
        return (
            "step sizes are relative to no sharpness; write descent.step_sizes = "
            '{ values = [0.9, 1.1], relative_to = "minimum" }'
        )
    if name == "det_sign" and len(set(run.network.shape)) > 1:
        return f"W is not square and has no determinant; {OTHER}"
    if name == "imbalance" and run.network.depth < 2:
        return "a network of one layer has no pair of layers; write another variable"
    if name in ("saved_time", "saved_sample") and run.output.end_to_end == "all":
        return 'W is saved at all times; write output.end_to_end = "last" or a stride'
    if name in HELD_OUT and not run.holds_out:
        return "no samples are held out; write data.held_out = 0.2"
    if name == "held_out_accuracy" and not loss.has("classifies"):
        return f'a loss of kind "{loss.kind}" has no classes; write held_out_loss'
    return None


def _spaces_of(group: str, name: str) -> tuple[str, ...]:
    """Return the formulations in which a flow must be solved for a variable to exist."""
    if group in FLOWS:
        return (group,)
    if group == "comparison" and name in ("time", "end_to_end_vs_layers"):
        return ("layers", "end_to_end")
    if group in ("comparison", "plane"):
        for space in FLOWS:
            if name in (space, f"{space}_time", f"{space}_vs_exact"):
                return (space,)
    return ()


def _wrong_picks(claim: Claim, quantity: str, runs: Runs) -> Iterator[Mistake]:
    """Require that `at`, `trend` and `order` refer to existing dimensions and entries."""
    variant, _, inner = quantity.rpartition("/")
    group, _, name = inner.partition(".")
    run = runs[variant]
    dims = dimensions(group, name, all_saved=run.output.end_to_end == "all")
    yield from _wrong_dimension(claim, inner, dims, run)
    for key, value in claim.at or ():
        if value is None:
            continue
        if key == "time" and any(dim in TIMES for dim in dims):
            if value > run.flow.horizon:
                text = f"is {value}, but the flow ends at {run.flow.horizon}; write no more"
                yield mistake_at("at.time", text)
        elif key not in dims:
            text = f"is no dimension of {inner}, which {_shape(dims)}; remove it"
            yield mistake_at(f"at.{key}", text)
        elif reason := _outside(group, key, value, run):
            yield mistake_at(f"at.{key}", f"is {value}, but {reason}")


def _wrong_dimension(
    claim: Claim, inner: str, dims: tuple[str, ...], run: Scenario
) -> Iterator[Mistake]:
    """Require a time dimension for a trend, and several step sizes for an order."""
    at = claim.at
    if claim.trend is not None:
        if not set(dims) & set(ALONG_TIME):
            text = f"needs a time dimension, but {inner} {_shape(dims)}; write another comparison"
            yield mistake_at("trend", text)
        elif at is not None and (at.time is not None or at.sample is not None):
            yield mistake_at("at", "picks one time, and a trend needs all; leave the time out")
    if claim.order is not None:
        if "step_size" not in dims:
            text = f"is a power of the step size, but {inner} {_shape(dims)}; "
            yield mistake_at("order", text + "write another comparison")
        elif at is not None and at.step_size is not None:
            yield mistake_at(
                "at.step_size", "picks one step size, and an order needs all; remove it"
            )
        elif run.descent is not None and len(run.descent.written) < 2:
            text = "is fitted over step sizes, but there is one; write more in descent.step_sizes"
            yield mistake_at("order", text)


def _shape(dims: tuple[str, ...]) -> str:
    return f"has {alternatives(dims)}" if dims else "is a single number"


def _outside(group: str, key: str, value: float, run: Scenario) -> str | None:
    """Return the reason why a dimension has no such entry, or None."""
    if key == "step_size":
        return _no_step_size(value, run.descent) if run.descent else None
    if key == "level":
        levels = MEASURES[group].levels(run)
        return None if value in levels else f"the levels are {alternatives(map(str, levels))}"
    rows, columns = run.network.shape
    length = {
        "output": rows,
        "input": columns,
        "left": min(rows, EIGENVALUES),
        "right": min(columns, EIGENVALUES),
        "mode": run.network.modes,
        "pair": run.network.depth - 1,
        "sample": run.flow.samples,
        "point": POINTS,
        "loop": LOOPS,
        "visit": VISITS,
    }[key]
    return None if value < length else f"there are {length}, counted from 0; write a lower number"


def _no_step_size(value: float, descent: Descent) -> str | None:
    """Return the reason why there is no such step size, or None; of a range the nearest is used."""
    sizes = descent.written
    # rounded numbers of a range cannot be written exactly, so the nearest one is meant
    if isinstance(descent.step_sizes, StepSizeRange):
        low, high = sizes[0], sizes[-1]
        return None if low <= value <= high else f"the step sizes go from {low} to {high}"
    return None if value in sizes else f"the step sizes are {alternatives(map(str, sizes))}"
