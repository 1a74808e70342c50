"""The shapes of arrays in a scenario, and its numbers of samples and labels, without data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flowsim.scenario.build.files import UnusableFileError, inspect_array
from flowsim.scenario.spec.data import Data
from flowsim.scenario.spec.forms import FileRef
from flowsim.scenario.spec.numbers import Rows
from flowsim.scenario.spec.table import InvalidValueError

if TYPE_CHECKING:
    from flowsim.scenario.spec.scenario import Scenario


@dataclass(frozen=True)
class Bundled:
    """A data set that comes with scikit-learn, as flowsim uses it.

    `inputs` × `samples` inputs; `classes` classes, or `outputs` real targets. For regression the
    targets of a classification set are one-hot, one output per class; for cross_entropy they are
    class numbers from 0; for logistic, two classes only, they are −1 and +1.
    """

    inputs: int
    samples: int
    classes: int = 0
    outputs: int = 0


BUNDLED = {
    "digits": Bundled(64, 1797, classes=10),
    "diabetes": Bundled(10, 442, outputs=1),
    "iris": Bundled(4, 150, classes=3),
    "wine": Bundled(13, 178, classes=3),
    "breast_cancer": Bundled(30, 569, classes=2),
    "linnerud": Bundled(3, 20, outputs=3),
}


def matrix_shape(value: Rows | FileRef, key: str | None = None) -> tuple[int, int]:
    """Return rows and columns of a matrix that is written out or in a file, there called `key`.

    Raises
    ------
    UnusableFileError
        If the file cannot be used, or does not hold a matrix.

    """
    if not isinstance(value, FileRef):
        return len(value), len(value[0])
    shape = inspect_array(value, key).shape
    if len(shape) != 2:
        raise UnusableFileError(f"holds an array of shape {shape}; save one with two axes")
    return shape[0], shape[1]


def available_samples(data: Data) -> int:
    """Return how many samples the data have before any are chosen or held out."""
    if data.dataset is not None:
        return BUNDLED[data.dataset].samples
    if data.inputs is None:
        raise InvalidValueError("inputs")
    return matrix_shape(data.inputs)[1]


def used_samples(data: Data) -> int:
    """Return how many samples a scenario uses, held-out ones included."""
    there = available_samples(data)
    return there if data.samples is None else min(data.samples, there)


def sample_count(scenario: Scenario) -> int:
    """Return the number of training samples, measurements or observed entries."""
    data = scenario.data
    return scenario.loss.sample_count(
        scenario.network.shape, 0 if data is None else training_count(data)
    )


def training_count(data: Data) -> int:
    """Return how many samples are used and not held out."""
    count = used_samples(data)
    return count - (min(round(data.held_out * count), count - 1) if data.held_out else 0)


def draws_per_step(scenario: Scenario) -> int:
    """Return how many numbers a step of descent draws."""
    descent, loss, shape = scenario.descent, scenario.loss, scenario.network.shape
    if descent is None or not descent.noisy:
        return 0
    if descent.batch is None:
        return loss.label_count(shape)
    each = 0 if descent.label_noise is None else loss.labels_per_sample(shape)
    return sample_count(scenario) * (1 + each)


def format_shape(size: tuple[int, int]) -> str:
    """Return a shape as text, such as "3 × 4"."""
    return f"{size[0]} × {size[1]}"
