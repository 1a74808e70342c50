"""Rules of `[loss]`: which kinds need data, and how targets fit the network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from flowsim.scenario.build.files import UnusableFileError
from flowsim.scenario.build.shapes import format_shape, matrix_shape
from flowsim.scenario.spec.errors import Mistake, mistake_at
from flowsim.scenario.spec.forms import Count, FileRef, Fraction, RankNorm, Spectrum
from flowsim.scenario.spec.loss import Completion, MatrixLoss

if TYPE_CHECKING:
    from flowsim.scenario.spec.scenario import Scenario


def takes_data_or_not(scenario: Scenario) -> Iterator[Mistake]:
    """Require `[data]` of losses on data, and of no others."""
    loss, data = scenario.loss, scenario.data
    if loss.on_data and data is None:
        yield mistake_at(
            "data",
            f'is missing, and loss.kind = "{loss.kind}" needs it; write [data] with inputs and '
            "targets, or with dataset",
        )
    if not loss.on_data and data is not None:
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
        try:
            size = matrix_shape(target)
        except UnusableFileError as error:
            yield mistake_at("loss.target", f"{target.file}: {error}")  # type: ignore[union-attr]
            return
        yield from same_shape("loss.target", size, network.shape)


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


RULES = (takes_data_or_not, target_fits, observed_fits)
