"""How many steps make a piece of work."""

from __future__ import annotations

import numpy as np
import pytest

from flowsim.solvers import chunks
from flowsim.solvers.chunks import FIRST_PIECE, GROWTH, LARGEST_PIECE, PIECE_SECONDS, Pacing


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch) -> None:
    monkeypatch.setattr(chunks, "_SLOWEST", {})


def program(size: int = 3) -> tuple[np.ndarray, str]:
    return np.zeros(size), "tsit5"


def test_an_unknown_program_begins_with_few_steps_and_grows_gradually() -> None:
    pace = Pacing(program())
    assert not pace.known
    assert pace.piece == FIRST_PIECE
    pace.learn(FIRST_PIECE, 1e-9)
    assert pace.piece == GROWTH * FIRST_PIECE


def test_a_known_program_begins_with_what_fills_a_piece_at_its_slowest() -> None:
    pace = Pacing(program())
    pace.learn(10, 10 * PIECE_SECONDS / 100)
    pace.learn(10, 10 * PIECE_SECONDS / 5000)
    again = Pacing(program())
    assert again.known
    assert again.piece == 100


@pytest.mark.parametrize(
    "other", [program(4), (np.zeros(3), "dopri8"), (np.zeros(3, np.float32), "tsit5")]
)
def test_another_shape_type_or_method_is_another_program(other) -> None:
    Pacing(program()).learn(1, 1.0)
    assert Pacing(program()).known
    assert not Pacing(other).known


def test_other_values_are_the_same_program() -> None:
    Pacing(program()).learn(1, 1.0)
    assert Pacing((np.ones(3), "tsit5")).known


def test_a_piece_has_at_least_one_step_and_a_bounded_number() -> None:
    pace = Pacing(program())
    pace.learn(1, 3600.0)
    assert pace.piece == 1
    for _ in range(20):
        pace.learn(10**9, 1e-9)
    assert pace.piece == LARGEST_PIECE
