"""Rules of `[init]`: the networks and losses that each kind can initialize."""

from __future__ import annotations

from collections.abc import Iterator
from math import log10
from typing import TYPE_CHECKING

from flowsim.scenario.build.files import UnusableFileError
from flowsim.scenario.build.shapes import file_shape, format_shape, matrix_shape
from flowsim.scenario.spec.errors import Mistake, mistake_at
from flowsim.scenario.spec.forms import FileRef
from flowsim.scenario.spec.init import Explicit
from flowsim.scenario.spec.numbers import Rows

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
        try:
            yield from _layer_fits(f"W_{j}", file_shape(ref, f"W_{j}"), size)
        except UnusableFileError as error:
            yield mistake_at("init.layers", f"{ref.file}: {error}")
            return


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


RULES = (layers_fit, directions_exist, network_fits)
