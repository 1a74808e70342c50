"""Errors that are answers: a sentence and an exit code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class Refusal(Exception):  # noqa: N818
    """What was asked cannot be done; by default because of bad input."""

    def __init__(self, sentence: str, exit_code: int = 2) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code


@contextmanager
def refusing(*kinds: type[Exception], exit_code: int = 2) -> Iterator[None]:
    """Turn errors of these kinds, whose texts are sentences, into refusals."""
    try:
        yield
    except kinds as error:
        raise Refusal(str(error), exit_code) from error
