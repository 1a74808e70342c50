"""Rules of `[data]`: one source, columns that are samples, targets that the loss can take."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from flowsim.scenario.build.files import UnusableFileError, facts
from flowsim.scenario.build.shapes import (
    BUNDLED,
    DATA_LOSSES,
    available,
    bundled_outputs,
    shape,
    times,
    used,
)
from flowsim.scenario.spec.errors import Mistake, wrong
from flowsim.scenario.spec.forms import FileRef
from flowsim.scenario.validate.partial import known

if TYPE_CHECKING:
    from flowsim.scenario.spec.numbers import Rows
    from flowsim.scenario.spec.scenario import Scenario

WAYS = "write inputs and targets, or dataset"


def one_source(scenario: Scenario) -> Iterator[Mistake]:
    """Require that data come from inputs and targets, or from a dataset."""
    data = scenario.data
    if data is None:
        return
    given = [key for key in ("inputs", "targets") if not known(data, key) or getattr(data, key)]
    if data.dataset is not None:
        for key in given:
            text = f'is not used beside dataset = "{data.dataset}"; remove one of the two'
            yield wrong(f"data.{key}", text)
    elif not given:
        yield wrong("data", f"holds no samples; {WAYS}")
    else:
        for key in {"inputs", "targets"}.difference(given):
            yield wrong(f"data.{key}", f"is missing; {WAYS}")


def inputs_fit(scenario: Scenario) -> Iterator[Mistake]:
    """Require inputs of d_0 × m."""
    data, width = scenario.data, scenario.network.widths[0]
    if data is None or data.inputs is None or data.dataset is not None:
        return
    rows = _size("data.inputs", data.inputs)
    if isinstance(rows, Mistake):
        yield rows
    elif rows[0] != width:
        yield wrong(
            "data.inputs",
            f"is {times(rows)}, but network.widths begin with {width}; write d_0 = {width} rows, "
            "a column a sample",
        )


def targets_fit(scenario: Scenario) -> Iterator[Mistake]:
    """Require targets with the rows that the loss takes and the columns of the inputs."""
    data, kind = scenario.data, scenario.loss.kind
    if data is None or data.targets is None or data.dataset is not None or kind not in DATA_LOSSES:
        return
    size = _size("data.targets", data.targets)
    if isinstance(size, Mistake):
        yield size
        return
    yield from _rows_fit(scenario, size)
    if known(data, "inputs") and data.inputs is not None:
        inputs = _size("data.inputs", data.inputs)
        if not isinstance(inputs, Mistake) and inputs[1] != size[1]:
            yield wrong(
                "data.targets",
                f"has {size[1]} columns and data.inputs {inputs[1]}; write one column a sample",
            )


def _rows_fit(scenario: Scenario, size: tuple[int, int]) -> Iterator[Mistake]:
    kind = scenario.loss.kind
    if kind != "regression" and size[0] != 1:
        text = f'has {size[0]} rows, but loss.kind = "{kind}" takes one; write 1 × m targets'
        yield wrong("data.targets", text)
    if kind == "regression" and size[0] != (outputs := scenario.network.widths[-1]):
        yield wrong(
            "data.targets",
            f"is {times(size)}, but network.widths end with {outputs}; "
            f"write d_N = {outputs} rows, a column a sample",
        )


def outputs_fit(scenario: Scenario) -> Iterator[Mistake]:
    """Require one output of a logistic loss, and two or more of a cross-entropy."""
    kind, outputs = scenario.loss.kind, scenario.network.widths[-1]
    if kind == "logistic" and outputs != 1:
        text = f'end with {outputs}, but loss.kind = "logistic" wants one output; write d_N = 1'
        yield wrong("network.widths", text)
    if kind == "cross_entropy" and outputs < 2:
        text = 'end with 1, but loss.kind = "cross_entropy" wants an output a class; write d_N ≥ 2'
        yield wrong("network.widths", text)


def labels_fit(scenario: Scenario) -> Iterator[Mistake]:
    """Require ±1 as logistic targets, and classes 0 … d_N − 1 for a cross-entropy."""
    data, kind = scenario.data, scenario.loss.kind
    if data is None or data.targets is None or data.dataset is not None:
        return
    labels = _labels(data.targets)
    if kind == "logistic":
        bad = [label for label in labels if label not in (-1.0, 1.0)]
        if bad:
            text = f'holds {bad[0]}, but loss.kind = "logistic" wants −1 and +1; write these'
            yield wrong("data.targets", text)
    if kind == "cross_entropy":
        classes = scenario.network.widths[-1]
        bad = [label for label in labels if not (label.is_integer() and 0 <= label < classes)]
        if bad:
            yield wrong(
                "data.targets",
                f"holds {bad[0]}, but with {classes} outputs the classes are the integers "
                f"0 … {classes - 1}; write these",
            )


def dataset_fits(scenario: Scenario) -> Iterator[Mistake]:
    """Require that a bundled data set has d_0 inputs, and d_N outputs for the loss."""
    data, kind = scenario.data, scenario.loss.kind
    if data is None or data.dataset is None or kind not in DATA_LOSSES:
        return
    about, widths = BUNDLED[data.dataset], scenario.network.widths
    if widths[0] != about.inputs:
        yield wrong(
            "network.widths",
            f"begin with {widths[0]}, but {data.dataset} has {about.inputs} inputs; "
            f"write d_0 = {about.inputs}",
        )
    try:
        outputs = bundled_outputs(data.dataset, kind)
    except ValueError as error:
        yield wrong("data.dataset", str(error))
        return
    if widths[-1] != outputs and kind != "logistic":
        yield wrong(
            "network.widths",
            f"end with {widths[-1]}, but {data.dataset} with {kind} has {outputs} outputs; "
            f"write d_N = {outputs}",
        )


def samples_fit(scenario: Scenario) -> Iterator[Mistake]:
    """Require that there are the samples asked for, and that not all are held out."""
    data = scenario.data
    if data is None or (data.dataset is None and data.inputs is None):
        return
    try:
        there = available(data)
    except UnusableFileError:
        return
    if data.samples is not None and data.samples > there:
        yield wrong("data.samples", f"is {data.samples}, but there are {there}; write no more")
    elif (taken := used(data)) - round(data.held_out * taken) < 1:
        text = f"is {data.held_out} of {taken} samples, which leaves none; write less"
        yield wrong("data.held_out", text)


def _size(key: str, value: Rows | FileRef) -> tuple[int, int] | Mistake:
    try:
        return shape(value)
    except UnusableFileError as error:
        file = value.file if isinstance(value, FileRef) else ""
        return wrong(key, f"{file}: {error}")


def _labels(targets: Rows | FileRef) -> Iterable[float]:
    """Return the distinct entries of targets, of large files none."""
    if not isinstance(targets, FileRef):
        return [entry for row in targets for entry in row]
    try:
        return facts(targets).distinct or ()
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
