"""Rules of `[init]`, `[flow]`, `[descent]` with its noise, and `[output]`."""

from __future__ import annotations

from collections.abc import Iterator
from math import log10
from typing import TYPE_CHECKING

from flowsim.dynamics.registry import RULES as UPDATE_RULES
from flowsim.scenario.build.shapes import format_shape, matrix_shape, sample_count
from flowsim.scenario.spec.data import Regression, kinds_with
from flowsim.scenario.spec.errors import Mistake, alternatives, format_value, mistake_at
from flowsim.scenario.spec.flow import CLOSEST, SMALLEST_TIME
from flowsim.scenario.spec.forms import FileRef
from flowsim.scenario.spec.init import Explicit
from flowsim.scenario.spec.numbers import Rows
from flowsim.scenario.spec.table import FROM_PYTHON
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


def descent_ends(scenario: Scenario) -> Iterator[Mistake]:
    """Require a number of iterations to the final time that can be counted."""
    if scenario.descent is None or scenario.descent.relative_to is not None:
        return
    smallest = min(scenario.descent.sizes)
    # beyond 2^53 float64 no longer represents every integer
    if scenario.flow.horizon / smallest > 2**53:
        text = f"holds {smallest}, of which more than 2^53 make the horizon; write larger ones"
        yield mistake_at("descent.step_sizes", text)


def momentum_fits(scenario: Scenario) -> Iterator[Mistake]:
    """Require momentum of Nesterov's method, and of no other but gradient descent."""
    descent = scenario.descent
    if descent is None or (descent.rule == FROM_PYTHON and descent.python is None):
        return
    if descent.rule == "nesterov":
        if descent.momentum == 0:
            text = 'is 0, at which "nesterov" is gradient descent; write momentum = 0.9 or '
            yield mistake_at("descent.momentum", text + '"increasing", or rule = "gradient"')
    elif descent.momentum and "momentum" not in descent.traits.parameters:
        text = f'is not used by rule = "{descent.rule}", only by "gradient" and '
        yield mistake_at("descent.momentum", text + '"nesterov"; remove it')
    elif descent.momentum == "increasing":
        text = 'is "increasing", which "nesterov" alone can be; write rule = "nesterov", '
        yield mistake_at("descent.momentum", text + "or momentum = 0.9")


def rule_is_described(scenario: Scenario) -> Iterator[Mistake]:
    """Require the description of a rule from Python, and of no other rule."""
    descent = scenario.descent
    if descent is None or (descent.rule == FROM_PYTHON) == (descent.python is not None):
        return
    if descent.python is not None:
        text = f'is not used by rule = "{descent.rule}"; remove it'
        yield mistake_at("descent.python", text)
    else:
        text = f'is "python", which flowsim.run writes; write {alternatives(UPDATE_RULES)}'
        yield mistake_at("descent.rule", text)


def rho_fits(scenario: Scenario) -> Iterator[Mistake]:
    """Require the rule that has the radius ρ where it is given."""
    descent = scenario.descent
    if descent is None or descent.rho is None or "rho" in descent.traits.parameters:
        return
    text = f'is not used by rule = "{descent.rule}"; remove it, or write rule = "sam"'
    yield mistake_at("descent.rho", text)


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


def batch_fits(scenario: Scenario) -> Iterator[Mistake]:
    """Require samples to draw from, no fewer than a batch has."""
    descent, loss = scenario.descent, scenario.loss
    if descent is None or descent.batch is None:
        return
    if not loss.has("sampled"):
        users = alternatives(f'"{name}"' for name in kinds_with("sampled"))
        text = f'is not used by loss.kind = "{loss.kind}", which has no samples, only by {users}; '
        yield mistake_at("descent.batch", text + "remove it")
        return
    if loss.has("on_data") and scenario.data is None:
        return
    count = sample_count(scenario)
    if descent.batch > count:
        there = f"there are {count} {loss.samples_name}"
        yield mistake_at("descent.batch", f"is {descent.batch}, but {there}; write no more")


def label_noise_fits(scenario: Scenario) -> Iterator[Mistake]:
    """Require labels that Gaussian noise can be added to, in a loss that is quadratic in them."""
    descent, loss = scenario.descent, scenario.loss
    if descent is None or descent.label_noise is None:
        return
    if not loss.has("labelled"):
        users = alternatives(f'"{name}"' for name in kinds_with("labelled"))
        text = f'is not used by loss.kind = "{loss.kind}", only by {users}; remove it'
        yield mistake_at("descent.label_noise", text)
    elif isinstance(loss, Regression) and not loss.quadratic:
        text = f"is for p = 2, but loss.p is {loss.p:g}: noise would not leave the gradient's mean "
        yield mistake_at("descent.label_noise", text + "as it is; remove it, or loss.p")


RULES = (
    layers_fit,
    directions_exist,
    network_fits,
    times_alone,
    first_time_fits,
    times_differ,
    descent_ends,
    rule_is_described,
    momentum_fits,
    rho_fits,
    layers_exist,
    plane_fits,
    modes_exist,
    logarithms_exist,
    stop_exists,
    batch_fits,
    label_noise_fits,
)
