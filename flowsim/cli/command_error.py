"""Errors that end a command with a sentence and an exit code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class CommandError(Exception):
    """A command cannot be carried out, by default because of bad input (exit code 2)."""

    def __init__(self, sentence: str, exit_code: int = 2) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code


@contextmanager
def as_command_error(*kinds: type[Exception], exit_code: int = 2) -> Iterator[None]:
    """Raise errors of these kinds, whose texts are sentences, as `CommandError`."""
    try:
        yield
    except kinds as error:
        raise CommandError(str(error), exit_code) from error
