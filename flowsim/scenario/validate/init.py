"""Rules of `[init]`: what each kind needs, and which networks and losses it can start."""

from __future__ import annotations

from collections.abc import Iterator
from math import log10
from typing import TYPE_CHECKING

from flowsim.scenario.build.files import UnusableFileError
from flowsim.scenario.build.shapes import file_shape, shape, times
from flowsim.scenario.spec.errors import Mistake, wrong
from flowsim.scenario.spec.forms import FileRef
from flowsim.scenario.spec.numbers import Rows
from flowsim.scenario.validate.loss import TAKING_TARGET
from flowsim.scenario.validate.options import Option, fitting

if TYPE_CHECKING:
    from flowsim.scenario.spec.scenario import Scenario

SCALED = ("balanced", "gaussian", "orthogonal", "identity", "aligned", "lambda_balanced")

OPTIONS = (
    Option("scale", SCALED),
    Option("imbalance", ("lambda_balanced",)),
    Option("layers", ("explicit",)),
)


def takes_its_options(scenario: Scenario) -> Iterator[Mistake]:
    """Require of each kind the options that it needs, and no others."""
    yield from fitting("init", scenario.init, scenario.init.kind, OPTIONS)


def layers_fit(scenario: Scenario) -> Iterator[Mistake]:
    """Require explicit layers W_j of d_j × d_{j−1}, with a product above underflow."""
    layers, widths = scenario.init.layers, scenario.network.widths
    if layers is None or scenario.init.kind != "explicit":
        return
    wanted = list(zip(widths[1:], widths[:-1], strict=True))
    if isinstance(layers, FileRef):
        yield from _file_fits(layers, wanted)
        return
    if len(layers) != len(wanted):
        yield wrong(
            "init.layers",
            f"holds {len(layers)} matrices, but network.widths make {len(wanted)} layers; "
            "write W_1 … W_N",
        )
        return
    for j, (layer, size) in enumerate(zip(layers, wanted, strict=True), 1):
        yield from _layer_fits(f"W_{j}", shape(layer), size)
    if _underflows(layers):
        yield wrong(
            "init.layers",
            "are so small that their product underflows float64; write larger entries",
        )


def _file_fits(ref: FileRef, wanted: list[tuple[int, int]]) -> Iterator[Mistake]:
    """Require that the arrays W_1 … W_N of a `.npz` file have the layers' shapes."""
    if ref.key is not None or ref.file.suffix.lower() != ".npz":
        text = 'are W_1 … W_N of one .npz file; write { file = "layers.npz" } without a key'
        yield wrong("init.layers", text)
        return
    for j, size in enumerate(wanted, 1):
        try:
            yield from _layer_fits(f"W_{j}", file_shape(ref, f"W_{j}"), size)
        except UnusableFileError as error:
            yield wrong("init.layers", f"{ref.file}: {error}")
            return


def _layer_fits(name: str, size: tuple[int, int], wanted: tuple[int, int]) -> Iterator[Mistake]:
    if size != wanted:
        text = f"has {name} of {times(size)}, but network.widths make it {times(wanted)}"
        yield wrong("init.layers", f"{text}; write rows of outputs, columns of inputs")


def _underflows(layers: tuple[Rows, ...]) -> bool:
    """Say whether the product of layers is 0 although none of them is."""
    largest = [max(abs(entry) for row in layer for entry in row) for layer in layers]
    return min(largest) > 0 and sum(map(log10, largest)) < -300


def aligned_has_target(scenario: Scenario) -> Iterator[Mistake]:
    """Require singular vectors for an aligned start to align with."""
    loss = scenario.loss
    if scenario.init.kind != "aligned" or loss.kind in TAKING_TARGET:
        return
    if loss.kind != "regression" or loss.power != 2:
        yield wrong(
            "init.kind",
            '"aligned" takes the singular vectors of a target, which this loss has not; write '
            '"balanced", or a loss of kind linear, squared, completion, sensing or regression with '
            "p = 2",
        )


def identity_fits(scenario: Scenario) -> Iterator[Mistake]:
    """Require hidden layers that are no narrower than W for an identity start."""
    network = scenario.network
    hidden = network.widths[1:-1]
    if scenario.init.kind == "identity" and hidden and min(hidden) < network.modes:
        yield wrong(
            "init.kind",
            f'"identity" needs hidden widths of at least min(d_0, d_N) = {network.modes}, but one '
            f'is {min(hidden)}; write wider layers or "balanced"',
        )


def lambda_balanced_fits(scenario: Scenario) -> Iterator[Mistake]:
    """Require widths for which W_{j+1}ᵀW_{j+1} − W_jW_jᵀ = λI can hold."""
    if scenario.init.kind != "lambda_balanced":
        return
    widths, modes = scenario.network.widths, scenario.network.modes
    hidden = set(widths[1:-1])
    if not hidden:
        text = '"lambda_balanced" needs two layers or more; write a hidden width in network.widths'
        yield wrong("init.kind", text)
    elif len(hidden) > 1:
        text = '"lambda_balanced" needs hidden widths that are equal; write one width for all'
        yield wrong("init.kind", text)
    elif (h := hidden.pop()) > modes:
        imbalance = scenario.init.imbalance
        if imbalance is None:
            return
        fits = (imbalance >= 0 and h <= widths[-1]) or (imbalance <= 0 and h <= widths[0])
        if not fits:
            yield wrong(
                "init.imbalance",
                f"is {imbalance}, which a hidden width of {h} cannot have; write hidden widths of "
                f"at most {modes} = min(d_0, d_N), or of at most d_N with λ ≥ 0 or d_0 with λ ≤ 0",
            )


RULES = (takes_its_options, layers_fit, aligned_has_target, identity_fits, lambda_balanced_fits)
