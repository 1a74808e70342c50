"""How many steps make a piece of work."""

from __future__ import annotations

import numpy as np
import pytest

from flowsim.solvers import chunks
from flowsim.solvers.chunks import CHUNK_SECONDS, FIRST_CHUNK, GROWTH, LARGEST_CHUNK, ChunkSize


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch) -> None:
    monkeypatch.setattr(chunks, "_SLOWEST", {})


def program(size: int = 3) -> tuple[np.ndarray, str]:
    return np.zeros(size), "tsit5"


def test_an_unknown_program_begins_with_few_steps_and_grows_gradually() -> None:
    pace = ChunkSize(program())
    assert not pace.known
    assert pace.steps == FIRST_CHUNK
    pace.update(FIRST_CHUNK, 1e-9)
    assert pace.steps == GROWTH * FIRST_CHUNK


def test_a_known_program_begins_with_what_fills_a_piece_at_its_slowest() -> None:
    pace = ChunkSize(program())
    pace.update(10, 10 * CHUNK_SECONDS / 100)
    pace.update(10, 10 * CHUNK_SECONDS / 5000)
    again = ChunkSize(program())
    assert again.known
    assert again.steps == 100


@pytest.mark.parametrize(
    "other", [program(4), (np.zeros(3), "dopri8"), (np.zeros(3, np.float32), "tsit5")]
)
def test_another_shape_type_or_method_is_another_program(other) -> None:
    ChunkSize(program()).update(1, 1.0)
    assert ChunkSize(program()).known
    assert not ChunkSize(other).known


def test_other_values_are_the_same_program() -> None:
    ChunkSize(program()).update(1, 1.0)
    assert ChunkSize((np.ones(3), "tsit5")).known


def test_a_piece_has_at_least_one_step_and_a_bounded_number() -> None:
    pace = ChunkSize(program())
    pace.update(1, 3600.0)
    assert pace.steps == 1
    for _ in range(20):
        pace.update(10**9, 1e-9)
    assert pace.steps == LARGEST_CHUNK
