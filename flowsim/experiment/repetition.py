"""Repetition of a run: whether what is drawn at random is what the earlier run drew.

NumPy and JAX do not promise the same random numbers in other versions. A summary therefore contains
a checksum of each array that a scenario may draw, and a repetition is compared with these.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from flowsim.problem.losses import Loss
from flowsim.problem.types import Layers
from flowsim.results import archive
from flowsim.results.run import Run
from flowsim.scenario.build.problem import noise_stream, training
from flowsim.scenario.toml.writing import dumps

if TYPE_CHECKING:
    from flowsim.scenario.spec.scenario import Scenario

BLOCK = 1 << 20
"""Entries of an array that are read at once."""

TOLERANCE = 1e-6
"""Largest relative difference between equal draws, since rounding depends on the machine."""

LOSS_ARRAYS = {"Phi": "target", "observed": "observed entries", "A": "measurements"}
"""Names of the arrays of a loss that can be drawn, by its attributes."""

Checksum = tuple[float, float]


def checksums(scenario: Scenario, loss: Loss, layers: Layers = ()) -> dict[str, Checksum]:
    """Return the checksum of each array that a scenario may draw at random, by its name."""
    return {name: _checksum(array) for name, array in _drawn(scenario, loss, layers)}


def _drawn(scenario: Scenario, loss: Loss, layers: Layers) -> Iterator[tuple[str, np.ndarray]]:
    """Yield what is drawn: the start, the target, measurements or samples, and the first noise."""
    for j, W in enumerate(layers, start=1):
        yield f"layer {j}", np.asarray(W)
    for attribute, name in LOSS_ARRAYS.items():
        if hasattr(loss, attribute):
            yield name, np.asarray(getattr(loss, attribute))
    if scenario.data is not None:
        _, samples = training(scenario)
        assert samples is not None
        yield "inputs", samples.X
        yield "targets", samples.Y
    stream = noise_stream(scenario)
    if stream is not None:
        yield "gradient noise", np.asarray(stream.noise.draw(jax.random.fold_in(stream.key, 0)))


def _checksum(array: np.ndarray) -> Checksum:
    """Return the largest |x_i| of an array, and Σ x_i cos(i) / (√n max |x|).

    Unlike those of a hash, the values of arrays that differ by rounding alone are close.
    """
    entries = np.ravel(array).astype(float, copy=False)
    blocks = [slice(first, first + BLOCK) for first in range(0, entries.size, BLOCK)]
    largest = max((float(np.abs(entries[at]).max()) for at in blocks), default=0.0)
    if not largest:
        return 0.0, 0.0
    weights = (np.cos(np.arange(at.start, min(at.stop, entries.size))) for at in blocks)
    total = sum(
        float(np.dot(entries[at] / largest, weight))
        for at, weight in zip(blocks, weights, strict=True)
    )
    return largest, total / float(np.sqrt(entries.size))


@dataclass(frozen=True)
class Earlier:
    """A run on disk that is repeated: its folder, its summary and those of its variants."""

    folder: Path
    summary: Mapping[str, Any]
    variants: Mapping[str, Mapping[str, Any]]

    @classmethod
    def of(cls, scenario: Scenario, file: Path | None, target: Path | None) -> Earlier | None:
        """Return the run whose `scenario.toml` is simulated, or that is replaced, if any.

        `file` is that of the scenario where no value of it was replaced; `target` is the folder
        to be written, which counts if its scenario is the same.
        """
        with suppress(archive.ArchiveError, OSError, UnicodeError):
            if file is not None and file.name == "scenario.toml" and archive.is_run(file.parent):
                return cls(file.parent, *archive.summaries(file.parent))
            if target is not None and archive.is_run(target):
                text = (target / "scenario.toml").read_text("utf-8")
                if text == dumps(scenario, data_folder="data"):
                    return cls(target, *archive.summaries(target))
        return None

    def compared(self, run: Run) -> Run:
        """Return a repetition of this run, with notes on what was not drawn as before."""
        variants = {
            name: _compared(inner, self.variants.get(name, {}), self.folder)
            for name, inner in run.variants.items()
        }
        return _compared(replace(run, variants=variants), self.summary, self.folder)


def _compared(run: Run, earlier: Mapping[str, Any], folder: Path) -> Run:
    other = differing(run.summary.get("drawn", {}), earlier.get("drawn", {}))
    if not other:
        return run
    versions = ", ".join(
        f"{library} {earlier['versions'][library]} then and {run.summary['versions'][library]} now"
        for library in ("numpy", "jax")
    )
    note = (
        f"{run.name!r} does not repeat the run in {str(folder)!r}: random draws differ "
        f"({', '.join(other)}). They depend on the versions of libraries: {versions}."
    )
    return replace(run, summary={**run.summary, "notes": [*run.summary["notes"], note]})


def differing(now: Mapping[str, Checksum], before: Mapping[str, Checksum]) -> list[str]:
    """Return the names of the arrays in both whose checksums differ."""
    return sorted(name for name in now.keys() & before.keys() if not _same(now[name], before[name]))


def _same(now: Checksum, before: Checksum) -> bool:
    return bool(
        abs(now[0] - before[0]) <= TOLERANCE * now[0] and abs(now[1] - before[1]) <= TOLERANCE
    )
