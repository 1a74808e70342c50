"""What memory and work a scenario will take, in plain integers, before anything is allocated."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from flowsim import cards
from flowsim.scenario.errors import ScenarioError

if TYPE_CHECKING:
    from flowsim.scenario.model import Scenario

FLOAT = 8
COPIES = 3
"""W as it is collected, as it is stored, and in the check solution behind the error estimate."""

LARGEST_COMPARISON = 1 << 28
"""Bytes of W that the check solution is compared at, as in `flowsim.error_estimate`."""

LONGEST = 30 * 24 * 3600.0
"""More seconds of descent than this are refused."""

FASTEST = 1e12
"""Floating-point operations that a machine does in a second, at the very best."""

ITERATION_SECONDS = 1e-6
"""No iteration of descent takes less, however small the network."""

REMEDIES = {
    "data": "reduce data.samples or network.widths",
    "measurements": "reduce loss.measurements or network.widths",
    "flow": "reduce network.widths",
    "jacobian": "write another flow.method than kvaerno5, or reduce network.widths",
    "saved": "reduce network.widths or flow.samples, or solve in one of flow.spaces and set "
    'output.end_to_end = "last"',
    "descent": "reduce network.widths, flow.samples or descent.step_sizes, "
    'or set output.end_to_end = "last"',
}


@dataclass(frozen=True)
class Footprint:
    """The memory and the work that a scenario will take.

    `parts` are bytes of memory by what needs them; `iterations` of descent at the smallest step
    size, and `all_iterations` over all; `operations` are the floating-point operations of one
    right-hand side of the layer flow, which are also those of one iteration.
    """

    parts: Mapping[str, int]
    iterations: int
    all_iterations: int
    operations: int

    @property
    def total(self) -> int:
        """Bytes of memory in all."""
        return sum(self.parts.values())

    def _rows(self) -> dict[str, str]:
        rows = {"memory": human(self.total)}
        rows |= {f"  {part}": human(size) for part, size in self.parts.items() if size}
        rows["right-hand side"] = f"{self.operations:.2g} floating-point operations"
        if self.iterations:
            rows["descent"] = f"{self.iterations:,} iterations at the smallest step size"
        return rows

    def __repr__(self) -> str:
        return cards.as_text("Footprint", self._rows())

    def _repr_html_(self) -> str:
        return cards.as_html("Footprint", self._rows())


def footprint(scenario: Scenario) -> Footprint:
    """Predict the memory and work of a scenario; with variants, of them one after the other."""
    variants = [_single(variant) for variant in scenario.expanded().values()]
    if not variants:
        return _single(scenario)
    kept = ("saved", "descent")
    parts = {
        part: (sum if part in kept else max)(variant.parts[part] for variant in variants)
        for part in variants[0].parts
    }
    return Footprint(
        parts,
        max(variant.iterations for variant in variants),
        sum(variant.all_iterations for variant in variants),
        max(variant.operations for variant in variants),
    )


def _single(scenario: Scenario) -> Footprint:
    sizes = scenario.descent.step_sizes if scenario.descent else ()
    counts = [round(scenario.flow.horizon / size) for size in sizes]
    parts = {
        "data": _data(scenario),
        "measurements": _measurements(scenario),
        "flow": max(_integrator(scenario, space) for space in scenario.flow.spaces),
        "jacobian": max(_jacobian(scenario, space) for space in scenario.flow.spaces),
        "saved": _saved(scenario),
        "descent": _descent(scenario),
    }
    return Footprint(parts, max(counts, default=0), sum(counts), operations(scenario))


def _end_to_end(scenario: Scenario) -> int:
    """Return the bytes of an end-to-end matrix."""
    rows, columns = scenario.network.shape
    return rows * columns * FLOAT


def _layers(scenario: Scenario) -> int:
    """Return the bytes of all layers."""
    widths = scenario.network.widths
    return FLOAT * sum(a * b for a, b in pairwise(widths))


def _data(scenario: Scenario) -> int:
    """Return the bytes of samples, as given and as prepared, and of their products."""
    if scenario.data is None:
        return 0
    from flowsim.scenario.shapes import available

    rows, columns = scenario.network.shape
    return FLOAT * (2 * (rows + columns) * available(scenario.data) + columns * (rows + columns))


def _measurements(scenario: Scenario) -> int:
    """Return the bytes of what a loss without data holds besides W."""
    return ((scenario.loss.measurements or 0) + 2) * _end_to_end(scenario)


def _integrator(scenario: Scenario, space: str) -> int:
    """Return the bytes of a solver: stages and copies, and singular bases."""
    rows, columns = scenario.network.shape
    if space == "end_to_end":
        return 24 * _end_to_end(scenario) + 4 * FLOAT * (rows**2 + columns**2)
    return 24 * _layers(scenario)


def _jacobian(scenario: Scenario, space: str) -> int:
    """Return the bytes of an implicit method's Jacobian and its factors."""
    if scenario.flow.method != "kvaerno5":
        return 0
    state = _layers(scenario) if space == "layers" else _end_to_end(scenario)
    return 3 * FLOAT * (state // FLOAT) ** 2


def _saved(scenario: Scenario) -> int:
    """Return the bytes of what flows leave: W and layers where asked, measures at all times."""
    samples, network = scenario.flow.samples, scenario.network
    total = 0
    for space in scenario.flow.spaces:
        total += COPIES * _held_times(scenario) * _end_to_end(scenario)
        total += samples * FLOAT * (network.modes + network.depth + 6)
        if space == "layers" and scenario.output.layers:
            total += samples * _layers(scenario)
    return total


def _held_times(scenario: Scenario) -> int:
    """Return at how many times a flow's W is held in memory: to compare flows, at all of them."""
    samples, data = scenario.flow.samples, scenario.data
    if len(scenario.flow.spaces) > 1 or (data is not None and data.held_out > 0):
        return samples
    compared = min(samples, max(2, LARGEST_COMPARISON // _end_to_end(scenario)))
    return min(samples, kept_times(scenario) + compared)


def kept_times(scenario: Scenario) -> int:
    """Return at how many of the saved times W is kept."""
    asked, samples = scenario.output.end_to_end, scenario.flow.samples
    if asked == "last":
        return 1
    return samples if asked == "all" else min(samples, samples // int(asked) + 2)


def _descent(scenario: Scenario) -> int:
    """Return the bytes of descent at all step sizes: layers, and W at the saved times."""
    if scenario.descent is None:
        return 0
    samples, network = scenario.flow.samples, scenario.network
    matrices = kept_times(scenario) + samples
    measures = samples * FLOAT * (network.modes + network.depth + 6)
    one = 6 * _layers(scenario) + matrices * _end_to_end(scenario) + measures
    return len(scenario.descent.step_sizes) * one


def operations(scenario: Scenario) -> int:
    """Return the floating-point operations of one right-hand side of the layer flow."""
    rows, columns = scenario.network.shape
    widths = scenario.network.widths
    products = sum(
        2 * (a * b * (rows + columns) + b * rows * columns + b * a * columns)
        for a, b in pairwise(widths)
    )
    return products + _loss_operations(scenario)


def _loss_operations(scenario: Scenario) -> int:
    rows, columns = scenario.network.shape
    kind = scenario.loss.kind
    if scenario.data is None:
        return 4 * rows * columns * ((scenario.loss.measurements or 0) + 1)
    if kind == "regression" and scenario.loss.power == 2:
        return 2 * rows * columns**2
    from flowsim.scenario.shapes import used

    return 4 * rows * columns * used(scenario.data)


def refuse_if_impossible(scenario: Scenario) -> None:
    """Raise where a scenario needs more memory than the machine has, or more than a month.

    Raises
    ------
    ScenarioError
        With what it needs, what there is, and what to reduce.

    """
    predicted, memory = footprint(scenario), machine_memory()
    if memory is not None and predicted.total > memory:
        largest = max(predicted.parts, key=lambda part: predicted.parts[part])
        raise ScenarioError(
            [
                f"needs about {human(predicted.total)}, this machine has {human(memory)}: "
                f"{REMEDIES[largest]}"
            ]
        )
    seconds = max(
        predicted.iterations * ITERATION_SECONDS,
        predicted.all_iterations * predicted.operations / FASTEST,
    )
    if seconds > LONGEST:
        raise ScenarioError(
            [
                f"needs {predicted.iterations:.2g} iterations of descent, about "
                f"{seconds / 86400:.2g} days: reduce flow.horizon or write larger "
                "descent.step_sizes"
            ]
        )


def machine_memory() -> int | None:
    """Return the machine's memory in bytes, or None where it cannot be known."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def human(size: int) -> str:
    """Write a number of bytes as people do: 7.3 TB."""
    value = float(size)
    for unit in ("B", "kB", "MB", "GB", "TB", "PB"):
        if value < 999.5:
            return f"{value:.1f} {unit}" if value < 10 and unit != "B" else f"{value:.0f} {unit}"
        value /= 1000
    return f"{value:.2g} EB"
