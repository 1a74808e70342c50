"""Errors of a command as sentences: bad input with its exit code, and internal errors."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from flowsim.cli.terminal import print_message


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


def report_internal_error(error: Exception, context: str = "") -> None:
    """Ask the user to report `error`; with FLOWSIM_DEBUG=1 its traceback is printed first."""
    if os.environ.get("FLOWSIM_DEBUG") == "1":
        import traceback

        print_message("".join(traceback.format_exception(error)).rstrip())
    print_message(
        f"Internal error{context} ({type(error).__name__}: {error}). Please report it with the "
        f"command and the scenario; set FLOWSIM_DEBUG=1 for a traceback."
    )
