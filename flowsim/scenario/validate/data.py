"""Rules of `[data]`: one source, one column per sample, targets that suit the loss."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from flowsim.scenario.build.files import UnusableFileError, inspect_array
from flowsim.scenario.build.shapes import (
    BUNDLED,
    available_samples,
    format_shape,
    matrix_shape,
    used_samples,
)
from flowsim.scenario.spec.errors import Mistake, alternatives, mistake_at
from flowsim.scenario.spec.forms import FileRef
from flowsim.scenario.spec.loss import DataLoss

if TYPE_CHECKING:
    from flowsim.scenario.spec.numbers import Rows
    from flowsim.scenario.spec.scenario import Scenario

WAYS = "write inputs and targets, or dataset"


def one_source(scenario: Scenario) -> Iterator[Mistake]:
    """Require that data come from inputs and targets, or from a dataset."""
    data = scenario.data
    if data is None:
        return
    # a key with an invalid value counts as given: it was written
    given = [key for key in ("inputs", "targets") if not hasattr(data, key) or getattr(data, key)]
    if data.dataset is not None:
        for key in given:
            text = f'is not used beside dataset = "{data.dataset}"; remove one of the two'
            yield mistake_at(f"data.{key}", text)
    elif not given:
        yield mistake_at("data", f"holds no samples; {WAYS}")
    else:
        for key in {"inputs", "targets"}.difference(given):
            yield mistake_at(f"data.{key}", f"is missing; {WAYS}")


def inputs_fit(scenario: Scenario) -> Iterator[Mistake]:
    """Require inputs of d_0 × m."""
    data, width = scenario.data, scenario.network.widths[0]
    if data is None or data.inputs is None or data.dataset is not None:
        return
    rows = _size("data.inputs", data.inputs)
    if isinstance(rows, Mistake):
        yield rows
    elif rows[0] != width:
        yield mistake_at(
            "data.inputs",
            f"is {format_shape(rows)}, but network.widths begin with {width}; "
            f"write d_0 = {width} rows, one column per sample",
        )


def targets_fit(scenario: Scenario) -> Iterator[Mistake]:
    """Require targets with the rows that the loss needs and the columns of the inputs."""
    data, loss = scenario.data, scenario.loss
    if data is None or data.targets is None or data.dataset is not None:
        return
    if not isinstance(loss, DataLoss):
        return
    size = _size("data.targets", data.targets)
    if isinstance(size, Mistake):
        yield size
        return
    yield from _rows_fit(loss, scenario.network.widths[-1], size)
    if hasattr(data, "inputs") and data.inputs is not None:
        inputs = _size("data.inputs", data.inputs)
        if not isinstance(inputs, Mistake) and inputs[1] != size[1]:
            yield mistake_at(
                "data.targets",
                f"has {size[1]} columns and data.inputs {inputs[1]}; write one column per sample",
            )


def _rows_fit(loss: DataLoss, outputs: int, size: tuple[int, int]) -> Iterator[Mistake]:
    rows = loss.target_rows(outputs)
    if size[0] == rows:
        return
    if loss.classifies:
        text = f'has {size[0]} rows, but loss.kind = "{loss.kind}" takes one; write 1 × m targets'
        yield mistake_at("data.targets", text)
    else:
        yield mistake_at(
            "data.targets",
            f"is {format_shape(size)}, but network.widths end with {outputs}; "
            f"write d_N = {outputs} rows, one column per sample",
        )


def outputs_fit(scenario: Scenario) -> Iterator[Mistake]:
    """Require outputs that the loss can have."""
    loss = scenario.loss
    if isinstance(loss, DataLoss) and (text := loss.wrong_outputs(scenario.network.widths[-1])):
        yield mistake_at("network.widths", text)


def labels_fit(scenario: Scenario) -> Iterator[Mistake]:
    """Require targets with values that suit the loss."""
    data, loss = scenario.data, scenario.loss
    if data is None or data.targets is None or data.dataset is not None:
        return
    if isinstance(loss, DataLoss) and loss.classifies:
        outputs = scenario.network.widths[-1]
        texts = (loss.wrong_label(label, outputs) for label in _labels(data.targets))
        if text := next(filter(None, texts), ""):
            yield mistake_at("data.targets", text)


def dataset_fits(scenario: Scenario) -> Iterator[Mistake]:
    """Require that a bundled data set has d_0 inputs, and d_N outputs for the loss."""
    data, loss = scenario.data, scenario.loss
    if data is None or data.dataset is None or not isinstance(loss, DataLoss):
        return
    about, widths = BUNDLED[data.dataset], scenario.network.widths
    if widths[0] != about.inputs:
        yield mistake_at(
            "network.widths",
            f"begin with {widths[0]}, but {data.dataset} has {about.inputs} inputs; "
            f"write d_0 = {about.inputs}",
        )
    if not loss.accepts(about.classes):
        suitable = alternatives(
            name for name, other in BUNDLED.items() if loss.accepts(other.classes)
        )
        has = f"{about.classes} classes" if about.classes else "real targets"
        yield mistake_at(
            "data.dataset",
            f'has {has}, but kind = "{loss.kind}" needs {loss.needs}; '
            f"write {suitable}, or another loss",
        )
        return
    outputs = loss.outputs(about.classes, about.outputs)
    # a number of outputs that the loss rejects is reported by another rule
    if widths[-1] != outputs and not loss.wrong_outputs(widths[-1]):
        yield mistake_at(
            "network.widths",
            f"end with {widths[-1]}, but {data.dataset} with {loss.kind} has {outputs} outputs; "
            f"write d_N = {outputs}",
        )


def samples_fit(scenario: Scenario) -> Iterator[Mistake]:
    """Require enough samples, of which not all are held out."""
    data = scenario.data
    if data is None or (data.dataset is None and data.inputs is None):
        return
    try:
        there = available_samples(data)
    except UnusableFileError:
        return
    if data.samples is not None and data.samples > there:
        yield mistake_at("data.samples", f"is {data.samples}, but there are {there}; write no more")
    elif (total := used_samples(data)) - round(data.held_out * total) < 1:
        text = f"is {data.held_out} of {total} samples, which leaves none; write less"
        yield mistake_at("data.held_out", text)


def _size(key: str, value: Rows | FileRef) -> tuple[int, int] | Mistake:
    try:
        return matrix_shape(value)
    except UnusableFileError as error:
        file = value.file if isinstance(value, FileRef) else ""
        return mistake_at(key, f"{file}: {error}")


def _labels(targets: Rows | FileRef) -> Iterable[float]:
    """Return the distinct entries of targets, of large files none."""
    if not isinstance(targets, FileRef):
        return [entry for row in targets for entry in row]
    try:
        return inspect_array(targets).distinct or ()
    except UnusableFileError:
        return ()


RULES = (
    one_source,
    inputs_fit,
    targets_fit,
    outputs_fit,
    labels_fit,
    dataset_fits,
    samples_fit,
)
