"""Errors that no user can cause: one sentence, and a traceback on request."""

from __future__ import annotations

import os

from flowsim.cli.terminal import print_message


def report_internal_error(error: Exception, context: str = "") -> None:
    """Ask the user to report `error`; with FLOWSIM_DEBUG=1 its traceback is printed first."""
    if os.environ.get("FLOWSIM_DEBUG") == "1":
        import traceback

        print_message("".join(traceback.format_exception(error)).rstrip())
    print_message(
        f"Internal error{context} ({type(error).__name__}: {error}). Please report it with the "
        f"command and the scenario; set FLOWSIM_DEBUG=1 for a traceback."
    )
