"""Rules of `[init]`, `[flow]` and `[output]`."""

from __future__ import annotations

from collections.abc import Iterator
from math import log10
from typing import TYPE_CHECKING

from flowsim.scenario.build.shapes import format_shape, matrix_shape
from flowsim.scenario.spec.errors import Mistake, format_value, mistake_at
from flowsim.scenario.spec.flow import CLOSEST, SMALLEST_TIME
from flowsim.scenario.spec.forms import FileRef
from flowsim.scenario.spec.init import Explicit
from flowsim.scenario.spec.numbers import Rows
from flowsim.scenario.validate.loss import shape_at

if TYPE_CHECKING:
    from flowsim.scenario.spec.scenario import Scenario


def layers_fit(scenario: Scenario) -> Iterator[Mistake]:
    """Require explicit layers W_j of d_j × d_{j−1}, with a product above underflow."""
    init, widths = scenario.init, scenario.network.widths
    if not isinstance(init, Explicit):
        return
    layers = init.layers
    required = list(zip(widths[1:], widths[:-1], strict=True))
    if isinstance(layers, FileRef):
        yield from _file_fits(layers, required)
        return
    if len(layers) != len(required):
        yield mistake_at(
            "init.layers",
            f"holds {len(layers)} matrices, but network.widths make {len(required)} layers; "
            "write W_1 … W_N",
        )
        return
    for j, (layer, size) in enumerate(zip(layers, required, strict=True), 1):
        yield from _layer_fits(f"W_{j}", matrix_shape(layer), size)
    if _underflows(layers):
        yield mistake_at(
            "init.layers",
            "are so small that their product underflows float64; write larger entries",
        )


def _file_fits(ref: FileRef, required: list[tuple[int, int]]) -> Iterator[Mistake]:
    """Require that the arrays W_1 … W_N of a `.npz` file have the layers' shapes."""
    if ref.key is not None or ref.file.suffix.lower() != ".npz":
        text = 'are W_1 … W_N of one .npz file; write { file = "layers.npz" } without a key'
        yield mistake_at("init.layers", text)
        return
    for j, size in enumerate(required, 1):
        yield from _layer_fits(f"W_{j}", shape_at("init.layers", ref, f"W_{j}"), size)


def _layer_fits(name: str, size: tuple[int, int], required: tuple[int, int]) -> Iterator[Mistake]:
    if size != required:
        text = f"has {name} of {format_shape(size)}, but network.widths make it "
        text += format_shape(required)
        yield mistake_at("init.layers", f"{text}; write rows of outputs, columns of inputs")


def _underflows(layers: tuple[Rows, ...]) -> bool:
    """Return whether the product of layers underflows to 0 although no layer is 0."""
    largest = [max(abs(entry) for row in layer for entry in row) for layer in layers]
    # in logarithms, since the product itself may underflow; below 1e-300 digits are lost
    return min(largest) > 0 and sum(map(log10, largest)) < -300


def directions_exist(scenario: Scenario) -> Iterator[Mistake]:
    """Require a loss with singular vectors for an initialization that needs them."""
    if scenario.init.takes_directions and not scenario.loss.has_directions:
        yield mistake_at(
            "init.kind",
            f'"{scenario.init.kind}" takes the singular vectors of a target, which this loss does '
            'not have; write "balanced", or a loss of kind linear, squared, completion, sensing or '
            "regression with p = 2",
        )


def network_fits(scenario: Scenario) -> Iterator[Mistake]:
    """Require widths for which the initialization exists."""
    mistake = scenario.init.unsuitable(scenario.network)
    if mistake is not None:
        yield mistake


def times_alone(scenario: Scenario) -> Iterator[Mistake]:
    """Require that saved times are given in one way."""
    flow = scenario.flow
    if flow.times is None:
        return
    for key, agrees in (
        ("horizon", flow.horizon == flow.times[-1]),
        ("samples", flow.samples == len(flow.times)),
        ("spacing", flow.spacing == "linear"),
    ):
        if not agrees:
            value = format_value(getattr(flow, key))
            yield mistake_at(f"flow.{key}", f"is {value}, but flow.times are given; remove one")


def first_time_fits(scenario: Scenario) -> Iterator[Mistake]:
    """Require log spacing for a first time, which is before the final time."""
    first = scenario.flow.first_time
    if first is None:
        return
    if scenario.flow.times is not None:
        yield mistake_at("flow.first_time", "is not used with flow.times; remove it")
    elif scenario.flow.spacing != "log":
        text = 'is not used by spacing = "linear"; remove it or write spacing = "log"'
        yield mistake_at("flow.first_time", text)
    elif first >= scenario.flow.horizon:
        text = f"is {first}, but the horizon is {scenario.flow.horizon}; write an earlier time"
        yield mistake_at("flow.first_time", text)


def times_differ(scenario: Scenario) -> Iterator[Mistake]:
    """Require saved times that are different numbers of float64."""
    flow = scenario.flow
    if flow.times is not None:
        return
    if flow.horizon / flow.samples < SMALLEST_TIME or flow.first_saved_time < SMALLEST_TIME:
        text = f"is {flow.horizon}, too small for saved times to differ; write a larger one"
        yield mistake_at("flow.horizon", text)
        return
    first = flow.first_saved_time if flow.spacing == "log" else 0.0
    if first < flow.horizon and (flow.horizon - first) / flow.samples < CLOSEST * flow.horizon:
        text = f"is {flow.samples}, too many for saved times to differ; write less"
        yield mistake_at("flow.samples", text)


def layers_exist(scenario: Scenario) -> Iterator[Mistake]:
    """Require the layer flow where layers are to be saved."""
    if scenario.output.layers and "layers" not in scenario.flow.spaces:
        text = 'is not used without "layers" in flow.spaces; remove it, or add "layers" there'
        yield mistake_at("output.layers", text)


def plane_fits(scenario: Scenario) -> Iterator[Mistake]:
    """Require that the entries that span the plane are two, and that W has them."""
    plane = scenario.output.plane_entries
    if plane is None:
        return
    if plane[0] == plane[1]:
        yield mistake_at("output.plane", "names one entry twice; write two different ones")
    rows, columns = scenario.network.shape
    for row, column in plane:
        if row >= rows or column >= columns:
            yield mistake_at(
                "output.plane",
                f"names entry [{row}, {column}], but W is {rows} × {columns}; "
                f"write [output, input] of at most [{rows - 1}, {columns - 1}], counted from 0",
            )


def modes_exist(scenario: Scenario) -> Iterator[Mistake]:
    """Require a quadratic loss and singular vectors that are not random for modes.

    Whether the flow does decouple depends on the problem (see `flowsim.dynamics.modes`).
    """
    if "modes" not in scenario.flow.spaces:
        return
    loss, init = scenario.loss, scenario.init
    if loss.has("unbounded"):
        yield mistake_at(
            "flow.spaces",
            f'names "modes", which are those of a quadratic loss, and kind = "{loss.kind}" is not '
            'one; write "layers" and "end_to_end", or another loss',
        )
    elif not loss.quadratic:
        yield mistake_at(
            "flow.spaces",
            f'names "modes", but the loss ({loss.label}) has a gradient that is not linear in W '
            'and mixes them; write "layers" and "end_to_end", or another loss',
        )
    elif init.random and max(scenario.network.shape) > 1:
        yield mistake_at(
            "flow.spaces",
            f'names "modes", but init.kind = "{init.kind}" draws singular vectors at random, and '
            'modes need those of the target; write init.kind = "aligned", or leave "modes" out',
        )


def logarithms_exist(scenario: Scenario) -> Iterator[Mistake]:
    """Require two layers for the spectral formulation: with one, singular values may pass 0."""
    if "spectral" in scenario.flow.spaces and scenario.network.depth == 1:
        yield mistake_at(
            "flow.spaces",
            'names "spectral", but with one layer singular values may pass through 0, where they '
            'have no logarithm; write "layers" or "end_to_end", or more widths',
        )


def stop_exists(scenario: Scenario) -> Iterator[Mistake]:
    """Require the target and the held-out samples to which a stopping criterion refers."""
    values, loss = scenario.flow.stop_values, scenario.loss
    if "distance" in values and not loss.has("minimized_by_target"):
        text = f'does not exist for loss.kind = "{loss.kind}", which has no target; write loss'
        yield mistake_at("flow.stop.distance", text)
    if "held_out_loss" in values and not scenario.holds_out:
        text = "does not exist, as no samples are held out; write data.held_out = 0.2"
        yield mistake_at("flow.stop.held_out_loss", text)


RULES = (
    layers_fit,
    directions_exist,
    network_fits,
    times_alone,
    first_time_fits,
    times_differ,
    layers_exist,
    plane_fits,
    modes_exist,
    logarithms_exist,
    stop_exists,
)
