"""The memory and work of a scenario in plain integers, before anything is allocated."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from flowsim import cards
from flowsim.experiment.plan import memory
from flowsim.experiment.plan.machine import memory_limit
from flowsim.scenario.overrides import variants
from flowsim.scenario.spec.errors import UnplacedError, mistake_at
from flowsim.theory.registry import MEASURES

if TYPE_CHECKING:
    from flowsim.scenario.spec.scenario import Scenario

LONGEST_SECONDS = 30 * 24 * 3600.0
"""Scenarios with a longer predicted gradient descent are rejected."""

OPERATIONS_PER_SECOND = 1e12
"""An optimistic rate of floating-point operations, so that nothing feasible is rejected."""

ITERATION_SECONDS = 1e-6
"""Least time of an iteration, which is dispatch overhead for small networks."""

LONG = 20.0
"""Seconds from which on the time of a diagnostic is shown before a run."""

REMEDIES: dict[str, str] = {
    "programs": "run it on a larger machine",
    "data": "reduce data.samples or network.widths",
    "measurements": "reduce loss.measurements or network.widths",
    "flow": "reduce network.widths",
    "jacobian": "write another flow.method than kvaerno5, or reduce network.widths",
    "saved": "reduce network.widths or flow.samples, or solve in one of flow.spaces and set "
    'output.end_to_end = "last"',
    "descent": "reduce network.widths, flow.samples or descent.step_sizes, "
    'or set output.end_to_end = "last"',
}

OF_DIAGNOSTICS = "reduce network.widths, or remove it from output.measures"
"""The remedy where a diagnostic takes the memory."""

KEYS = {
    "data": "data",
    "measurements": "loss.measurements",
    "jacobian": "flow.method",
    "descent": "descent.step_sizes",
}
"""The key to which the memory of a part is reported where it is not network.widths."""


@dataclass(frozen=True)
class Footprint:
    """The predicted memory and work of a scenario.

    Attributes
    ----------
    parts
        Bytes of memory by purpose, without the interpreter and its imports.
    disk
        Bytes of temporary files.
    iterations, all_iterations
        Iterations of gradient descent at the smallest step size, and over all of them; 0 if step
        sizes are relative to 2/λ_max, which is unknown before the simulation.
    operations
        Floating-point operations of one right-hand side of the layer flow, or one gradient.
    seconds
        Upper estimates of the time of diagnostics that may take minutes, by name.

    """

    parts: Mapping[str, int]
    disk: int
    iterations: int
    all_iterations: int
    operations: int
    seconds: Mapping[str, float]

    @property
    def total(self) -> int:
        """Total bytes of memory."""
        return sum(self.parts.values())

    def _rows(self) -> dict[str, str]:
        rows = {"memory": human(self.total)}
        rows |= {f"  {part}": human(size) for part, size in self.parts.items() if size}
        if self.disk:
            rows["temporary files"] = human(self.disk)
        rows["right-hand side"] = f"{self.operations:.2g} floating-point operations"
        if self.iterations:
            rows["descent"] = f"{self.iterations:,} iterations at the smallest step size"
        return rows | {f"time of {name}": text for name, text in self.long_diagnostics().items()}

    def long_diagnostics(self) -> dict[str, str]:
        """Return in words how long each diagnostic may take that may take over `LONG` seconds."""
        return {name: f"up to {duration(s)}" for name, s in self.seconds.items() if s > LONG}

    def __repr__(self) -> str:
        return cards.as_text("Footprint", self._rows())

    def _repr_html_(self) -> str:
        return cards.as_html("Footprint", self._rows())


def footprint(scenario: Scenario) -> Footprint:
    """Return the predicted memory and work of a scenario, its variants run one after another."""
    members = variants(scenario).values()
    if not members:
        return _single(scenario)
    each = [_single(variant) for variant in members]
    # results of all variants add up; the memory of a simulation is free before the next one
    kept = ("saved", "descent")
    parts = {
        part: (sum if part in kept else max)(one.parts[part] for one in each)
        for part in each[0].parts
    }
    shapes = {variant.network.widths for variant in members}
    parts["programs"] += memory.SHAPE * (len(shapes) - 1)
    return Footprint(
        parts,
        sum(variant.disk for variant in each),
        max(variant.iterations for variant in each),
        sum(variant.all_iterations for variant in each),
        max(variant.operations for variant in each),
        {
            name: sum(variant.seconds.get(name, 0.0) for variant in each)
            for name in dict.fromkeys(name for variant in each for name in variant.seconds)
        },
    )


def _single(scenario: Scenario) -> Footprint:
    counts = _iterations(scenario)
    parts, disk = memory.parts(scenario), memory.disk(scenario)
    seconds = {name: MEASURES[name].seconds(scenario) for name in scenario.output.measures}
    most = max(counts, default=0)
    return Footprint(parts, disk, most, sum(counts), operations(scenario), seconds)


def _iterations(scenario: Scenario) -> list[int]:
    """Return the iterations at each step size, or [] if these are relative to 2/λ_max."""
    descent, horizon = scenario.descent, scenario.flow.horizon
    if descent is None or descent.relative_to is not None:
        return []
    counts = [round(horizon / size) for size in descent.sizes]
    if "speed" in scenario.output.measures:
        counts += len(descent.sizes) * [descent.most_iterations(horizon)]
    return counts


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
    if scenario.data is None:
        return 4 * rows * columns * (scenario.loss.sensing_matrices + 1)
    if scenario.loss.quadratic:  # compressed to the size of W
        return 2 * rows * columns**2
    from flowsim.scenario.build.shapes import used_samples

    return 4 * rows * columns * used_samples(scenario.data)


def refuse_if_impossible(scenario: Scenario) -> None:
    """Reject a scenario that needs more memory or disk than available, or over a month.

    Raises
    ------
    UnplacedError
        With the predicted need, what is available, and what to reduce.

    """
    predicted, limit = footprint(scenario), memory_limit()
    if limit is not None and predicted.total > limit.size:
        largest = max(predicted.parts, key=lambda part: predicted.parts[part])
        text = (
            f"needs about {human(predicted.total)}, {limit.limited_by} {human(limit.size)}; "
            f"{REMEDIES.get(largest, OF_DIAGNOSTICS)}"
        )
        raise UnplacedError(mistake_at(_key(scenario, largest), text))
    if predicted.disk:
        _reject_if_disk_is_full(scenario, predicted.disk)
    seconds = max(
        predicted.iterations * ITERATION_SECONDS,
        predicted.all_iterations * predicted.operations / OPERATIONS_PER_SECOND,
    )
    if seconds > LONGEST_SECONDS:
        text = (
            f"needs {predicted.iterations:.2g} iterations of descent, about "
            f"{seconds / 86400:.2g} days; reduce flow.horizon or write larger "
            "descent.step_sizes"
        )
        raise UnplacedError(mistake_at("descent.step_sizes", text))


def _key(scenario: Scenario, part: str) -> str:
    """Return the key that is most to blame for the memory of a part."""
    if part == "saved" and scenario.flow.samples > max(scenario.network.widths):
        return "flow.samples" if scenario.flow.times is None else "flow.times"
    return "output.measures" if part in MEASURES else KEYS.get(part, "network.widths")


def _reject_if_disk_is_full(scenario: Scenario, needed: int) -> None:
    """Raise where the temporary folder has not so many bytes free."""
    from flowsim.solvers import storage  # imports NumPy, which small scenarios do not need here

    available = storage.free_bytes()
    if available is not None and needed > available:
        text = (
            f"needs about {human(needed)} of temporary files, and {human(available)} are "
            f"free in {storage.temporary_folder()!r}; {REMEDIES['saved']}, or let the "
            "environment variable TMPDIR name another folder"
        )
        raise UnplacedError(mistake_at(_key(scenario, "saved"), text))


def human(size: int) -> str:
    """Return a number of bytes with its unit, as in 7.3 TB."""
    value = float(size)
    for unit in ("B", "kB", "MB", "GB", "TB", "PB"):
        if value < 999.5:
            return f"{value:.1f} {unit}" if value < 10 and unit != "B" else f"{value:.0f} {unit}"
        value /= 1000
    return f"{value:.2g} EB"


def duration(seconds: float) -> str:
    """Return a time in words, rounded up, as in "3 minutes"."""
    units = {"day": 86400, "hour": 3600, "minute": 60}
    unit, size = next(((u, n) for u, n in units.items() if seconds > 2 * n), ("second", 1))
    return f"{math.ceil(seconds / size)} {unit}s"
