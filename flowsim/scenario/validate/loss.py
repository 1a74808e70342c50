"""Rules of `[loss]` and `[data]`: what kinds need, shapes that fit the network, and labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Literal

from flowsim.scenario.build.files import UnusableFileError, inspect_array
from flowsim.scenario.build.shapes import (
    BUNDLED,
    available_samples,
    format_shape,
    matrix_shape,
    used_samples,
)
from flowsim.scenario.spec.data import DataLoss
from flowsim.scenario.spec.errors import Mistake, alternatives, mistake_at
from flowsim.scenario.spec.forms import Count, FileRef, Fraction, RankNorm, Spectrum
from flowsim.scenario.spec.loss import Completion, MatrixLoss

if TYPE_CHECKING:
    from flowsim.scenario.spec.numbers import Rows
    from flowsim.scenario.spec.scenario import Scenario

WAYS = "write inputs and targets, or dataset"


class MistakeError(Exception):
    """A rule ends with this mistake."""

    def __init__(self, mistake: Mistake) -> None:
        super().__init__(mistake)
        self.mistake = mistake


def shape_at(key: str, value: Rows | FileRef, array: str | None = None) -> tuple[int, int]:
    """Return rows and columns of the matrix at a key, in an `.npz` file that of this name.

    Raises
    ------
    MistakeError
        If the file cannot be used, or does not hold a matrix.

    """
    try:
        return matrix_shape(value, array)
    except UnusableFileError as error:
        file = value.file if isinstance(value, FileRef) else ""
        raise MistakeError(mistake_at(key, f"{file}: {error}")) from None


def takes_data_or_not(scenario: Scenario) -> Iterator[Mistake]:
    """Require `[data]` of losses on data, and of no others."""
    loss, data = scenario.loss, scenario.data
    if loss.has("on_data") and data is None:
        yield mistake_at(
            "data",
            f'is missing, and loss.kind = "{loss.kind}" needs it; write [data] with inputs and '
            "targets, or with dataset",
        )
    if not loss.has("on_data") and data is not None:
        text = f'is not used by loss.kind = "{loss.kind}", which takes no data; remove it'
        yield mistake_at("data", text)


def target_fits(scenario: Scenario) -> Iterator[Mistake]:
    """Require a target of d_N × d_0, with no more singular values than that allows."""
    loss, network = scenario.loss, scenario.network
    if not isinstance(loss, MatrixLoss):
        return
    target = loss.target
    most = f"a {format_shape(network.shape)} matrix has {network.modes} singular values"
    if isinstance(target, Spectrum) and len(target.spectrum) > network.modes:
        yield mistake_at("loss.target", f"gives {len(target.spectrum)}, but {most}; write no more")
    if isinstance(target, RankNorm) and target.rank > network.modes:
        yield mistake_at("loss.target.rank", f"is {target.rank}, but {most}; write no more")
    if isinstance(target, tuple | FileRef):
        yield from same_shape("loss.target", shape_at("loss.target", target), network.shape)


def observed_fits(scenario: Scenario) -> Iterator[Mistake]:
    """Require a d_N × d_0 mask of observed entries with one entry or more."""
    loss, network = scenario.loss, scenario.network
    if not isinstance(loss, Completion):
        return
    observed = loss.observed
    entries = network.shape[0] * network.shape[1]
    if isinstance(observed, Count):
        if observed.count > entries:
            text = f"is {observed.count}, but W has {entries} entries; write no more"
            yield mistake_at("loss.observed.count", text)
    elif isinstance(observed, Fraction):
        if round(observed.fraction * entries) < 1:
            text = f"is {observed.fraction} of {entries} entries, which is none; write more"
            yield mistake_at("loss.observed.fraction", text)
    else:
        yield from same_shape("loss.observed", matrix_shape(observed), network.shape)
        if not any(map(any, observed)):
            yield mistake_at(
                "loss.observed", "observes nothing; write 1 where an entry is observed"
            )


def same_shape(key: str, size: tuple[int, int], required: tuple[int, int]) -> Iterator[Mistake]:
    """Yield a mistake unless a matrix has the end-to-end matrix's shape."""
    if size != required:
        yield mistake_at(
            key,
            f"is {format_shape(size)}, but network.widths make W "
            f"{format_shape(required)} (d_N × d_0); "
            f"write {required[0]} rows of {required[1]}, or other widths",
        )


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
    inputs, width = _given(scenario, "inputs"), scenario.network.widths[0]
    if inputs is None:
        return
    size = shape_at("data.inputs", inputs)
    if size[0] != width:
        yield mistake_at(
            "data.inputs",
            f"is {format_shape(size)}, but network.widths begin with {width}; "
            f"write d_0 = {width} rows, one column per sample",
        )


def targets_fit(scenario: Scenario) -> Iterator[Mistake]:
    """Require targets with the rows that the loss needs and the columns of the inputs."""
    targets, loss = _given(scenario, "targets"), scenario.loss
    if targets is None or not isinstance(loss, DataLoss):
        return
    size = shape_at("data.targets", targets)
    yield from _rows_fit(loss, scenario.network.widths[-1], size)
    inputs = _given(scenario, "inputs")
    if inputs is not None and (columns := matrix_shape(inputs)[1]) != size[1]:
        yield mistake_at(
            "data.targets",
            f"has {size[1]} columns and data.inputs {columns}; write one column per sample",
        )


def _rows_fit(loss: DataLoss, outputs: int, size: tuple[int, int]) -> Iterator[Mistake]:
    rows = loss.target_rows(outputs)
    if size[0] == rows:
        return
    if loss.has("classifies"):
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
    targets, loss = _given(scenario, "targets"), scenario.loss
    if targets is not None and isinstance(loss, DataLoss) and loss.has("classifies"):
        outputs = scenario.network.widths[-1]
        texts = (loss.wrong_label(label, outputs) for label in _labels(targets))
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
    there = available_samples(data)
    if data.samples is not None and data.samples > there:
        yield mistake_at("data.samples", f"is {data.samples}, but there are {there}; write no more")
    elif (total := used_samples(data)) - round(data.held_out * total) < 1:
        text = f"is {data.held_out} of {total} samples, which leaves none; write less"
        yield mistake_at("data.held_out", text)


def _given(scenario: Scenario, key: Literal["inputs", "targets"]) -> Rows | FileRef | None:
    """Return the inputs or targets, or None where there are none or a data set in their place."""
    data = scenario.data
    return None if data is None or data.dataset is not None else getattr(data, key)


def _labels(targets: Rows | FileRef) -> Iterable[float]:
    """Return the distinct entries of targets, of large files none."""
    if not isinstance(targets, FileRef):
        return [entry for row in targets for entry in row]
    try:
        return inspect_array(targets).distinct or ()
    except UnusableFileError:
        return ()


RULES = (
    takes_data_or_not,
    target_fits,
    observed_fits,
    one_source,
    inputs_fit,
    targets_fit,
    outputs_fit,
    labels_fit,
    dataset_fits,
    samples_fit,
)
