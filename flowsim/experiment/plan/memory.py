"""The parts of a run's peak memory, in bytes, from the sizes in a scenario.

The constants were fitted to measured peaks. Without the memory of the interpreter and its imports,
the sum is within a factor of 1.3 of the peak (see docs/results.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING

from flowsim.dynamics.registry import FLOWS, Formulation
from flowsim.scenario.build.shapes import draws_per_step
from flowsim.theory.measure import iterate_copies
from flowsim.theory.registry import MEASURES

if TYPE_CHECKING:
    from flowsim.scenario.spec.output import Output
    from flowsim.scenario.spec.scenario import Scenario

FLOAT = 8
MB = 1_000_000

LIBRARIES = 120 * MB
"""Memory of the compiler, the file format and the plotting library."""

SCIKIT_LEARN = 100 * MB
"""Memory of the library that contains the named data sets."""

FLOW, LAYER, DESCENT, PICTURES = 30 * MB, 2 * MB, 14 * MB, 20 * MB
"""Compiled programs: of a flow with its error estimate and per layer, of descent, of pictures."""

SHAPE = 5 * MB
"""What remains of the programs of each further network shape among the variants."""

IN_MEMORY, PIECE = 1 << 25, 1 << 22
"""Bytes above which a store is a file, and of the pieces in which it is read, as in
`flowsim.solvers.storage`."""

WINDOW, LONGEST_WINDOW = 1 << 22, 256
"""Bytes and greatest number of states transferred to the host at once, as in
`flowsim.solvers.options`."""

LARGEST_COMPARISON = 1 << 28
"""Bytes of W at which the second solve is compared, as in `flowsim.solvers.error_estimate`."""

STAGES, MORE_STAGES = 24, 31
"""States held by a method of order 5 and 8: stages, earlier steps, copies of the initial state."""

EACH_TIME = 800
"""Bytes per saved time of times, indices and scalar variables."""

TIGHT = 1e-9
"""Tolerance below which "auto" starts with a method of order 8, as in `flowsim.solvers.methods`."""

SPECTRA = 4
"""Copies of the singular values while variables are computed from them."""


def parts(scenario: Scenario) -> Mapping[str, int]:
    """Return the bytes of each part."""
    flow, jacobian, descent = _flow(scenario), _jacobian(scenario), _iterates(scenario)
    return {
        "programs": _programs(scenario),
        "data": _data(scenario),
        "measurements": _measurements(scenario),
        "flow": flow,
        "jacobian": jacobian,
        "saved": _saved(scenario),
        # the memory in which a flow was solved is free by then
        "descent": _descent(scenario) + max(0, descent - flow - jacobian),
        **{name: max(0, size - flow - jacobian) for name, size in _diagnostics(scenario).items()},
    }


def end_to_end(scenario: Scenario) -> int:
    """Return the bytes of an end-to-end matrix."""
    rows, columns = scenario.network.shape
    return rows * columns * FLOAT


def layers(scenario: Scenario) -> int:
    """Return the bytes of all layers."""
    return FLOAT * scenario.network.weights


def _programs(scenario: Scenario) -> int:
    """Return the bytes of compiled programs and libraries."""
    flows = len(scenario.flow.spaces) * (FLOW + LAYER * scenario.network.depth)
    return LIBRARIES + flows + (DESCENT if scenario.descent else 0) + PICTURES


def _data(scenario: Scenario) -> int:
    """Return the bytes of the samples, original and preprocessed, and of their products."""
    if scenario.data is None:
        return 0
    from flowsim.scenario.build.shapes import available_samples

    rows, columns = scenario.network.shape
    packaged = SCIKIT_LEARN if scenario.data.dataset is not None else 0
    samples = FLOAT * 2 * (rows + columns) * available_samples(scenario.data)
    return packaged + samples + FLOAT * columns * (rows + columns)


def _measurements(scenario: Scenario) -> int:
    """Return the bytes of the target and the sensing matrices of a loss without data."""
    return (scenario.loss.sensing_matrices + 2) * end_to_end(scenario)


def _flow(scenario: Scenario) -> int:
    """Return the bytes for solving in the largest formulation, or for reading W if that is more."""
    spaces = scenario.flow.spaces
    solved = {*spaces, *(FLOWS[space].checked_in for space in spaces)}
    working = max(_working(scenario, FLOWS[space]) for space in solved) + _window(scenario)
    W = end_to_end(scenario)
    return max(working, 5 * max(PIECE, W) if scenario.flow.samples * W > PIECE else 0)


def _window(scenario: Scenario) -> int:
    """Return the bytes of the states in transfer to the host, and of the variables computed."""
    state = layers(scenario)
    return 4 * min(WINDOW, LONGEST_WINDOW * state) if state < WINDOW else 0


def _stages(scenario: Scenario) -> int:
    flow = scenario.flow
    high = flow.method == "dopri8" or (flow.method == "auto" and flow.rtol < TIGHT)
    return MORE_STAGES if high else STAGES


def _working(scenario: Scenario, flow: Formulation) -> int:
    """Return the bytes of a solver's stages, and of reading W or the velocity off a state."""
    widths = scenario.network.widths
    return FLOAT * (_stages(scenario) * flow.state_size(widths) + flow.workspace(widths))


def _jacobian(scenario: Scenario) -> int:
    """Return the bytes of an implicit method's Jacobian and its factors."""
    if scenario.flow.method != "kvaerno5":
        return 0
    widths = scenario.network.widths
    checks = (FLOWS[FLOWS[space].checked_in] for space in scenario.flow.spaces)
    return 3 * FLOAT * max(flow.state_size(widths) for flow in checks) ** 2


def _saved(scenario: Scenario) -> int:
    """Return the bytes that flows leave: matrices, unless stored in files, and other variables."""
    held = sum(size for size in _flow_stores(scenario) if size <= IN_MEMORY)
    return held + len(scenario.flow.spaces) * _measures(scenario)


def disk(scenario: Scenario) -> int:
    """Return the bytes of temporary files: the stores that are too large for memory."""
    stores = [*_flow_stores(scenario), *_descent_stores(scenario)]
    return sum(size for size in stores if size > IN_MEMORY)


def _flow_stores(scenario: Scenario) -> list[int]:
    """Return the bytes of each store of matrices that flows and their error estimates fill."""
    W, samples, spaces = end_to_end(scenario), scenario.flow.samples, scenario.flow.spaces
    # the second solve is compared at two times at least
    compared = min(samples, max(2, LARGEST_COMPARISON // W))
    recorded = samples if _all_recorded(scenario) else min(samples, kept_times(scenario) + compared)
    descent = scenario.descent
    # the flow is also recorded at the times of the iterates, to which descent is compared
    between = len(descent.written) * samples if descent and descent.follows_flow else 0
    stores = [recorded * W] * (len(spaces) - 1) + [(recorded + between) * W, compared * W]
    if holds_layers(scenario.output) and "layers" in spaces:
        stores += [samples * FLOAT * a * b for a, b in pairwise(scenario.network.widths)]
    return stores


def _descent_stores(scenario: Scenario) -> list[int]:
    """Return the bytes of the store that descent fills."""
    steps = len(scenario.descent.written) if scenario.descent else 0
    kept = scenario.flow.samples if scenario.holds_out else kept_times(scenario)
    return [steps * kept * end_to_end(scenario)]


def _measures(scenario: Scenario) -> int:
    network = scenario.network
    each = EACH_TIME + FLOAT * (SPECTRA * network.modes + network.depth)
    return scenario.flow.samples * each


def _all_recorded(scenario: Scenario) -> bool:
    """Return whether W is recorded at all saved times: for comparison, scores or diagnostics."""
    return len(scenario.flow.spaces) > 1 or scenario.holds_out or holds_matrices(scenario.output)


def holds_layers(output: Output) -> bool:
    """Return whether layers must be kept at every saved time, to be saved or for diagnostics."""
    return output.layers or _needed(output, "layers")


def holds_matrices(output: Output) -> bool:
    """Return whether diagnostics need W at every saved time."""
    return _needed(output, "matrices")


def _needed(output: Output, kept: str) -> bool:
    return any(MEASURES[name].needs == kept for name in output.measures)


def kept_times(scenario: Scenario) -> int:
    """Return the number of saved times at which W is kept."""
    asked, samples = scenario.output.end_to_end, scenario.flow.samples
    if asked == "last":
        return 1
    return samples if asked == "all" else min(samples, samples // int(asked) + 2)


def _diagnostics(scenario: Scenario) -> dict[str, int]:
    """Return the bytes in which each diagnostic works, 0 if it is not asked for."""
    return {
        name: FLOAT * measure.floats(scenario) if name in scenario.output.measures else 0
        for name, measure in MEASURES.items()
    }


def _iterates(scenario: Scenario) -> int:
    """Return the bytes in which gradient descent works, over all step sizes."""
    steps = len(scenario.descent.written) if scenario.descent else 0
    return steps * (
        iterate_copies(scenario) * layers(scenario) + 2 * FLOAT * draws_per_step(scenario)
    )


def _descent(scenario: Scenario) -> int:
    """Return the bytes that descent leaves: matrices, unless stored in files, and scalars."""
    steps = len(scenario.descent.written) if scenario.descent else 0
    held = sum(size for size in _descent_stores(scenario) if size <= IN_MEMORY)
    return steps * _measures(scenario) + held
